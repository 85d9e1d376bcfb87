"""The embedded ingest with a real teacher: what is in the parts, how old it is, and a dropped line."""

from __future__ import annotations

import time
from io import BytesIO
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import av
import httpx
import pytest
import trio

from airclass.domain.publish_auth import read_connection
from airclass.ingest.test_pattern import timecode
from relay.core.playlist import MediaPlaylist, parse
from tests.harness import ingests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.harness.ingests import IngestHarness

TEST_S = 60
POLL_S = 0.1
PARTS = 8
MAX_AGE_S = 2.5  # a part of 0.5 s and whatever a busy machine adds
STREAM = "class1"


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[IngestHarness]:
    ready_file = tmp_path / "ingest.json"
    command = ingests.command("embedded", "lowLatency", ready_file)
    async with ingests.ingest_running(command, "embedded", ready_file) as running:
        yield running


class Player:
    """Follows the one rendition part by part."""

    def __init__(self, client: httpx.AsyncClient, ingest: IngestHarness) -> None:
        self._client, self._ingest = client, ingest
        self._base_url = ingest.base_url(STREAM)

    async def get(self, uri: str) -> httpx.Response:
        url = urljoin(self._base_url, uri)
        return await self._client.get(url, headers=self._ingest.headers, timeout=TEST_S)

    async def playlist(self) -> MediaPlaylist:
        """Return the media playlist, as soon as somebody publishes."""
        while (await self.get("index.m3u8")).status_code != 200:
            await trio.sleep(POLL_S)
        playlist = parse((await self.get("main_stream.m3u8")).text)
        assert isinstance(playlist, MediaPlaylist)
        return playlist

    async def until_gone(self) -> None:
        while (await self.get("index.m3u8")).status_code != 404:
            await trio.sleep(POLL_S)


def stamps(data: bytes) -> list[timecode.Timecode]:
    """Return what the clock shows in each frame."""
    found = []
    with av.open(BytesIO(data)) as container:
        for frame in container.decode(video=0):
            picture = frame.reformat(format="rgb24")
            pixels = bytes(picture.planes[0])
            found.append(
                timecode.decode_rgb(pixels, (picture.planes[0].line_size // 3, frame.height), channels=3)
            )
    assert None not in found
    return [stamp for stamp in found if stamp]


@pytest.mark.timing
async def test_every_frame_arrives_in_order_and_young(embedded: IngestHarness, tmp_path: Path) -> None:
    with trio.fail_after(TEST_S):
        async with (
            ingests.teacher_running(embedded.publish_url(STREAM), tmp_path),
            httpx.AsyncClient() as client,
        ):
            player = Player(client, embedded)
            playlist = await player.playlist()
            segment = playlist.segments[-1]
            assert segment.map is not None
            data = (await player.get(segment.map.uri)).content + (await player.get(segment.uri)).content
            prefix, _, number = segment.parts[-1].uri.removesuffix(".mp4").rpartition("part")
            for following in range(int(number) + 1, int(number) + 1 + PARTS):
                part = await player.get(f"{prefix}part{following}.mp4")
                assert part.status_code == 200
                data += part.content
            arrived_ms = time.time() * 1000
            shown = stamps(data)
            numbers = [stamp.frame for stamp in shown]
            assert numbers == sorted(set(numbers))
            assert len(numbers) > 15 * (PARTS * 0.5 + 1)
            assert -50 < arrived_ms - shown[-1].unix_ms < 1000 * MAX_AGE_S


async def test_after_a_dropped_line_it_begins_anew(embedded: IngestHarness, tmp_path: Path) -> None:
    drop = ("--drop-after", "4", "--return-after", "1", "--keyframe-s", "1")
    with trio.fail_after(TEST_S):
        async with (
            ingests.teacher_running(embedded.publish_url(STREAM), tmp_path, *drop) as teacher,
            httpx.AsyncClient() as client,
        ):
            player = Player(client, embedded)
            before = await player.playlist()
            await player.until_gone()
            after = await player.playlist()
            assert not {s.uri for s in before.segments} & {s.uri for s in after.segments}
            assert after.media_sequence == 0
            said = teacher.output()
    assert said.count("teacher.live") == 2
    assert said.count("teacher.dropped") == 1
    assert "teacher.lost" not in said


async def test_the_master_lists_a_publisher_and_disconnects_it(
    embedded: IngestHarness, tmp_path: Path
) -> None:
    """As with MediaMTX, whose API the embedded ingest answers; another teacher comes in afterwards."""
    with trio.fail_after(TEST_S):
        async with httpx.AsyncClient() as client:
            player = Player(client, embedded)
            async with ingests.teacher_running(embedded.publish_url(STREAM), tmp_path):
                await player.playlist()
                (item,) = (await client.get(f"{embedded.api_url}/v3/rtmpconns/list")).json()["items"]
                connection = read_connection(item)
                assert connection is not None
                assert connection.classroom_id == STREAM
                answer = await client.post(f"{embedded.api_url}/v3/rtmpconns/kick/{connection.id}")
                assert answer.status_code == 200
                await player.until_gone()
            async with ingests.teacher_running(embedded.publish_url(STREAM), tmp_path):
                await player.playlist()
                (again,) = (await client.get(f"{embedded.api_url}/v3/paths/list")).json()["items"]
                assert (again["name"], again["tracks2"][0]["codec"]) == (f"live/{STREAM}", "H264")
