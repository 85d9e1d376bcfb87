"""Records of a window: segments and parts on the viewers' number line, and what to fetch for them.

Holds no rule but naming. Names carry the epoch's tag, so that no cache or player can take the
bytes of one session for those of another.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.core.playlist import ByteRange, Map
    from relay.core.stream.media import Body, Media
    from relay.core.stream.timeline import Epoch

_EXTENSION = re.compile(r"\.([a-z0-9]{1,5})$")
_KNOWN = frozenset("ts mp4 m4s m4v m4a cmfv cmfa cmft aac mp3 ac3 ec3 vtt webvtt ttml m2ts mpegts".split())


@dataclass(slots=True, eq=False)
class FetchAttempt:
    """How often an object was asked for, and when it may be asked for again."""

    attempts: int = 0
    not_before_s: float = 0.0
    in_flight: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """An object to get from the origin; `uri` is as the origin's playlist writes it."""

    kind: str  # init, segment, part or hint
    uri: str
    byterange: ByteRange | None
    msn: int
    part: int = -1
    name: str = ""  # of an init: the one under which viewers find it
    tried: FetchAttempt = field(
        default_factory=FetchAttempt, compare=False, repr=False
    )  # the object's own, while it is wanted


@dataclass(slots=True, eq=False)
class WindowPart:
    """One partial segment; `media` once it is here."""

    uri: str
    byterange: ByteRange | None
    duration_s: float
    independent: bool
    gap: bool
    media: Media | None = None
    tried: FetchAttempt = field(default_factory=FetchAttempt)


@dataclass(slots=True, eq=False)
class InitSection:
    """One media initialization section (EXT-X-MAP), shared by the segments that name it."""

    map: Map
    name: str
    media: Media | None = None
    tried: FetchAttempt = field(default_factory=FetchAttempt)


@dataclass(slots=True, eq=False)
class WindowSegment:
    """One segment. `closed` once the origin lists it whole; `media` once all of it is here."""

    msn: int
    epoch: Epoch
    discontinuity_seq: int
    discontinuity: bool
    first_seen_s: float
    uri: str = ""
    byterange: ByteRange | None = None
    duration_s: float = 0.0
    pdt_s: float | None = None
    init: InitSection | None = None
    stand_in: InitSection | None = None  # listed in place of its own, by a gap that `borrows`
    borrows: bool = False
    keys: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    title: str = ""
    closed: bool = False
    gap: bool = False
    media: Media | None = None
    parts: list[WindowPart] = field(default_factory=list)
    parts_body: Body | None = None
    parts_broken: bool = False
    parts_listed: bool = False  # whether the origin listed all of them with the whole segment
    sealed_parts: int = 0  # how many it was closed with, where its own end was never seen
    tried: FetchAttempt = field(default_factory=FetchAttempt)

    @property
    def resolved(self) -> bool:
        """Whether nothing more can come: it is whole, or known to be missing."""
        return self.closed and (self.gap or self.media is not None)

    @property
    def decodable(self) -> bool:
        """Whether its initialization section is here, where it needs one."""
        return self.init is None or self.init.media is not None

    @property
    def listed_init(self) -> InitSection | None:
        """The initialization section that viewers see with it."""
        return self.stand_in if self.borrows else self.init

    @property
    def listable(self) -> bool:
        """Whether it can be shown as a complete segment."""
        return self.resolved and (self.gap or self.decodable)

    @property
    def extension(self) -> str:
        """File name extension of the segment and its parts, by the origin's own name."""
        return extension(self.parts[0].uri if self.parts else self.uri)

    @property
    def takes_parts(self) -> bool:
        """Whether a part that comes next has a place in it."""
        return not (self.closed or self.parts_broken)

    def arrived(self) -> int:
        """Return how many parts, from the first on, are here without a hole."""
        for count, part in enumerate(self.parts):
            if part.media is None:
                return count
        return len(self.parts)


def extension(uri: str) -> str:
    """Return the URI's extension when it is one of media, else `bin`."""
    match = _EXTENSION.search(uri.split("?", 1)[0].lower())
    found = match[1] if match else ""
    return found if found in _KNOWN else "mp4" if found == "mp" else "bin"


def segment_name(rendition: str, entry: WindowSegment) -> str:
    """Return the name under which viewers find a segment.

    Relays may have seen different parts of one that was closed early: their number is in its name, so
    that one name is one content everywhere.
    """
    parts = f"-{entry.sealed_parts}" if entry.sealed_parts else ""
    return f"{rendition}-{entry.epoch.tag}-{entry.msn}{parts}.{entry.extension}"


def part_name(rendition: str, epoch: Epoch, msn: int, index: int, ext: str) -> str:
    """Return the name under which viewers find a part (index from 0 within its segment)."""
    return f"{rendition}-{epoch.tag}-{msn}.{index}.{ext}"


def init_name(rendition: str, epoch: Epoch, init: Map) -> str:
    """Return the name of an initialization section: equal on all relays, however late they came."""
    text = f"{init.uri}|{init.byterange}"
    digest = hashlib.blake2s(text.encode(), digest_size=3).hexdigest()
    ext = extension(init.uri)
    return f"{rendition}-{epoch.tag}-i{digest}.{ext}"


def is_init_name(name: str) -> bool:
    """Tell whether a viewers' name is that of an initialization section."""
    return name.rpartition("-")[2].startswith("i")
