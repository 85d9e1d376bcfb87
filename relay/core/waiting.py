"""Who waits for which part: blocking playlist reload (RFC 8216bis §6.2.5.2).

Decides whether a request is answered now, held or refused, and who is answered when a playlist
moves on or the hold limit is reached. Sends nothing.
"""

from __future__ import annotations

import heapq
import math
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

MAX_MSN_AHEAD = 2
MIN_ADVANCE_PARTS = 3

W = TypeVar("W", bound="Hashable")


class Verdict(Enum):
    """What happens to a blocking reload."""

    NOW = "now"
    HOLD = "hold"
    TOO_FAR = "too far"


class Edge:
    """The live edge of one rendition: what its playlist shows at this moment.

    `last_msn` is the last complete segment, `last_parts` the number of parts it had,
    `open_parts` the number of listed parts of the segment after it.
    """

    __slots__ = ("last_msn", "last_parts", "open_parts")

    def __init__(self, last_msn: int = -1, last_parts: int = 0, open_parts: int = 0) -> None:
        self.last_msn = last_msn
        self.last_parts = last_parts
        self.open_parts = open_parts

    def reached(self, msn: int, part: int | None) -> bool:
        """Tell whether the playlist already holds the segment or part that is asked for."""
        if self.last_msn > msn:
            return True
        if part is None:
            return self.last_msn == msn
        if self.last_msn == msn:
            # a part beyond the segment's last one means part 0 of the next segment; a segment that
            # is listed without its parts holds them all
            return part < self.last_parts or not self.last_parts or self.open_parts > 0
        return self.last_msn + 1 == msn and self.open_parts > part

    def judge(self, msn: int, part: int | None, part_target_s: float) -> Verdict:
        """Return what to do with `_HLS_msn=msn&_HLS_part=part`."""
        if self.reached(msn, part):
            return Verdict.NOW
        if msn > self.last_msn + MAX_MSN_AHEAD:
            return Verdict.TOO_FAR
        if part is not None and msn > self.last_msn:
            listed = self.open_parts if msn == self.last_msn + 1 else 0
            if part >= listed + _advance_parts(part_target_s):
                return Verdict.TOO_FAR
        return Verdict.HOLD


def _advance_parts(part_target_s: float) -> int:
    """Advance Part Limit: three parts, or three seconds' worth of shorter ones."""
    if 0 < part_target_s < 1:
        return math.ceil(MIN_ADVANCE_PARTS / part_target_s)
    return MIN_ADVANCE_PARTS


class Waiting(Generic[W]):
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

    def reached(self, edge: Edge) -> list[W]:
        """Return, and forget, all whose segment or part is now listed."""
        done = [asked for asked in self._groups if edge.reached(*asked)]
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
