"""For any bytes of an origin, a fetch ends in an OriginResponse or an OriginError, and the next one works."""

from __future__ import annotations

import random

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from relay.base.errors import OriginError
from relay.core.playlist import ByteRange
from relay.io.origin.http_client import OriginClient, OriginLimits, OriginResponse
from tests.harness.fake_http import FakeServer, ReceivedRequest, chunk, reply

MAX_BYTES = 100
WHOLE = 1_000_000
KINDS = {"connect", "timeout", "truncated", "too_large", "refused", "protocol"}
SEEDS = [
    reply(b"x" * 40, headers=[("Content-Type", "video/mp4")]),
    reply(b"x" * 40, chunked=True),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"ab") + b"0\r\nTrailer: x\r\n\r\n",
    reply(b"cdef", 206, [("Content-Range", "bytes 2-5/10")]),
    reply(b"", 302, [("Location", "/live/again")]),
    b"HTTP/1.1 103 Early\r\n\r\n" + reply(b"later"),
    reply(b"one") + reply(b"two"),
]
WORDS = [b"\r\n", b"\n", b"0", b":", b"\0", b"chunked", b"9" * 20, b"Content-Length: 3\r\n", b"HTTP/1.1 "]


def bent(data: bytes, dice: random.Random) -> bytes:
    """Return bytes with a few accidents in them."""
    raw = bytearray(data)
    for _ in range(dice.randint(0, 5)):
        at = dice.randrange(len(raw) + 1)
        match dice.randrange(4):
            case 0:
                raw[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del raw[at : at + dice.randint(1, 9)]
            case 2:
                raw[at:at] = raw[: dice.randint(0, 30)]
            case _:
                raw[at:at] = dice.choice(WORDS)
    return bytes(raw)


async def fetch(data: bytes, size: int, close: bool, byterange: ByteRange | None, handed: list[bytes]) -> str:
    """Return the kind of error, or nothing, of a fetch that is answered with `data`."""

    async def strange(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        if request.path == "/live/good":
            await stream.send_all(reply(b"good"))
            return
        for start in range(0, len(data), size):
            await stream.send_all(data[start : start + size])
            await trio.sleep(0.01)
        if close:
            await stream.aclose()

    server, outcome = FakeServer(strange), ""
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        origin_client = OriginClient(
            server.url, limits=OriginLimits(answer_s=20, progress_s=2), connect=server.connect
        )
        how = {"first_byte_s": 2.0, "max_bytes": MAX_BYTES}
        try:
            answer = await origin_client.get(
                server.url + "/live/x", byterange=byterange, sink=handed.append, **how
            )
            assert isinstance(answer, OriginResponse)
        except OriginError as exc:
            outcome = exc.kind
        # What follows an answer unasked is found when it came with it; over sockets also later.
        if size == WHOLE:
            good = await origin_client.get(server.url + "/live/good", **how)
            assert good.body == b"good"
        await origin_client.aclose()
        nursery.cancel_scope.cancel()
    return outcome


@given(
    st.sampled_from(SEEDS),
    st.integers(0, 2**32),
    st.integers(1, 80) | st.just(WHOLE),
    st.booleans(),
    st.booleans(),
)
def test_any_bytes(data: bytes, seed: int, size: int, close: bool, ranged: bool) -> None:
    handed: list[bytes] = []
    sent = bent(data, random.Random(seed))
    outcome = trio.run(
        fetch,
        sent,
        size,
        close,
        ByteRange(4, 2) if ranged else None,
        handed,
        clock=MockClock(autojump_threshold=0),
    )
    assert outcome in KINDS | {""}
    assert sum(map(len, handed)) <= (4 if ranged else MAX_BYTES)
