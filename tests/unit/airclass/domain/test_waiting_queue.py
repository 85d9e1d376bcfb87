"""The queue of a class that has not begun: in order, bounded, and only for those who are still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airclass.domain.waiting_queue import PLACE_S, WaitingQueue

if TYPE_CHECKING:
    import pytest


def test_students_keep_the_order_in_which_they_came() -> None:
    queue = WaitingQueue()
    assert [queue.enter(s, n) for n, s in enumerate("abc")] == [True] * 3
    queue.enter("a", 10.0)
    queue.leave("b")
    queue.leave("nobody")
    assert list(queue) == ["a", "c"]
    assert len(queue) == 2
    assert "b" not in queue


def test_a_place_ends_without_a_sign_of_life() -> None:
    queue = WaitingQueue()
    queue.enter("a", 0.0)
    queue.enter("b", 0.0)
    queue.enter("a", 10.0)
    assert queue.expire(PLACE_S) == ["b"]
    assert queue.expire(PLACE_S + 10.0) == ["a"]
    assert not queue


def test_the_queue_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airclass.domain.waiting_queue.MAX_WAITING", 1)
    queue = WaitingQueue()
    assert queue.enter("a", 0.0)
    assert not queue.enter("b", 0.0)
    assert queue.enter("a", 5.0), "those who are in it stay"
