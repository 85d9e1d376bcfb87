"""A small HTTP/1.1 server for loopback: GET without a body, whole answers, everything bounded.

Knows nothing of HLS. Students never talk to it: the relay stands between.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import httptools
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
MAX_HEAD_BYTES = 8192
READ_BYTES = 8192
IDLE_S = 30.0
WRITE_S = 15.0


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """A parsed request; `query` holds the first value of each name, header names are lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class IngestResponse:
    """An answer; a body of bytes is sent as it is."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)

    def head(self, *, keep: bool) -> bytes:
        """Return status line and headers."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            f"Connection: {'keep-alive' if keep else 'close'}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class _Parser:
    """Collects requests from bytes; `failed` says that the peer broke the rules."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self.requests: list[tuple[IngestRequest, bool]] = []
        self._begin()

    def feed(self, data: bytes) -> bool:
        """Take bytes; False when they are no acceptable request."""
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ValueError):
            return False
        return self._head_bytes <= MAX_HEAD_BYTES

    def _begin(self) -> None:
        self._target = b""
        self._headers: dict[str, str] = {}
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, _body: bytes) -> None:
        raise ValueError("a body is not accepted")

    def on_message_complete(self) -> None:
        url = urlsplit(self._target.decode("latin-1"))
        query = {name: values[0] for name, values in parse_qs(url.query, max_num_fields=16).items()}
        method = self._parser.get_method().decode("latin-1")
        request = IngestRequest(method, unquote(url.path), query, self._headers)
        self.requests.append((request, self._parser.should_keep_alive()))
        self._begin()


async def serve(
    handle: Callable[[IngestRequest], Awaitable[IngestResponse]],
    host: str,
    port: int,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; reports the port that it listens on."""
    open_connections = 0

    async def connection(stream: trio.SocketStream) -> None:
        nonlocal open_connections
        if open_connections >= MAX_CONNECTIONS:
            await stream.aclose()
            return
        open_connections += 1
        try:
            async with stream:
                await _converse(stream, handle)
        except trio.BrokenResourceError:
            pass
        except Exception:  # noqa: BLE001 - the boundary: one connection's failure is its own
            log.exception("connection.failed")
        finally:
            open_connections -= 1

    listeners = await trio.open_tcp_listeners(port, host=host)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(connection, listeners)


async def _converse(
    stream: trio.SocketStream, handle: Callable[[IngestRequest], Awaitable[IngestResponse]]
) -> None:
    parser = _Parser()
    while True:
        with trio.move_on_after(IDLE_S) as idle:
            data = await stream.receive_some(READ_BYTES)
        if idle.cancelled_caught or not data:
            return
        accepted = parser.feed(data)
        requests, parser.requests = parser.requests, []
        for request, keep in requests:
            response = await handle(request)
            await _send(stream, response, keep=keep and accepted)
            if not keep:
                return
        if not accepted:
            await _send(stream, IngestResponse(400, b"this request is not accepted\n"), keep=False)
            return


async def _send(stream: trio.SocketStream, response: IngestResponse, *, keep: bool) -> None:
    with trio.move_on_after(WRITE_S) as slow:
        await stream.send_all(response.head(keep=keep) + response.body)
    if slow.cancelled_caught:
        raise trio.BrokenResourceError("the peer does not read")
