"""A media playlist as a player needs it: pieces on a line of time, shared by all viewers.

One `Listing` is made per playlist body, however many viewers got that body. Offsets are seconds
from the start of its first segment. Decides nothing about when to load what.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.core.playlist import MediaPlaylist

SLACK_S = 0.03  # durations are printed rounded: a piece is wanted once more than this of it is missing
BLOCKED_PARTS, BLOCKED_TARGETS = 3, 0.8  # hls.js waits so many of them for a playlist that is held back
HOLD_BACK_TARGETS = 3  # without a hold-back a player stays three target durations behind (§4.4.3.8)


@dataclass(frozen=True, slots=True)
class ListedPiece:
    """Something to fetch: a part, or a whole segment where no parts are listed."""

    uri: str
    start_s: float
    end_s: float
    independent: bool
    gap: bool
    map_uri: str | None
    date_s: float | None


class Listing:
    """The pieces of one version of one playlist, in order."""

    def __init__(self, playlist: MediaPlaylist) -> None:
        self.target_s = float(playlist.target_duration_s)
        self.ended = playlist.ended
        self.blocking = playlist.server_control.can_block_reload
        control = playlist.server_control
        self.hold_back_s = (
            control.part_hold_back_s or control.hold_back_s or HOLD_BACK_TARGETS * self.target_s
        )
        self.patience_s: float | None = None  # how long hls.js waits for the next version, if it is held
        if self.blocking and playlist.part_target_s is not None:
            self.patience_s = max(BLOCKED_PARTS * playlist.part_target_s, BLOCKED_TARGETS * self.target_s)
        self.starts: dict[int, float] = {}
        self.dated: tuple[float, float] | None = None
        self.pieces: list[ListedPiece] = []
        self._read(playlist)
        self.edge_s = self.pieces[-1].end_s if self.pieces else 0.0
        self._piece_starts = [piece.start_s for piece in self.pieces]
        opened = playlist.open_segment
        following = playlist.media_sequence + len(playlist.segments)
        self.last_part: tuple[int, int] | None = None
        if playlist.part_target_s is not None:
            self.last_part = (following, len(opened.parts) - 1 if opened else -1)
        self.next_msn = following

    def _read(self, playlist: MediaPlaylist) -> None:
        at_s, date_s = 0.0, None
        listed = [*playlist.segments, *([playlist.open_segment] if playlist.open_segment else [])]
        for segment in listed:
            self.starts[segment.msn] = at_s
            if segment.program_date_time_s is not None:
                date_s = segment.program_date_time_s
                self.dated = (at_s, date_s)
            map_uri = segment.map.uri if segment.map else None
            began_s = at_s
            for part in segment.parts:
                end_s = at_s + part.duration_s
                self.pieces.append(
                    ListedPiece(
                        part.uri, at_s, end_s, part.independent, part.gap or segment.gap, map_uri, date_s
                    )
                )
                date_s = None if date_s is None else date_s + part.duration_s
                at_s = end_s
            if segment.uri:
                end_s = began_s + segment.duration_s
                if not segment.parts:
                    self.pieces.append(
                        ListedPiece(segment.uri, at_s, end_s, True, segment.gap, map_uri, date_s)
                    )
                    date_s = None if date_s is None else date_s + segment.duration_s
                at_s = end_s

    @property
    def edge_date_s(self) -> float | None:
        """The date at the end of the last piece (Unix time), which names this version of the stream."""
        last = self.pieces[-1] if self.pieces else None
        return None if last is None or last.date_s is None else last.date_s + last.end_s - last.start_s

    def directives(self) -> str:
        """Return the query that blocks until something new is there (§6.2.5.2)."""
        if self.last_part is None:
            return f"_HLS_msn={self.next_msn}"
        msn, part = self.last_part
        return f"_HLS_msn={msn}&_HLS_part={part + 1}"

    def piece_at(self, offset_s: float) -> ListedPiece | None:
        """Return the piece to fetch when everything before `offset_s` is there, or None at the edge."""
        if offset_s + SLACK_S >= self.edge_s:
            return None
        return self.pieces[max(0, bisect_right(self._piece_starts, offset_s + SLACK_S) - 1)]

    def start_at(self, offset_s: float) -> ListedPiece:
        """Return the last piece at or before `offset_s` that a decoder can begin with, else the first."""
        usable = [piece for piece in self.pieces if piece.independent and not piece.gap] or self.pieces
        before = bisect_right([piece.start_s for piece in usable], offset_s + SLACK_S)
        return usable[max(0, before - 1)]


def slide_s(old: Listing, new: Listing) -> float:
    """Return where a newer version of a playlist begins on the line of time of the older one."""
    by_msn, by_date = _by_msn(old, new), _by_date(old, new)
    if by_msn is not None:
        return by_msn
    return old.edge_s if by_date is None else by_date


def aligned_s(video: Listing, other: Listing) -> float:
    """Return where another rendition begins on the line of time of the first one."""
    by_msn, by_date = _by_msn(video, other), _by_date(video, other)
    if by_date is not None:
        return by_date
    return by_msn or 0.0


def _by_msn(known: Listing, new: Listing) -> float | None:
    common = max(known.starts.keys() & new.starts.keys(), default=None)
    return None if common is None else known.starts[common] - new.starts[common]


def _by_date(known: Listing, new: Listing) -> float | None:
    if known.dated is None or new.dated is None:
        return None
    (known_at_s, known_date_s), (new_at_s, new_date_s) = known.dated, new.dated
    return (new_date_s - new_at_s) - (known_date_s - known_at_s)
