"""The origin's answers on the virtual clock: who waits, how long, and what they get."""

from collections.abc import Mapping

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from airclass.ingest.hls_server import FIRST_PLAYLIST_S, HlsServer, Publication
from airclass.ingest.http_server import IngestRequest, IngestResponse
from airclass.ingest.muxer import Fragment, HlsFlavour, Muxer, StreamFormat

SHAPE = StreamFormat(("avc1.42c01e",), 640, 360, 30.0, b"init")


class Studio:
    """An origin with somebody who publishes part after part."""

    def __init__(
        self, secret: str = "", path: str = "", flavour: HlsFlavour = HlsFlavour.LOW_LATENCY
    ) -> None:
        self.origin = HlsServer(path=path, flavour=flavour, part_s=0.5, segment_s=2.0, secret=secret)
        self.window: Muxer | None = None
        self._parts = 0

    def publish(self, parts: int, path: str = "live/c1") -> None:
        """Add parts; every fourth ends a segment."""
        if self.window is None:
            self.origin.named(path)
            self.window = self.origin.begin(SHAPE, 1_795_464_000.0)
        for _ in range(parts):
            self._parts += 1
            first, last = self._parts % 4 == 1, self._parts % 4 == 0
            self.origin.add(self.window, Fragment(b"%d" % self._parts, 0.5, first, last))

    def leave(self) -> None:
        """End the publication."""
        self.origin.end()
        self.window, self._parts = None, 0

    async def get(
        self,
        name: str,
        query: Mapping[str, str] | None = None,
        *,
        secret: str = "",
        folder: str = "live/c1",
        method: str = "GET",
    ) -> IngestResponse:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        return await self.origin.answer(IngestRequest(method, f"/{folder}/{name}", query or {}, headers))

    async def name_of(self, kind: str) -> str:
        """Return the listed name of the first part or segment, or of the hint."""
        text = (await self.get("main_stream.m3u8")).body.decode()
        line = next(line for line in text.splitlines() if kind in line)
        return line.partition('URI="')[2].partition('"')[0] or line


async def test_nobody_publishes() -> None:
    studio = Studio()
    for name in ("index.m3u8", "main_stream.m3u8", "x_main_seg0.mp4"):
        assert (await studio.get(name)).status == 404


async def test_only_the_published_path_shows_it() -> None:
    studio = Studio()
    studio.publish(4)
    assert (await studio.get("index.m3u8")).status == 200
    assert (await studio.get("index.m3u8", folder="live/c2")).status == 404
    assert (await studio.origin.answer(IngestRequest("GET", "/index.m3u8", {}, {}))).status == 404
    fixed = Studio(path="live/c9")
    fixed.publish(4)
    assert (await fixed.get("index.m3u8", folder="live/c9")).status == 200
    assert (await fixed.get("index.m3u8")).status == 404


async def test_the_secret_is_asked_for_everything() -> None:
    studio = Studio(secret="s3cret")
    studio.publish(4)
    for given in ("", "wrong", "s3cre\xff"):
        assert (await studio.get("index.m3u8", secret=given)).status == 401
    assert (await studio.get("index.m3u8", secret="s3cret")).status == 200


async def test_only_get_is_answered() -> None:
    assert (await Studio().get("index.m3u8", method="POST")).status == 405


async def test_the_first_playlist_is_held_until_there_is_a_segment(autojump_clock: trio.abc.Clock) -> None:
    studio = Studio()
    studio.publish(3)
    got: list[IngestResponse] = []

    async def ask() -> None:
        got.append(await studio.get("index.m3u8"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        assert not got
        studio.publish(1)
    assert got[0].status == 200
    assert b"main_stream.m3u8" in got[0].body


async def test_without_a_segment_the_first_playlist_gives_up(autojump_clock: trio.abc.Clock) -> None:
    studio = Studio()
    studio.publish(1)
    before_s = trio.current_time()
    assert (await studio.get("index.m3u8")).status == 503
    assert trio.current_time() - before_s == pytest.approx(FIRST_PLAYLIST_S)


async def test_a_blocking_reload_ends_with_its_part(autojump_clock: trio.abc.Clock) -> None:
    studio = Studio()
    studio.publish(5)
    got: list[IngestResponse] = []

    async def ask() -> None:
        got.append(await studio.get("main_stream.m3u8", {"_HLS_msn": "1", "_HLS_part": "2"}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        for _ in range(2):
            await wait_all_tasks_blocked()
            assert not got
            studio.publish(1)
    assert got[0].status == 200
    assert got[0].body.count(b"EXT-X-PART:") == 7


async def test_a_blocking_reload_that_gets_nothing_ends_with_503(autojump_clock: trio.abc.Clock) -> None:
    studio = Studio()
    studio.publish(4)
    before_s = trio.current_time()
    answer = await studio.get("main_stream.m3u8", {"_HLS_msn": "1"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert trio.current_time() - before_s == pytest.approx(6.0)


@pytest.mark.parametrize(
    "query",
    [
        {"_HLS_part": "1"},
        {"_HLS_msn": "-1"},
        {"_HLS_msn": "1.0"},
        {"_HLS_msn": "x"},
        {"_HLS_msn": "٣"},
        {"_HLS_msn": "9" * 30},
        {"_HLS_msn": "1", "_HLS_part": ""},
        {"_HLS_msn": "99"},
    ],
)
async def test_directives_that_cannot_be_are_refused(query: dict[str, str]) -> None:
    studio = Studio()
    studio.publish(4)
    assert (await studio.get("main_stream.m3u8", query)).status == 400


async def test_media_by_name_and_the_hint_when_it_is_made(autojump_clock: trio.abc.Clock) -> None:
    studio = Studio()
    studio.publish(5)
    assert (await studio.get(await studio.name_of("MAP"))).body == b"init"
    segment = await studio.get(await studio.name_of("_seg0"))
    assert (segment.body, segment.content_type) == (b"1234", "video/mp4")
    hint, got = await studio.name_of("PRELOAD-HINT"), []

    async def ask() -> None:
        got.append(await studio.get(hint))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        studio.publish(1)
    assert [r.body for r in got] == [b"6"]
    assert (await studio.get("nothing.mp4")).status == 404
    assert (await studio.get(await studio.name_of("PRELOAD-HINT"))).status == 503


async def test_the_end_of_a_publication_answers_who_waits(autojump_clock: trio.abc.Clock) -> None:
    studio = Studio()
    studio.publish(5)
    got: list[int] = []

    async def ask(name: str, **query: str) -> None:
        got.append((await studio.get(name, query)).status)

    hint = await studio.name_of("PRELOAD-HINT")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, hint)
        nursery.start_soon(lambda: ask("main_stream.m3u8", _HLS_msn="2"))
        await wait_all_tasks_blocked()
        studio.leave()
    assert got == [404, 404]


async def test_the_next_publisher_begins_anew_under_new_names() -> None:
    studio = Studio()
    studio.publish(8)
    before = await studio.name_of("_seg0")
    studio.leave()
    assert (await studio.get(before)).status == 404
    studio.publish(4)
    text = (await studio.get("main_stream.m3u8")).body
    assert b"EXT-X-MEDIA-SEQUENCE:0\n" in text
    assert before.encode() not in text


@pytest.mark.parametrize(
    ("flavour", "kind"), [(HlsFlavour.MPEGTS, "video/mp2t"), (HlsFlavour.FMP4, "video/mp4")]
)
async def test_plain_flavours_ignore_directives(flavour: HlsFlavour, kind: str) -> None:
    studio = Studio(flavour=flavour)
    studio.publish(8)
    assert (await studio.get("main_stream.m3u8", {"_HLS_msn": "99"})).status == 200
    assert (await studio.get(await studio.name_of("_seg0"))).content_type == kind


async def test_a_publication_reaches_the_origin_from_its_thread() -> None:
    studio = Studio(path="live/c1")
    publication = Publication(studio.origin)

    def teach() -> None:
        publication.opened(SHAPE)
        assert not publication.began
        for n in range(4):
            publication.fragment(Fragment(b"x", 0.5, independent=n == 0, before_key=n == 3))
        assert publication.began

    await trio.to_thread.run_sync(teach)
    assert (await studio.get("index.m3u8")).status == 200
    await trio.to_thread.run_sync(publication.close)
    assert (await studio.get("index.m3u8")).status == 404
