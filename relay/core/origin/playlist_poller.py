"""How an origin is followed: when to ask for the next playlist, and when its session is a new one.

Decides pace and identity. The shell in `relay.io.origin.puller` only waits, asks and reports back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.core.playlist import MediaPlaylist

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
STALLED_TARGETS = 1.5


@dataclass(frozen=True, slots=True)
class Poll:
    """Ask for the playlist at `at_s`, with `query`, and expect its first byte in time."""

    at_s: float
    query: str
    first_byte_s: float


class PlaylistPoller:
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
        msn, part = next_position(playlist)
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
        advanced = self._playlist is None or next_position(playlist) != next_position(self._playlist)
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


def next_position(playlist: MediaPlaylist) -> tuple[int, int]:
    """Return the media sequence number and part that the playlist does not list yet."""
    msn = playlist.media_sequence + len(playlist.segments)
    return (msn, len(playlist.open_segment.parts)) if playlist.open_segment else (msn, 0)
