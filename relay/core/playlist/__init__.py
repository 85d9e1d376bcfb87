"""HLS playlists, text ↔ typed values (RFC 8216bis, draft 22), for relay and ingest.

`parse(render(p)) == p`; `parse` raises PlaylistError(line_no, reason) and nothing else.
"""

from relay.base.errors import PlaylistError
from relay.core.playlist.attributes import Attributes, attribute
from relay.core.playlist.keys import with_absolute_uri, with_explicit_iv
from relay.core.playlist.parse import parse
from relay.core.playlist.render import render
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

__all__ = [
    "Attributes",
    "ByteRange",
    "Map",
    "Rendition",
    "MediaPlaylist",
    "MultivariantPlaylist",
    "Part",
    "Playlist",
    "PlaylistError",
    "PreloadHint",
    "RenditionReport",
    "Segment",
    "ServerControl",
    "Variant",
    "attribute",
    "parse",
    "render",
    "with_absolute_uri",
    "with_explicit_iv",
]
