"""Playlist to text: the one writer for relay and ingest, in the order that players were tested with.

Refuses (PlaylistError, line 0) what could not be read back: line breaks or quotes in URIs, holes in
the numbering, durations below zero.
"""

from __future__ import annotations

from relay.base.errors import PlaylistError
from relay.core.playlist.attributes import print_attributes, print_date, print_duration
from relay.core.playlist.keys import KEY, key_lines
from relay.core.playlist.lines import CONTROLS, DEFINE, VARIABLE
from relay.core.playlist.types import (
    ByteRange,
    Map,
    MediaPlaylist,
    MultivariantPlaylist,
    Part,
    Playlist,
    PreloadHint,
    RenditionReport,
    Segment,
    ServerControl,
)


def render(playlist: Playlist) -> str:
    """Return the text; `parse(render(p)) == p` for every playlist that can be written."""
    lines = ["#EXTM3U"]
    if playlist.version:
        lines.append(f"#EXT-X-VERSION:{playlist.version}")
    if playlist.independent_segments:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    lines += _media(playlist) if isinstance(playlist, MediaPlaylist) else _multivariant(playlist)
    for line in lines:
        _check(line)
    return "\n".join(lines) + "\n"


def _check(line: str) -> None:
    if CONTROLS.search(line) or line.strip(" \t\r") != line or not line:
        raise PlaylistError(
            0, f"a line ({line[:20]!r}…) is empty, or holds control characters or outer blanks"
        )
    if VARIABLE.search(line) and not line.startswith(("#EXTINF:", DEFINE)):
        raise PlaylistError(0, f"a line ({line[:20]!r}…) would be read as a reference to a variable")


def _multivariant(playlist: MultivariantPlaylist) -> list[str]:
    lines = _tags(playlist.tags)
    lines += [f"#EXT-X-MEDIA:{print_attributes(media.attributes)}" for media in playlist.media]
    for variant in playlist.variants:
        lines += [f"#EXT-X-STREAM-INF:{print_attributes(variant.attributes)}", _uri_line(variant.uri)]
    return lines


def _media(playlist: MediaPlaylist) -> list[str]:
    lines = [f"#EXT-X-TARGETDURATION:{playlist.target_duration_s}", *_server_control(playlist.server_control)]
    if playlist.part_target_s is not None:
        lines.append(f"#EXT-X-PART-INF:PART-TARGET={print_duration(playlist.part_target_s)}")
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{playlist.media_sequence}")
    lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.discontinuity_sequence}")
    if playlist.playlist_type:
        lines.append(f"#EXT-X-PLAYLIST-TYPE:{playlist.playlist_type}")
    lines += _tags(playlist.tags)
    listed = [*playlist.segments, *filter(None, [playlist.open_segment])]
    before = Segment(0, "", 0.0)
    for msn, segment in enumerate(listed, playlist.media_sequence):
        if segment.msn != msn:
            raise PlaylistError(0, f"segment {segment.msn} stands where {msn} is due: numbers have no holes")
        lines += _beginning(segment, before)
        lines += _end(segment) if segment is not playlist.open_segment else _tags(segment.tags)
        before = segment
    lines += [_preload_hint(hint) for hint in playlist.preload_hints]
    lines += [_rendition_report(report) for report in playlist.rendition_reports]
    if playlist.ended:
        lines.append("#EXT-X-ENDLIST")
    return lines


def _beginning(segment: Segment, before: Segment) -> list[str]:
    """Return what stands before EXTINF; map and keys only where they change."""
    lines = ["#EXT-X-DISCONTINUITY"] if segment.discontinuity else []
    keys = before.keys
    if segment.map is not None and segment.map != before.map:
        lines += [*key_lines(keys, segment.map.keys), _map(segment.map)]
        keys = segment.map.keys
    elif segment.map is None and before.map is not None:
        raise PlaylistError(0, f"segment {segment.msn} has no map, but a map stays in force: repeat it")
    lines += key_lines(keys, segment.keys)
    if segment.program_date_time_s is not None:
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{print_date(segment.program_date_time_s)}")
    lines += map(_part, segment.parts)
    if segment.gap:
        lines.append("#EXT-X-GAP")
    return lines


def _end(segment: Segment) -> list[str]:
    """Return EXTINF, what belongs to it, and the URI.

    Other tags stand here, not at the beginning, so that a reader never takes them for the playlist's.
    """
    lines = [f"#EXTINF:{print_duration(segment.duration_s)},{segment.title}"]
    if segment.byterange is not None:
        lines.append(f"#EXT-X-BYTERANGE:{_range(segment.byterange)}")
    return [*lines, *_tags(segment.tags), _uri_line(segment.uri)]


def _server_control(control: ServerControl) -> list[str]:
    fields = ["CAN-BLOCK-RELOAD=YES"] if control.can_block_reload else []
    for name, seconds in (
        ("PART-HOLD-BACK", control.part_hold_back_s),
        ("HOLD-BACK", control.hold_back_s),
        ("CAN-SKIP-UNTIL", control.can_skip_until_s),
    ):
        if seconds is not None:
            fields.append(f"{name}={print_duration(seconds)}")
    return [f"#EXT-X-SERVER-CONTROL:{','.join(fields)}"] if fields else []


def _map(section: Map) -> str:
    piece = "" if section.byterange is None else f',BYTERANGE="{_range(section.byterange)}"'
    return f"#EXT-X-MAP:URI={_quoted(section.uri)}{piece}"


def _part(part: Part) -> str:
    text = f"#EXT-X-PART:DURATION={print_duration(part.duration_s)},URI={_quoted(part.uri)}"
    if part.independent:
        text += ",INDEPENDENT=YES"
    if part.byterange is not None:
        text += f',BYTERANGE="{_range(part.byterange)}"'
    return f"{text},GAP=YES" if part.gap else text


def _preload_hint(hint: PreloadHint) -> str:
    text = f"#EXT-X-PRELOAD-HINT:TYPE={hint.type},URI={_quoted(hint.uri)}"
    if hint.byterange_start is not None:
        text += f",BYTERANGE-START={hint.byterange_start}"
    if hint.byterange_length is not None:
        text += f",BYTERANGE-LENGTH={hint.byterange_length}"
    return text


def _rendition_report(report: RenditionReport) -> str:
    text = f"#EXT-X-RENDITION-REPORT:URI={_quoted(report.uri)},LAST-MSN={report.last_msn}"
    return text if report.last_part is None else f"{text},LAST-PART={report.last_part}"


def _range(piece: ByteRange) -> str:
    return f"{piece.length}@{piece.offset}"


def _quoted(text: str) -> str:
    if '"' in text or not text:
        raise PlaylistError(0, "a URI is empty or holds a quote: percent-encode it")
    return f'"{text}"'


def _uri_line(uri: str) -> str:
    if uri.startswith("#"):
        raise PlaylistError(0, "a URI begins with # and would be read as a tag: percent-encode it")
    return uri


def _tags(tags: tuple[str, ...]) -> list[str]:
    for tag in tags:
        if not tag.startswith("#EXT") or tag.startswith(KEY):
            raise PlaylistError(0, f"{tag[:20]!r}… is not a tag to be kept as it is")
    return list(tags)
