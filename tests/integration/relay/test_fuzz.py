"""Mutations of real requests over real sockets: the process lives, serves on, and logs no traceback."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import trio

from relay.core.playlist import MultivariantPlaylist, parse
from tests.harness.fake_origin import HlsOrigin
from tests.harness.hostile_requests import PIECES, REAL, mutate
from tests.harness.relays import RelayProcess, relay_running

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 60.0
ROUNDS = 600
AT_A_TIME = 8
ANSWER_S = 2.0
WEBSOCKET = (
    b"GET /live/index.m3u8 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: \xff\xfe\r\n\r\n\x81\x85trailing bytes"
)


def bent(chance: random.Random) -> bytes:
    """Return some requests with something wrong in them."""
    real = [*REAL, WEBSOCKET]
    data = b"".join(chance.choices(real, k=chance.randint(1, 3))).replace(b"class1", b"live")
    hows = ["insert", "delete", "replace", "double"]
    changes = [
        (chance.choice(hows), chance.randrange(10**6), chance.choice(PIECES))
        for _ in range(chance.randint(0, 6))
    ]
    return mutate(data, changes)


async def send(relay: RelayProcess, data: bytes, leave: bool) -> None:
    """Send bytes, cut anywhere; read what comes, or leave at once."""
    host, _, port = relay.url.removeprefix("http://").partition(":")
    stream = await trio.open_tcp_stream(host, int(port))
    async with stream:
        try:
            half = len(data) // 2
            await stream.send_all(data[:half])
            await stream.send_all(data[half:])
            if not leave:
                with trio.move_on_after(ANSWER_S):
                    await stream.send_eof()
                    async for _ in stream:
                        pass
        except trio.BrokenResourceError:
            pass


async def test_no_request_brings_the_relay_down(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    origin = HlsOrigin(segment_s=(1.0,), part_s=0.25)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: origin.server.run(sockets=True, task_status=task_status))
            origin.publish()
            async with relay_running("--origin", origin.url, "--public", folder=tmp_path) as relay:
                await relay.until_live()
                for _ in range(ROUNDS // AT_A_TIME):
                    async with trio.open_nursery() as crowd:
                        for _ in range(AT_A_TIME):
                            crowd.start_soon(send, relay, bent(chance), chance.random() < 0.2)
                assert relay.child.returncode is None, f"seed {seed}"
                assert isinstance(parse((await relay.get("/live/index.m3u8")).text), MultivariantPlaylist)
                assert await relay.metric("refused_total", reason="internal") == 0, f"seed {seed}"
                assert await relay.metric("refused_total", reason="400") > 0

                async def left() -> bool:
                    return await relay.metric("connections") <= 2 and await relay.metric("waiters") == 0

                await relay.until(left)
                assert "Traceback" not in relay.child.output(), f"seed {seed}"
            nursery.cancel_scope.cancel()
