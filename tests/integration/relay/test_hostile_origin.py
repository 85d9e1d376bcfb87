"""A real relay process before origins that lie, dawdle and swell: it says why, lives on, and recovers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from relay.core.playlist import Map, MediaPlaylist, MultivariantPlaylist, Part, PreloadHint, parse, render
from tests.harness.fake_http import FakeServer, ReceivedRequest, chunk, reply
from tests.harness.fake_origin import HlsOrigin
from tests.harness.relays import RelayProcess, relay_running

DEADLINE_S = 40.0
MORE_ASKS = 4
MAX_GROWTH_BYTES = 160 * 1024 * 1024

Fault = Callable[[ReceivedRequest, trio.abc.Stream], Awaitable[None]]


@asynccontextmanager
async def watched(
    tmp_path: Path, *more: str, pointing: tuple[str, str] | None = None
) -> AsyncIterator[tuple[HlsOrigin, RelayProcess]]:
    origin = HlsOrigin(segment_s=(1.0,), part_s=0.25, secret="s3cret")
    if pointing is not None:
        origin.before = _pointing(origin, *pointing)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: origin.server.run(sockets=True, task_status=task_status))
            origin.publish()
            env = {"HLS_CDN_SECRET": "s3cret"}
            async with relay_running(
                "--public", "--origin", origin.url, *more, folder=tmp_path, env=env
            ) as relay:
                yield origin, relay
            nursery.cancel_scope.cancel()


async def endless(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await stream.send_all(chunk(b"#" * 65_536))


async def promised_100_mb(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await stream.send_all(reply(b"#EXTM3U\n", length=100_000_000))


async def gzip_bomb(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await stream.send_all(reply(b"\x1f\x8b" + b"\0" * 1000, headers=[("Content-Encoding", "gzip")]))


async def cut_off(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await stream.send_all(reply(b"#EXTM3U\n" * 400, chunked=True)[:-7])
    await stream.aclose()


async def garbage(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await stream.send_all(bytes(range(256)) * 4)


async def no_playlist(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await stream.send_all(reply(b"<html>It works!</html>"))


async def silence(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


async def stuck_half_way(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await stream.send_all(reply(b"#EXTM3U\n", length=1000))
    await trio.sleep_forever()


async def many_headers(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200_000)


INDEX, PLAYLIST, OBJECT = "index.m3u8", "video1_stream.m3u8", "_video1_"


@pytest.mark.parametrize(
    ("fault", "where", "kind"),
    [
        (endless, PLAYLIST, "too_large"),
        (endless, OBJECT, "too_large"),
        (promised_100_mb, INDEX, "too_large"),
        (gzip_bomb, PLAYLIST, "refused"),
        (gzip_bomb, OBJECT, "refused"),
        (cut_off, PLAYLIST, "truncated"),
        (cut_off, OBJECT, "truncated"),
        (garbage, INDEX, "protocol"),
        (many_headers, OBJECT, "protocol"),
        (silence, PLAYLIST, "timeout"),
        (stuck_half_way, OBJECT, "timeout"),
    ],
)
async def test_a_fault_is_counted_and_survived(fault: Fault, where: str, kind: str, tmp_path: Path) -> None:
    async with watched(tmp_path) as (origin, relay):
        await relay.until_live()
        before_bytes = await relay.metric("process_resident_memory_bytes")
        hit = 0

        async def hook(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
            nonlocal hit
            if where not in request.path:
                return False
            hit += 1
            await fault(request, stream)
            return True

        origin.before = hook
        if where == INDEX:
            origin.publish("bbbbbbbbbbbb")  # the relay has to ask for the index again

        async def counted() -> bool:
            return bool(await relay.metric("origin_failures_total", kind=kind))

        await relay.until(counted)
        assert hit
        growth_bytes = await relay.metric("process_resident_memory_bytes") - before_bytes
        assert growth_bytes < MAX_GROWTH_BYTES

        origin.before = None
        origin.publish("cccccccccccc")
        fetched = await relay.metric("stream_fetched_objects_total", kind="part")

        async def plays() -> bool:
            more = await relay.metric("stream_fetched_objects_total", kind="part") > fetched + 4
            return more and bool(await relay.metric("stream_state", state="live"))

        await relay.until(plays)
        assert "Traceback" not in relay.child.output()


async def test_what_is_no_playlist_is_said_once(tmp_path: Path) -> None:
    async with watched(tmp_path) as (origin, relay):

        async def hook(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
            await no_playlist(request, stream)
            return True

        origin.before = hook

        async def said() -> bool:
            return any("line 1" in reason for reason in await relay.reasons())

        await relay.until(said)
        await _asked_more(origin, relay, "index.m3u8")
        assert relay.child.output().count("reason=line 1") == 1
        origin.before = None
        await relay.until_live()


@pytest.mark.parametrize(
    ("place", "uri"),
    [
        ("segment", "http://CANARY/x.mp4"),
        ("part", "//CANARY/x.mp4"),
        ("map", "http://CANARY/x.mp4"),
        ("hint", "http://CANARY/x.mp4"),
        ("rendition", "http://CANARY/x.m3u8"),
        ("redirect", "http://CANARY/x.mp4"),
        ("segment", "file:///etc/passwd"),
        ("rendition", "file:///etc/passwd"),
    ],
)
async def test_the_relay_goes_nowhere_else(place: str, uri: str, tmp_path: Path) -> None:
    """Server-side request forgery: no address but the origin's own is ever asked."""

    async def caught(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(reply(b"secret of the neighbour"))

    canary = FakeServer(caught)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: canary.run(sockets=True, task_status=task_status))
        elsewhere = uri.replace("CANARY", canary.url.removeprefix("http://"))
        async with watched(tmp_path, pointing=(place, elsewhere)) as (_, relay):

            async def refused() -> bool:
                counted = await relay.metric("origin_failures_total", kind="refused")
                return counted > 0 or any("refused" in reason for reason in await relay.reasons())

            await relay.until(refused)
            assert canary.connections == 0
            assert relay.child.returncode is None
            assert "Traceback" not in relay.child.output()
        nursery.cancel_scope.cancel()


def _pointing(
    origin: HlsOrigin, place: str, elsewhere: str
) -> Callable[[ReceivedRequest, trio.abc.Stream], Awaitable[bool]]:
    """Return a hook that lets one kind of address point elsewhere."""

    async def hook(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
        if place == "redirect" and "_video1_" in request.path:
            await stream.send_all(reply(b"", 302, [("Location", elsewhere)]))
            return True
        if place == "rendition" and request.path.endswith("index.m3u8"):
            text = render(origin.index()).replace("video1_stream.m3u8", elsewhere)
            await stream.send_all(reply(text.encode()))
            return True
        if place in ("rendition", "redirect") or not request.path.endswith("video1_stream.m3u8"):
            return False
        live = origin.publication
        assert live is not None
        await trio.sleep_until(live.parts_of(2)[-1].ready_s)
        playlist = _bent(origin.playlist("video1"), place, elsewhere)
        await stream.send_all(reply(render(playlist).encode()))
        return True

    return hook


def _bent(playlist: MediaPlaylist, place: str, uri: str) -> MediaPlaylist:
    if place == "hint":
        return replace(playlist, preload_hints=(PreloadHint("PART", uri),))
    segments = []
    for segment in playlist.segments:
        if place == "segment" and not segment.gap:
            segment = replace(segment, uri=uri, parts=())
        elif place == "part" and segment.parts:
            segment = replace(segment, parts=tuple(Part(uri, p.duration_s) for p in segment.parts))
        elif place == "map":
            segment = replace(segment, map=Map(uri))
        segments.append(segment)
    opened = playlist.open_segment
    if opened is not None and place == "map":
        opened = replace(opened, map=Map(uri))
    return replace(playlist, segments=tuple(segments), open_segment=opened)


async def test_an_origin_that_is_absent_then_there_then_gone_then_back(tmp_path: Path) -> None:
    async with watched(tmp_path) as (origin, relay):
        await relay.until_live()
        origin.unpublish()

        async def in_state(state: str) -> bool:
            return bool(await relay.metric("stream_state", state=state))

        await relay.until(lambda: in_state("reconnecting"))
        listed = (await relay.get("/live/index.m3u8")).status_code
        assert listed == 200  # the last window stays
        await _asked_more(origin, relay, "index.m3u8")
        origin.publish("eeeeeeeeeeee")
        await relay.until(lambda: in_state("live"))
        log = relay.child.output()
        assert log.count("stream.live") == 2
        assert log.count("stream.lost") <= 3
        assert "s3cret" not in log


async def _asked_more(origin: HlsOrigin, relay: RelayProcess, name: str) -> None:
    """Wait until the relay has asked the origin for something MORE_ASKS times again."""
    before = origin.fetches(name)

    async def asked() -> bool:
        return origin.fetches(name) >= before + MORE_ASKS

    await relay.until(asked)


async def test_a_wrong_secret_is_said_so(tmp_path: Path) -> None:
    async with watched(tmp_path) as (origin, relay):
        origin.secret = "another"
        origin.publish()

        async def said() -> bool:
            return any("401" in reason for reason in await relay.reasons())

        await relay.until(said)


@pytest.mark.parametrize("fault", ["gone", "silent"])
async def test_the_second_origin_takes_over(fault: str, tmp_path: Path) -> None:
    """Within two target durations, with the numbers going on."""
    other = HlsOrigin(segment_s=(1.0,), part_s=0.25, secret="s3cret")
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: other.server.run(sockets=True, task_status=task_status))
        other.publish("ffffffffffff")
        async with watched(tmp_path, "--origin", other.url) as (origin, relay):
            await relay.until_live()
            last = await _video(relay)
            assert other.server.requests == []
            if fault == "gone":
                origin.unpublish()
            else:
                origin.before = _never
            began_s = trio.current_time()

            async def went_on() -> bool:
                listed = await _video(relay)
                return any("ffffffffffff" in r.target for r in other.server.requests) and (
                    listed.media_sequence + len(listed.segments)
                    > last.media_sequence + len(last.segments) + 1
                )

            await relay.until(went_on)
            assert trio.current_time() - began_s < 2 * last.target_duration_s
            listed = await _video(relay)
            assert listed.media_sequence >= last.media_sequence
            assert any(segment.discontinuity for segment in listed.segments)
        nursery.cancel_scope.cancel()


async def _never(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
    await trio.sleep_forever()
    raise AssertionError


async def _video(relay: RelayProcess) -> MediaPlaylist:
    index = parse((await relay.get("/live/index.m3u8")).text)
    assert isinstance(index, MultivariantPlaylist)
    listed = parse((await relay.get(f"/live/{index.variants[0].uri}")).text)
    assert isinstance(listed, MediaPlaylist)
    return listed
