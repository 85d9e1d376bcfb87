"""Tells which epoch an origin's playlist belongs to, and with which number an epoch begins."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING

from relay.base.cluster_protocol import SUCCESSOR
from relay.core.origin.playlist_poller import next_position
from relay.core.origin.sequence_repair import identity
from relay.core.stream.timeline import COUNTED

if TYPE_CHECKING:
    from relay.core.origin.sequence_repair import Identity
    from relay.core.playlist import MediaPlaylist, Segment
    from relay.core.stream.timeline import Timeline

# Another relay may list the open segment already, and a newer playlist.
MAX_BEHIND_SEGMENTS = 2
_MUXER_PREFIX = re.compile(r"(?:^|/)([0-9a-f]{12})_[^/]*$")


class EpochTracker:
    """Names the origin's sessions and their epochs, the same on all relays.

    MediaMTX and its kin put a random prefix into every name: that is the session's name. A session of
    another origin is counted, and counted up when its numbers fall back; a relay that starts late goes
    on from the newest session that the cluster knows. A session goes on under its newest epoch. One that
    comes back after another session (of a stand-by origin) needs a new epoch: its numbers lie behind.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._count: int | None = None
        self._next_msn = 0
        self._media: dict[int, Identity] = {}
        self._begins = True
        self._late: tuple[str, tuple[int, int]] | None = None  # an older session, and how far it was listed

    def begin(self) -> None:
        """Note that the origin is asked from its index again: what it lists now is current."""
        self._begins = True

    def key(self, playlist: MediaPlaylist) -> str:
        """Return the key of the epoch that a playlist belongs to."""
        name = self._name(playlist)
        epoch, newest = self._timeline.newest_of(name), self._timeline.newest
        is_over = epoch is not newest and epoch is not self._timeline.current
        if epoch is not None and newest is not None and is_over and self._comes_back(name, playlist):
            return f"{name}{SUCCESSOR}{newest.discontinuity_seq}"
        self._begins = False
        return name if epoch is None else epoch.key

    def _comes_back(self, name: str, playlist: MediaPlaylist) -> bool:
        """Tell whether a session that is over is on air again: a late playlist of it does not go on."""
        position = next_position(playlist)
        late, self._late = self._late, (name, position)
        if late is not None and late[0] == name and position > late[1]:
            self._begins = True  # until the new epoch is known
        return self._begins

    def _name(self, playlist: MediaPlaylist) -> str:
        prefix = _prefix(playlist)
        if prefix is not None:
            return prefix
        if self._count is None:
            self._count = self._first_count(playlist)
        elif self._fell_back(playlist):
            self._count += 1
        self._next_msn = next_position(playlist)[0]
        self._media = {s.msn: identity(s) for s in playlist.segments}
        return f"{COUNTED}{self._count}"

    def _first_count(self, playlist: MediaPlaylist) -> int:
        """Return the cluster's count; the next one when the origin lists less than viewers have seen."""
        newest = self._timeline.newest
        number = newest.session.removeprefix(COUNTED) if newest is not None else ""
        if newest is None or not number.isdecimal():
            return 0
        next_msn = next_position(playlist)[0] + newest.offset + MAX_BEHIND_SEGMENTS
        return int(number) + (next_msn < self._timeline.cluster_msn)

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
    """Return the number with which a new epoch begins: the lowest that the origin lists as real media.

    `seen_until_s` is the date up to which viewers have been shown media (Unix time), `wall_s` now. A
    stand-by origin also lists what viewers have seen already. Its epoch begins with the segment where
    they are, so that nobody is thrown back or to the live edge; without a later segment, with the newest.
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
    """Return when each segment began, counted from the first one with a date; without any they end now."""
    starts_s = list(accumulate((s.duration_s for s in segments), initial=0.0))
    shifts = (
        s.program_date_time_s - start_s
        for s, start_s in zip(segments, starts_s, strict=False)
        if s.program_date_time_s is not None
    )
    shift_s = next(shifts, wall_s - starts_s[-1])
    return [start_s + shift_s for start_s in starts_s[:-1]]
