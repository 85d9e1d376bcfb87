"""Playlists as values: what a media or multivariant playlist says, without its text.

Durations are seconds kept to 10 µs and dates Unix seconds kept to 1 ms, because that is what the
writer prints. Tag names in comments are those of RFC 8216bis (draft 22).
"""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.playlist.attributes import Attributes, attribute


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A piece of a resource; `offset` is absolute, whatever the text said (§4.4.4.2)."""

    length: int
    offset: int


@dataclass(frozen=True, slots=True)
class Map:
    """The initialisation section (§4.4.4.5); `keys` are the EXT-X-KEY lines that apply to it."""

    uri: str
    byterange: ByteRange | None = None
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A partial segment (§4.4.4.9)."""

    uri: str
    duration_s: float
    independent: bool = False
    gap: bool = False
    byterange: ByteRange | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A media segment with everything in force for it (§4.4.4).

    `keys` are the raw EXT-X-KEY lines in force, at most one a KEYFORMAT; `program_date_time_s` is
    Unix time and only set where the tag stands; `tags` are other tags of this segment, verbatim.
    """

    msn: int
    uri: str
    duration_s: float
    parts: tuple[Part, ...] = ()
    discontinuity: bool = False
    gap: bool = False
    map: Map | None = None
    keys: tuple[str, ...] = ()
    program_date_time_s: float | None = None
    byterange: ByteRange | None = None
    title: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreloadHint:
    """A resource that will be needed soon (§4.4.5.3); `type` is PART or MAP."""

    type: str
    uri: str
    byterange_start: int | None = None
    byterange_length: int | None = None


@dataclass(frozen=True, slots=True)
class RenditionReport:
    """How far another rendition has come (§4.4.5.4)."""

    uri: str
    last_msn: int
    last_part: int | None = None


@dataclass(frozen=True, slots=True)
class ServerControl:
    """Delivery directives that the server offers (§4.4.3.8)."""

    can_block_reload: bool = False
    part_hold_back_s: float | None = None
    hold_back_s: float | None = None
    can_skip_until_s: float | None = None


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """One version of one rendition's playlist (§4.4.3).

    `open_segment` (uri "", duration 0) holds what is listed after the last segment: the parts of
    the one being made. Segments are numbered `media_sequence`, +1, +2, … without holes.
    """

    target_duration_s: int
    segments: tuple[Segment, ...] = ()
    media_sequence: int = 0
    discontinuity_sequence: int = 0
    part_target_s: float | None = None
    server_control: ServerControl = ServerControl()
    open_segment: Segment | None = None
    preload_hints: tuple[PreloadHint, ...] = ()
    rendition_reports: tuple[RenditionReport, ...] = ()
    ended: bool = False
    playlist_type: str = ""
    version: int = 0
    independent_segments: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant stream (§4.4.6.2); attribute values are raw, quoted ones with their quotes."""

    uri: str
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Rendition:
    """An alternate rendition (§4.4.6.1); attribute values are raw, quoted ones with their quotes."""

    attributes: Attributes

    @property
    def type(self) -> str:
        """AUDIO, VIDEO, SUBTITLES or CLOSED-CAPTIONS."""
        return attribute(self.attributes, "TYPE") or ""

    @property
    def group_id(self) -> str:
        """The group that variants name in their AUDIO, VIDEO, … attribute."""
        return attribute(self.attributes, "GROUP-ID") or ""

    @property
    def name(self) -> str:
        """The rendition's name as people read it."""
        return attribute(self.attributes, "NAME") or ""

    @property
    def uri(self) -> str | None:
        """The rendition's playlist, or None when it is muxed into the variant."""
        return attribute(self.attributes, "URI")


@dataclass(frozen=True, slots=True)
class MultivariantPlaylist:
    """The list of variants and renditions (§4.4.6); `tags` are all other tags, verbatim."""

    variants: tuple[Variant, ...] = ()
    media: tuple[Rendition, ...] = ()
    independent_segments: bool = False
    version: int = 0
    tags: tuple[str, ...] = ()


Playlist = MediaPlaylist | MultivariantPlaylist
