"""Hypercorn on Trio, with the walls it lacks: one connection can never take the server down.

Hypercorn 0.18 lets an exception of one connection cancel all of them, waits for ever for a peer that
does not read, keeps a connection for the whole idle time after its peer has gone, lets every browser's
socket have a compressor of 90 kB, and starts a task for each request. `GuardedConnection` contains,
bounds and ends them; `PlainWebSocket` takes no extension; `ConnectionTasks` saves a task where there is one
already; `StrictH11` refuses what can be read in two ways. All replace private names, so the tests hold one
request per known killer.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import hypercorn.protocol
import hypercorn.protocol.h11
import hypercorn.trio.run
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.events import Request
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio import serve as hypercorn_serve
from hypercorn.trio.task_group import TaskGroup, _handle
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from airclass.web.server import websocket
from airclass.web.server.strict_h11 import SingleWriteH11
from airclass.web.server.websocket import MAX_MESSAGE_BYTES, WebSocketConnection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from socket import socket

    from hypercorn.events import Event
    from hypercorn.protocol.events import Event as StreamEvent

    from airclass.config import MasterSettings

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 15.0  # well above the relays' heartbeat, or connection reuse races
GRACEFUL_S = 3.0
WRITE_DEADLINE_S = 10.0
CLOSE_DEADLINE_S = 2.0
TLS_HANDSHAKE_S = 10.0
MAX_HEAD_BYTES = 16 * 1024
READ_BYTES = 16 * 1024
BACKLOG = 2048
_THREADS = (trio.to_thread.run_sync, trio.from_thread.run)  # for applications that are not ours
ACCEPTORS = 16  # Trio accepts one connection a turn of its loop and listener: a school comes in faster


class PlainWebSocket(WSStream):
    """A WebSocket without extensions: small messages gain nothing from a compressor of their own each."""

    async def handle(self, event: StreamEvent) -> None:
        """Hide the offered extensions from Hypercorn."""
        if isinstance(event, Request):
            plain = [pair for pair in event.headers if pair[0] != b"sec-websocket-extensions"]
            event = replace(event, headers=plain)
        await super().handle(event)


class ConnectionTasks(TaskGroup):
    """Starts the application in a task of its own, but for what the connection's task can do: answer a
    whole request at once, and be a socket's. HTTP/2 has many streams on a connection and needs them all.
    """

    def __init__(self, nursery: trio.Nursery, at_once: Callable[[Any], bool]) -> None:
        super().__init__()
        self._nursery = nursery
        self._at_once = at_once
        self.held: BufferedRequest | None = None
        self.socket: Any = None

    async def spawn_app(self, app: Any, config: Config, scope: Any, send: Any) -> Any:
        """Hold a request that can be answered at once until it is whole, and a socket until it is left."""
        if scope["http_version"] != "1.1":
            return await super().spawn_app(app, config, scope, send)
        if scope["type"] == "websocket":
            self.socket = scope
            return _ignore
        if not self._at_once(scope):
            return await super().spawn_app(app, config, scope, send)
        self.held = BufferedRequest(self, (app, config, scope, send))
        return self.held.put

    async def let_go(self) -> None:
        """Start the application for a request that did not come whole: it will know how long to wait."""
        held, self.held = self.held, None
        if held is not None:
            held.onward = await super().spawn_app(*held.call)
            for event in held.events:
                await held.onward(event)


@dataclass(slots=True)
class BufferedRequest:
    """A request whose end has not been read yet, and then its answer, in the connection's task."""

    tasks: ConnectionTasks
    call: tuple[Any, Config, Any, Any]
    events: list[Any] = field(default_factory=list)
    onward: Callable[[Any], Awaitable[None]] | None = None

    async def put(self, event: Any) -> None:
        """Take in what Hypercorn has read; answer when it was the last."""
        if self.onward is not None:
            await self.onward(event)
            return
        if self.tasks.held is not self:
            return  # it is answered
        self.events.append(event)
        if not event.get("more_body"):
            self.tasks.held = None
            app, config, scope, send = self.call
            await _handle(app, config, scope, self._get, send, *_THREADS)

    async def _get(self) -> Any:
        return self.events.pop(0) if self.events else {"type": "http.disconnect"}


async def _ignore(event: Any) -> None:
    pass


@dataclass(slots=True)
class OpenConnections:
    """What all connections of a server share: who is idle, who writes, and when all must be over."""

    on_contained: Callable[[], None]
    at_once: Callable[[Any], bool]
    idle: set[trio.CancelScope] = field(default_factory=set)
    writing: set[trio.CancelScope] = field(default_factory=set)
    until_s: float = float("inf")

    def close(self) -> None:
        """Let go of idle connections, and of those in which somebody does not read, soon."""
        self.until_s = trio.current_time() + GRACEFUL_S
        for scope in self.idle:
            scope.cancel()
        for scope in self.writing:
            scope.deadline = min(scope.deadline, self.until_s)


class GuardedConnection(TCPServer):
    """One connection, contained. Its idle time is a deadline, where Hypercorn has a task of its own."""

    open: OpenConnections

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._app: Any = self.app
        del self.idle_task  # two locks that nobody needs
        self._reading = trio.CancelScope()

    async def run(self) -> None:
        """Serve the connection; nothing but cancellation leaves it."""
        try:
            await self._serve()
        except (Exception, BaseExceptionGroup) as exc:  # noqa: BLE001  the connection's error boundary
            cancelled, rest = _split(exc)
            if rest is not None:
                self.open.on_contained()
                log.warning("connection.failed reason=%s", _innermost(rest))
            if cancelled is not None:
                raise cancelled from None
        finally:
            self._work()

    async def _serve(self) -> None:
        try:
            taken = await self._speak_http()
            if taken is not None:
                scope, wire = taken
                await self._app(scope, wire.receive, wire.send, *_THREADS)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError):
            pass  # the peer has gone, or never shook hands
        finally:
            await self._close()

    async def _speak_http(self) -> tuple[Any, WebSocketConnection] | None:
        """Serve requests until the end, or until one asks for a socket, which is returned."""
        stream: trio.SSLStream[trio.SocketStream] | trio.SocketStream = self.stream
        alpn, tls = "http/1.1", isinstance(stream, trio.SSLStream)
        if isinstance(stream, trio.SSLStream):
            with trio.fail_after(TLS_HANDSHAKE_S):
                await stream.do_handshake()
            alpn = stream.selected_alpn_protocol() or alpn
            stream = stream.transport_stream
        peer = stream.socket
        client = parse_socket_addr(peer.family, peer.getpeername())
        server = parse_socket_addr(peer.family, peer.getsockname())
        async with trio.open_nursery() as nursery:
            tasks = ConnectionTasks(nursery, self.open.at_once)
            self.protocol = ProtocolWrapper(
                *(self.app, self.config, self.context, tasks, ConnectionState(self.state), tls),
                *(client, server, self.protocol_send, alpn),
            )
            await self.protocol.initiate()
            self._rest()
            wire = await self._read_all(tasks)
        return None if wire is None else (tasks.socket, wire)

    def _rest(self) -> None:
        self._reading.deadline = trio.current_time() + KEEP_ALIVE_S
        self.open.idle.add(self._reading)

    def _work(self) -> None:
        self._reading.deadline = float("inf")
        self.open.idle.discard(self._reading)

    async def _read_all(self, tasks: ConnectionTasks) -> WebSocketConnection | None:
        """Read until the peer leaves or has been idle for too long, and nothing of it stays behind; or
        until it has become a socket, which is returned.
        """
        with self._reading:
            while True:
                data = await self._read(READ_BYTES)
                await self.protocol.handle(RawData(data))
                if tasks.socket is not None:
                    stream = getattr(self.protocol.protocol, "stream", None)
                    if not isinstance(stream, PlainWebSocket) or stream.closed:
                        break
                    del self.protocol  # HTTP is over on this connection
                    return WebSocketConnection(stream.handshake, self._read, self._write_message)
                await tasks.let_go()
                if not data:
                    break
        await self.protocol.handle(Closed())
        await self.stream.aclose()
        return None

    async def _read(self, most_bytes: int) -> bytes:
        """Return what has come, or nothing when the peer has gone."""
        try:
            return bytes(await self.stream.receive_some(most_bytes))
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            return b""

    async def protocol_send(self, event: Event) -> None:
        """Write under a deadline; a peer that does not read is cut off.

        Quart cancels the task that answers as soon as Hypercorn has told it that the request is over,
        and that is before Hypercorn closes or recycles the connection: hence the shields.
        """
        if isinstance(event, Updated):
            if event.idle:
                self._rest()
            else:
                self._work()
            return
        if not isinstance(event, RawData):
            with trio.move_on_after(CLOSE_DEADLINE_S, shield=True):
                await super().protocol_send(event)
            # Hypercorn may wait for the next request of a pipeline, which will not be read any more.
            self._reading.cancel()
            return
        if event.data and not await self._write(event.data):
            await self.protocol.handle(Closed())
            await self.stream.aclose()

    async def _write_message(self, data: bytes) -> bool:
        return await self._write(data, websocket.WRITE_S)

    async def _write(self, data: bytes, within_s: float = WRITE_DEADLINE_S) -> bool:
        """Write under a deadline; False when the peer has gone or does not read."""
        async with self.send_lock:
            deadline = min(trio.current_time() + within_s, self.open.until_s)
            scope = trio.CancelScope(deadline=deadline, shield=True)
            self.open.writing.add(scope)
            try:
                with scope:
                    await self.stream.send_all(data)
                    return True
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            finally:
                self.open.writing.discard(scope)
        return False


def _split(
    exc: BaseException,
) -> tuple[BaseExceptionGroup[trio.Cancelled] | None, BaseException | None]:
    if isinstance(exc, BaseExceptionGroup):
        return exc.split(trio.Cancelled)
    return None, exc


def _innermost(exc: BaseException) -> str:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return f"{type(exc).__name__}: {exc}"[:200]


class _Config(Config):
    def _create_sockets(self, binds: list[str], *args: Any) -> list[socket]:
        return [
            listener
            for bound in super()._create_sockets(binds, *args)
            for listener in (bound, *(bound.dup() for _ in range(ACCEPTORS - 1)))
        ]


def config(settings: MasterSettings) -> Config:
    """Return Hypercorn's settings: our limits, no server header, no access log."""
    result = _Config()
    result.bind = [settings.master_bind]
    result.backlog = BACKLOG
    result.keep_alive_timeout = KEEP_ALIVE_S
    result.graceful_timeout = GRACEFUL_S
    result.ssl_handshake_timeout = TLS_HANDSHAKE_S
    result.h11_max_incomplete_size = MAX_HEAD_BYTES
    result.h2_max_header_list_size = MAX_HEAD_BYTES
    result.websocket_max_message_size = MAX_MESSAGE_BYTES
    result.websocket_ping_interval = None  # the pages' own pings tell who is gone
    result.include_server_header = False
    result.accesslog = None
    result.errorlog = None
    result.alpn_protocols = ["http/1.1"]  # over HTTP/2 a waiting page costs twice as much
    if settings.tls_cert is not None:
        result.certfile = str(settings.tls_cert)
        result.keyfile = str(settings.tls_key)
    return result


async def serve(
    app: Any,
    settings: MasterSettings,
    *,
    stop: Callable[[], Awaitable[None]],
    on_contained: Callable[[], None],
    at_once: Callable[[Any], bool] = lambda _: False,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` returns; reports the bound addresses as `http://host:port`.

    Requests that are `at_once` are answered in their connection's task: they must not wait for long.
    """
    shared = OpenConnections(on_contained, at_once)
    # private names, see above
    setattr(hypercorn.trio.run, "TCPServer", type("Guarded", (GuardedConnection,), {"open": shared}))  # noqa: B010
    setattr(hypercorn.protocol.h11, "WSStream", PlainWebSocket)  # noqa: B010
    setattr(hypercorn.protocol, "H11Protocol", SingleWriteH11)  # noqa: B010

    async def stopped() -> None:
        await stop()
        shared.close()

    await hypercorn_serve(app, config(settings), shutdown_trigger=stopped, task_status=task_status)
