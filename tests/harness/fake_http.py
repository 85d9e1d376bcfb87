"""A raw HTTP/1.1 server whose every byte the test decides, over memory or real sockets.

Over memory (`connect`) it runs under an autojump clock; over sockets (`url`) in real time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace

import trio
from trio.testing import memory_stream_pair

MAX_HEAD_BYTES = 64 * 1024
CRLF = b"\r\n"


@dataclass(frozen=True)
class ReceivedRequest:
    """One request as it came in; header names are lower-case."""

    method: str
    target: str
    headers: dict[str, str]
    connection: int
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> dict[str, str]:
        pairs = [p.partition("=") for p in self.target.partition("?")[2].split("&") if p]
        return {name: value for name, _, value in pairs}


Handler = Callable[[ReceivedRequest, trio.abc.Stream], Awaitable[None]]


@dataclass
class FakeServer:
    """Calls `handler` for each request; the handler writes bytes, sleeps or closes the stream."""

    handler: Handler
    requests: list[ReceivedRequest] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self._to_serve, self._incoming = trio.open_memory_channel[trio.abc.Stream](16)

    async def connect(self, origin: object = None) -> trio.abc.Stream:
        """Return the client's end of a new in-memory connection."""
        ours, theirs = memory_stream_pair()
        await self._to_serve.send(ours)
        return theirs

    async def run(
        self,
        *,
        sockets: bool = False,
        host: str = "127.0.0.1",
        ssl_context: object = None,
        task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; reports its address, which is a dead one over memory."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._accept_memory, nursery)
            if sockets:
                listeners = await trio.open_tcp_listeners(0, host=host)
                port = listeners[0].socket.getsockname()[1]
                scheme = "https" if ssl_context else "http"
                self.url = f"{scheme}://{host}:{port}"
                served = (
                    [trio.SSLListener(one, ssl_context) for one in listeners] if ssl_context else listeners
                )
                await nursery.start(trio.serve_listeners, self._serve, served)
            else:
                self.url = "http://origin.test"
            task_status.started(self.url)

    async def _accept_memory(self, nursery: trio.Nursery) -> None:
        async for stream in self._incoming:
            nursery.start_soon(self._serve, stream)

    async def _serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        self.open_connections += 1
        number, buffer = self.connections, b""
        try:
            async with stream:
                while True:
                    while CRLF * 2 not in buffer and len(buffer) < MAX_HEAD_BYTES:
                        data = await stream.receive_some()
                        if not data:
                            return
                        buffer += data
                    head, _, buffer = buffer.partition(CRLF * 2)
                    request = _parse(head, number)
                    length = int(request.headers.get("content-length", "0"))
                    while len(buffer) < length:
                        data = await stream.receive_some()
                        if not data:
                            return
                        buffer += data
                    request = replace(request, body=buffer[:length])
                    buffer = buffer[length:]
                    self.requests.append(request)
                    await self.handler(request, stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.open_connections -= 1


def _parse(head: bytes, connection: int) -> ReceivedRequest:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return ReceivedRequest(method, target, headers, connection)


def reply(
    body: bytes = b"",
    status: int = 200,
    headers: Iterable[tuple[str, str]] = (),
    *,
    chunked: bool = False,
    length: int | None = None,
) -> bytes:
    """Return an answer's bytes; `length` may lie about the body."""
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers)]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
        body = chunk(body) + chunk(b"")
    else:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + CRLF * 2 + body


def chunk(body: bytes) -> bytes:
    """Return one chunk; the empty one ends a body."""
    return f"{len(body):x}".encode() + CRLF + body + CRLF


async def drip(stream: trio.abc.Stream, data: bytes, every_s: float, size: int = 1) -> None:
    """Send `size` bytes every so often."""
    for start in range(0, len(data), size):
        await stream.send_all(data[start : start + size])
        await trio.sleep(every_s)
