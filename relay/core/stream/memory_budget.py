"""The memory that all windows of a relay share: bytes of media, and bodies (each is a file descriptor).

When it is used up, a window whose stream has stopped gives way first, the one that stopped longest ago; else
the largest one, from its oldest segment on. What each window keeps at least is decided in `window`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

# A window that has listed nothing new for so long has stopped: longer than any usual segment.
STOPPED_S = 15.0


class BudgetMember(Protocol):
    """A window, as far as the budget deals with it."""

    newest_at_s: float | None

    @property
    def size_bytes(self) -> int:
        """Bytes that it keeps."""

    def drop_oldest(self) -> bool:
        """Forget its oldest segment; False when it must keep what it has."""


class MemoryBudget:
    """How much of the relay's memory for media is used, and who gives way."""

    def __init__(self, max_bytes: int, max_bodies: int = 1_000_000) -> None:
        self.used_bytes = 0
        self.used_bodies = 0
        self._max_bytes = max_bytes
        self._max_bodies = max_bodies
        self._holders: list[BudgetMember] = []

    @property
    def full(self) -> bool:
        """Whether nothing more fits."""
        return self.used_bytes >= self._max_bytes or self.used_bodies >= self._max_bodies

    def join(self, holder: BudgetMember) -> None:
        """Let a window share it."""
        self._holders.append(holder)

    def leave(self, holder: BudgetMember) -> None:
        """Take out a window that is given up; what it keeps is given back by its cache."""
        self._holders = [one for one in self._holders if one is not holder]

    def changed(self, size_bytes: int, bodies: int) -> None:
        """Count what was stored or forgotten (negative)."""
        self.used_bytes += size_bytes
        self.used_bodies += bodies

    def make_room(self, now_s: float) -> None:
        """Have segments forgotten until it is not exceeded, or every window is down to what it must keep."""
        while self.used_bytes > self._max_bytes or self.used_bodies > self._max_bodies:
            if not any(holder.drop_oldest() for holder in self._by_turn(now_s)):
                return

    def _by_turn(self, now_s: float) -> Iterator[BudgetMember]:
        def turn(holder: BudgetMember) -> tuple[float, int]:
            newest_at_s = -math.inf if holder.newest_at_s is None else holder.newest_at_s
            stopped = now_s - newest_at_s >= STOPPED_S and holder.newest_at_s is not None
            return (newest_at_s if stopped else math.inf, -holder.size_bytes)

        return iter(sorted(self._holders, key=turn))
