"""The node's own port, never the students': /healthz, /readyz and /metrics.

One request a connection, everything bounded. Meant for loopback and the cluster's own network:
it asks nobody who they are and holds no secret.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import h11
import trio

from relay.base.network import network_of
from relay.io.admin.metrics import CONTENT_TYPE, RelayMetrics

if TYPE_CHECKING:
    import socket

    from relay.core.counters import Counters

log = logging.getLogger(__name__)

EXCHANGE_S = 5.0
MAX_CONNECTIONS = 32
MAX_HEAD_BYTES = 16 * 1024
RECEIVE_BYTES = 16 * 1024
LINGER_S = 1.0
_JSON = "application/json"


class HealthSource(Protocol):
    """What the admin port asks the relay."""

    def readiness(self) -> tuple[bool, list[str]]:
        """Return whether students can be sent here, and every reason why not."""

    def refresh(self) -> object:
        """Bring the gauges among the counters up to date."""


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    more: tuple[tuple[str, str], ...] = ()


async def serve_admin(
    listener: socket.socket,
    counters: Counters,
    node: HealthSource,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on a listening socket until cancelled."""
    port = _AdminPort(counters, node)
    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, port.serve, listeners)
        task_status.started()


class _AdminPort:
    def __init__(self, counters: Counters, node: HealthSource) -> None:
        self._node = node
        self._metrics = RelayMetrics(counters)
        self._open: dict[trio.CancelScope, str] = {}  # and from which network, oldest first

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection; its errors end it and nothing else."""
        self._make_room()
        scope = trio.CancelScope(deadline=trio.current_time() + EXCHANGE_S)
        self._open[scope] = _network(stream)
        try:
            with scope:
                await self._exchange(stream)
        except trio.BrokenResourceError:
            pass  # the peer went away: that is its right
        except Exception:  # the boundary of a connection  # noqa: BLE001
            log.exception("admin.failed")
        finally:
            self._open.pop(scope, None)
            with trio.move_on_after(LINGER_S, shield=True):
                await trio.aclose_forcefully(stream)

    def _make_room(self) -> None:
        """When there are too many, close the oldest of the network that has the most.

        An exchange takes milliseconds: whoever is there for longer sends nothing, or does not read.
        """
        while len(self._open) >= MAX_CONNECTIONS:
            ((largest, _),) = Counter(self._open.values()).most_common(1)
            victim = next(scope for scope, network in self._open.items() if network == largest)
            del self._open[victim]
            victim.cancel()

    async def _exchange(self, stream: trio.SocketStream) -> None:
        wire = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        method = b"GET"
        try:
            event = await _next(wire, stream)
            if not isinstance(event, h11.Request):
                return
            method = event.method
            reply = self._reply(method, event.target)
        except h11.RemoteProtocolError as exc:
            reply = _Response(exc.error_status_hint, b"This is not a request that can be read.\n")
        if wire.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            return
        head = h11.Response(
            status_code=reply.status,
            headers=[
                ("Content-Type", reply.content_type),
                ("Content-Length", str(len(reply.body))),
                ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"),
                ("Connection", "close"),
                *reply.more,
            ],
        )
        sent = wire.send(head) or b""
        if method != b"HEAD":
            sent += wire.send(h11.Data(reply.body)) or b""
        await stream.send_all(sent)
        await stream.send_eof()
        # Closing with unread input would reset the connection and lose the reply.
        with trio.move_on_after(LINGER_S):
            while await stream.receive_some(RECEIVE_BYTES):
                pass

    def _reply(self, method: bytes, target: bytes) -> _Response:
        path = target.partition(b"?")[0]
        if path not in (b"/healthz", b"/readyz", b"/metrics"):
            return _Response(404, b"Here are /healthz, /readyz and /metrics.\n")
        if method not in (b"GET", b"HEAD"):
            return _Response(405, b"Only GET and HEAD.\n", more=(("Allow", "GET, HEAD"),))
        if path == b"/metrics":
            self._node.refresh()
            return _Response(200, self._metrics.render(ready=self._node.readiness()[0]), CONTENT_TYPE)
        if path == b"/healthz":
            return _Response(200, b'{"status": "ok"}\n', _JSON)
        ready, reasons = self._node.readiness()
        body = json.dumps({"ready": ready, "reasons": reasons}).encode() + b"\n"
        return _Response(200 if ready else 503, body, _JSON)


def _network(stream: trio.SocketStream) -> str:
    try:
        return network_of(str(stream.socket.getpeername()[0]))
    except OSError:  # it has gone already
        return ""


async def _next(wire: h11.Connection, stream: trio.SocketStream) -> object:
    """Return the connection's next event, once enough of it has arrived."""
    while (event := wire.next_event()) is h11.NEED_DATA:
        wire.receive_data(await stream.receive_some(RECEIVE_BYTES))
    return event
