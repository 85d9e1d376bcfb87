"""Hypercorn on Trio, with the walls it lacks: one connection can never take the server down.

Hypercorn 0.18 lets an exception of one connection cancel all of them, waits for ever for a peer that
does not read, keeps a connection for the whole idle time after its peer has gone, and lets every
browser's socket have a compressor of 90 kB. `GuardedServer` contains, bounds and ends them; `PlainSocket`
takes no extension. Both replace private names, so the tests hold one request per known killer.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import hypercorn.protocol.h11
import hypercorn.trio.run
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.protocol.events import Request
from hypercorn.protocol.ws_stream import WSStream
from hypercorn.trio import serve as hypercorn_serve
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

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
MAX_SOCKET_MESSAGE_BYTES = 4 * 1024
BACKLOG = 2048


class PlainSocket(WSStream):
    """A WebSocket without extensions: small messages gain nothing from a compressor of their own each."""

    async def handle(self, event: StreamEvent) -> None:
        """Hide the offered extensions from Hypercorn."""
        if isinstance(event, Request):
            plain = [pair for pair in event.headers if pair[0] != b"sec-websocket-extensions"]
            event = replace(event, headers=plain)
        await super().handle(event)


class IdleDeadline:
    """How long a connection may do nothing; stands in for Hypercorn's task, which costs 0.1 ms a request.

    `waiting` holds the connections that do nothing now.
    """

    def __init__(self, waiting: set[IdleDeadline]) -> None:
        self.scope = trio.CancelScope()
        self._waiting = waiting

    async def restart(self, _group: object = None, _action: object = None) -> None:
        """Let the connection be idle from now on; Hypercorn calls it when one begins."""
        self.rest()

    def rest(self) -> None:
        """The connection does nothing."""
        self.scope.deadline = trio.current_time() + KEEP_ALIVE_S
        self._waiting.add(self)

    def work(self) -> None:
        """The connection does something, or is over."""
        self.scope.deadline = float("inf")
        self._waiting.discard(self)


class GuardedServer(TCPServer):
    """One connection, contained; `on_contained` counts what was swallowed."""

    on_contained: Callable[[], None]
    waiting: set[IdleDeadline]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._idle = IdleDeadline(self.waiting)
        self.idle_task = self._idle  # type: ignore[assignment]

    async def run(self) -> None:
        """Serve the connection; nothing but cancellation leaves it."""
        try:
            await super().run()
        except (Exception, BaseExceptionGroup) as exc:  # noqa: BLE001  the connection's error boundary
            cancelled, rest = _split(exc)
            if rest is not None:
                self.on_contained()
                log.warning("connection.failed reason=%s", _innermost(rest))
            if cancelled is not None:
                raise cancelled from None
        finally:
            self._idle.work()

    async def _read_data(self) -> None:
        """Read until the peer leaves or has been idle for too long; nothing of it stays behind."""
        with self._idle.scope:
            while True:
                try:
                    data = await self.stream.receive_some(MAX_RECV)
                except (trio.ClosedResourceError, trio.BrokenResourceError):
                    break
                await self.protocol.handle(RawData(bytes(data)))
                if not data:
                    break
        await self.protocol.handle(Closed())
        await self.stream.aclose()

    async def protocol_send(self, event: Event) -> None:
        """Write under a deadline; a peer that does not read is cut off.

        Quart cancels the task that answers as soon as Hypercorn has told it that the request is over,
        and that is before Hypercorn closes or recycles the connection: hence the shields.
        """
        if isinstance(event, Updated):
            if event.idle:
                self._idle.rest()
            else:
                self._idle.work()
            return
        if not isinstance(event, RawData):
            with trio.move_on_after(CLOSE_DEADLINE_S, shield=True):
                await super().protocol_send(event)
            # Hypercorn may wait for the next request of a pipeline, which will not be read any more.
            self._idle.scope.cancel()
            return
        if not event.data:
            return
        async with self.send_lock:
            try:
                with trio.fail_after(WRITE_DEADLINE_S, shield=True):
                    await self.stream.send_all(event.data)
            except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                await self.protocol.handle(Closed())
                await self.stream.aclose()


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


def config(settings: MasterSettings) -> Config:
    """Return Hypercorn's settings: our limits, no server header, no access log."""
    result = Config()
    result.bind = [settings.master_bind]
    result.backlog = BACKLOG
    result.keep_alive_timeout = KEEP_ALIVE_S
    result.graceful_timeout = GRACEFUL_S
    result.ssl_handshake_timeout = TLS_HANDSHAKE_S
    result.h11_max_incomplete_size = MAX_HEAD_BYTES
    result.h2_max_header_list_size = MAX_HEAD_BYTES
    result.websocket_max_message_size = MAX_SOCKET_MESSAGE_BYTES
    result.websocket_ping_interval = None  # the pages' own pings tell who is gone
    result.include_server_header = False
    result.accesslog = None
    result.errorlog = None
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
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop` returns; reports the bound addresses as `http://host:port`."""
    waiting: set[IdleDeadline] = set()
    names = {"on_contained": staticmethod(on_contained), "waiting": waiting}
    # private names, see above
    setattr(hypercorn.trio.run, "TCPServer", type("Guarded", (GuardedServer,), names))  # noqa: B010
    setattr(hypercorn.protocol.h11, "WSStream", PlainSocket)  # noqa: B010

    async def stopped() -> None:
        await stop()
        for idle in waiting:
            idle.scope.cancel()

    await hypercorn_serve(app, config(settings), shutdown_trigger=stopped, task_status=task_status)
