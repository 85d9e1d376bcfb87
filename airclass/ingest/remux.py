"""Receives one RTMP publication and copies it, without transcoding, into fragments for HLS.

Blocking, for a thread of its own: FFmpeg releases the interpreter while it listens and reads. Knows
neither playlists nor HTTP; what it makes it hands to a Sink.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

import av

from airclass.ingest.mp4 import BoxSplitter, run_of
from airclass.ingest.muxer import Fragment, HlsFlavour, StreamFormat
from relay.base.errors import OriginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

LISTEN_S = 10
READ_S = 20
PROBE_BYTES = 32_768
PROBE_US = 300_000
MAX_SEGMENT_BYTES = 64 * 1024 * 1024

_EXTINF = re.compile(rb"#EXTINF:([0-9.]+)")


class Sink(Protocol):
    """Whoever wants the publication; both calls come from the receiving thread."""

    def opened(self, shape: StreamFormat) -> None:
        """Take note of what is published; called once, before the first fragment."""

    def fragment(self, fragment: Fragment) -> None:
        """Take the next fragment."""


def receive(url: str, sink: Sink, *, flavour: HlsFlavour, part_s: float, segment_s: float) -> None:
    """Listen at `url` (rtmp://) for one publisher and feed the sink until that publisher leaves.

    Raises OriginError for a publication that is not H.264, with or without AAC; returns when the
    publisher leaves, or when none has come within LISTEN_S.
    """
    options = {
        "listen": "1",
        "timeout": str(LISTEN_S),
        "probesize": str(PROBE_BYTES),
        "analyzeduration": str(PROBE_US),
    }
    try:
        with av.open(url, options=options, timeout=(LISTEN_S, READ_S)) as source:
            copy(source, sink, flavour=flavour, part_s=part_s, segment_s=segment_s)
    except av.FFmpegError as exc:
        # The end of a publication arrives as an I/O error: what came until then was passed on.
        log.debug("publication ended: %s", exc.strerror)


def copy(source: InputContainer, sink: Sink, *, flavour: HlsFlavour, part_s: float, segment_s: float) -> None:
    """Feed the sink from an open input until its end; raises as `receive` does."""
    if flavour is HlsFlavour.MPEGTS:
        _copy_segments(source, sink, segment_s)
    else:
        _copy_parts(source, sink, part_s)


def _wanted(source: InputContainer) -> list[Stream]:
    """Return the video stream and, where there is one, the audio stream."""
    video = [s for s in source.streams.video if s.codec_context.name == "h264"]
    audio = [s for s in source.streams.audio if s.codec_context.name == "aac"]
    if len(video) != 1 or len(source.streams) != len(video) + len(audio[:1]):
        names = ", ".join(s.codec_context.name for s in source.streams if s.codec_context) or "nothing"
        raise OriginError(f"the publisher sends {names}: choose H.264 video and AAC audio in the encoder")
    return [*video, *audio]


def _packets(source: InputContainer, streams: list[Stream]) -> Iterator[Packet[Stream]]:
    """Yield the packets from the first key frame on."""
    started = False
    for packet in source.demux(streams):
        started = started or (packet.stream is streams[0] and packet.is_keyframe)
        if started and packet.dts is not None:
            yield packet


def _shape(streams: list[Stream], init: bytes) -> StreamFormat:
    video = cast("VideoStream", streams[0])
    fps = float(video.average_rate or video.guessed_rate or 30)
    return StreamFormat(tuple(map(codec_string, streams)), video.width, video.height, fps, init)


def codec_string(stream: Stream) -> str:
    """Return the RFC 6381 name of an H.264 or AAC stream from its configuration record."""
    record = stream.codec_context.extradata or b""
    if stream.type == "video" and len(record) >= 4:
        return f"avc1.{record[1:4].hex()}"
    if stream.type == "audio" and record:
        return f"mp4a.40.{record[0] >> 3}"
    raise OriginError(f"the publisher sent no {stream.type} configuration: restart the encoder")


def _copy_parts(source: InputContainer, sink: Sink, part_s: float) -> None:
    """Copy as fragmented MP4: a fragment each `part_s`, and cut at every key frame."""
    streams = _wanted(source)
    options = {
        "movflags": "empty_moov+default_base_moof+frag_keyframe+skip_trailer",
        "frag_duration": str(round(part_s * 1e6)),
        "flush_packets": "1",
    }
    cutter = _FragmentCutter(sink, streams)
    with av.open(cutter, "w", format="mp4", options=options) as target:
        copies = {s.index: target.add_stream_from_template(s) for s in streams}
        cutter.video = copies[streams[0].index]
        for packet in _packets(source, streams):
            if packet.stream is streams[0]:
                cutter.frame(key=packet.is_keyframe)
            packet.stream = copies[packet.stream.index]
            target.mux(packet)


class _FragmentCutter:
    """The file that the muxer writes to: puts its boxes together to fragments."""

    video: Stream

    def __init__(self, sink: Sink, streams: list[Stream]) -> None:
        self._sink, self._streams = sink, streams
        self._splitter = BoxSplitter()
        self._boxes: list[bytes] = []
        self._moof = b""
        self._frames_sent = self._frames_out = 0
        self._keys: deque[int] = deque()

    def frame(self, *, key: bool) -> None:
        """Note that a video frame is about to be muxed."""
        if key:
            self._keys.append(self._frames_sent)
        self._frames_sent += 1

    def write(self, data: bytes) -> int:
        """Take bytes from the muxer."""
        for kind, box in self._splitter.feed(data):
            self._boxes.append(box)
            if kind == "moov":
                self._sink.opened(_shape(self._streams, self._taken()))
            elif kind == "moof":
                self._moof = box
            elif kind == "mdat":
                self._fragment(self._taken())
        return len(data)

    def _taken(self) -> bytes:
        boxes, self._boxes = self._boxes, []
        return b"".join(boxes)

    def _fragment(self, data: bytes) -> None:
        run = run_of(self._moof, self.video.index + 1)
        first, self._frames_out = self._frames_out, self._frames_out + run.samples
        independent = first in self._keys
        while self._keys and self._keys[0] < self._frames_out:
            self._keys.popleft()
        assert self.video.time_base is not None
        duration_s = float(run.ticks * self.video.time_base)
        before_key = self._frames_out in self._keys
        self._sink.fragment(Fragment(data, duration_s, independent, before_key))


def _copy_segments(source: InputContainer, sink: Sink, segment_s: float) -> None:
    """Copy as MPEG-TS segments: FFmpeg's own segmenter, whose files stay in memory."""
    streams = _wanted(source)
    sink.opened(_shape(streams, b""))
    files = _SegmentFiles(sink)
    options = {
        "hls_time": str(segment_s),
        "hls_list_size": "1",
        "hls_segment_type": "mpegts",
        "hls_flags": "omit_endlist",
    }
    with av.open("memory:list.m3u8", "w", format="hls", options=options, io_open=files.open) as target:
        copies = {s.index: target.add_stream_from_template(s) for s in streams}
        for packet in _packets(source, streams):
            packet.stream = copies[packet.stream.index]
            target.mux(packet)


class _SegmentFiles:
    """The folder that the segmenter writes to: each playlist says how long the segment before was."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._segment = b""

    def open(self, url: str, _flags: int, _options: dict[str, str]) -> _MemoryFile:
        """Return the file behind a name."""
        return _MemoryFile(self._listed if url.endswith(".m3u8") else self._written)

    def _written(self, data: bytes) -> None:
        self._segment = data

    def _listed(self, text: bytes) -> None:
        durations_s = _EXTINF.findall(text)
        if self._segment and durations_s:
            fragment = Fragment(self._segment, float(durations_s[-1]), independent=True, before_key=True)
            self._segment = b""
            self._sink.fragment(fragment)


class _MemoryFile:
    """A file for FFmpeg that hands over its content when it is closed."""

    def __init__(self, closed: Callable[[bytes], None]) -> None:
        self._closed = closed
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        """Append; raises OriginError beyond 64 MiB."""
        self._data += data
        if len(self._data) > MAX_SEGMENT_BYTES:
            raise OriginError("the publisher sends no key frames: set a key frame interval of 2 s")
        return len(data)

    def close(self) -> None:
        """Hand over what was written."""
        self._closed(bytes(self._data))
