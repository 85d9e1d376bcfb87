"""Deadlines of thousands of connections, kept so that moving one costs nothing.

A deadline is a plain attribute of its owner. The wheel looks at an owner only when the second
in which its deadline first stood comes round, and files it again if the deadline has moved on.
"""

from __future__ import annotations

import heapq
import math
from typing import Generic, Protocol, TypeVar


class TimerOwner(Protocol):
    """Anything with a deadline, in monotonic seconds (inf: none)."""

    deadline_s: float


T = TypeVar("T", bound=TimerOwner)


class TimerWheel(Generic[T]):
    """Owners by the second of their deadline; accurate to `step_s`, never early."""

    def __init__(self, step_s: float = 0.25) -> None:
        self._step_s = step_s
        self._slots: dict[int, set[T]] = {}
        self._order: list[int] = []
        self._slot_of: dict[T, int] = {}

    def __len__(self) -> int:
        return len(self._slot_of)

    def watch(self, owner: T) -> None:
        """File an owner; call it again only when the deadline came *nearer*."""
        self.forget(owner)
        if owner.deadline_s == math.inf:
            return
        slot = math.ceil(owner.deadline_s / self._step_s)
        if slot not in self._slots:
            self._slots[slot] = set()
            heapq.heappush(self._order, slot)
        self._slots[slot].add(owner)
        self._slot_of[owner] = slot

    def keep(self, owner: T) -> None:
        """File an owner unless it is filed already: enough when its deadline only moved away."""
        if owner not in self._slot_of:
            self.watch(owner)

    def forget(self, owner: T) -> None:
        """Take an owner out; nothing happens when it is not filed."""
        slot = self._slot_of.pop(owner, None)
        if slot is not None:
            self._slots[slot].discard(owner)

    def next_s(self) -> float:
        """Return when `expired` should be called next; inf when nothing is filed."""
        while self._order and not self._slots[self._order[0]]:
            del self._slots[heapq.heappop(self._order)]
        return self._order[0] * self._step_s if self._order else math.inf

    def expired(self, now_s: float) -> list[T]:
        """Return, and take out, the owners whose deadline is over; file the others again."""
        late: list[T] = []
        while self._order and self._order[0] * self._step_s <= now_s:
            for owner in self._slots.pop(heapq.heappop(self._order)):
                del self._slot_of[owner]
                if owner.deadline_s <= now_s:
                    late.append(owner)
                else:
                    self.watch(owner)
        return late
