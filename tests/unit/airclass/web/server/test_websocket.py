"""A page's socket in its connection's own task: frames in pieces, rubbish, long messages, closing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypercorn.protocol.ws_stream import Handshake
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage

from airclass.web.server.websocket import MAX_MESSAGE_BYTES, WebSocketConnection

if TYPE_CHECKING:
    from collections.abc import Iterable

UPGRADE = [
    (b"connection", b"Upgrade"),
    (b"upgrade", b"websocket"),
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
]


class Browser:
    """The other end, with the line to it; what it sends is read `piece` bytes at a time."""

    def __init__(self, piece: int = 1000) -> None:
        self.frames = Connection(ConnectionType.CLIENT)
        self.sent, self.got, self.piece, self.gone = b"", b"", piece, False
        self.line = WebSocketConnection(Handshake(UPGRADE, "1.1"), self._read, self._write)

    async def _read(self, most: int) -> bytes:
        size = min(most, self.piece)
        data, self.sent = self.sent[:size], self.sent[size:]
        return data

    async def _write(self, data: bytes) -> bool:
        self.got += b"" if self.gone else data
        return not self.gone

    async def accepted(self, *events: Event) -> WebSocketConnection:
        assert (await self.line.receive())["type"] == "websocket.connect"
        await self.line.send({"type": "websocket.accept", "headers": [], "subprotocol": None})
        head, _, self.got = self.got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455 section 1.3
        self.sent = b"".join(self.frames.send(event) for event in events)
        return self.line

    def heard(self) -> Iterable[Event]:
        self.frames.receive_data(self.got)
        self.got = b""
        return list(self.frames.events())


@pytest.mark.parametrize("piece", [1, 3, 1000])
async def test_messages_come_whole_and_pings_are_answered(piece: int) -> None:
    browser = Browser(piece)
    line = await browser.accepted(
        TextMessage("pi", message_finished=False), Ping(b"x"), TextMessage("ng"), BytesMessage(b"\xff")
    )
    assert await line.receive() == {"type": "websocket.receive", "text": "ping"}
    assert await line.receive() == {"type": "websocket.receive", "bytes": b"\xff"}
    await line.send({"type": "websocket.send", "bytes": None, "text": "pong"})
    assert browser.heard() == [Pong(b"x"), TextMessage("pong")]
    for _ in range(2):
        assert (await line.receive())["type"] == "websocket.disconnect", "the peer has gone"


async def test_a_long_message_and_rubbish_end_the_socket_with_the_reason() -> None:
    half = "x" * (MAX_MESSAGE_BYTES // 2 + 1)
    for sent, code in (
        (Connection(ConnectionType.CLIENT).send(TextMessage("x" * (MAX_MESSAGE_BYTES + 1))), 1009),
        (b"".join(_long(half)), 1009),
        (b"\xff\xff\xff\xff", 1002),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
    ):
        browser = Browser()
        line = await browser.accepted()
        browser.sent = sent
        assert await line.receive() == {"type": "websocket.disconnect", "code": code}
        (last,) = browser.heard()
        assert isinstance(last, CloseConnection)
        assert last.code == code


def _long(half: str) -> list[bytes]:
    frames = Connection(ConnectionType.CLIENT)
    return [frames.send(TextMessage(half, message_finished=end)) for end in (False, True)]


async def test_either_side_may_close() -> None:
    browser = Browser()
    line = await browser.accepted(CloseConnection(1000))
    assert await line.receive() == {"type": "websocket.disconnect", "code": 1000}
    browser = Browser()
    line = await browser.accepted()
    await line.send({"type": "websocket.close", "code": 4403, "reason": ""})
    await line.send({"type": "websocket.send", "text": "too late"})
    (last,) = browser.heard()
    assert isinstance(last, CloseConnection)
    assert last.code == 4403


async def test_a_refused_socket_gets_a_status_and_is_over() -> None:
    browser = Browser()
    refused: dict[str, Any] = {"type": "websocket.close", "code": 4403, "reason": ""}
    await browser.line.send(refused)
    assert browser.got.startswith(b"HTTP/1.1 403 ")
    assert (await browser.line.receive())["type"] == "websocket.disconnect"


async def test_nothing_is_said_to_a_peer_that_has_gone() -> None:
    browser = Browser()
    line = await browser.accepted()
    browser.gone = True
    await line.send({"type": "websocket.send", "text": "anybody?"})
    assert (await line.receive())["type"] == "websocket.disconnect"
