"""The little of ISO BMFF (ISO/IEC 14496-12) that cutting a fragmented MP4 into parts needs.

Splits a byte stream into top-level boxes and reads how many samples of one track a fragment holds and
how long they last. Writes nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from relay.base.errors import OriginError

MAX_BOX_BYTES = 64 * 1024 * 1024

_TFHD_SKIPS = ((0x000001, 8), (0x000002, 4))  # base-data-offset, sample-description-index
_TFHD_DEFAULT_DURATION = 0x000008
_TRUN_SKIPS = ((0x000001, 4), (0x000004, 4))  # data-offset, first-sample-flags
_TRUN_DURATION = 0x000100
_TRUN_FIELDS = (0x000100, 0x000200, 0x000400, 0x000800)


@dataclass(frozen=True, slots=True)
class SampleRun:
    """Samples of one track in one fragment; `ticks` is their duration in the track's timescale."""

    samples: int
    ticks: int


class BoxSplitter:
    """Collects bytes and gives back whole top-level boxes, each as (type, bytes with header)."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Return the boxes that are complete now; raises OriginError for one over 64 MiB."""
        self._data += data
        boxes = []
        while len(self._data) >= 8:
            size, kind = struct.unpack_from(">I4s", self._data)
            if not 8 <= size <= MAX_BOX_BYTES:
                raise OriginError("the muxer wrote a box that is too large: lower the bit rate")
            if len(self._data) < size:
                break
            boxes.append((kind.decode("latin-1"), bytes(self._data[:size])))
            del self._data[:size]
        return boxes


def run_of(moof: bytes, track_id: int) -> SampleRun:
    """Return what a `moof` box holds of one track (no samples when the track is absent)."""
    samples = ticks = 0
    for traf in _children(moof, 8, len(moof), b"traf"):
        default = 0
        for start, end in _children(moof, *traf, b"tfhd"):
            flags, track = struct.unpack_from(">II", moof, start)
            if track != track_id:
                break
            at = start + 8 + sum(size for bit, size in _TFHD_SKIPS if flags & bit)
            if flags & _TFHD_DEFAULT_DURATION and at + 4 <= end:
                (default,) = struct.unpack_from(">I", moof, at)
        else:
            for start, _ in _children(moof, *traf, b"trun"):
                count, duration = _trun(moof, start, default)
                samples, ticks = samples + count, ticks + duration
    return SampleRun(samples, ticks)


def _trun(moof: bytes, start: int, default: int) -> tuple[int, int]:
    flags, count = struct.unpack_from(">II", moof, start)
    flags &= 0xFFFFFF
    if not flags & _TRUN_DURATION:
        return count, count * default
    at = start + 8 + sum(size for bit, size in _TRUN_SKIPS if flags & bit)
    step = 4 * sum(1 for bit in _TRUN_FIELDS if flags & bit)
    return count, sum(struct.unpack_from(">I", moof, at + i * step)[0] for i in range(count))


def _children(data: bytes, start: int, end: int, kind: bytes) -> list[tuple[int, int]]:
    """Return (start, end) of the payloads of boxes of one type between two offsets."""
    found = []
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        if size < 8 or start + size > end:
            raise OriginError("the muxer wrote a fragment that cannot be read: report this as a bug")
        if name == kind:
            found.append((start + 8, start + size))
        start += size
    return found
