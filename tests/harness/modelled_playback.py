"""A modelled viewer that watches a low-latency origin in virtual time."""

from __future__ import annotations

from benchmarks.player.hlsjs_model import ModelledViewer, ModelRequest, Page, PlayerSettings, RequestKind
from benchmarks.player.listing import Listing
from relay.base.errors import PlaylistError
from relay.core.playlist import (
    Map,
    MediaPlaylist,
    MultivariantPlaylist,
    Part,
    Rendition,
    Segment,
    ServerControl,
    Variant,
)

T0 = 1_800_000_000.0
PART_S = 0.5
PARTS = 4
HOST = "http://a.example/t/tok/class/"
INDEX = HOST + "index.m3u8"


class ModelOrigin:
    """An endless low-latency stream of 0.5 s parts that began at `T0 - 60` and keeps three segments."""

    def __init__(self, *, audio: bool = True, blocking: bool = True, parts: bool = True) -> None:
        self.audio, self.blocking, self.parts = audio, blocking, parts
        self.ended_at: int | None = None

    def read(self, body: bytes) -> Page:
        kind, _, count = body.decode().partition(" ")
        if kind == "index":
            return self._index()
        if kind in ("video", "audio"):
            return self._listing(int(count))
        raise PlaylistError(1, "no playlist")

    def _index(self) -> Page:
        attributes = (("BANDWIDTH", "1"),) + ((("AUDIO", '"a"'),) if self.audio else ())
        media = Rendition((("TYPE", "AUDIO"), ("GROUP-ID", '"a"'), ("NAME", '"x"'), ("URI", '"audio.m3u8"')))
        default = Rendition((*media.attributes[:3], ("URI", '"best.m3u8"'), ("DEFAULT", "YES")))
        return MultivariantPlaylist((Variant("video.m3u8", attributes),), (media, default))

    def _listing(self, count: int) -> Listing:
        """What is listed once `count` parts exist."""
        last, left = divmod(count, PARTS)
        first = max(0, last - 3)
        segments = tuple(
            Segment(
                msn,
                f"s{msn}.mp4",
                PART_S * PARTS,
                self._parts(msn, PARTS) if msn == last - 1 else (),
                map=Map("init.mp4"),
                program_date_time_s=self.date_s(msn * PARTS),
            )
            for msn in range(first, last)
        )
        opened = (
            Segment(last, "", 0.0, self._parts(last, left), map=Map("init.mp4"))
            if left and self.parts
            else None
        )
        control = ServerControl(self.blocking, 1.5) if self.parts else ServerControl(self.blocking)
        return Listing(
            MediaPlaylist(
                2,
                segments,
                first,
                part_target_s=PART_S if self.parts else None,
                server_control=control,
                open_segment=opened,
                ended=count == self.ended_at,
            )
        )

    def _parts(self, msn: int, count: int) -> tuple[Part, ...]:
        if not self.parts:
            return ()
        return tuple(Part(f"p{msn}.{n}.mp4", PART_S, independent=n == 0) for n in range(count))

    def date_s(self, parts: int) -> float:
        return T0 - 60 + parts * PART_S

    def count_at(self, now_s: float) -> int:
        return int((now_s - (T0 - 60)) / PART_S)


class ModelPlayback:
    """Lets a viewer watch an origin on a line of virtual time; every answer takes `delay_s`."""

    def __init__(
        self, origin: ModelOrigin, taste: PlayerSettings | None = None, delay_s: float = 0.01
    ) -> None:
        self.origin, self.delay_s = origin, delay_s
        self.viewer = ModelledViewer(INDEX, origin.read, taste)
        self.now_s = T0
        self.log: list[str] = []
        self.frozen_from_s: float | None = None
        self.frozen_to_s = T0
        self._coming: list[tuple[float, int, ModelRequest]] = []
        self._number = 0
        self._ask(self.viewer.start(T0))

    def freeze(self, seconds: float) -> None:
        """The origin makes nothing new from now on; afterwards all of it appears at once."""
        self.frozen_from_s, self.frozen_to_s = self.now_s, self.now_s + seconds

    def run(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while True:
            due_s = self.viewer.due_s
            times = [when for when, _, _ in self._coming] + ([due_s] if due_s is not None else [])
            if not times or min(times) > until_s:
                self.now_s = until_s
                return
            self.now_s = max(self.now_s, min(times))
            if due_s is not None and due_s <= self.now_s:
                self._ask(self.viewer.tick(self.now_s))
                continue
            self._coming.sort()
            _, _, get = self._coming.pop(0)
            self._ask(self.viewer.answered(get, *self._answer(get), self.now_s))

    def _made(self, now_s: float) -> int:
        if self.frozen_from_s is not None and self.frozen_from_s <= now_s < self.frozen_to_s:
            now_s = self.frozen_from_s
        return self.origin.count_at(now_s)

    def _answer(self, get: ModelRequest) -> tuple[int, bytes]:
        if get.kind is RequestKind.MULTIVARIANT:
            return 200, b"index"
        if get.kind is RequestKind.PLAYLIST:
            name = "video" if "video" in get.url else "audio"
            return 200, f"{name} {self._made(self.now_s)}".encode()
        return 200, b""

    def _ask(self, gets: list[ModelRequest]) -> None:
        for get in gets:
            self.log.append(get.url.removeprefix(HOST))
            self._number += 1
            self._coming.append((self._ready_s(get), self._number, get))

    def _ready_s(self, get: ModelRequest) -> float:
        """A blocking request is answered when its part exists."""
        _, _, query = get.url.partition("?")
        if not query:
            return self.now_s + self.delay_s
        fields = dict(pair.split("=") for pair in query.split("&"))
        wanted = int(fields["_HLS_msn"]) * PARTS + int(fields.get("_HLS_part", PARTS - 1)) + 1
        made_s = self.origin.date_s(wanted)
        if self.frozen_from_s is not None and self.frozen_from_s <= made_s < self.frozen_to_s:
            made_s = self.frozen_to_s
        return max(self.now_s, made_s) + self.delay_s
