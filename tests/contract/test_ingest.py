"""What a relay relies on at an ingest, by one body for all of them (--ingest).

Every test has a deadline of its own; a synthetic teacher publishes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urljoin

import httpx
import pytest
import trio

from relay.core.playlist import MediaPlaylist, MultivariantPlaylist, attribute, parse
from tests.harness.ingests import teacher_running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.harness.ingests import IngestHarness

TEST_S = 50
POLL_S = 0.1
STREAM = "class1"
BOXES = (b"ftyp", b"moof", b"styp")
PACKET_MARK = 0x47  # first byte of every MPEG-TS packet
EVERY_VARIANT = pytest.mark.parametrize("variant", ["lowLatency", "fmp4", "mpegts"])


class Reader:
    """A relay's view of one stream: the secret on every request, URIs relative to the index."""

    def __init__(self, client: httpx.AsyncClient, ingest: IngestHarness) -> None:
        self.client = client
        self.headers = ingest.headers
        self.base_url = ingest.base_url(STREAM)

    async def get(self, uri: str, *, secret: bool = True) -> httpx.Response:
        """Fetch a URI of the stream."""
        return await self.client.get(
            urljoin(self.base_url, uri), headers=self.headers if secret else {}, timeout=TEST_S
        )

    async def index(self) -> MultivariantPlaylist:
        """Wait until there is a picture and return the multivariant playlist."""
        while (answer := await self.get("index.m3u8")).status_code in {401, 404, 500}:
            await trio.sleep(POLL_S)
        assert answer.status_code == 200
        playlist = parse(answer.text)
        assert isinstance(playlist, MultivariantPlaylist)
        return playlist

    async def media(self, uri: str) -> MediaPlaylist:
        """Return a media playlist."""
        answer = await self.get(uri)
        assert answer.status_code == 200, answer.text
        playlist = parse(answer.text)
        assert isinstance(playlist, MediaPlaylist)
        return playlist

    async def body(self, uri: str) -> bytes:
        """Return the bytes of an init section, a segment or a part."""
        answer = await self.get(uri)
        assert answer.status_code == 200
        return answer.content


@pytest.fixture
async def reader(ingest: IngestHarness) -> AsyncIterator[Reader]:
    async with httpx.AsyncClient() as client:
        yield Reader(client, ingest)


def real(playlist: MediaPlaylist) -> list[str]:
    """Return the URIs of the segments that are there to be fetched."""
    return [segment.uri for segment in playlist.segments if not segment.gap]


def parts(playlist: MediaPlaylist) -> list[tuple[int, int, str]]:
    """Return msn, index and URI of every part listed."""
    listed = [*playlist.segments, *([playlist.open_segment] if playlist.open_segment else [])]
    return [(s.msn, i, part.uri) for s in listed for i, part in enumerate(s.parts)]


def following(playlist: MediaPlaylist) -> tuple[int, int]:
    """Return msn and index of the part that will be listed next.

    After a whole segment that is part 0 of the next one: asked for one part more of the segment that
    is complete, MediaMTX answers only when the *next* segment is complete, two seconds late.
    """
    opened = playlist.open_segment
    return (opened.msn, len(opened.parts)) if opened else (playlist.segments[-1].msn + 1, 0)


@EVERY_VARIANT
async def test_every_rendition_can_be_read(
    ingest: IngestHarness, reader: Reader, tmp_path: Path, variant: str
) -> None:
    with trio.fail_after(TEST_S):
        async with teacher_running(ingest.publish_url(STREAM), tmp_path):
            index = await reader.index()
            (only,) = index.variants
            codecs = attribute(only.attributes, "CODECS") or ""
            assert "avc1." in codecs
            assert "mp4a.40.2" in codecs
            assert int(attribute(only.attributes, "BANDWIDTH") or 0) > 0
            for uri in [only.uri, *(media.uri for media in index.media if media.uri)]:
                playlist = await reader.media(uri)
                segment = next(s for s in playlist.segments if not s.gap)
                assert segment.program_date_time_s is not None
                assert max(s.duration_s for s in playlist.segments) <= playlist.target_duration_s + 0.5
                body = await reader.body(segment.uri)
                if variant == "mpegts":
                    assert body[0] == PACKET_MARK
                    assert segment.map is None
                else:
                    assert body[4:8] in BOXES
                    assert segment.map is not None
                    assert (await reader.body(segment.map.uri))[4:8] == b"ftyp"


async def test_a_blocking_reload_answers_with_the_part_asked_for(
    ingest: IngestHarness, reader: Reader, tmp_path: Path
) -> None:
    with trio.fail_after(TEST_S):
        async with teacher_running(ingest.publish_url(STREAM), tmp_path):
            uri = (await reader.index()).variants[0].uri
            playlist = await reader.media(uri)
            assert playlist.server_control.can_block_reload
            assert playlist.part_target_s == pytest.approx(0.5, abs=0.1)
            for _ in range(6):  # across a segment's end
                msn, index = following(playlist)
                playlist = await reader.media(f"{uri}?_HLS_msn={msn}&_HLS_part={index}")
                assert parts(playlist)[-1][:2] == (msn, index)


async def test_the_hinted_part_comes_as_soon_as_it_is_made(
    ingest: IngestHarness, reader: Reader, tmp_path: Path
) -> None:
    with trio.fail_after(TEST_S):
        async with teacher_running(ingest.publish_url(STREAM), tmp_path):
            uri = (await reader.index()).variants[0].uri
            for _ in range(6):
                (hint,) = (await reader.media(uri)).preload_hints
                body = await reader.body(hint.uri)
                assert body[4:8] in BOXES
                assert hint.uri in [part[2] for part in parts(await reader.media(uri))]


async def test_a_segment_is_its_parts_in_a_row(ingest: IngestHarness, reader: Reader, tmp_path: Path) -> None:
    with trio.fail_after(TEST_S):
        async with teacher_running(ingest.publish_url(STREAM), tmp_path):
            playlist = await reader.media((await reader.index()).variants[0].uri)
            segment = playlist.segments[-1]
            pieces = [await reader.body(part.uri) for part in segment.parts]
            assert b"".join(pieces) == await reader.body(segment.uri)
            assert segment.parts[0].independent


@EVERY_VARIANT
async def test_a_publisher_who_returns_starts_from_nothing(
    ingest: IngestHarness, reader: Reader, tmp_path: Path, variant: str
) -> None:
    with trio.fail_after(TEST_S):
        async with teacher_running(ingest.publish_url(STREAM), tmp_path):
            uri = (await reader.index()).variants[0].uri
            before = await reader.media(uri)
        await _gone(reader)
        assert (await reader.get(uri)).status_code in {401, 404}
        async with teacher_running(ingest.publish_url(STREAM), tmp_path):
            after = await reader.media((await reader.index()).variants[0].uri)
        assert not set(real(before)) & set(real(after))
        assert after.media_sequence <= before.media_sequence + 1
        assert after.discontinuity_sequence == 0


async def _gone(reader: Reader) -> None:
    """Wait until the ingest has noticed that the publisher left."""
    while (await reader.get("index.m3u8")).status_code != 404:
        await trio.sleep(POLL_S)


async def test_who_reads_without_the_secret_sees_nothing(
    ingest: IngestHarness, reader: Reader, tmp_path: Path
) -> None:
    with trio.fail_after(TEST_S):
        async with teacher_running(ingest.publish_url(STREAM), tmp_path):
            uri = (await reader.index()).variants[0].uri
            playlist = await reader.media(uri)
            assert (await reader.get("index.m3u8", secret=False)).status_code in {302, 401}
            for protected in (uri, real(playlist)[0]):
                assert (await reader.get(protected, secret=False)).status_code == 401


async def test_what_is_not_there_is_said_by_the_status(
    ingest: IngestHarness, reader: Reader, tmp_path: Path
) -> None:
    with trio.fail_after(TEST_S):
        assert (await reader.get("index.m3u8")).status_code == 404
        assert (await reader.get("video1_stream.m3u8")).status_code in {401, 404}
        async with teacher_running(ingest.publish_url(STREAM), tmp_path):
            uri = (await reader.index()).variants[0].uri
            assert (await reader.get("000000000000_video1_seg9.mp4")).status_code == 404
            assert (await reader.get(f"{uri}?_HLS_msn=999999&_HLS_part=0")).status_code == 400


async def test_two_streams_do_not_mix(ingest: IngestHarness, reader: Reader, tmp_path: Path) -> None:
    with trio.fail_after(TEST_S):
        async with teacher_running(ingest.publish_url(STREAM), tmp_path):
            here = real(await reader.media((await reader.index()).variants[0].uri))
            assert (await reader.get("../class2/index.m3u8")).status_code == 404
            assert (await reader.get("../class2/" + here[0])).status_code in {401, 404}


async def test_the_ingest_ends_when_asked(ingest: IngestHarness) -> None:
    with trio.fail_after(TEST_S):
        await ingest.child.stop()
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient() as client:
                await client.get(ingest.hls_url)
