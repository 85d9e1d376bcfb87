"""What a rendition asks its origin for next: order, retries, preload hints.

Decides about the objects of segments that are not listed yet. What becomes of an object once it is
here is decided in `window`, where its bytes are in `cache`.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

from relay.core.stream.segment import Fetch, FetchAttempt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from relay.core.playlist import ByteRange, PreloadHint
    from relay.core.stream.segment import WindowPart, WindowSegment

RETRY_FIRST_S = 0.2
RETRY_MAX_S = 2.0
# After so many failures of a part its whole segment is waited for.
MAX_PART_ATTEMPTS = 2
# What parts may add up to, beside their segment's EXTINF, to be taken for the whole of it: listed with it
# they are known to be all, else a last one of a single frame might be missing.
PART_SUM_TOLERANCE_S = 0.05
ROUNDING_S = 0.002


class HintStatus(Enum):
    """Of a hinted part that is being fetched."""

    AHEAD = "it comes when the teacher's line brings it"
    DUE = "it is there, or keeps others waiting"
    LOST = "it will not be wanted"


class FetchQueue:
    """The next object of one rendition; a `FetchAttempt` is the ticket of an object that is under way.

    A hinted part keeps its ticket when it is listed, so that it is never asked for twice.
    """

    def __init__(self) -> None:
        self._hint: Fetch | None = None
        self._hinted = False  # by the newest playlist
        self._ahead: bytes | None = None  # the hinted part, here before it is listed

    # -- the next one ---------------------------------------------------------------------

    def next(self, pending: Sequence[WindowSegment], now_s: float) -> Fetch | None:
        """Return the first object that these segments lack, marked as under way; None when there is none.

        A hint is fetched when nothing that is listed is missing, since only then is there a place for it.
        """
        for entry in pending:
            fetch = _missing(entry, now_s)
            if fetch is not None:
                return fetch
        hint = self._hint
        if hint is None or self._ahead is not None:
            return None
        return hint if _all_here(pending) and _claim(hint.tried, now_s) else None

    def retry_at_s(self, pending: Iterable[WindowSegment], now_s: float) -> float:
        """Return when a failed object may be asked for again; inf when no such time is ahead."""
        times = []
        for entry in pending:
            tries = [entry.tried, *(p.tried for p in entry.parts if p.media is None)]
            if entry.init is not None and entry.init.media is None:
                tries.append(entry.init.tried)
            times += [t.not_before_s for t in tries if t.not_before_s > now_s]
        return min(times, default=math.inf)

    # -- how it went ----------------------------------------------------------------------

    def failed(self, fetch: Fetch, now_s: float) -> None:
        """Put an object off that could not be had; a hint is taken up again when it is listed again."""
        tried = fetch.tried
        tried.in_flight = False
        tried.not_before_s = now_s + min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** (tried.attempts - 1))
        if fetch is self._hint:
            self._hint = None

    def put_back(self, fetch: Fetch) -> None:
        """Note that a fetch was abandoned on our side: the object may be asked for again at once."""
        fetch.tried.in_flight = False
        fetch.tried.attempts -= 1

    def arrived_ahead(self, fetch: Fetch, data: bytes) -> None:
        """Keep a hinted part until it is listed; one that is no longer hinted is dropped."""
        if fetch is self._hint:
            self._ahead = data

    def outlook(self, fetch: Fetch, pending: Sequence[WindowSegment]) -> HintStatus:
        """Return what has become, meanwhile, of a hinted part that is being fetched."""
        if ticket_holder(pending, fetch.tried) is not None:
            return HintStatus.DUE
        if fetch is not self._hint:
            return HintStatus.LOST
        return HintStatus.AHEAD if self._hinted and _all_here(pending) else HintStatus.DUE

    # -- preload hints --------------------------------------------------------------------

    def hinted(self, hints: Iterable[PreloadHint]) -> None:
        """Take in what the origin hints at now; what was asked for may be listed all the same."""
        self._hinted = False
        for hint in hints:
            if hint.type != "PART" or hint.byterange_start is not None:
                continue
            if self._hint is None or self._hint.uri != hint.uri:
                self._hint, self._ahead = Fetch("hint", hint.uri, None, -1), None
            self._hinted = True
            return
        if self._hint is not None and not self._hint.tried.in_flight:
            self._hint = None

    def listed(self, uri: str, byterange: ByteRange | None) -> tuple[FetchAttempt, bytes | None]:
        """Return the ticket of a part that is listed now, and its bytes where they came ahead."""
        hint = self._hint
        if hint is None or byterange is not None or hint.uri != uri:
            return FetchAttempt(), None
        ahead, self._ahead = self._ahead, None
        return hint.tried, ahead

    def forget(self) -> None:
        """Drop the hint: its session is over."""
        self._hint = self._ahead = None


def made_of_parts(entry: WindowSegment) -> bool:
    """Tell whether the parts that are here make up a segment that the origin has completed."""
    if entry.parts_broken or not entry.parts or entry.arrived() < len(entry.parts):
        return False
    tolerance_s = PART_SUM_TOLERANCE_S if entry.parts_listed else ROUNDING_S
    return abs(sum(p.duration_s for p in entry.parts) - entry.duration_s) <= tolerance_s


def ticket_holder(entries: Iterable[WindowSegment], tried: FetchAttempt) -> tuple[WindowSegment, int] | None:
    """Return the segment and the index of the part that a ticket belongs to."""
    for entry in entries:
        for index, part in enumerate(entry.parts):
            if part.tried is tried:
                return entry, index
    return None


def _all_here(pending: Iterable[WindowSegment]) -> bool:
    """Tell whether nothing but the next part is missing."""
    return all(e.takes_parts and e.arrived() == len(e.parts) for e in pending)


def _missing(entry: WindowSegment, now_s: float) -> Fetch | None:
    init = entry.init
    if init is not None and init.media is None and _claim(init.tried, now_s):
        return Fetch("init", init.map.uri, init.map.byterange, entry.msn, name=init.name, tried=init.tried)
    if entry.resolved:
        return None
    index = entry.arrived()
    if index < len(entry.parts) and not entry.parts_broken:
        part: WindowPart = entry.parts[index]
        if _claim(part.tried, now_s):
            return Fetch("part", part.uri, part.byterange, entry.msn, index, tried=part.tried)
    elif entry.closed and not made_of_parts(entry) and _claim(entry.tried, now_s):
        return Fetch("segment", entry.uri, entry.byterange, entry.msn, tried=entry.tried)
    return None


def _claim(tried: FetchAttempt, now_s: float) -> bool:
    """Mark an object as under way, unless it is already, or put off."""
    if tried.in_flight or now_s < tried.not_before_s:
        return False
    tried.in_flight = True
    tried.attempts += 1
    return True
