"""How an origin is followed: when to ask for the next playlist, and when its session is a new one.

Decides pace and identity. The shell in `relay.io.puller` only waits, asks and reports back.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from relay.core.counting import identity
from relay.core.timeline import COUNTED

if TYPE_CHECKING:
    from relay.core.counting import Identity
    from relay.core.playlist import MediaPlaylist, Segment
    from relay.core.timeline import Timeline

# A new part is due within one part's length (RFC 8216bis §6.2.1). After so many without an answer the origin
# is asked plainly whether it is still there; sooner where another one could take its place.
MIN_BLOCK_S = 1.0
BLOCK_PARTS = 4
STAND_BY_BLOCK_PARTS = 2
# A plain question is answered at once by whoever is there. What an origin alone may take is what is left of
# the 1.5 target durations after which it stands still in any case, within these bounds.
PLAIN_FIRST_BYTE_S = 3.0
MIN_PLAIN_S = 1.0
MIN_STAND_BY_CHECK_S = 0.5
# An index may wait for the first segments to exist (MediaMTX holds it that long).
INDEX_FIRST_BYTE_S = 10.0
INDEX_RETRY_MIN_S = 0.25
INDEX_RETRY_MAX_S = 1.0
# The next address is asked without a wait, unless the last one was left as recently as this.
TURN_AGAIN_S = 1.0
STALLED_TARGETS = 1.5
_MUXER_PREFIX = re.compile(r"(?:^|/)([0-9a-f]{12})_[^/]*$")


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask for the playlist at `at_s`, with `query`, and expect its first byte in time."""

    at_s: float
    query: str
    first_byte_s: float


class Follower:
    """The pace of one rendition's playlist; `stand_by` when another origin could take over."""

    def __init__(self, now_s: float, *, stand_by: bool = False) -> None:
        self._playlist: MediaPlaylist | None = None
        self._next_s = now_s
        self._advanced_s = now_s
        self._stand_by = stand_by
        self._block = False
        self._checks = False
        self._checked = False  # since the last news

    def next_poll(self, asked_s: float) -> Poll:
        """Return the next request; `asked_s` is now."""
        playlist, at_s = self._playlist, max(self._next_s, asked_s)
        if playlist is None or not self._block:
            return Poll(at_s, "", self._plain_s(at_s))
        msn, part = _next(playlist)
        query = f"_HLS_msn={msn}"
        if playlist.part_target_s:
            query += f"&_HLS_part={part}"
            block_s = (STAND_BY_BLOCK_PARTS if self._stand_by else BLOCK_PARTS) * playlist.part_target_s
        else:
            block_s = STALLED_TARGETS * playlist.target_duration_s
        return Poll(at_s, query, max(MIN_BLOCK_S, block_s))

    def _plain_s(self, at_s: float) -> float:
        """Return how long a plain question may stay unanswered."""
        playlist = self._playlist
        if playlist is None or not (self._checks or self._stand_by):
            return PLAIN_FIRST_BYTE_S
        if self._checks and self._stand_by:
            return max(MIN_STAND_BY_CHECK_S, playlist.part_target_s or 0.0)
        left_s = self._advanced_s + STALLED_TARGETS * playlist.target_duration_s - at_s
        return min(PLAIN_FIRST_BYTE_S, max(MIN_PLAIN_S, left_s))

    def received(self, playlist: MediaPlaylist, asked_s: float, now_s: float) -> None:
        """Take in an answer to the request made at `asked_s`.

        Pace without blocking: a target duration after a change, half of one otherwise
        (RFC 8216bis §6.3.4), counted from the request.
        """
        advanced = self._playlist is None or _next(playlist) != _next(self._playlist)
        waits_on, self._checks = advanced or self._checks, False
        self._block = playlist.server_control.can_block_reload and not playlist.ended
        self._playlist = playlist
        if advanced:
            self._advanced_s = now_s
            self._checked = False
        if self._block:
            # an origin that answers a blocking request early is not asked in a tight loop
            pause_s = (playlist.part_target_s or playlist.target_duration_s) / 2
            self._next_s = now_s if waits_on else asked_s + pause_s
            self._block = waits_on or now_s - asked_s > pause_s
        else:
            last_s = playlist.segments[-1].duration_s if playlist.segments else playlist.target_duration_s
            self._next_s = asked_s + (min(last_s, playlist.target_duration_s) if advanced else last_s / 2)

    def unanswered(self) -> bool:
        """Note that a request brought nothing in time; returns whether to ask once more, for what there is.

        A teacher's line that hiccups keeps a blocking request waiting: that is no fault of the origin, and
        whoever took it for one would fetch anew what is under way. With another origin at hand there is
        time for one such question, and for none where a whole segment was waited for.
        """
        playlist = self._playlist
        hurry = self._stand_by and (self._checked or playlist is None or not playlist.part_target_s)
        self._checks, self._block = self._block and not hurry, False
        self._checked = self._checks
        return self._checks

    def stalled(self, now_s: float) -> bool:
        """Tell whether the origin has listed nothing new for 1.5 target durations (RFC 8216bis §6.2.1)."""
        target_s = self._playlist.target_duration_s if self._playlist else 1
        return now_s - self._advanced_s >= STALLED_TARGETS * target_s

    @property
    def ended(self) -> bool:
        """Whether the origin has said that nothing more will come."""
        return self._playlist is not None and self._playlist.ended


def _next(playlist: MediaPlaylist) -> tuple[int, int]:
    """Return the media sequence number and part that the playlist does not list yet."""
    msn = playlist.media_sequence + len(playlist.segments)
    return (msn, len(playlist.open_segment.parts)) if playlist.open_segment else (msn, 0)


class Sessions:
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
        self._next_msn = _next(playlist)[0]
        self._media = {s.msn: identity(s) for s in playlist.segments}
        return f"{COUNTED}{self._count}"

    def _fell_back(self, playlist: MediaPlaylist) -> bool:
        if _next(playlist)[0] < self._next_msn:
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
        return _next(playlist)[0]
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


class Origins:
    """Which of several origin addresses is asked: the next one whenever one fails or stands still."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self.urls = urls
        self._index = 0
        self._failures = 0
        self._turned_s = -math.inf

    @property
    def current(self) -> str:
        """The address to ask now."""
        return self.urls[self._index]

    @property
    def stand_by(self) -> bool:
        """Whether there is another one to turn to."""
        return len(self.urls) > 1

    def worked(self) -> None:
        """Note that the current address serves the stream."""
        self._failures = 0

    def failed(self, now_s: float) -> float:
        """Turn to the next address; returns the seconds to wait before asking it."""
        self._index = (self._index + 1) % len(self.urls)
        rounds = self._failures // len(self.urls)
        self._failures += 1
        turned_s, self._turned_s = self._turned_s, now_s
        if self.stand_by and now_s - turned_s >= TURN_AGAIN_S:
            return 0.0
        return float(min(INDEX_RETRY_MAX_S, INDEX_RETRY_MIN_S * 2 ** min(rounds, 8)))
