"""The admin port over real sockets."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from relay.core.counters import Counters
from relay.io.admin import server
from relay.io.admin.server import serve_admin

REAL_TIME_S = 8.0


@dataclass
class FakeNode:
    counters: Counters
    reasons: list[str] = field(default_factory=list)
    broken: bool = False

    def readiness(self) -> tuple[bool, list[str]]:
        return not self.reasons, self.reasons

    def refresh(self) -> Counters:
        if self.broken:
            raise ZeroDivisionError
        self.counters.viewers = 7
        return self.counters


@asynccontextmanager
async def port(node: FakeNode) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        with trio.fail_after(REAL_TIME_S):
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(serve_admin, listener, node.counters, node))
                yield number
                nursery.cancel_scope.cancel()


async def exchange(number: int, sent: bytes) -> bytes:
    answer = b""
    async with await trio.open_tcp_stream("127.0.0.1", number) as stream:
        await stream.send_all(sent)
        async for data in stream:
            answer += data
    return answer


async def ask(number: int, target: str, method: str = "GET") -> tuple[int, bytes, bytes]:
    answer = await exchange(number, f"{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.lower(), body


async def test_alive_ready_and_measured() -> None:
    node = FakeNode(Counters())
    async with port(node) as number:
        assert (await ask(number, "/healthz"))[0::2] == (200, b'{"status": "ok"}\n')
        status, head, body = await ask(number, "/readyz?why")
        assert (status, json.loads(body)) == (200, {"ready": True, "reasons": []})
        assert b"cache-control: no-store" in head
        node.reasons = ["live: nobody is publishing"]
        status, _, body = await ask(number, "/readyz")
        assert (status, json.loads(body)) == (503, {"ready": False, "reasons": node.reasons})
        status, head, body = await ask(number, "/metrics")
        assert status == 200
        assert b"content-type: text/plain; version=0.0.4" in head
        assert b"airclass_relay_viewers 7.0" in body


async def test_nothing_else_is_there() -> None:
    async with port(FakeNode(Counters())) as number:
        for target in ("/", "/metrics/", "//metrics", "/../metrics", "/live/index.m3u8"):
            assert (await ask(number, target))[0] == 404
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            status, head, _ = await ask(number, "/metrics", method)
            assert status == 405
            assert b"allow: get, head" in head
        status, head, body = await ask(number, "/readyz", "HEAD")
        assert (status, body) == (200, b"")
        assert b"content-length: 0" not in head


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nA: " + b"a" * server.MAX_HEAD_BYTES * 2, b"431"),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000, b"405"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 3, b"200"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
    ],
)
async def test_odd_requests(sent: bytes, status: bytes) -> None:
    async with port(FakeNode(Counters())) as number:
        answer = await exchange(number, sent)
        assert answer.split()[1] == status
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_dawdler_and_a_silent_peer_are_closed(mock_clock: MockClock) -> None:
    mock_clock.rate = 50
    async with port(FakeNode(Counters())) as number:
        began_s = trio.current_time()
        assert await exchange(number, b"GET /metr") == b""
        assert trio.current_time() - began_s >= server.EXCHANGE_S
        assert (await ask(number, "/healthz"))[0] == 200


async def test_silent_connections_do_not_keep_the_probe_out() -> None:
    """32 of them used to make the node look dead for five seconds, again and again."""
    async with port(FakeNode(Counters())) as number:
        held = [await trio.open_tcp_stream("127.0.0.1", number) for _ in range(3 * server.MAX_CONNECTIONS)]
        assert (await ask(number, "/readyz"))[0] == 200
        for stream in held[: 2 * server.MAX_CONNECTIONS]:
            assert await stream.receive_some() == b"", "the oldest have given way"
        for stream in held:
            await stream.aclose()
        assert (await ask(number, "/readyz"))[0] == 200


async def test_our_own_bug_ends_one_connection(caplog: pytest.LogCaptureFixture) -> None:
    node = FakeNode(Counters(), broken=True)
    async with port(node) as number:
        assert await exchange(number, b"GET /metrics HTTP/1.0\r\n\r\n") == b""
        assert (await ask(number, "/healthz"))[0] == 200
    assert "admin.failed" in caplog.text
