"""A relay process under a master that orders, forgets, falls silent and comes back."""

import functools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import trio

from relay.base.cluster_protocol import Heartbeat, Orders, Registration, StreamOrder
from relay.base.signing import seal
from relay.base.tokens import mint_viewer
from relay.core.playlist import MediaPlaylist, MultivariantPlaylist, parse
from tests.harness.fake_http import FakeServer
from tests.harness.fake_master import FakeMaster
from tests.harness.fake_origin import HlsOrigin
from tests.harness.relays import RelayProcess, relay_running

DEADLINE_S = 40.0
NODE_KEY = bytes(range(32))
KEY = b"k" * 32
BEARER = "the ingest's secret"


@functools.cache
def token(name: str) -> str:
    now_s = time.time()
    return mint_viewer(
        KEY,
        subject=name,
        token_id=f"id-{name}",
        classroom="class1",
        issued_at_s=now_s,
        expires_at_s=now_s + 600,
    )


@asynccontextmanager
async def cluster(tmp_path: Path) -> AsyncIterator[tuple[FakeMaster, HlsOrigin, RelayProcess]]:
    origin = HlsOrigin(segment_s=(1.0,), part_s=0.25, secret=BEARER)
    master = FakeMaster(NODE_KEY)
    server = FakeServer(master.answer)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            for one in (origin.server, server):
                await nursery.start(
                    lambda task_status, one=one: one.run(sockets=True, task_status=task_status)
                )
            origin.publish()
            master.orders = Orders(
                1,
                viewer_keys=(seal(NODE_KEY, KEY),),
                streams=(StreamOrder("class1", (origin.url,), seal(NODE_KEY, BEARER.encode())),),
                heartbeat_interval_s=0.5,
            )
            env = {
                "MASTER_URL": server.url,
                "NODE_KEY": f"n1:{NODE_KEY.hex()}",
                "NODE_ZONE": "10.0.0.0/8",
            }
            async with relay_running(folder=tmp_path, env=env) as relay:

                async def plays() -> bool:
                    return await status(relay, "ann") == 200

                await relay.until(plays)
                yield master, origin, relay
            nursery.cancel_scope.cancel()


async def status(relay: RelayProcess, name: str) -> int:
    """Return the answer to a viewer; 0 when the relay has just closed the kept connection."""
    try:
        return (await relay.get(f"/t/{token(name)}/class1/index.m3u8")).status_code
    except httpx.RemoteProtocolError:
        return 0


async def newest(relay: RelayProcess, name: str) -> int:
    base = f"/t/{token(name)}/class1/"
    index = parse((await relay.get(f"{base}index.m3u8")).text)
    assert isinstance(index, MultivariantPlaylist)
    listed = parse((await relay.get(base + index.variants[0].uri)).text)
    assert isinstance(listed, MediaPlaylist)
    return listed.media_sequence + len(listed.segments)


async def test_a_relay_does_what_it_is_told(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (master, _, relay):
        first = master.seen("register")[0]
        assert isinstance(first, Registration)
        assert (first.node_id, first.zone, first.admin_url) == ("n1", ("10.0.0.0/8",), relay.admin)

        async def reported() -> bool:
            beat = master.seen("heartbeat")[-1]
            assert isinstance(beat, Heartbeat)
            return [s.state for s in beat.streams] == ["live"] and beat.connections == 1

        await newest(relay, "ann")
        await relay.until(reported)
        assert await relay.metric("master_connected") == 1

        beats = len(master.seen("heartbeat"))
        master.set(replace_orders(master.orders, revoked=("id-ann",)))

        async def refused() -> bool:
            return await status(relay, "ann") == 403

        told_s = trio.current_time()
        await relay.until(refused)
        assert trio.current_time() - told_s < 1.0
        assert await relay.metric("viewers") == 0

        async def left() -> bool:
            """Whether the master has heard of it; one heartbeat may have been under way."""
            since = master.seen("heartbeat")[beats:][:3]
            return any(
                b.connections == 0 and b.gone == ("id-ann",) for b in since if isinstance(b, Heartbeat)
            )

        await relay.until(left)
        assert await status(relay, "bob") == 200

        master.set(replace_orders(master.orders, drain=True))

        async def moved_away() -> bool:
            return await status(relay, "bob") == 410

        await relay.until(moved_away)
        assert any("draining" in reason for reason in await relay.reasons())
        master.set(replace_orders(master.orders, drain=False))
        await relay.until_live()

        master.signs = False  # somebody else answers at the master's address
        master.set(replace_orders(master.orders, drain=True))

        async def lost() -> bool:
            return await relay.metric("master_connected") == 0

        await relay.until(lost)
        assert await status(relay, "bob") == 200, "an order that is not signed is not carried out"
        master.signs = True

        master.set(replace_orders(master.orders, drain=False, streams=()))

        async def gone() -> bool:
            return await status(relay, "bob") == 404

        await relay.until(gone)
        log = relay.child.output()
        for secret in (NODE_KEY.hex(), BEARER, token("ann")):
            assert secret not in log


async def test_students_play_on_while_the_master_is_away(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (master, origin, relay):
        before = await newest(relay, "ann")
        master.down = True

        async def lost() -> bool:
            return await relay.metric("master_connected") == 0

        await relay.until(lost)

        async def plays_on() -> bool:
            return await newest(relay, "ann") > before + 3

        await relay.until(plays_on)
        assert await relay.metric("master_connected") == 0
        assert await status(relay, "bob") == 200  # the key is known: joining students get in
        assert not await relay.reasons()
        origin.publish("bbbbbbbbbbbb")  # a new session, and nobody to number it
        last = await newest(relay, "ann")

        async def went_on() -> bool:
            return await newest(relay, "ann") > last + 1

        await relay.until(went_on)

        registered = len(master.seen("register"))
        master.down = False
        back_s = trio.current_time()

        async def back() -> bool:
            return await relay.metric("master_connected") == 1

        await relay.until(back)
        assert trio.current_time() - back_s < 5.0
        again = master.seen("register")[registered:]
        assert len(again) == 1
        assert isinstance(again[0], Registration)
        assert len(again[0].epochs) == 2
        assert relay.child.output().count("master.lost") == 1


def replace_orders(orders: Orders, **changes: object) -> Orders:
    """Return newer orders."""
    return msgspec.structs.replace(orders, version=orders.version + 1, **changes)
