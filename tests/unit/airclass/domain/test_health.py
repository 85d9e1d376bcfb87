"""A node's life: beats, silence, probes, flapping; always in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain import health
from airclass.domain.health import Health, NodeStatus, Reason, ReasonCode, blames_ingest


def beat(
    h: Health, now_s: float, *, ready: bool = True, draining: bool = False, reason: str = ""
) -> NodeStatus:
    h.beat(now_s, ready=ready, reason=reason, draining=draining)
    return judge(h, now_s)


def judge(h: Health, now_s: float, *, excused: bool = False, ordered_drain: bool = False) -> NodeStatus:
    return h.judge(now_s, excused=excused, ordered_drain=ordered_drain)


def beating(h: Health, from_s: float, to_s: float) -> None:
    while from_s < to_s:
        beat(h, from_s)
        from_s += 2.0


def active() -> Health:
    h = Health(registered_at_s=0.0)
    assert judge(h, 0.0) is NodeStatus.UNHEALTHY
    assert beat(h, 0.1) is NodeStatus.ACTIVE
    return h


def test_a_new_node_needs_one_beat_and_then_stays() -> None:
    h = active()
    assert judge(h, 2.0) is NodeStatus.ACTIVE


@pytest.mark.parametrize(
    ("silent_s", "status"),
    [
        (5.9, NodeStatus.ACTIVE),
        (6.0, NodeStatus.UNHEALTHY),
        (29.9, NodeStatus.UNHEALTHY),
        (30.0, NodeStatus.OFFLINE),
    ],
)
def test_silence_is_unhealthy_after_6_s_and_offline_after_30(silent_s: float, status: NodeStatus) -> None:
    h = active()
    assert judge(h, 0.1 + silent_s) is status
    if status is not NodeStatus.ACTIVE:
        text = f"has sent nothing for {silent_s:.0f} s"
        assert h.reason == Reason(text, ReasonCode.SILENT, {"silent_s": round(silent_s)})


def test_it_is_back_after_two_good_beats() -> None:
    h = active()
    judge(h, 10.0)
    assert beat(h, 11.0) is NodeStatus.UNHEALTHY
    assert h.reason == Reason("is back; 1 of 2 good beats", ReasonCode.RETURNING, {"beats": 1, "needed": 2})
    assert beat(h, 13.0) is NodeStatus.ACTIVE


def test_silence_between_the_beats_starts_the_count_again() -> None:
    h = active()
    judge(h, 10.0)
    beat(h, 11.0)
    judge(h, 17.5)
    assert beat(h, 18.0) is NodeStatus.UNHEALTHY
    assert beat(h, 20.0) is NodeStatus.ACTIVE


def test_flapping_is_watched_with_growing_pauses() -> None:
    h, now_s, pauses = active(), 0.1, []
    for _ in range(8):
        now_s += 7.0
        judge(h, now_s)
        down_s = now_s
        while judge(h, now_s) is not NodeStatus.ACTIVE:
            now_s += 1.0
            beat(h, now_s)
        pauses.append(round(now_s - down_s, 3))
    assert pauses == [2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 120.0, 120.0]


def test_flaps_are_forgotten_after_five_good_minutes() -> None:
    h = active()
    judge(h, 10.0)
    beating(h, 11.0, 400.0)
    assert h.flaps == 0


def test_a_node_that_cannot_be_reached_is_out_though_it_beats() -> None:
    h = active()
    h.probed(1.0, "cannot be reached at http://x", interval_s=30)
    assert beat(h, 2.0) is NodeStatus.UNHEALTHY
    assert h.reason == Reason("cannot be reached at http://x", ReasonCode.UNREACHABLE)
    h.probed(3.0, "", interval_s=30)
    assert h.next_probe_s == 33.0
    assert beat(h, 4.0) is NodeStatus.UNHEALTHY
    assert beat(h, 6.0) is NodeStatus.ACTIVE


def test_one_missed_knock_at_a_door_that_was_open_is_forgiven() -> None:
    h = active()
    h.probed(1.0, "", interval_s=30)
    h.probed(31.0, "no", interval_s=30)
    assert h.next_probe_s == 36.0
    assert beat(h, 31.5) is NodeStatus.ACTIVE
    h.probed(36.0, "no", interval_s=30)
    assert beat(h, 37.0) is NodeStatus.UNHEALTHY


def test_seconds_in_which_the_master_was_deaf_do_not_count() -> None:
    h = active()
    h.pardon(10.0)
    assert judge(h, 15.0) is NodeStatus.ACTIVE
    assert judge(h, 16.2) is NodeStatus.UNHEALTHY


def test_probes_of_an_unreachable_node_grow_rare() -> None:
    h, pauses = active(), []
    for _ in range(8):
        h.probed(100.0, "no", interval_s=30)
        pauses.append(h.next_probe_s - 100.0)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


def test_not_ready_is_out_unless_excused() -> None:
    h = active()
    h.beat(2.0, ready=False, reason="no origin", draining=False)
    assert judge(h, 2.0, excused=True) is NodeStatus.ACTIVE
    assert judge(h, 2.0) is NodeStatus.UNHEALTHY
    assert h.reason == Reason("no origin", ReasonCode.NOT_READY)
    h.beat(4.0, ready=False, reason="", draining=False)
    assert judge(h, 4.0) is NodeStatus.UNHEALTHY
    assert h.reason == Reason("says that it is not ready", ReasonCode.NOT_READY)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("connect", ReasonCode.NO_INGEST),
        ("timeout", ReasonCode.SLOW_INGEST),
        ("truncated", ReasonCode.SLOW_INGEST),
        ("playlist", ReasonCode.BAD_INGEST),
        ("a kind of a newer relay", ReasonCode.BAD_INGEST),
        ("", ReasonCode.NOT_READY),
    ],
)
def test_what_a_relay_lacks_from_its_ingest_has_a_code(fault: str, why: ReasonCode) -> None:
    h = active()
    h.beat(2.0, ready=False, reason="c1: as the relay says it", draining=False, fault=fault)
    judge(h, 2.0)
    assert h.reason == Reason("c1: as the relay says it", why)


def test_a_node_that_comes_and_goes_tells_how_often_and_how_long_it_is_watched() -> None:
    h = active()
    for down_s in (10.0, 20.0):
        judge(h, down_s)
        beat(h, down_s + 1)
        beat(h, down_s + 3)
    text = "came and went 2 times; watched for 2 s more"
    assert h.reason == Reason(text, ReasonCode.WATCHED, {"times": 2, "left_s": 2})


def test_draining_by_itself_or_by_order() -> None:
    h = active()
    assert judge(Health(0.0), 0.0) is NodeStatus.UNHEALTHY
    assert beat(h, 2.0, ready=False, draining=True) is NodeStatus.DRAINING
    assert h.reason.code is ReasonCode.DRAINING
    assert beat(h, 4.0) is NodeStatus.ACTIVE
    assert judge(h, 4.0, ordered_drain=True) is NodeStatus.DRAINING
    assert judge(h, 11.0, ordered_drain=True) is NodeStatus.UNHEALTHY


def test_the_ingest_is_to_blame_until_another_node_proves_otherwise() -> None:
    mine, other = active(), active()
    assert blames_ingest(mine, [other])
    mine.beat(10.0, ready=False, reason="", draining=False)
    assert blames_ingest(mine, [])
    other.beat(11.0, ready=True, reason="", draining=False)
    assert blames_ingest(mine, [other]), "one beat of another may just be older news"
    other.beat(15.0, ready=True, reason="", draining=False)
    assert not blames_ingest(mine, [other])


EVENTS = st.lists(
    st.tuples(st.sampled_from(["beat", "bad", "drain", "probe", "noprobe", "wait"]), st.floats(0.1, 40)),
    max_size=60,
)


@given(EVENTS)
def test_whatever_happens_a_silent_node_is_never_active_and_a_good_one_comes_back(
    events: list[tuple[str, float]],
) -> None:
    h, now_s = active(), 0.1
    for what, pause_s in events:
        now_s += pause_s
        if what in ("beat", "bad", "drain"):
            h.beat(now_s, ready=what != "bad", reason="r", draining=what == "drain")
        elif what != "wait":
            h.probed(now_s, "no" if what == "noprobe" else "", interval_s=30)
        status = judge(h, now_s)
        silent_s = h.silent_s(now_s)
        if silent_s >= health.OFFLINE_S:
            assert status is NodeStatus.OFFLINE
        elif silent_s >= health.SILENT_S:
            assert status is NodeStatus.UNHEALTHY
        assert (status is NodeStatus.ACTIVE) == (not h.reason.text) == (not h.reason.code)
    h.probed(now_s, "", interval_s=30)
    beating(h, now_s + 1, now_s + health.MAX_HOLD_S + 10)
    assert h.status is NodeStatus.ACTIVE
