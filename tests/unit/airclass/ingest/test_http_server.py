"""The small server: whole answers, keep-alive, pipelining in order, and limits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from airclass.ingest import http_server
from airclass.ingest.http_server import IngestRequest, IngestResponse

DEADLINE_S = 10


async def echo(request: IngestRequest) -> IngestResponse:
    if request.path == "/fail":
        raise RuntimeError("boom")
    text = f"{request.method} {request.path} {sorted(request.query.items())}"
    return IngestResponse(200, text.encode(), headers={"X-Seen": request.headers.get("x-ask", "")})


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            yield await nursery.start(http_server.serve, echo, "127.0.0.1", 0)
            nursery.cancel_scope.cancel()


async def say(port: int, data: bytes) -> bytes:
    """Send bytes and return all that comes until the server closes."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(data)
        return b"".join([chunk async for chunk in stream])


async def test_an_answer_is_whole() -> None:
    async with server() as port:
        got = await say(
            port, b"GET /a%20b?x=1&y=%2F&x=2 HTTP/1.1\r\nHost: h\r\nX-Ask: 5\r\nConnection: close\r\n\r\n"
        )
    head, _, body = got.partition(b"\r\n\r\n")
    assert body == b"GET /a b [('x', '1'), ('y', '/')]"
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert b"X-Seen: 5" in head


async def test_pipelined_requests_are_answered_in_order() -> None:
    request = b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n"
    data = b"".join(request % n for n in range(3)) + b"GET /z HTTP/1.0\r\n\r\n"
    async with server() as port:
        got = await say(port, data)
    assert [line for line in got.split() if line.startswith(b"/")] == [b"/0", b"/1", b"/2", b"/z"]


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"y" * http_server.MAX_HEAD_BYTES + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /?" + b"&".join(b"a%d=1" % n for n in range(30)) + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_what_breaks_the_rules_is_refused(data: bytes) -> None:
    async with server() as port:
        got = await say(port, data)
        assert b"400 Bad Request" in got or b"Connection: close" in got
        assert b"200 OK" in await say(port, b"GET / HTTP/1.0\r\n\r\n")


async def test_a_failing_handler_costs_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    async with server() as port:
        assert await say(port, b"GET /fail HTTP/1.0\r\n\r\n") == b""
        assert b"200 OK" in await say(port, b"GET / HTTP/1.0\r\n\r\n")
    assert [record.message for record in caplog.records] == ["connection.failed"]


async def test_too_many_connections_are_closed_at_once() -> None:
    async with server() as port:
        held = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(http_server.MAX_CONNECTIONS)]
        for stream in held:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            assert await stream.receive_some()
        extra = await trio.open_tcp_stream("127.0.0.1", port)
        assert await extra.receive_some() == b""
        for stream in [*held, extra]:
            await stream.aclose()
