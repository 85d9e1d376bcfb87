"""Text to playlist (RFC 8216bis, draft 22): the reader of what origins send.

Unknown tags are kept; a known tag that cannot be read, and a delta update, are refused with the
line's number. Does not resolve URIs and does not judge whether the playlist follows its predecessor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from relay.base.errors import PlaylistError
from relay.core.playlist.attributes import (
    MAX_DURATION_S,
    TagAttributes,
    byterange,
    date_s,
    duration_s,
    integer,
)
from relay.core.playlist.keys import keys_after
from relay.core.playlist.lines import PlaylistLine, read_lines
from relay.core.playlist.types import (
    ByteRange,
    Map,
    MediaPlaylist,
    MultivariantPlaylist,
    Part,
    Playlist,
    PreloadHint,
    Rendition,
    RenditionReport,
    Segment,
    ServerControl,
    Variant,
)

MAX_SEGMENTS = 9_000  # with two lines each below MAX_LINES
MAX_PARTS_PER_SEGMENT = 512
MAX_HINTS = 16
MAX_REPORTS = 256
MAX_VARIANTS = 512
MAX_RENDITIONS = 512

_MULTIVARIANT_TAGS = frozenset(
    f"#EXT-X-{name}"
    for name in (
        "STREAM-INF",
        "MEDIA",
        "I-FRAME-STREAM-INF",
        "SESSION-DATA",
        "SESSION-KEY",
        "CONTENT-STEERING",
    )
)


def parse(text: str) -> Playlist:
    """Return the playlist that `text` is; raises PlaylistError(line_no, reason) and nothing else."""
    lines = list(read_lines(text))
    if any(line.tag in _MULTIVARIANT_TAGS for line in lines):
        return _multivariant(lines)
    return _MediaReader().read(lines)


def _multivariant(lines: list[PlaylistLine]) -> MultivariantPlaylist:
    variants: list[Variant] = []
    media: list[Rendition] = []
    tags: list[str] = []
    version, independent = 0, False
    waiting: PlaylistLine | None = None
    for line in lines:
        if not line.tag:
            if waiting is None:
                raise PlaylistError(line.no, "a URI stands without EXT-X-STREAM-INF before it")
            variants.append(Variant(line.value, TagAttributes(waiting.value, waiting.no).attributes))
            _at_most(MAX_VARIANTS, len(variants), line, "variants")
            waiting = None
        elif line.tag == "#EXT-X-STREAM-INF":
            if waiting is not None:
                raise PlaylistError(waiting.no, "EXT-X-STREAM-INF has no URI after it")
            waiting = line
        elif line.tag == "#EXT-X-MEDIA":
            fields = TagAttributes(line.value, line.no)
            for name in ("TYPE", "GROUP-ID", "NAME"):
                fields.text(name)
            media.append(Rendition(fields.attributes))
            _at_most(MAX_RENDITIONS, len(media), line, "renditions")
        elif line.tag == "#EXT-X-VERSION":
            version = integer(line.value, line.no)
        elif line.tag == "#EXT-X-INDEPENDENT-SEGMENTS":
            independent = True
        elif line.tag in _MEDIA_TAGS:
            raise PlaylistError(line.no, f"{line.tag[1:]} does not belong into a multivariant playlist")
        else:
            tags.append(line.text)
    if waiting is not None:
        raise PlaylistError(waiting.no, "EXT-X-STREAM-INF has no URI after it")
    return MultivariantPlaylist(tuple(variants), tuple(media), independent, version, tuple(tags))


def _at_most(limit: int, count: int, line: PlaylistLine, what: str) -> None:
    if count > limit:
        raise PlaylistError(line.no, f"there are more than {limit} {what}")


class _Ranges:
    """Turns byte ranges without an offset into absolute ones: they continue the one before (§4.4.4.2)."""

    def __init__(self) -> None:
        self._uri = ""
        self._end = 0

    def resolved(
        self, uri: str, given: tuple[int, int | None] | None, line: PlaylistLine
    ) -> ByteRange | None:
        if given is None:
            self._uri = ""
            return None
        length, offset = given
        if offset is None:
            if uri != self._uri:
                raise PlaylistError(line.no, "a byte range without offset follows none of the same URI")
            offset = self._end
        self._uri, self._end = uri, offset + length
        return ByteRange(length, offset)


class _MediaReader:
    """Reads a media playlist line by line; what is known of the next segment waits in `_next`."""

    def __init__(self) -> None:
        self._target_duration_s: int | None = None
        self._head = MediaPlaylist(0)
        self._tags: list[str] = []
        self._segments: list[Segment] = []
        self._hints: list[PreloadHint] = []
        self._reports: list[RenditionReport] = []
        self._segment_ranges, self._part_ranges = _Ranges(), _Ranges()
        self._body = False  # a segment's tag was seen: unknown tags belong to segments from here on
        self._begin(Segment(0, "", 0.0))

    def _begin(self, after: Segment) -> None:
        """Start collecting the segment after `after`: its map and keys stay in force."""
        self._next = self._nothing = Segment(0, "", 0.0, map=after.map, keys=after.keys)
        self._parts: list[Part] = []
        self._next_tags: list[str] = []
        self._extinf: PlaylistLine | None = None
        self._byterange: tuple[int, int | None] | None = None

    def read(self, lines: list[PlaylistLine]) -> MediaPlaylist:
        for line in lines:
            if not line.tag:
                self._uri(line)
            elif line.tag in _MEDIA_TAGS:
                _MEDIA_TAGS[line.tag](self, line)
            elif line.tag in _HEAD_TAGS:
                _HEAD_TAGS[line.tag](self, line)
            elif self._body:
                self._next_tags.append(line.text)
            else:
                self._tags.append(line.text)
        return self._finished()

    def _finished(self) -> MediaPlaylist:
        if self._extinf is not None:
            raise PlaylistError(self._extinf.no, "EXTINF has no URI after it: the playlist is cut off")
        if self._target_duration_s is None:
            raise PlaylistError(
                0, "this is no HLS playlist: it has neither EXT-X-TARGETDURATION nor variants"
            )
        first = self._head.media_sequence
        open_segment: Segment | None = self._filled(first + len(self._segments))
        if not self._parts and self._next == self._nothing:
            open_segment = None
            self._tags += self._next_tags
        return replace(
            self._head,
            target_duration_s=self._target_duration_s,
            segments=tuple(replace(segment, msn=first + n) for n, segment in enumerate(self._segments)),
            open_segment=open_segment,
            preload_hints=tuple(self._hints),
            rendition_reports=tuple(self._reports),
            tags=tuple(self._tags),
        )

    def _filled(self, msn: int) -> Segment:
        return replace(self._next, msn=msn, parts=tuple(self._parts), tags=tuple(self._next_tags))

    # A URI ends a segment.

    def _uri(self, line: PlaylistLine) -> None:
        if self._extinf is None:
            raise PlaylistError(line.no, "a URI stands without EXTINF before it")
        piece = self._segment_ranges.resolved(line.value, self._byterange, line)
        segment = replace(self._filled(0), uri=line.value, byterange=piece)
        self._segments.append(segment)
        _at_most(MAX_SEGMENTS, len(self._segments), line, "segments")
        self._begin(segment)

    # Tags of segments (§4.4.4).

    def _set(self, **changes: object) -> None:
        self._next = replace(self._next, **changes)  # type: ignore[arg-type]
        self._body = True

    def _inf(self, line: PlaylistLine) -> None:
        seconds, _, title = line.value.partition(",")
        self._set(duration_s=duration_s(seconds.strip(" \t"), line.no), title=title.strip(" \t"))
        self._extinf = line

    def _byterange_tag(self, line: PlaylistLine) -> None:
        self._byterange = byterange(line.value, line.no)
        self._set()

    def _map(self, line: PlaylistLine) -> None:
        fields = TagAttributes(line.value, line.no)
        given = fields.byterange("BYTERANGE")
        piece = None if given is None else ByteRange(given[0], given[1] or 0)
        self._set(map=Map(fields.text("URI"), piece, self._next.keys))

    def _part(self, line: PlaylistLine) -> None:
        fields = TagAttributes(line.value, line.no)
        uri, seconds = fields.text("URI"), fields.duration_s("DURATION")
        if seconds is None:
            raise PlaylistError(line.no, "the attribute DURATION is missing or empty")
        piece = self._part_ranges.resolved(uri, fields.byterange("BYTERANGE"), line)
        self._parts.append(Part(uri, seconds, fields.yes("INDEPENDENT"), fields.yes("GAP"), piece))
        _at_most(MAX_PARTS_PER_SEGMENT, len(self._parts), line, "parts in a segment")
        self._set()

    # Tags of the playlist (§4.4.3, §4.4.5).

    def _set_head(self, **changes: object) -> None:
        self._head = replace(self._head, **changes)  # type: ignore[arg-type]

    def _target_duration(self, line: PlaylistLine) -> None:
        seconds = integer(line.value, line.no)
        if seconds > MAX_DURATION_S:
            raise PlaylistError(line.no, f"the target duration is longer than {MAX_DURATION_S:.0f} s")
        self._target_duration_s = seconds

    def _media_sequence(self, line: PlaylistLine) -> None:
        if self._body:
            raise PlaylistError(line.no, "EXT-X-MEDIA-SEQUENCE must stand before the first segment")
        self._set_head(media_sequence=integer(line.value, line.no))

    def _part_inf(self, line: PlaylistLine) -> None:
        fields = TagAttributes(line.value, line.no)
        fields.text("PART-TARGET")
        self._set_head(part_target_s=fields.duration_s("PART-TARGET"))

    def _server_control(self, line: PlaylistLine) -> None:
        fields = TagAttributes(line.value, line.no)
        control = ServerControl(
            fields.yes("CAN-BLOCK-RELOAD"),
            fields.duration_s("PART-HOLD-BACK"),
            fields.duration_s("HOLD-BACK"),
            fields.duration_s("CAN-SKIP-UNTIL"),
        )
        self._set_head(server_control=control)

    def _playlist_type(self, line: PlaylistLine) -> None:
        if line.value not in ("EVENT", "VOD"):
            raise PlaylistError(line.no, "EXT-X-PLAYLIST-TYPE must be EVENT or VOD")
        self._set_head(playlist_type=line.value)

    def _preload_hint(self, line: PlaylistLine) -> None:
        fields = TagAttributes(line.value, line.no)
        start, length = fields.integer("BYTERANGE-START"), fields.integer("BYTERANGE-LENGTH")
        self._hints.append(PreloadHint(fields.text("TYPE"), fields.text("URI"), start, length))
        _at_most(MAX_HINTS, len(self._hints), line, "preload hints")

    def _rendition_report(self, line: PlaylistLine) -> None:
        fields = TagAttributes(line.value, line.no)
        last_msn = integer(fields.text("LAST-MSN"), line.no)
        self._reports.append(RenditionReport(fields.text("URI"), last_msn, fields.integer("LAST-PART")))
        _at_most(MAX_REPORTS, len(self._reports), line, "rendition reports")

    def _skip(self, line: PlaylistLine) -> None:
        raise PlaylistError(line.no, "the origin sent a delta update (EXT-X-SKIP) that nobody asked for")


_Reader = Callable[[_MediaReader, PlaylistLine], None]

_MEDIA_TAGS: Mapping[str, _Reader] = {
    "#EXTINF": _MediaReader._inf,
    "#EXT-X-BYTERANGE": _MediaReader._byterange_tag,
    "#EXT-X-DISCONTINUITY": lambda reader, _: reader._set(discontinuity=True),
    "#EXT-X-GAP": lambda reader, _: reader._set(gap=True),
    "#EXT-X-KEY": lambda reader, line: reader._set(keys=keys_after(reader._next.keys, line.text, line.no)),
    "#EXT-X-MAP": _MediaReader._map,
    "#EXT-X-PROGRAM-DATE-TIME": lambda reader, line: reader._set(
        program_date_time_s=date_s(line.value, line.no)
    ),
    "#EXT-X-PART": _MediaReader._part,
    "#EXT-X-TARGETDURATION": _MediaReader._target_duration,
    "#EXT-X-MEDIA-SEQUENCE": _MediaReader._media_sequence,
    "#EXT-X-DISCONTINUITY-SEQUENCE": lambda reader, line: reader._set_head(
        discontinuity_sequence=integer(line.value, line.no)
    ),
    "#EXT-X-ENDLIST": lambda reader, _: reader._set_head(ended=True),
    "#EXT-X-PLAYLIST-TYPE": _MediaReader._playlist_type,
    "#EXT-X-PART-INF": _MediaReader._part_inf,
    "#EXT-X-SERVER-CONTROL": _MediaReader._server_control,
    "#EXT-X-PRELOAD-HINT": _MediaReader._preload_hint,
    "#EXT-X-RENDITION-REPORT": _MediaReader._rendition_report,
    "#EXT-X-SKIP": _MediaReader._skip,
}
_HEAD_TAGS: Mapping[str, _Reader] = {
    "#EXT-X-VERSION": lambda reader, line: reader._set_head(version=integer(line.value, line.no)),
    "#EXT-X-INDEPENDENT-SEGMENTS": lambda reader, _: reader._set_head(independent_segments=True),
}
