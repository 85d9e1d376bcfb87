"""A WebSocket over its connection's own task, as ASGI events: Hypercorn gives each one a task more.

It takes over a connection whose request Hypercorn has read and found to be a good upgrade, and speaks
frames with wsproto, without extensions. Of a connection nothing else is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsproto.events import BytesMessage, CloseConnection, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hypercorn.protocol.ws_stream import Handshake
    from wsproto.connection import Connection
    from wsproto.events import Event

READ_BYTES = 448  # a page says no more than "ping"; Python has room for so much without asking the system
MAX_MESSAGE_BYTES = 4 * 1024
WRITE_S = 5.0  # for one message to a page, which is small
REFUSED = b"HTTP/1.1 403 \r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class WebSocketConnection:
    """One socket: `receive` and `send` are what an ASGI application is given.

    `read` returns nothing when the peer has gone, and `write` False.
    """

    __slots__ = ("_frames", "_handshake", "_heard", "_length", "_read", "_write")

    def __init__(
        self,
        handshake: Handshake,
        read: Callable[[int], Awaitable[bytes]],
        write: Callable[[bytes], Awaitable[bool]],
    ) -> None:
        self._handshake: Handshake | None = handshake
        self._read, self._write = read, write
        self._frames: Connection | None = None
        self._heard: list[str | bytes] = []
        self._length = 0

    async def receive(self) -> dict[str, Any]:
        """Return the next event: connect, receive, or disconnect for ever."""
        if self._frames is None:
            return {"type": "websocket.connect" if self._handshake else "websocket.disconnect", "code": 1006}
        while True:
            for event in self._frames.events():
                if isinstance(event, Message):
                    message = self._message(event)
                    if message is not None:
                        return message
                    if self._length > MAX_MESSAGE_BYTES:
                        event = CloseConnection(CloseReason.MESSAGE_TOO_BIG)  # noqa: PLW2901
                if isinstance(event, Ping):
                    await self._say(event.response())
                if isinstance(event, CloseConnection):
                    await self._say(event)
                    return self._over(event.code)
            data = await self._read(READ_BYTES)
            if not data:
                return self._over(CloseReason.ABNORMAL_CLOSURE)
            self._frames.receive_data(data)

    async def send(self, event: dict[str, Any]) -> None:
        """Accept or refuse the socket, send a message, or close; nothing when the peer has gone."""
        kind, handshake = event["type"], self._handshake
        if handshake is not None:
            self._handshake = None
            if kind != "websocket.accept":
                await self._write(REFUSED)
                return
            _, headers, self._frames = handshake.accept(None, ())
            lines = b"".join(b"%s: %s\r\n" % pair for pair in headers)
            await self._write(b"HTTP/1.1 101 \r\n" + lines + b"\r\n")
        elif kind == "websocket.close":
            await self._say(CloseConnection(event.get("code", CloseReason.NORMAL_CLOSURE), event["reason"]))
        else:
            await self._say(TextMessage(event["text"]))

    def _message(self, event: Message[Any]) -> dict[str, Any] | None:
        """Return a message that is whole and not too long."""
        self._heard.append(event.data)
        self._length += len(event.data)
        if not event.message_finished or self._length > MAX_MESSAGE_BYTES:
            return None
        joined: Any = (b"" if isinstance(event, BytesMessage) else "").join(self._heard)  # type: ignore[arg-type]
        self._heard, self._length = [], 0
        return {"type": "websocket.receive", "bytes" if isinstance(joined, bytes) else "text": joined}

    def _over(self, code: int) -> dict[str, Any]:
        self._frames, self._heard = None, []
        return {"type": "websocket.disconnect", "code": code}

    async def _say(self, event: Event) -> None:
        try:
            data = self._frames.send(event) if self._frames is not None else b""
        except LocalProtocolError:
            return  # the socket is closing already
        if data and not await self._write(data):
            self._frames = None
