"""A real relay on bad cables: loss, narrow readers, partitions, hangs, distance. Real time, real viewers."""

import json
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from relay.core.playlist import MediaPlaylist, MultivariantPlaylist, parse
from tests.harness.delay_proxy import DelayProxy
from tests.harness.fake_origin import HlsOrigin
from tests.harness.netns import NetworkNamespace, lab
from tests.harness.relays import RelayProcess, relay_running

pytestmark = pytest.mark.timing

DEADLINE_S = 70.0
ROOT = Path(__file__).parents[3]
SECONDS = 8.0
VANISHING = 20
SEGMENTS_UNREAD = 40
SEGMENTS_HUNG = 3
PART_BYTES = 60_000  # of half a second: about 1 Mb/s


@asynccontextmanager
async def cabled(
    tmp_path: Path, *cables: str, delay_s: float = 0.0
) -> AsyncIterator[tuple[NetworkNamespace, HlsOrigin, RelayProcess]]:
    """Run an origin at our end of the cable `up` and a relay at the other."""
    with lab("up", *cables) as net, trio.fail_after(DEADLINE_S):
        origin = HlsOrigin(part_bytes=PART_BYTES)
        up = net.cables["up"]
        async with trio.open_nursery() as nursery:
            await nursery.start(
                lambda task_status: origin.server.run(sockets=True, host=up.ours, task_status=task_status)
            )
            url = origin.url
            if delay_s:
                port = int(origin.server.url.rpartition(":")[2])
                proxy_port = await nursery.start(DelayProxy(up.ours, port, delay_s).run)
                url = url.replace(f":{port}/", f":{proxy_port}/")
            origin.wall_start_s = time.time() - trio.current_time()
            origin.publish()
            relay = relay_running(
                *("--public", "--origin", url, "--host", "0.0.0.0", "--port", "8080"),
                folder=tmp_path,
                prefix=net.prefix,
                env={"RELAY_ADMIN_BIND": "0.0.0.0:0"},
            )
            async with relay as inside:
                seen_from = net.cables["down" if "down" in net.cables else "up"].theirs
                admin_port = inside.admin.rpartition(":")[2]
                yield (
                    net,
                    origin,
                    replace(inside, url=f"http://{seen_from}:8080", admin=f"http://{seen_from}:{admin_port}"),
                )
            nursery.cancel_scope.cancel()


async def crowd(url: str, viewers: int, seconds: float, folder: Path) -> dict[str, object]:
    """Let viewers that behave like hls.js watch, and return what they saw."""
    result = folder / f"crowd-{time.monotonic_ns()}.json"
    await trio.run_process(
        [sys.executable, "-m", "benchmarks.viewers", str(viewers), "--url", f"{url}/live/index.m3u8"]
        + ["--seconds", str(seconds), "--ramp", "1", "--json", str(result)],
        cwd=ROOT,
        check=False,
        capture_stdout=True,
    )
    seen = json.loads(result.read_text())["result"]
    assert isinstance(seen, dict)
    return seen


async def video(relay: RelayProcess) -> str:
    """Return the path of the picture's playlist."""
    index = parse((await relay.get("/live/index.m3u8")).text)
    assert isinstance(index, MultivariantPlaylist)
    return f"/live/{index.variants[0].uri}"


async def playlist(relay: RelayProcess) -> MediaPlaylist:
    answer = await relay.get(await video(relay))
    assert answer.status_code == 200
    parsed = parse(answer.text)
    assert isinstance(parsed, MediaPlaylist)
    return parsed


def newest(listed: MediaPlaylist) -> int:
    return listed.media_sequence + len(listed.segments)


async def test_two_percent_of_loss_each_way_is_not_noticed(tmp_path: Path) -> None:
    async with cabled(tmp_path, "down") as (net, _, relay):
        await relay.until_live()
        net.lose("up", 0.02)
        net.lose("down", 0.02)
        seen = await crowd(relay.url, 10, SECONDS, tmp_path)
        assert (seen["started"], seen["stalls"]) == (10, 0)
        assert await relay.metric("stream_gaps_total") == 0


async def test_a_reader_behind_a_narrow_line_harms_nobody_else(tmp_path: Path) -> None:
    async with cabled(tmp_path, "down", "slow") as (net, _, relay):
        await relay.until_live()
        net.narrow("slow", "1mbit")
        slow = f"http://{net.cables['slow'].theirs}:8080"
        outcome: dict[str, dict[str, object]] = {}

        async def watch(name: str, url: str, viewers: int) -> None:
            outcome[name] = await crowd(url, viewers, SECONDS, tmp_path)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, "slow", slow, 6)  # 6 Mb/s wanted
            nursery.start_soon(watch, "well", relay.url, 10)
        assert (outcome["well"]["started"], outcome["well"]["stalls"]) == (10, 0)
        assert outcome["slow"]["stalls"] or outcome["slow"]["started"] != 6


async def test_a_partition_from_the_origin_and_back(tmp_path: Path) -> None:
    async with cabled(tmp_path, "down") as (net, _, relay):
        await relay.until_live()
        before = await playlist(relay)
        net.cut("up")

        async def reconnecting() -> bool:
            return bool(await relay.metric("stream_state", state="reconnecting"))

        await relay.until(reconnecting)
        last = await playlist(relay)
        assert newest(last) >= newest(before)
        assert not last.ended
        # A player waits for what comes next; the relay must not keep it beyond its patience.
        asked_s = trio.current_time()
        held = await relay.get(f"{await video(relay)}?_HLS_msn={newest(last)}&_HLS_part=3")
        assert held.status_code == 200
        assert trio.current_time() - asked_s < 0.8 * last.target_duration_s
        failed = await relay.metric("origin_failures_total", kind="connect")

        async def tried_again() -> bool:
            return await relay.metric("origin_failures_total", kind="connect") > failed

        await relay.until(tried_again)
        net.mend()

        async def moved_on() -> bool:
            return newest(await playlist(relay)) > newest(last) + 1

        await relay.until(moved_on)
        after = await playlist(relay)
        assert after.media_sequence >= last.media_sequence
        known = {s.msn: s.uri for s in last.segments}
        assert all(known.get(s.msn, s.uri) == s.uri for s in after.segments)
        assert after.discontinuity_sequence == last.discontinuity_sequence


async def test_viewers_that_vanish_are_forgotten(tmp_path: Path) -> None:
    """Their cable is cut without a reset, in the middle of what they asked for: only deadlines help."""
    async with cabled(tmp_path, "down", "slow") as (net, _, relay):
        await relay.until_live()
        segment = f"/live/{(await playlist(relay)).segments[-1].uri}"
        asked = f"GET {segment} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * SEGMENTS_UNREAD
        async with AsyncExitStack() as streams:
            for _ in range(VANISHING):
                stream = await trio.open_tcp_stream(net.cables["slow"].theirs, 8080)
                await streams.enter_async_context(stream)
                await stream.send_all(asked)
                await stream.receive_some(1)
            assert await relay.metric("connections") >= VANISHING
            net.cut("slow")

            async def forgotten() -> bool:
                return await relay.metric("slow_readers_cut_total") >= VANISHING

            await relay.until(forgotten)
            assert await relay.metric("connections") < VANISHING
            assert await relay.metric("send_queue_bytes") == 0


async def test_a_relay_that_hangs_for_a_while_goes_on(tmp_path: Path) -> None:
    async with cabled(tmp_path, "down") as (_, origin, relay):
        await relay.until_live()
        before = await playlist(relay)
        relay.child.kill(signal.SIGSTOP)
        live = origin.publication
        assert live is not None
        whole = max(p.segment for p in live.pieces(trio.current_time()) if p.last)
        await trio.sleep_until(live.parts_of(whole + SEGMENTS_HUNG)[-1].ready_s)
        relay.child.kill(signal.SIGCONT)

        async def moved_on() -> bool:
            return newest(await playlist(relay)) > newest(before) + 3

        await relay.until(moved_on)
        seen = await crowd(relay.url, 5, 5, tmp_path)
        assert (seen["started"], seen["stalls"]) == (5, 0)


async def test_an_origin_far_away(tmp_path: Path) -> None:
    """200 ms one way is a round trip of 400 ms, nearly a whole part of 500 ms."""
    delay_s = 0.2
    async with cabled(tmp_path, "down", delay_s=delay_s) as (_, _, relay):
        await relay.until_live()
        seen = await crowd(relay.url, 5, SECONDS, tmp_path)
        assert (seen["started"], seen["stalls"]) == (5, 0)
        assert await relay.metric("stream_gaps_total") == 0
        assert await relay.metric("stream_lag_seconds") < 2 * delay_s + 1.0
