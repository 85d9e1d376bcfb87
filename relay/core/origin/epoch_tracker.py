"""Recognises epochs: which life of the muxer a playlist belongs to, and its first number."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING

from relay.core.origin.playlist_poller import next_position
from relay.core.origin.sequence_repair import identity
from relay.core.stream.timeline import COUNTED

if TYPE_CHECKING:
    from relay.core.origin.sequence_repair import Identity
    from relay.core.playlist import MediaPlaylist, Segment
    from relay.core.stream.timeline import Timeline

_MUXER_PREFIX = re.compile(r"(?:^|/)([0-9a-f]{12})_[^/]*$")


class EpochTracker:
    """Names the origin's sessions, so that all relays call the same one the same.

    MediaMTX and its kin put a random prefix into every name: that is the session's name. For an
    origin without one the session is counted up when its numbers fall back; a relay that
    starts late takes the last one that the cluster knows. A session that comes back after another
    one (of a stand-by origin) counts as new: its old numbers lie behind.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._count: int | None = None
        self._next_msn = 0
        self._media: dict[int, Identity] = {}
        self._begins = True
        self._again = ("", "")  # the session that came back, and its name since then

    def begin(self) -> None:
        """Note that the origin is approached anew: what it lists now is no straggler."""
        self._begins = True

    def key(self, playlist: MediaPlaylist) -> str:
        """Return the name of the session that a playlist belongs to."""
        name = self._name(playlist)
        key = self._again[1] if name == self._again[0] else name
        if self._begins:
            self._begins = False
            known, newest = self._timeline.known(key), self._timeline.newest
            if known is not None and newest is not None and known is not newest:
                ours = newest.key.startswith(f"{name}+")  # another rendition has seen it come back
                key = newest.key if ours else f"{name}+{newest.discontinuity_seq}"
                self._again = (name, key)
        return key

    def _name(self, playlist: MediaPlaylist) -> str:
        prefix = _prefix(playlist)
        if prefix is not None:
            return prefix
        if self._count is None:
            newest = self._timeline.newest
            tail = newest.key.removeprefix(COUNTED).partition("+")[0] if newest else "0"
            self._count = int(tail) if tail.isdecimal() else 0
        elif self._fell_back(playlist):
            self._count += 1
        self._next_msn = next_position(playlist)[0]
        self._media = {s.msn: identity(s) for s in playlist.segments}
        return f"{COUNTED}{self._count}"

    def _fell_back(self, playlist: MediaPlaylist) -> bool:
        if next_position(playlist)[0] < self._next_msn:
            return True
        return any(self._media.get(s.msn, identity(s)) != identity(s) for s in playlist.segments)


def _prefix(playlist: MediaPlaylist) -> str | None:
    segments = [s for s in playlist.segments if not s.gap]
    newest = playlist.open_segment or (segments[-1] if segments else None)
    if newest is None:
        return None
    uris = [newest.uri, *(p.uri for p in newest.parts), newest.map.uri if newest.map else ""]
    for uri in uris:
        match = _MUXER_PREFIX.search(uri.split("?", 1)[0])
        if match:
            return match[1]
    return None


def first_msn(playlist: MediaPlaylist, *, seen_until_s: float | None = None, wall_s: float = 0.0) -> int:
    """Return the number with which a new session begins: the lowest that the origin lists as real media.

    `seen_until_s` is the date up to which viewers have been shown media (Unix time), `wall_s` now. A
    stand-by origin lists what they have seen already: its session begins where theirs has ended, so
    that nobody is thrown back, or to the edge. Without a single later segment it is the newest one.
    """
    real = [s for s in playlist.segments if not s.gap]
    if not real:
        return next_position(playlist)[0]
    if seen_until_s is None:
        return real[0].msn
    for segment, date_s in zip(real, _dates(real, wall_s), strict=True):
        if date_s >= seen_until_s - segment.duration_s / 2:
            return segment.msn
    return real[-1].msn


def _dates(segments: list[Segment], wall_s: float) -> list[float]:
    """Return when each segment began, counted from the first one that says it; else they end now."""
    starts_s = list(accumulate((s.duration_s for s in segments), initial=0.0))
    shifts = (
        s.program_date_time_s - start_s
        for s, start_s in zip(segments, starts_s, strict=False)
        if s.program_date_time_s is not None
    )
    shift_s = next(shifts, wall_s - starts_s[-1])
    return [start_s + shift_s for start_s in starts_s[:-1]]
