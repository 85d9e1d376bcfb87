"""Media sequence numbers for an origin that does not count.

FFmpeg's `single_file` lets segments slide out of its playlist and leaves EXT-X-MEDIA-SEQUENCE at 0
(RFC 8216bis §6.2.2 forbids it). What is the same segment then shows by its address and byte range
alone. Two relays that start at different times count differently: this is for a relay on its own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.core.playlist import ByteRange, MediaPlaylist, Segment

    Identity = tuple[str, ByteRange | None]


class SequenceRepair:
    """Counts what has slid out of one rendition's playlist."""

    def __init__(self) -> None:
        self._media_sequence = -1
        self._listed: list[Identity] = []
        self._slid = 0

    def counted(self, playlist: MediaPlaylist) -> MediaPlaylist:
        """Return the playlist with the numbers that it should have; most are as they should be."""
        if playlist.server_control.can_block_reload:
            return playlist  # whoever is asked for a number has to count
        listed: list[Identity] = [identity(s) for s in playlist.segments]
        slid = None
        if playlist.media_sequence == self._media_sequence:
            slid = _slid(self._listed, listed)
        self._slid = 0 if slid is None else self._slid + slid
        self._media_sequence, self._listed = playlist.media_sequence, listed
        if not self._slid:
            return playlist
        return replace(
            playlist,
            media_sequence=playlist.media_sequence + self._slid,
            segments=tuple(replace(s, msn=s.msn + self._slid) for s in playlist.segments),
        )


def _slid(before: list[Identity], now: list[Identity]) -> int | None:
    """Return how many segments have left a list since; None when the two have nothing in common."""
    for count in range(len(before)):
        rest = before[count:]
        if now[: len(rest)] == rest:
            return count
    return None


def identity(segment: Segment) -> Identity:
    """Return what tells a segment from others: its address without query, where origins put tokens."""
    return segment.uri.split("?", 1)[0], segment.byterange
