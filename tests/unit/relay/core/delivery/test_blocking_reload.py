"""Blocking reload, to the letter but for the hold limit (RFC 8216bis §6.2.5.2)."""

from __future__ import annotations

import math

from relay.core.delivery.blocking_reload import HeldRequests
from relay.core.stream.live_edge import LiveEdge


def test_all_who_wait_for_a_part_are_freed_at_once_and_no_others() -> None:
    waiting: HeldRequests[str] = HeldRequests()
    waiting.hold("a", 11, 2, 1.0)
    waiting.hold("b", 11, 2, 1.0)
    waiting.hold("c", 11, None, 1.0)
    waiting.hold("d", 12, 1, 1.0)
    assert waiting.reached(LiveEdge(10, 4, 2)) == []
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
