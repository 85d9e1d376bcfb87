"""One publication as HLS: numbers segments and parts, prints playlists, says who must wait.

Sans-IO: fragments in, bodies and playlist texts out. A publication begins at media sequence number
0 with a prefix of its own, as MediaMTX does it; continuing the numbers is the relay's business.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from relay.base.errors import OriginError
from relay.core.playlist import (
    Map,
    MediaPlaylist,
    MultivariantPlaylist,
    Part,
    PreloadHint,
    Segment,
    ServerControl,
    Variant,
    render,
)

LISTED_SEGMENTS = 7
PARTS_LISTED_TARGETS = 3
RETAINED_SEGMENTS = 12
CUT_TOLERANCE_S = 0.05
MAX_SEGMENT_BYTES = 64 * 1024 * 1024
MEDIA_PLAYLIST = "main_stream.m3u8"
MULTIVARIANT_PLAYLIST = "index.m3u8"


class HlsFlavour(StrEnum):
    """The three kinds of HLS that MediaMTX calls its variants."""

    LOW_LATENCY = "lowLatency"
    FMP4 = "fmp4"
    MPEGTS = "mpegts"


class MuxerReload(Enum):
    """What a playlist request with delivery directives gets (RFC 8216bis §6.2.5.2)."""

    NOW = "now"
    WAIT = "wait"
    TOO_FAR = "too far"


@dataclass(frozen=True, slots=True)
class StreamFormat:
    """What is published: codec strings, picture, and the initialisation section (empty for TS)."""

    codecs: tuple[str, ...]
    width: int
    height: int
    fps: float
    init: bytes


@dataclass(frozen=True, slots=True)
class Fragment:
    """The smallest unit of media; `before_key`: the next frame of video is a key frame."""

    data: bytes
    duration_s: float
    independent: bool
    before_key: bool


@dataclass(slots=True)
class _Segment:
    msn: int
    first_part: int
    start_wall_s: float
    fragments: list[Fragment] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        return sum(fragment.duration_s for fragment in self.fragments)

    @property
    def size_bytes(self) -> int:
        return sum(len(fragment.data) for fragment in self.fragments)


class Muxer:
    """The segments of one publication; `prefix` is unique to it, `start_wall_s` its Unix time."""

    def __init__(
        self,
        prefix: str,
        shape: StreamFormat,
        *,
        flavour: HlsFlavour,
        part_s: float,
        segment_s: float,
        start_wall_s: float,
    ) -> None:
        self._prefix, self._shape, self._flavour = prefix, shape, flavour
        self._segment_s = segment_s
        self._part_s = part_s
        self._target_s = max(1, math.ceil(segment_s))
        self._ending = "ts" if flavour is HlsFlavour.MPEGTS else "mp4"
        self._done: deque[_Segment] = deque(maxlen=RETAINED_SEGMENTS)
        self._open = _Segment(0, 0, start_wall_s)

    @property
    def shape(self) -> StreamFormat:
        """The format of what is published."""
        return self._shape

    @property
    def target_duration_s(self) -> int:
        """EXT-X-TARGETDURATION: grows when the publisher's key frames are further apart."""
        return self._target_s

    @property
    def listable(self) -> bool:
        """Whether there is enough for a first playlist."""
        return len(self._done) >= (2 if self._flavour is HlsFlavour.FMP4 else 1)

    def add(self, fragment: Fragment) -> None:
        """Append a fragment; raises OriginError when its segment becomes too large to go on."""
        segment = self._open
        segment.fragments.append(fragment)
        if segment.size_bytes > MAX_SEGMENT_BYTES:
            raise OriginError("the publisher sends no key frames: set a key frame interval of 2 s")
        duration_s = segment.duration_s
        if fragment.before_key and duration_s >= self._segment_s - CUT_TOLERANCE_S:
            self._done.append(segment)
            self._target_s = max(self._target_s, math.floor(duration_s + 0.5))
            next_part = segment.first_part + len(segment.fragments)
            self._open = _Segment(segment.msn + 1, next_part, segment.start_wall_s + duration_s)

    @property
    def _part_target_s(self) -> float:
        """EXT-X-PART-INF: covers what is listed now, so that one long part is not remembered for ever."""
        listed = (f.duration_s for segment in (*self._with_parts, self._open) for f in segment.fragments)
        return max(self._part_s, math.ceil(max(listed, default=0.0) * 100 - 1e-6) / 100)

    @property
    def _with_parts(self) -> list[_Segment]:
        """The complete segments whose parts are listed."""
        edge_s = self._open.start_wall_s - PARTS_LISTED_TARGETS * self._target_s
        return [segment for segment in self._done if segment.start_wall_s >= edge_s]

    def reload(self, msn: int, part: int | None) -> MuxerReload:
        """Decide about `_HLS_msn` and `_HLS_part`; NOW when this flavour does not block."""
        if self._flavour is not HlsFlavour.LOW_LATENCY:
            return MuxerReload.NOW
        if part is not None:
            listed = len(self._open.fragments) if msn == self._open.msn else self._parts_of(msn)
            if msn < self._open.msn and part >= listed:
                msn, part = msn + 1, 0  # beyond a segment's last part means part 0 of the next
        if msn > self._open.msn + 1:
            return MuxerReload.TOO_FAR
        if part is None:
            return MuxerReload.NOW if msn < self._open.msn else MuxerReload.WAIT
        if msn == self._open.msn and part >= len(self._open.fragments) + self._advance_part_limit:
            return MuxerReload.TOO_FAR
        reached = msn < self._open.msn or (msn == self._open.msn and part < len(self._open.fragments))
        return MuxerReload.NOW if reached else MuxerReload.WAIT

    def _parts_of(self, msn: int) -> int:
        return next((len(s.fragments) for s in self._done if s.msn == msn), 0)

    @property
    def _advance_part_limit(self) -> int:
        return math.ceil(3 / self._part_target_s) if self._part_target_s < 1 else 3

    def body(self, name: str) -> bytes | None:
        """Return the initialisation section, a segment or a part by its file name, or None."""
        if name == self._init_name and self._shape.init:
            return self._shape.init
        for segment in (*self._done, self._open):
            if segment is not self._open and name == self._segment_name(segment):
                return b"".join(fragment.data for fragment in segment.fragments)
            for index, fragment in enumerate(segment.fragments):
                if self._flavour is HlsFlavour.LOW_LATENCY and name == self._part_name(segment, index):
                    return fragment.data
        return None

    def is_hinted(self, name: str) -> bool:
        """Whether this is the part that the playlist announces as the next one (§6.2.6)."""
        low_latency = self._flavour is HlsFlavour.LOW_LATENCY
        return low_latency and name == self._part_name(self._open, len(self._open.fragments))

    @property
    def _init_name(self) -> str:
        return f"{self._prefix}_main_init.mp4"

    def _segment_name(self, segment: _Segment) -> str:
        return f"{self._prefix}_main_seg{segment.msn}.{self._ending}"

    def _part_name(self, segment: _Segment, index: int) -> str:
        return f"{self._prefix}_main_part{segment.first_part + index}.mp4"

    def multivariant(self) -> str:
        """Return `index.m3u8`: one variant, sound and picture in one rendition."""
        rates = [8 * s.size_bytes / s.duration_s for s in self._done if s.duration_s]
        attributes = (
            ("BANDWIDTH", str(math.ceil(max(rates, default=1)))),
            ("AVERAGE-BANDWIDTH", str(math.ceil(sum(rates) / max(1, len(rates))) or 1)),
            ("CODECS", '"' + ",".join(self._shape.codecs) + '"'),
            ("RESOLUTION", f"{self._shape.width}x{self._shape.height}"),
            ("FRAME-RATE", f"{self._shape.fps:.3f}"),
        )
        variant = Variant(MEDIA_PLAYLIST, attributes)
        return render(MultivariantPlaylist((variant,), independent_segments=True, version=self._version))

    def playlist(self) -> str:
        """Return the media playlist as of now."""
        low_latency = self._flavour is HlsFlavour.LOW_LATENCY
        listed = list(self._done)[-LISTED_SEGMENTS:]
        with_parts = self._with_parts if low_latency else []
        control = ServerControl(hold_back_s=3.0 * self._target_s)
        if low_latency:
            control = ServerControl(
                can_block_reload=True,
                hold_back_s=3.0 * self._target_s,
                part_hold_back_s=3 * self._part_target_s,
            )
        return render(
            MediaPlaylist(
                self._target_s,
                tuple(self._segment(s, with_parts=s in with_parts) for s in listed),
                media_sequence=listed[0].msn if listed else self._open.msn,
                part_target_s=self._part_target_s if low_latency else None,
                server_control=control,
                open_segment=self._segment(self._open, with_parts=True)
                if low_latency and self._open.fragments
                else None,
                preload_hints=(PreloadHint("PART", self._part_name(self._open, len(self._open.fragments))),)
                if low_latency
                else (),
                version=self._version,
                independent_segments=True,
            )
        )

    @property
    def _version(self) -> int:
        return 3 if self._flavour is HlsFlavour.MPEGTS else 9

    def _segment(self, segment: _Segment, *, with_parts: bool) -> Segment:
        done = segment is not self._open
        return Segment(
            segment.msn,
            self._segment_name(segment) if done else "",
            segment.duration_s if done else 0.0,
            parts=tuple(
                Part(self._part_name(segment, index), fragment.duration_s, independent=fragment.independent)
                for index, fragment in enumerate(segment.fragments)
            )
            if with_parts
            else (),
            map=Map(self._init_name) if self._shape.init else None,
            program_date_time_s=segment.start_wall_s,
        )
