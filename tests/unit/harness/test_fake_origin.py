"""The fake origin behaves like the captured MediaMTX; everything in virtual time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from relay.core import playlist as pl
from relay.io.origin.http_client import OriginClient, OriginResponse
from tests.harness.fake_origin import SESSION_S, HlsOrigin


class Client:
    def __init__(self, origin: HlsOrigin) -> None:
        self._origin = origin
        self._upstream = OriginClient(origin.url, bearer=origin.secret, connect=origin.server.connect)

    async def get(self, name: str) -> OriginResponse:
        url = self._origin.server.url + self._origin.path + name
        return await self._upstream.get(url, first_byte_s=60, max_bytes=10**6)

    async def status(self, name: str) -> int:
        return (await self.get(name)).status

    async def playlist(self, name: str) -> pl.MediaPlaylist:
        answer = await self.get(name)
        assert answer.status == 200
        parsed = pl.parse(answer.body.decode())
        assert isinstance(parsed, pl.MediaPlaylist)
        return parsed


@asynccontextmanager
async def asked(origin: HlsOrigin) -> AsyncIterator[Client]:
    async with trio.open_nursery() as nursery:
        await nursery.start(origin.server.run)
        yield Client(origin)
        nursery.cancel_scope.cancel()


async def test_low_latency_as_time_goes_by(autojump_clock: MockClock) -> None:
    origin = HlsOrigin(secret="s")
    async with asked(origin) as client:
        assert await client.status("index.m3u8") == 404
        origin.publish("4dbbc233c499")
        index = pl.parse((await client.get("index.m3u8")).body.decode())
        assert isinstance(index, pl.MultivariantPlaylist)
        assert (index.variants[0].uri, index.media[0].uri) == ("video1_stream.m3u8", "audio2_stream.m3u8")
        assert trio.current_time() == 2.0  # the first segment had to be whole

        video = await client.playlist("video1_stream.m3u8")
        assert (video.media_sequence, [s.gap for s in video.segments]) == (1, [True] * 6 + [False])
        assert video.segments[-1].uri == "4dbbc233c499_video1_seg7.mp4"
        assert video.preload_hints[0].uri == "4dbbc233c499_video1_part4.mp4"

        video = await client.playlist("video1_stream.m3u8?_HLS_msn=8&_HLS_part=1")
        assert trio.current_time() == pytest.approx(3.0)
        assert video.open_segment is not None
        assert [p.independent for p in video.open_segment.parts] == [True, False]

        hinted = await client.get(video.preload_hints[0].uri)
        assert trio.current_time() == pytest.approx(3.5)
        assert hinted.body == origin.body("4dbbc233c499_video1_part6.mp4")
        assert await client.status("4dbbc233c499_video1_part8.mp4") == 404

        await trio.sleep(20)
        segment = await client.get("4dbbc233c499_audio2_seg12.mp4")
        assert segment.body.startswith(b"4dbbc233c499_audio2_part20.mp4")
        assert len(segment.body) == 4 * origin.part_bytes
        assert await client.status("4dbbc233c499_video1_seg7.mp4") == 404
        assert await client.status("4dbbc233c499_video1_part0.mp4") == 404
        for query, status in (("_HLS_part=1", 400), ("_HLS_msn=99", 400), ("_HLS_msn=1", 400)):
            assert await client.status(f"video1_stream.m3u8?{query}") == status


async def test_the_next_publisher_starts_anew(autojump_clock: MockClock) -> None:
    origin = HlsOrigin()
    async with asked(origin) as client:
        origin.publish("aaaaaaaaaaaa")
        await trio.sleep(11)
        await client.get("index.m3u8")

        async def leave() -> None:
            await trio.sleep(0.2)
            origin.unpublish()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
            assert await client.status("video1_stream.m3u8?_HLS_msn=12&_HLS_part=3") == 500
        assert await client.status("video1_stream.m3u8") == 401
        assert await client.status("index.m3u8") == 404
        origin.publish("bbbbbbbbbbbb")
        assert await client.status("index.m3u8") == 200
        video = await client.playlist("video1_stream.m3u8")
        assert video.segments[-1].uri == "bbbbbbbbbbbb_video1_seg7.mp4"
        assert await client.status("aaaaaaaaaaaa_video1_seg7.mp4") == 404


async def test_sessions_and_secrets(autojump_clock: MockClock) -> None:
    origin = HlsOrigin(secret="right")
    async with asked(origin) as client:
        origin.publish()
        await trio.sleep(5)
        assert await client.status("audio2_stream.m3u8") == 401
        assert await client.status("index.m3u8") == 200
        assert await client.status("audio2_stream.m3u8") == 200
        await trio.sleep(SESSION_S + 1)
        assert await client.status("audio2_stream.m3u8") == 401
        origin.secret = "other"
        assert await client.status("index.m3u8") == 401


@pytest.mark.parametrize(("variant", "name", "starts_s"), [("mpegts", "main", 2.0), ("fmp4", "video1", 3.5)])
async def test_without_low_latency(
    variant: str, name: str, starts_s: float, autojump_clock: MockClock
) -> None:
    origin = HlsOrigin(variant=variant, segment_s=(2.0, 1.5))
    async with asked(origin) as client:
        origin.publish()
        await client.get("index.m3u8")
        assert trio.current_time() == starts_s
        await trio.sleep_until(29)
        playlist = await client.playlist(f"{name}_stream.m3u8")
        assert [s.duration_s for s in playlist.segments] == [1.5, 2.0, 1.5, 2.0, 1.5, 2.0, 1.5]
        assert playlist.segments[-1].msn == 15
        assert (playlist.open_segment, playlist.part_target_s, playlist.preload_hints) == (None, None, ())
        assert await client.status(playlist.segments[0].uri) == 200
