"""A synthetic HLS origin that behaves like MediaMTX 1.20: all it says follows from the clock.

`origin = HlsOrigin()`, run `origin.server.run` in a nursery, `origin.publish("aaaaaaaaaaaa")`, and
playlists, parts and segments appear as time goes by; `unpublish()` ends the session with all that
belongs to it. Needs no task of its own, so a virtual clock may jump (over `server.connect`).
Bodies are `body(name)`: a segment is the concatenation of its parts.

Rules (MediaMTX 1.20.1): a bearer or 401; media without an index request within 30 s 401; index
404 while nobody publishes; a request that waits when the session ends 500; 400 beyond the next
two segments; objects 404 once they left the window; HEAD 404; seven gap entries at the start.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import cycle

import trio

from relay.core.playlist import (
    Map,
    MediaPlaylist,
    MultivariantPlaylist,
    Part,
    PreloadHint,
    Rendition,
    Segment,
    ServerControl,
    Variant,
    render,
)
from tests.harness.fake_http import FakeServer, ReceivedRequest, reply

WALL_START_S = 1_790_000_000.0
SESSION_S = 30.0
GAPS = 7
_OBJECT = re.compile(r"([0-9a-z]+)_(video1|audio2|main)_(init|seg|part)(\d*)\.(mp4|ts)")

Hook = Callable[[ReceivedRequest, trio.abc.Stream], Awaitable[bool]]


@dataclass(frozen=True)
class OriginPiece:
    """A part: its number over the session, its segment (from 0), and when it is whole."""

    number: int
    segment: int
    duration_s: float
    ready_s: float
    last: bool


@dataclass
class OriginPublication:
    """One publisher's session: which parts exist at a time. `segment_s` is repeated for ever.

    `hiccups_s` tells how much later than that a part comes, by its number, and all after it.
    """

    prefix: str
    start_s: float
    segment_s: tuple[float, ...]
    part_s: float
    first_msn: int
    hiccups_s: dict[int, float] = field(default_factory=dict)
    ended: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self._durations = cycle(self.segment_s)
        self._pieces: list[OriginPiece] = []
        self._segments = 0

    def piece(self, number: int) -> OriginPiece:
        """Return a part, planned as far ahead as need be."""
        while len(self._pieces) <= number:
            duration_s = next(self._durations)
            count = max(1, math.ceil(duration_s / self.part_s - 1e-6))
            start_s = self._pieces[-1].ready_s if self._pieces else self.start_s
            for index in range(count):
                start_s += self.hiccups_s.get(len(self._pieces), 0.0)
                last = index == count - 1
                end_s = duration_s if last else (index + 1) * self.part_s
                length_s = end_s - index * self.part_s
                self._pieces.append(
                    OriginPiece(len(self._pieces), self._segments, length_s, start_s + end_s, last)
                )
            self._segments += 1
        return self._pieces[number]

    def pieces(self, now_s: float) -> list[OriginPiece]:
        """Return the parts that are whole."""
        count = 0
        while self.piece(count).ready_s <= now_s + 1e-9:
            count += 1
        return self._pieces[:count]

    def parts_of(self, segment: int) -> list[OriginPiece]:
        """Return all parts of a segment, whole or not."""
        number = 0
        while self.piece(number).segment < segment:
            number += 1
        first = number
        while not self.piece(number).last:
            number += 1
        return self._pieces[first : number + 1]


@dataclass
class HlsOrigin:
    """The origin of one stream at `/live/class1/`; every field may be changed before publishing.

    `before` sees each request first and returns True when it has dealt with it (faults).
    """

    variant: str = "lowLatency"
    segment_s: tuple[float, ...] = (2.0,)
    part_s: float = 0.5
    part_bytes: int = 2000
    window: int = GAPS
    secret: str = ""
    hiccups_s: dict[int, float] = field(default_factory=dict)
    wall_start_s: float = WALL_START_S
    path: str = "/live/class1/"
    before: Hook | None = None
    publication: OriginPublication | None = None
    _asked_index_s: float = -math.inf

    def __post_init__(self) -> None:
        self.server = FakeServer(self.handle)

    @property
    def url(self) -> str:
        """The address of the index; known once the server runs."""
        return f"{self.server.url}{self.path}index.m3u8"

    @property
    def renditions(self) -> tuple[str, ...]:
        return ("main",) if self.variant == "mpegts" else ("video1", "audio2")

    @property
    def extension(self) -> str:
        return "ts" if self.variant == "mpegts" else "mp4"

    def publish(self, prefix: str = "aaaaaaaaaaaa") -> OriginPublication:
        """Begin a session now; one under way ends (MediaMTX: overridePublisher)."""
        self.unpublish()
        first_msn = GAPS if self.variant == "lowLatency" else 0
        self.publication = OriginPublication(
            prefix, trio.current_time(), self.segment_s, self.part_s, first_msn, self.hiccups_s
        )
        return self.publication

    def unpublish(self) -> None:
        """End the session: its objects are gone at once, whoever waits gets a 500."""
        if self.publication is not None:
            self.publication.ended.set()
            self.publication = None

    def fetches(self, part_of_name: str) -> int:
        """Return how many requests had this text in their path."""
        return sum(part_of_name in request.path for request in self.server.requests)

    def body(self, name: str) -> bytes:
        """Return the bytes of an object of this origin, whether it exists now or not."""
        match = _OBJECT.fullmatch(name)
        assert match is not None, name
        prefix, rendition, kind, number, ext = match.groups()
        if kind != "seg":
            return name.encode().ljust(self.part_bytes if kind == "part" else 100, b".")
        assert self.publication is not None
        parts = self.publication.parts_of(int(number) - self.publication.first_msn)
        return b"".join(self.body(f"{prefix}_{rendition}_part{p.number}.{ext}") for p in parts)

    # -- answers --------------------------------------------------------------------------------

    async def handle(self, request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        """Answer one request."""
        if self.before is not None and await self.before(request, stream):
            return
        status, body = await self._answer(request)
        await stream.send_all(reply(body, status, chunked=len(body) > 2048))

    async def _answer(self, request: ReceivedRequest) -> tuple[int, bytes]:
        if self.secret and request.headers.get("authorization") != f"Bearer {self.secret}":
            return 401, b""
        name = request.path.removeprefix(self.path)
        if request.method != "GET" or name == request.path:
            return 404, b""
        live = self.publication
        now_s = trio.current_time()
        if name == "index.m3u8":
            if live is None:
                return 404, b""
            self._asked_index_s = now_s
            if not await self._begun(live):
                return 500, b""
            return 200, render(self.index()).encode()
        if live is None or now_s - self._asked_index_s > SESSION_S:
            return 401, b""
        self._asked_index_s = now_s
        if name.endswith("_stream.m3u8"):
            return await self._playlist(live, name.removesuffix("_stream.m3u8"), request.query)
        return await self._object(live, name)

    async def _playlist(
        self, live: OriginPublication, rendition: str, query: dict[str, str]
    ) -> tuple[int, bytes]:
        if rendition not in self.renditions:
            return 404, b""
        if not await self._begun(live):
            return 500, b""
        if "_HLS_part" in query and "_HLS_msn" not in query:
            return 400, b""
        if "_HLS_msn" in query and self.variant == "lowLatency":
            msn, part = int(query["_HLS_msn"]), int(query.get("_HLS_part", "0"))
            segment, last = msn - live.first_msn, self._last(live)
            if not last - self.window + 1 <= segment <= last + 2:
                return 400, b""
            if segment >= 0:
                parts = live.parts_of(segment)
                wanted = parts[part] if part < len(parts) else live.parts_of(segment + 1)[0]
                if not await _wait(live, wanted.ready_s):
                    return 500, b""
        return 200, render(self.playlist(rendition)).encode()

    async def _object(self, live: OriginPublication, name: str) -> tuple[int, bytes]:
        match = _OBJECT.fullmatch(name)
        if match is None or match[1] != live.prefix or match[2] not in self.renditions:
            return 404, b""
        kind, last = match[3], self._last(live)
        if kind == "part" and self.variant == "lowLatency":
            wanted = live.piece(int(match[4]))
            hinted = wanted.number == len(live.pieces(trio.current_time()))
            if hinted and not await _wait(live, wanted.ready_s):
                return 500, b""
            there = wanted.ready_s <= trio.current_time() + 1e-9 and wanted.segment > last - self.window
        elif kind == "seg":
            there = last - self.window < int(match[4]) - live.first_msn <= last
        else:
            there = kind == "init" and last >= 0
        return (200, self.body(name)) if there else (404, b"")

    async def _begun(self, live: OriginPublication) -> bool:
        """Wait for the first segments; False when the session ended before."""
        first = 1 if self.variant == "fmp4" else 0
        return await _wait(live, live.parts_of(first)[-1].ready_s)

    # -- what exists now ------------------------------------------------------------------------

    def _last(self, live: OriginPublication) -> int:
        """Return the newest whole segment, counted from 0; -1 before the first."""
        return max((p.segment for p in live.pieces(trio.current_time()) if p.last), default=-1)

    def index(self) -> MultivariantPlaylist:
        """Return the multivariant playlist."""
        common = (
            ("BANDWIDTH", "600000"),
            ("AVERAGE-BANDWIDTH", "500000"),
            ("CODECS", '"avc1.42c01e,mp4a.40.2"'),
            ("RESOLUTION", "640x360"),
            ("FRAME-RATE", "30.000"),
        )
        if self.variant == "mpegts":
            variants = (Variant("main_stream.m3u8", common),)
            return MultivariantPlaylist(variants, independent_segments=True, version=3)
        audio = Rendition(
            (
                ("TYPE", "AUDIO"),
                ("GROUP-ID", '"audio"'),
                ("NAME", '"audio2"'),
                ("AUTOSELECT", "YES"),
                ("DEFAULT", "YES"),
                ("URI", '"audio2_stream.m3u8"'),
            )
        )
        variants = (Variant("video1_stream.m3u8", (*common, ("AUDIO", '"audio"'))),)
        return MultivariantPlaylist(variants, (audio,), independent_segments=True, version=10)

    def playlist(self, rendition: str) -> MediaPlaylist:
        """Return the media playlist of this moment."""
        live = self.publication
        assert live is not None
        low, last = self.variant == "lowLatency", self._last(live)
        longest_s = max(sum(p.duration_s for p in live.parts_of(n)) for n in range(last + 1))
        first = last - self.window + 1 if low else max(0, last - self.window + 1)
        there = live.pieces(trio.current_time())
        opened = [p for p in there if p.segment == last + 1]
        return MediaPlaylist(
            target_duration_s=max(1, round(longest_s)),
            segments=tuple(
                self._segment(live, rendition, n, last, longest_s) for n in range(first, last + 1)
            ),
            media_sequence=live.first_msn + first,
            part_target_s=live.part_s if low else None,
            server_control=ServerControl(True, 2.5 * live.part_s, None, 6.0 * max(1, round(longest_s)))
            if low
            else ServerControl(),
            open_segment=Segment(
                live.first_msn + last + 1,
                "",
                0.0,
                parts=tuple(self._part(live, rendition, p) for p in opened),
                map=self._map(live, rendition),
            )
            if low and opened
            else None,
            preload_hints=(PreloadHint("PART", self._name(live, rendition, "part", len(there))),)
            if low
            else (),
            version=3 if self.variant == "mpegts" else 10,
        )

    def _segment(
        self, live: OriginPublication, rendition: str, number: int, last: int, longest_s: float
    ) -> Segment:
        msn, section = live.first_msn + number, self._map(live, rendition)
        if number < 0:
            return Segment(msn, "gap.mp4", float(round(longest_s)), gap=True, map=section)
        parts = live.parts_of(number)
        near = number > last - 2
        start_s = self.wall_start_s + parts[0].ready_s - parts[0].duration_s
        return Segment(
            msn,
            self._name(live, rendition, "seg", msn),
            sum(p.duration_s for p in parts),
            parts=tuple(self._part(live, rendition, p) for p in parts)
            if near and self.variant == "lowLatency"
            else (),
            map=section,
            program_date_time_s=round(start_s, 3) if near or self.variant == "mpegts" else None,
        )

    def _part(self, live: OriginPublication, rendition: str, piece: OriginPiece) -> Part:
        first = piece.number == 0 or live.piece(piece.number - 1).last
        uri = self._name(live, rendition, "part", piece.number)
        return Part(uri, piece.duration_s, independent=first or rendition == "audio2")

    def _map(self, live: OriginPublication, rendition: str) -> Map | None:
        return None if self.variant == "mpegts" else Map(f"{live.prefix}_{rendition}_init.mp4")

    def _name(self, live: OriginPublication, rendition: str, kind: str, number: int) -> str:
        return f"{live.prefix}_{rendition}_{kind}{number}.{self.extension}"


async def _wait(live: OriginPublication, until_s: float) -> bool:
    """Wait for a moment; False when the session ended before it."""
    with trio.move_on_at(until_s):
        await live.ended.wait()
    return not live.ended.is_set()
