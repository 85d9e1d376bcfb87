"""The door in front of FFmpeg's RTMP listener: always open, one publisher at a time.

FFmpeg's listener takes one connection of whatever kind and closes its port. So ours listens, lets in
who begins as an RTMP client does, and only then starts a listener behind it on a port of its own. No
key is checked: this is for loopback.
"""

from __future__ import annotations

import logging
import socket
from functools import partial
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

HELLO_BYTES = 1 + 1536  # C0 and C1 (RTMP 1.0 §5.2)
RTMP_VERSION = 3
HELLO_S = 5.0
CONNECT_S = 5.0
CONNECT_PAUSE_S = 0.02
IDLE_S = 10.0
CHUNK_BYTES = 65_536
MAX_KNOCKING = 16


class Door:
    """Lets publishers in, one after another; `receive(url)` is blocking and runs in a thread."""

    def __init__(self, receive: Callable[[str], None]) -> None:
        self._receive = receive
        self._busy = False
        self._knocking = 0

    async def run(
        self, host: str, port: int, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; reports the port that it listens on."""
        listeners = await trio.open_tcp_listeners(port, host=host)
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(self._guest, listeners)

    async def _guest(self, guest: trio.SocketStream) -> None:
        if self._knocking >= MAX_KNOCKING:
            await guest.aclose()
            return
        self._knocking += 1
        try:
            hello = await _hello(guest)
        finally:
            self._knocking -= 1
        if not hello or self._busy:
            if hello:
                log.warning("publisher.refused another one is live: end that one first")
            await guest.aclose()
            return
        self._busy = True
        try:
            await self._publication(guest, hello)
        finally:
            self._busy = False

    async def _publication(self, guest: trio.SocketStream, hello: bytes) -> None:
        port = _free_port()
        async with guest, trio.open_nursery() as nursery:
            nursery.start_soon(_carry, guest, hello, port)
            url = f"rtmp://127.0.0.1:{port}/live/x"
            # Abandoned on cancellation: its sockets are closed with ours, which ends it soon after.
            await trio.to_thread.run_sync(partial(self._receive, url), abandon_on_cancel=True)
            nursery.cancel_scope.cancel()


async def _hello(guest: trio.SocketStream) -> bytes:
    """Return the first bytes of an RTMP client, or nothing when this is none."""
    hello = b""
    with trio.move_on_after(HELLO_S):
        try:
            while len(hello) < HELLO_BYTES:
                chunk = await guest.receive_some(HELLO_BYTES - len(hello))
                if not chunk or (hello or chunk)[0] != RTMP_VERSION:
                    return b""
                hello += chunk
        except trio.BrokenResourceError:
            return b""
    return hello if len(hello) == HELLO_BYTES else b""


async def _carry(guest: trio.SocketStream, hello: bytes, port: int) -> None:
    """Connect to FFmpeg and copy both ways until the publisher leaves or falls silent."""
    inner = await _connected(port)
    if inner is None:
        return
    async with inner, trio.open_nursery() as nursery:
        with trio.move_on_after(IDLE_S) as idle:
            nursery.start_soon(_copy, inner, guest, trio.CancelScope())
            await inner.send_all(hello)
            await _copy(guest, inner, idle)
        nursery.cancel_scope.cancel()


async def _copy(source: trio.SocketStream, target: trio.SocketStream, idle: trio.CancelScope) -> None:
    try:
        while chunk := await source.receive_some(CHUNK_BYTES):
            idle.deadline = trio.current_time() + IDLE_S
            await target.send_all(chunk)
    except trio.BrokenResourceError:
        return


async def _connected(port: int) -> trio.SocketStream | None:
    """Return a connection as soon as FFmpeg listens, which it does within milliseconds."""
    with trio.move_on_after(CONNECT_S):
        while True:
            try:
                return await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                await trio.sleep(CONNECT_PAUSE_S)
    return None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
