"""The students of one class who wait for it to begin, in the order in which they came.

A place in the queue costs no seat on a node. It ends PLACE_S after the last sign of the student: their page's
socket, a renewal, or joining again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE_S = 30.0
# One address cannot renew so many places in time (rate limit of joins and renewals).
MAX_WAITING = 8_000


class WaitingQueue:
    """Who waits, and until when their place is kept."""

    def __init__(self) -> None:
        self._until_s: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._until_s)

    def __contains__(self, subject: str) -> bool:
        return subject in self._until_s

    def __iter__(self) -> Iterator[str]:
        return iter(self._until_s)

    def enter(self, subject: str, now_s: float) -> bool:
        """Give a student a place, or keep the one they have; False when the queue is full."""
        if subject not in self._until_s and len(self._until_s) >= MAX_WAITING:
            return False
        self._until_s[subject] = now_s + PLACE_S
        return True

    def leave(self, subject: str) -> None:
        """Take a student out."""
        self._until_s.pop(subject, None)

    def expire(self, now_s: float) -> list[str]:
        """Take out, and return, the students who gave no sign in time."""
        late = [subject for subject, until_s in self._until_s.items() if until_s <= now_s]
        for subject in late:
            del self._until_s[subject]
        return late
