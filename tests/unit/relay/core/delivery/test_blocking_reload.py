"""Blocking reload, to the letter but for the hold limit (RFC 8216bis §6.2.5.2)."""

from __future__ import annotations

import math

import pytest

from relay.core.delivery.blocking_reload import HeldRequests
from relay.core.stream.live_edge import LiveEdge, ReloadDecision

# segment 10 is complete with 4 parts; of segment 11 two parts are listed
EDGE = LiveEdge(last_msn=10, last_parts=4, open_parts=2)


@pytest.mark.parametrize(
    ("msn", "part", "verdict"),
    [
        (3, None, ReloadDecision.NOW),
        (3, 99, ReloadDecision.NOW),
        (10, None, ReloadDecision.NOW),
        (10, 3, ReloadDecision.NOW),
        (10, 4, ReloadDecision.NOW),  # beyond the last part: part 0 of segment 11, which is there
        (11, 1, ReloadDecision.NOW),
        (11, 2, ReloadDecision.HOLD),
        (11, None, ReloadDecision.HOLD),
        (12, None, ReloadDecision.HOLD),
        (12, 0, ReloadDecision.HOLD),
        (13, None, ReloadDecision.TOO_FAR),
        (13, 0, ReloadDecision.TOO_FAR),
    ],
)
def test_verdicts(msn: int, part: int | None, verdict: ReloadDecision) -> None:
    assert EDGE.judge(msn, part, 0.5) is verdict


@pytest.mark.parametrize(
    ("part_target_s", "limit"), [(0.2, 15), (0.5, 6), (0.7, 5), (1.0, 3), (2.0, 3), (0.0, 3)]
)
def test_advance_part_limit_counts_from_the_parts_that_are_there(part_target_s: float, limit: int) -> None:
    assert EDGE.judge(11, 2 + limit - 1, part_target_s) is ReloadDecision.HOLD
    assert EDGE.judge(11, 2 + limit, part_target_s) is ReloadDecision.TOO_FAR
    assert EDGE.judge(12, limit - 1, part_target_s) is ReloadDecision.HOLD
    assert EDGE.judge(12, limit, part_target_s) is ReloadDecision.TOO_FAR


def test_a_part_beyond_the_last_one_waits_for_the_next_segment() -> None:
    live_edge = LiveEdge(last_msn=10, last_parts=4, open_parts=0)
    assert live_edge.judge(10, 4, 0.5) is ReloadDecision.HOLD
    assert live_edge.judge(10, 3, 0.5) is ReloadDecision.NOW


def test_a_segment_listed_without_parts_holds_them_all() -> None:
    assert LiveEdge(last_msn=10, last_parts=0, open_parts=0).judge(10, 2, 0.5) is ReloadDecision.NOW


def test_all_who_wait_for_a_part_are_freed_at_once_and_no_others() -> None:
    waiting: HeldRequests[str] = HeldRequests()
    waiting.hold("a", 11, 2, 1.0)
    waiting.hold("b", 11, 2, 1.0)
    waiting.hold("c", 11, None, 1.0)
    waiting.hold("d", 12, 1, 1.0)
    assert waiting.reached(EDGE) == []
    assert waiting.reached(LiveEdge(10, 4, 3)) == ["a", "b"]
    assert waiting.reached(LiveEdge(11, 4, 0)) == ["c"]
    assert len(waiting) == 1
    assert waiting.reached(LiveEdge(11, 4, 1)) == []
    assert waiting.reached(LiveEdge(12, 4, 0)) == ["d"]
    assert waiting.next_due_s() == math.inf


def test_the_hold_limit_is_kept_whatever_the_order_of_the_limits() -> None:
    waiting: HeldRequests[str] = HeldRequests()
    waiting.hold("hinted part", 11, 2, 6.0)
    waiting.hold("playlist", 11, 2, 1.2)
    assert waiting.next_due_s() == 1.2
    assert waiting.overdue(1.1) == []
    assert waiting.overdue(1.2) == ["playlist"]
    assert waiting.overdue(6.0) == ["hinted part"]
    assert len(waiting) == 0


def test_one_who_left_is_not_answered() -> None:
    waiting: HeldRequests[str] = HeldRequests()
    waiting.hold("a", 11, 2, 1.0)
    waiting.hold("b", 11, 2, 1.0)
    waiting.drop("a")
    waiting.drop("a")
    assert waiting.reached(LiveEdge(10, 4, 3)) == ["b"]
    waiting.hold("a", 11, 3, 1.0)
    waiting.drop("a")
    assert waiting.overdue(2.0) == []


def test_an_old_limit_does_not_cut_a_new_wait_of_the_same_connection() -> None:
    waiting: HeldRequests[str] = HeldRequests()
    waiting.hold("a", 11, 2, 1.0)
    waiting.hold("other", 99, None, 9.0)
    assert waiting.reached(LiveEdge(10, 4, 3)) == ["a"]
    waiting.hold("a", 11, 3, 2.0)
    assert waiting.overdue(1.0) == []
    assert waiting.overdue(2.0) == ["a"]


def test_everyone_can_be_sent_away() -> None:
    waiting: HeldRequests[str] = HeldRequests()
    waiting.hold("a", 11, 2, 1.0)
    waiting.hold("b", 12, None, 1.0)
    assert waiting.everyone() == ["a", "b"]
    assert waiting.everyone() == []
    assert waiting.next_due_s() == math.inf
