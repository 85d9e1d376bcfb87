"""The client that asks an origin: HTTP/1.1 over raw Trio, two connections, every wait bounded.

`get` returns a whole response or raises OriginError. `relay.core.origin.response_reader` decides what a
response must look like, `relay.core.origin.url` which addresses are allowed. Knows nothing of HLS.
"""

from __future__ import annotations

import functools
import os
import socket
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from relay.base.errors import ConfigError, OriginError
from relay.core.counters import OriginCounters
from relay.core.origin.response_reader import OriginResponse, ResponseReader
from relay.core.origin.url import OriginUrl, locate, parse_origin, resolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from relay.core.playlist import ByteRange

    Connect = Callable[[OriginUrl], Awaitable[trio.abc.Stream]]
    Sink = Callable[[bytes], object]

__all__ = ["OriginClient", "OriginLimits", "OriginResponse", "OriginUrl", "dial", "parse_origin", "resolve"]

MAX_CONNECTIONS = 2
MAX_REDIRECTS = 3
RECEIVE_BYTES = 64 * 1024
CLOSE_S = 1.0
_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class OriginLimits:
    """Bounds of every fetch, in seconds and bytes.

    `progress_s` is the longest silence within an answer, `answer_s` the time for all of it once it
    has begun, `queue_s` the wait for one of the two connections.
    """

    connect_s: float = 3.0
    progress_s: float = 5.0
    answer_s: float = 60.0
    queue_s: float = 30.0
    max_playlist_bytes: int = 1_000_000
    max_object_bytes: int = 64 * 1024 * 1024
    keep_alive_s: float = 20.0


@dataclass(slots=True)
class _Connection:
    """One connection; `idle_since_s` (monotonic) is 0.0 until its first answer."""

    stream: trio.abc.Stream
    idle_since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _PendingRequest:
    """One request: where, its bytes, and where the answer goes."""

    target: OriginUrl
    head: bytes
    first_byte_s: float
    reader: ResponseReader
    sink: Sink | None


class OriginClient:
    """Fetches from one origin; a third caller waits until one of two connections is free."""

    def __init__(
        self,
        origin_url: str,
        *,
        bearer: str = "",
        limits: OriginLimits | None = None,
        counters: OriginCounters | None = None,
        connect: Connect | None = None,
        ca_file: str = "",
    ) -> None:
        self.origin = parse_origin(origin_url)
        if not (bearer.isascii() and bearer.isprintable()):
            raise ConfigError(["the origin's bearer token holds characters that no header can carry"])
        self._limits = limits or OriginLimits()
        self._counters = counters if counters is not None else OriginCounters()
        self._connect = connect or functools.partial(dial, ca_file=ca_file)
        self._free = trio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[_Connection] = []
        self._head_tail = "User-Agent: AIRClass-relay\r\nAccept: */*\r\nAccept-Encoding: identity\r\n" + (
            f"Authorization: Bearer {bearer}\r\n" if bearer else ""
        )

    async def get(
        self,
        url: str,
        *,
        first_byte_s: float,
        max_bytes: int,
        byterange: ByteRange | None = None,
        sink: Sink | None = None,
        base_url: str = "",
    ) -> OriginResponse:
        """Return the whole answer to a GET of a URL on the origin's server.

        `url` is absolute, or a playlist's URI when `base_url` tells where the playlist was.
        With `sink`, the body of a 200 or 206 goes there piece by piece (and may have begun when
        OriginError is raised); other bodies stay in the answer. Raises OriginError with `kind`
        connect, timeout, truncated, too_large, refused or protocol.
        """
        self._counters.requests += 1
        try:
            target = self._allowed(resolve(base_url, url) if base_url else url)
            for _ in range(MAX_REDIRECTS + 1):
                reader = ResponseReader(max_bytes, byterange)
                body = await self._fetch(
                    _PendingRequest(target, self._head(target, byterange), first_byte_s, reader, sink)
                )
                if reader.status not in _REDIRECTS:
                    return OriginResponse(reader.status, reader.headers, body, target.url)
                target = self._allowed(resolve(target.url, reader.headers.get("location", "")))
            raise OriginError(f"the origin redirects more than {MAX_REDIRECTS} times", "refused")
        except OriginError as exc:
            self._counters.failed[exc.kind] += 1
            raise

    async def aclose(self) -> None:
        """Close the idle connections; a fetch under way closes its own when it is cancelled."""
        while self._idle:
            await _close(self._idle.pop().stream)

    def _allowed(self, url: str) -> OriginUrl:
        target = locate(url)
        if not target.same_server(self.origin):
            raise OriginError(
                "the origin points to another server: only its own scheme, host and port are followed",
                "refused",
            )
        return target

    async def _fetch(self, ask: _PendingRequest) -> bytes:
        """Make one request, twice when an idle connection turns out to have been closed."""
        with _deadline(self._limits.queue_s, "both connections to the origin stayed busy"):
            await self._free.acquire()
        try:
            idle = await self._idle_connection()
            if idle is not None:
                try:
                    return await self._exchange(idle, ask)
                except OriginError as exc:
                    if ask.reader.started or exc.kind != "truncated":
                        raise
                    self._counters.retries += 1
            connect_s = min(self._limits.connect_s, ask.first_byte_s)  # who has no time to wait for a byte
            with _wire(connect_s, "the origin does not accept a connection", "connect"):
                fresh = _Connection(await self._connect(ask.target))
            self._counters.connections += 1
            return await self._exchange(fresh, ask)
        finally:
            self._free.release()

    async def _idle_connection(self) -> _Connection | None:
        """Return the connection used last, unless the origin will close it soon."""
        while self._idle:
            connection = self._idle.pop()
            if trio.current_time() - connection.idle_since_s < self._limits.keep_alive_s:
                return connection
            await _close(connection.stream)
        return None

    async def _exchange(self, connection: _Connection, ask: _PendingRequest) -> bytes:
        """Send a request and read its answer; the connection goes back idle or is closed."""
        body: list[bytes] = []
        stream, reader = connection.stream, ask.reader
        try:
            if connection.idle_since_s and _spoke_unasked(stream):
                raise OriginError("the origin closed an idle connection", "truncated")
            with _wire(self._limits.progress_s, "the origin does not take the request"):
                await stream.send_all(ask.head)
            with _wire(ask.first_byte_s, "the origin did not begin an answer in time"):
                data = await stream.receive_some(RECEIVE_BYTES)
            with _deadline(self._limits.answer_s, "the origin did not finish an answer in time"):
                while True:
                    for piece in reader.feed(data):
                        self._counters.received_bytes += len(piece)
                        if ask.sink is not None and reader.good:
                            ask.sink(piece)
                        else:
                            body.append(piece)
                    if reader.done:
                        break
                    with _wire(self._limits.progress_s, "the origin fell silent within an answer"):
                        data = await stream.receive_some(RECEIVE_BYTES)
        except BaseException:
            await _close(stream)
            raise
        if reader.reusable:
            connection.idle_since_s = trio.current_time()
            self._idle.append(connection)
        else:
            await _close(stream)
        return b"".join(body)

    def _head(self, target: OriginUrl, byterange: ByteRange | None) -> bytes:
        wanted = ""
        if byterange is not None:
            wanted = f"Range: bytes={byterange.offset}-{byterange.offset + byterange.length - 1}\r\n"
        head = f"GET {target.target} HTTP/1.1\r\nHost: {target.authority}\r\n{self._head_tail}{wanted}\r\n"
        return head.encode("ascii")


async def dial(origin: OriginUrl, *, ca_file: str = "") -> trio.abc.Stream:
    """Return a connection to an origin's server, over verified TLS for https."""
    stream = await trio.open_tcp_stream(origin.host, origin.port)
    if origin.scheme == "http":
        return stream
    try:
        secure = trio.SSLStream(
            stream, _tls_context(ca_file), server_hostname=origin.host, https_compatible=True
        )
        await secure.do_handshake()
    except BaseException:
        await _close(stream)
        raise
    return secure


@functools.cache
def _tls_context(ca_file: str) -> ssl.SSLContext:
    """Return the process's one context for a CA file (making one takes 20 ms)."""
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


@contextmanager
def _deadline(seconds: float, reason: str, kind: str = "timeout") -> Iterator[None]:
    """Turn lateness into an OriginError."""
    try:
        with trio.fail_after(seconds):
            yield
    except trio.TooSlowError:
        raise OriginError(f"{reason} ({seconds:g} s)", kind) from None


@contextmanager
def _wire(seconds: float, reason: str, kind: str = "truncated") -> Iterator[None]:
    """Turn lateness and a failing connection into an OriginError."""
    try:
        with _deadline(seconds, reason, "connect" if kind == "connect" else "timeout"):
            yield
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as exc:
        raise OriginError(f"the connection to the origin failed ({_why(exc)})", kind) from None


def _why(exc: BaseException) -> str:
    """Return the system's own word for what went wrong, out of all that Trio wraps around it."""
    inner = exc.__cause__ or exc
    while isinstance(inner, BaseExceptionGroup):  # one for each address of a name that was tried
        inner = inner.exceptions[0]
    if isinstance(inner, socket.gaierror):
        return "its name is not known"
    number = inner.errno if isinstance(inner, OSError) else None
    return os.strerror(number).lower() if number else type(inner).__name__


def _spoke_unasked(stream: trio.abc.Stream) -> bool:
    """Tell whether the origin closed an idle connection, or sent something nobody asked for."""
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream
    return isinstance(stream, trio.SocketStream) and stream.socket.is_readable()


async def _close(stream: trio.abc.Stream) -> None:
    with trio.move_on_after(CLOSE_S, shield=True):
        await trio.aclose_forcefully(stream)
