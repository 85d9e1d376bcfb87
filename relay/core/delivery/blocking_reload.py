"""Who waits for which part: blocking playlist reload (RFC 8216bis §6.2.5.2).

Decides whether a request is answered now, held or refused, and who is answered when a playlist
moves on or the hold limit is reached. Sends nothing.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

    from relay.core.stream.live_edge import LiveEdge


W = TypeVar("W", bound="Hashable")


class HeldRequests(Generic[W]):
    """The held requests of one rendition; at most one of each viewer's connection."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, int | None], dict[W, None]] = {}
        self._asked: dict[W, tuple[tuple[int, int | None], int]] = {}
        # playlists and hinted parts are held for different times: a heap, not a queue
        self._due: list[tuple[float, int, W]] = []
        self._held = 0

    def __len__(self) -> int:
        return len(self._asked)

    def hold(self, who: W, msn: int, part: int | None, until_s: float) -> None:
        """Keep a request until the playlist reaches it, or until `until_s` at the latest."""
        asked = (msn, part)
        self._held += 1
        self._groups.setdefault(asked, {})[who] = None
        self._asked[who] = asked, self._held
        heapq.heappush(self._due, (until_s, self._held, who))

    def drop(self, who: W) -> None:
        """Forget a viewer who has left; nothing happens when none of theirs is held."""
        held = self._asked.pop(who, None)
        if held is None:
            return
        asked = held[0]
        group = self._groups[asked]
        del group[who]
        if not group:
            del self._groups[asked]

    def reached(self, live_edge: LiveEdge) -> list[W]:
        """Return, and forget, all whose segment or part is now listed."""
        done = [asked for asked in self._groups if live_edge.reached(*asked)]
        ready = [who for asked in done for who in self._groups.pop(asked)]
        for who in ready:
            del self._asked[who]
        if not self._asked:
            self._due.clear()
        return ready

    def overdue(self, now_s: float) -> list[W]:
        """Return, and forget, all whose hold limit is over."""
        late = []
        while self._due and self._due[0][0] <= now_s:
            _, number, who = heapq.heappop(self._due)
            held = self._asked.get(who)
            if held is not None and held[1] == number:
                self.drop(who)
                late.append(who)
        return late

    def everyone(self) -> list[W]:
        """Return, and forget, all who wait."""
        all_of_them = list(self._asked)
        self._asked.clear()
        self._groups.clear()
        self._due.clear()
        return all_of_them

    def next_due_s(self) -> float:
        """Return the time at which `overdue` has something to return; inf when nobody waits."""
        return self._due[0][0] if self._due else math.inf
