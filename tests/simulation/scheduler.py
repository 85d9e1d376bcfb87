"""Virtual time: a heap of actions, carried out in order; the clock jumps from one to the next."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Scheduler:
    """Carries out actions at their time; actions of one instant in the order in which they were added."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._added = 0

    def at(self, at_s: float, action: Callable[..., None], *args: Any) -> None:
        """Carry out an action at a time, or now when that is past."""
        self._added += 1
        heappush(self._heap, (max(at_s, self.now_s), self._added, action, args))

    def after(self, delay_s: float, action: Callable[..., None], *args: Any) -> None:
        """Carry out an action after a delay."""
        self._added += 1
        heappush(self._heap, (self.now_s + delay_s, self._added, action, args))

    def run(self, until_s: float) -> None:
        """Carry out everything up to and including a time."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            self.now_s, _, action, args = heappop(heap)
            action(*args)
        self.now_s = until_s
