"""The door in front of FFmpeg's RTMP listener: always open, one publisher at a time.

FFmpeg's listener takes one connection of whatever kind and closes its port. So ours listens, lets in
who begins as an RTMP client does, and only then starts a listener behind it on a port of its own. No
key is checked: this is for loopback.
"""

from __future__ import annotations

import logging
import re
import socket
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
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
MAX_PREAMBLE_BYTES = 16_384

# AMF0: the property `app` of `connect`, and the name in `publish` (number, null, string).
_APP = re.compile(rb"\x00\x03app\x02..([^\x00-\x1f\x7f-\xff?]*)(?=[\x00-\x1f\x7f-\xff?])", re.DOTALL)
_NAME = re.compile(
    rb"\x02\x00\x07publish\x00.{8}\x05\x02..([^\x00-\x1f\x7f-\xff?]*)(?=[\x00-\x1f\x7f-\xff?])", re.DOTALL
)


def published_path(preamble: bytes) -> str | None:
    """Return `app/name` as soon as a client's first bytes hold both, without query; else None.

    A chunk header may stand inside a name longer than about 90 characters, which is cut there.
    """
    app, name = _APP.search(preamble), _NAME.search(preamble)
    if app is None or name is None:
        return None
    return "/".join(piece.strip("/") for piece in (app[1].decode(), name[1].decode()) if piece.strip("/"))


@dataclass(eq=False)
class RtmpPublisher:
    """The publisher that is let in now; `path` is empty until it has said it."""

    id: str
    address: str
    path: str = ""
    received_bytes: int = 0
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class RtmpGateway:
    """Lets publishers in, one after another.

    `receive(url)` is blocking and runs in a thread; `named(path)` is told where the publisher wants
    to go, before the first media. Who says no hello within `hello_s`, or nothing for `idle_s`, is
    shown out.
    """

    def __init__(
        self,
        receive: Callable[[str], None],
        named: Callable[[str], None],
        *,
        hello_s: float = HELLO_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self._receive, self._named = receive, named
        self._hello_s, self._idle_s = hello_s, idle_s
        self.publisher: RtmpPublisher | None = None
        self._knocking = 0

    def cut(self, publisher_id: str) -> bool:
        """Disconnect a publisher; False when there is none of this id."""
        publisher = self.publisher
        if publisher is None or publisher.id != publisher_id:
            return False
        log.info("publisher.cut path=%s address=%s", publisher.path, publisher.address)
        publisher.scope.cancel()
        return True

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
        try:
            hello = b""
            self._knocking += 1
            try:
                with trio.move_on_after(self._hello_s):
                    hello = await _hello(guest)
            finally:
                self._knocking -= 1
            if hello and self.publisher is not None:
                log.warning("publisher.refused another one is live: end that one first")
            elif hello:
                await self._publication(guest, hello)
        except Exception:  # noqa: BLE001 - the boundary: one publisher's failure is its own
            log.exception("publisher.failed")
        finally:
            await trio.aclose_forcefully(guest)

    async def _publication(self, guest: trio.SocketStream, hello: bytes) -> None:
        port = _free_port()
        self.publisher = RtmpPublisher(str(uuid.uuid4()), _address_of(guest))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._carry, self.publisher, guest, hello, port)
                url = f"rtmp://127.0.0.1:{port}/live/x"
                # Abandoned on cancellation: its sockets are closed with ours, which ends it soon after.
                await trio.to_thread.run_sync(self._receive, url, abandon_on_cancel=True)
                nursery.cancel_scope.cancel()
        finally:
            self.publisher = None

    async def _carry(
        self, publisher: RtmpPublisher, guest: trio.SocketStream, hello: bytes, port: int
    ) -> None:
        """Connect to FFmpeg and copy both ways until the publisher leaves, falls silent or is cut."""
        inner = await _connected(port)
        if inner is None:
            return
        preamble: bytes | None = b""
        async with inner, trio.open_nursery() as nursery:
            nursery.start_soon(_copy_back, inner, guest)
            with (
                suppress(trio.BrokenResourceError),
                publisher.scope,
                trio.move_on_after(self._idle_s) as idle,
            ):
                chunk = hello
                while chunk:
                    idle.deadline = trio.current_time() + self._idle_s
                    preamble = None if preamble is None else self._overheard(publisher, preamble + chunk)
                    publisher.received_bytes += len(chunk)
                    await inner.send_all(chunk)
                    chunk = await guest.receive_some(CHUNK_BYTES)
            with suppress(trio.BrokenResourceError):
                await inner.send_eof()  # closing would throw away what FFmpeg has not read yet

    def _overheard(self, publisher: RtmpPublisher, preamble: bytes) -> bytes | None:
        """Tell the path once it was said; return what to remember, None when all is known."""
        path = published_path(preamble)
        if path is not None:
            publisher.path = path
            self._named(path)
        return preamble if path is None and len(preamble) < MAX_PREAMBLE_BYTES else None


async def _copy_back(inner: trio.SocketStream, guest: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        async for chunk in inner:
            with suppress(trio.BrokenResourceError):
                await guest.send_all(chunk)


async def _hello(guest: trio.SocketStream) -> bytes:
    """Return the first bytes of an RTMP client, or nothing when this is none."""
    hello = b""
    while len(hello) < HELLO_BYTES:
        with suppress(trio.BrokenResourceError):
            chunk = await guest.receive_some(HELLO_BYTES - len(hello))
            if chunk and (hello or chunk)[0] == RTMP_VERSION:
                hello += chunk
                continue
        return b""
    return hello


async def _connected(port: int) -> trio.SocketStream | None:
    """Return a connection as soon as FFmpeg listens, which it does within milliseconds."""
    with trio.move_on_after(CONNECT_S):
        while True:
            try:
                return await trio.open_tcp_stream("127.0.0.1", port)
            except OSError:
                await trio.sleep(CONNECT_PAUSE_S)
    return None


def _address_of(guest: trio.SocketStream) -> str:
    try:
        host, port = guest.socket.getpeername()[:2]
    except OSError:  # it has left
        return ""
    return f"{host}:{port}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
