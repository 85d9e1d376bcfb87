"""The newest listed position of a playlist: now, hold or too far (RFC 8216bis §6.2.5.2)."""

from __future__ import annotations

import math
from enum import Enum

MAX_MSN_AHEAD = 2
MIN_ADVANCE_PARTS = 3


class ReloadDecision(Enum):
    """What happens to a blocking reload."""

    NOW = "now"
    HOLD = "hold"
    TOO_FAR = "too far"


class LiveEdge:
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

    def judge(self, msn: int, part: int | None, part_target_s: float) -> ReloadDecision:
        """Return what to do with `_HLS_msn=msn&_HLS_part=part`."""
        if self.reached(msn, part):
            return ReloadDecision.NOW
        if msn > self.last_msn + MAX_MSN_AHEAD:
            return ReloadDecision.TOO_FAR
        if part is not None and msn > self.last_msn:
            listed = self.open_parts if msn == self.last_msn + 1 else 0
            if part >= listed + _advance_parts(part_target_s):
                return ReloadDecision.TOO_FAR
        return ReloadDecision.HOLD


def _advance_parts(part_target_s: float) -> int:
    """Advance Part Limit: three parts, or three seconds' worth of shorter ones."""
    if 0 < part_target_s < 1:
        return math.ceil(MIN_ADVANCE_PARTS / part_target_s)
    return MIN_ADVANCE_PARTS
