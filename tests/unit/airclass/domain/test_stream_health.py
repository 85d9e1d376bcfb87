"""What a node reports of a stream, and what makes it to blame; in virtual time."""

from __future__ import annotations

import pytest

from airclass.domain.stream_health import (
    BEHIND_S,
    PROOF_S,
    ServedStream,
    ServiceState,
    StreamFault,
    StreamHealth,
    fault_of,
    is_behind,
    read_report,
    witnessed,
)
from relay.base.cluster_protocol import Heartbeat, StreamReport

READY = Heartbeat("n1", 0, 0, True, "", False, "3", 0)
NOT_READY = Heartbeat("n1", 0, 0, False, "c1: refused; draining: x", False, "3", 0, fault="connect")
SERVED, UNKNOWN, FAILED = ServiceState.SERVED, ServiceState.UNKNOWN, ServiceState.FAILED


def report(origin: str = "", lag_s: float = 1.0, problem: str = "", **more: object) -> StreamReport:
    return StreamReport("c1", "live", 0, lag_s, problem, origin=origin, **more)  # type: ignore[arg-type]


def served(from_s: float, to_s: float, media_s: float | None = None) -> StreamHealth:
    return StreamHealth(SERVED, from_s, from_s, answered_s=to_s, newest_media_s=media_s)


def failed(since_s: float) -> StreamHealth:
    return StreamHealth(FAILED, since_s, since_s, kind="connect", reason="refused")


def test_a_report_is_dated_by_the_masters_clock() -> None:
    first = read_report(report("served", origin_age_s=30.0, origin_quiet_s=0.5), READY, None, 100.0)
    assert first == StreamHealth(SERVED, 70.0, 100.0, answered_s=99.5, newest_media_s=99.0)
    again = read_report(report("served", origin_age_s=32.0), READY, first, 102.0)
    assert (again.since_s, again.heard_s, again.answered_s) == (70.0, 100.0, 102.0)
    lost = read_report(
        report("failed", -1.0, "refused", origin_age_s=0.3, fault="connect"), READY, again, 104.0
    )
    assert lost == StreamHealth(FAILED, 103.7, 104.0, kind="connect", reason="refused")


def test_a_report_of_the_future_begins_now() -> None:
    health = read_report(report("served", origin_age_s=-5.0, origin_quiet_s=-5.0), READY, None, 100.0)
    assert (health.since_s, health.answered_s) == (100.0, 100.0)


def test_a_word_of_a_newer_relay_is_unknown() -> None:
    assert read_report(report("degraded", fault="x"), READY, None, 1.0).state is UNKNOWN
    assert read_report(report("unknown", fault="x"), READY, None, 1.0).kind == ""


@pytest.mark.parametrize(
    ("problem", "beat", "state", "kind"),
    [
        ("", READY, SERVED, ""),
        ("the origin has not answered yet", READY, UNKNOWN, ""),
        ("nobody is publishing: the origin's index is not there (404)", READY, SERVED, ""),
        ("refused", NOT_READY, FAILED, "connect"),
        ("nobody is publishing: the origin's index is not there (404)", NOT_READY, SERVED, ""),
    ],
)
def test_ready_of_an_older_relay_is_mapped(
    problem: str, beat: Heartbeat, state: ServiceState, kind: str
) -> None:
    health = read_report(report("", problem=problem), beat, None, 1.0)
    assert (health.state, health.kind, health.reason) == (state, kind, problem)


def test_a_witness_has_served_for_5_s() -> None:
    assert witnessed([{"c1": served(0.0, PROOF_S - 0.1)}, {"c1": failed(0.0)}, {}]) == {}
    both = witnessed([{"c1": served(0.0, PROOF_S, 3.0)}, {"c1": served(0.0, 9.0), "c2": served(2.0, 9.0)}])
    assert both == {"c1": ServedStream(9.0, 3.0), "c2": ServedStream(9.0, float("-inf"))}


def test_a_node_is_to_blame_5_s_after_its_failure_was_heard_of() -> None:
    assert fault_of(failed(10.0), ServedStream(14.9, 0.0)) is None
    assert fault_of(failed(10.0), ServedStream(15.0, 0.0)) == StreamFault("connect", "refused")
    assert fault_of(served(0.0, 1.0), ServedStream(15.0, 0.0)) is None


def test_a_node_is_behind_when_it_has_no_media_that_others_get_now() -> None:
    service = ServedStream(20.0, 20.0)
    assert is_behind(served(0.0, 20.0, 20.0 - BEHIND_S), service, 21.0)
    assert not is_behind(served(0.0, 20.0, 20.1 - BEHIND_S), service, 21.0)
    assert is_behind(served(9.0, 20.0), service, 21.0), "its origin answers, and nobody publishes there"
    assert not is_behind(served(11.0, 20.0), service, 21.0), "it has not been there for long"
    assert not is_behind(failed(0.0), service, 21.0)
    assert not is_behind(served(0.0, 20.0), ServedStream(20.0, float("-inf")), 21.0)


def test_a_node_that_gave_old_media_back_is_not_behind_one_that_keeps_it() -> None:
    over = ServedStream(100.0, 20.0)
    assert not is_behind(served(0.0, 100.0), over, 100.0), "the publisher left 80 s ago"
