"""One node's status from heartbeats, silence, probes and what the other nodes show; in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain import health
from airclass.domain.health import GroupView, Health, NodeStatus, Reason, ReasonCode

NO_ORIGIN = Reason("c1: the origin refuses the connection", ReasonCode.NO_INGEST)


def beat(h: Health, now_s: float, *, draining: bool = False, not_ready: str = "") -> NodeStatus:
    h.beat(now_s, draining=draining, not_ready=not_ready)
    return judge(h, now_s)


def judge(
    h: Health, now_s: float, view: GroupView | None = None, *, ordered_drain: bool = False
) -> NodeStatus:
    return h.judge(now_s, view or GroupView(), ordered_drain=ordered_drain)


def beating(h: Health, from_s: float, to_s: float) -> None:
    while from_s < to_s:
        beat(h, from_s)
        from_s += 2.0


def active() -> Health:
    h = Health(registered_at_s=0.0)
    assert judge(h, 0.0) is NodeStatus.UNHEALTHY
    assert h.reason == Reason("has registered and not yet sent a heartbeat", ReasonCode.NEW)
    assert not h.is_usable(0.0)
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


def test_a_node_is_back_after_two_good_heartbeats() -> None:
    h = active()
    judge(h, 10.0)
    assert beat(h, 11.0) is NodeStatus.UNHEALTHY
    assert h.reason == Reason(
        "is back; 1 of 2 good heartbeats", ReasonCode.RETURNING, {"beats": 1, "needed": 2}
    )
    assert beat(h, 13.0) is NodeStatus.ACTIVE


def test_silence_between_the_beats_starts_the_count_again() -> None:
    h = active()
    judge(h, 10.0)
    beat(h, 11.0)
    judge(h, 17.5)
    assert beat(h, 18.0) is NodeStatus.UNHEALTHY
    assert beat(h, 20.0) is NodeStatus.ACTIVE


def test_a_flapping_node_is_held_for_longer_each_time() -> None:
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
    assert not h.is_usable(2.0)
    h.probed(3.0, "", interval_s=30)
    assert h.next_probe_s == 33.0
    assert beat(h, 4.0) is NodeStatus.UNHEALTHY
    assert beat(h, 6.0) is NodeStatus.ACTIVE


def test_one_failed_probe_of_a_node_that_was_reachable_does_not_count() -> None:
    h = active()
    h.probed(1.0, "", interval_s=30)
    h.probed(31.0, "no", interval_s=30)
    assert h.next_probe_s == 36.0
    assert beat(h, 31.5) is NodeStatus.ACTIVE
    h.probed(36.0, "no", interval_s=30)
    assert beat(h, 37.0) is NodeStatus.UNHEALTHY


def test_seconds_in_which_the_master_read_no_heartbeats_do_not_count() -> None:
    h = active()
    h.pardon(10.0, 12.0)
    assert judge(h, 15.0) is NodeStatus.ACTIVE
    assert judge(h, 16.2) is NodeStatus.UNHEALTHY


def test_a_heartbeat_that_was_read_after_a_pause_is_not_dated_later() -> None:
    h = active()
    h.beat(20.0, draining=False)
    h.pardon(15.0, 20.0)
    assert judge(h, 25.9) is NodeStatus.ACTIVE
    assert judge(h, 26.0) is NodeStatus.UNHEALTHY


def test_probes_of_an_unreachable_node_become_rarer() -> None:
    h, pauses = active(), []
    for _ in range(8):
        h.probed(100.0, "no", interval_s=30)
        pauses.append(h.next_probe_s - 100.0)
    assert pauses == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0]


def test_a_fault_takes_the_node_out_for_as_long_as_it_lasts() -> None:
    h = active()
    assert judge(h, 1.0, GroupView(fault=NO_ORIGIN)) is NodeStatus.UNHEALTHY
    assert h.reason == NO_ORIGIN
    beat(h, 2.0)
    assert beat(h, 4.0) is NodeStatus.ACTIVE


def test_a_node_that_is_needed_is_used_in_spite_of_fault_and_probation() -> None:
    h = active()
    suspect = Reason("is suspect", ReasonCode.SUSPECT)
    assert judge(h, 1.0, GroupView(fault=NO_ORIGIN, remark=suspect, needed=True)) is NodeStatus.ACTIVE
    assert h.reason == suspect
    judge(h, 10.0)
    h.beat(11.0, draining=False)
    assert judge(h, 11.0, GroupView(needed=True)) is NodeStatus.ACTIVE
    assert h.reason == Reason()
    assert judge(h, 20.0, GroupView(needed=True)) is NodeStatus.UNHEALTHY, "it is silent"


def test_a_node_that_is_not_ready_for_anything_is_out() -> None:
    h = active()
    assert beat(h, 2.0, not_ready="the disk is full") is NodeStatus.UNHEALTHY
    assert h.reason == Reason("the disk is full", ReasonCode.NOT_READY)
    assert not h.is_usable(2.0)
    beat(h, 4.0)
    assert beat(h, 6.0) is NodeStatus.ACTIVE
    assert h.is_usable(6.0)


def test_a_fall_while_the_masters_line_is_cut_counts_as_no_flap() -> None:
    h = active()
    for fall_s in (10.0, 30.0, 50.0):
        assert judge(h, fall_s, GroupView(line_cut=True)) is NodeStatus.UNHEALTHY
        assert beat(h, fall_s + 2.0) is NodeStatus.ACTIVE
    assert h.flaps == 0


def test_the_reason_of_a_held_node_says_how_often_it_fell_and_how_long_it_is_held() -> None:
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
    assert beat(h, 2.0, draining=True) is NodeStatus.DRAINING
    assert h.reason == Reason("sends its students to other nodes", ReasonCode.DRAINING)
    assert beat(h, 4.0) is NodeStatus.ACTIVE
    assert judge(h, 4.0, ordered_drain=True) is NodeStatus.DRAINING
    assert judge(h, 4.0, GroupView(alone=True), ordered_drain=True) is NodeStatus.DRAINING
    assert h.reason.code is ReasonCode.KEEPING
    assert judge(h, 11.0, ordered_drain=True) is NodeStatus.UNHEALTHY


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
            h.beat(now_s, draining=what == "drain", not_ready="r" if what == "bad" else "")
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
