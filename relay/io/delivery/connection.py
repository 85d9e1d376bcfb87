"""One viewer's connection, plain or TLS: non-blocking reads and writes, and nothing else.

`None` means "not now": the reactor waits for the socket and calls again.
"""

from __future__ import annotations

import contextlib
import enum
import math
import os
import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.core.delivery.delivery import HeldRequest
    from relay.core.delivery.response import Response
    from relay.core.viewers.registry import Viewer
    from relay.io.delivery.memfd import MemfdBody

READ_BYTES = 4 * 1024
# One connection may take so much of a turn; the others go first then.
SEND_BYTES_PER_TURN = 1024 * 1024
TLS_CHUNK_BYTES = 64 * 1024


class ConnectionState(enum.Enum):
    """What a connection is doing."""

    IDLE = 0
    HELD = 1
    FREED = 2
    SENDING = 3
    LINGERING = 4
    CLOSED = 5


class Connection:
    """A plain TCP connection."""

    __slots__ = (
        "address",
        "held_request",
        "body",
        "body_left",
        "body_offset",
        "buffer",
        "close_after",
        "deadline_s",
        "fd",
        "mask",
        "media_bytes",
        "pending",
        "sock",
        "state",
        "viewer",
    )

    def __init__(self, sock: socket.socket, address: str) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.address = address
        self.state = ConnectionState.IDLE
        self.mask = 0
        self.deadline_s = math.inf
        self.buffer = bytearray()
        self.pending: memoryview | None = None
        self.body: MemfdBody | None = None
        self.body_offset = 0
        self.body_left = 0
        self.held_request: HeldRequest | None = None
        self.viewer: Viewer | None = None
        self.media_bytes = 0  # of the current reply, until all of it is out
        self.close_after = False

    def receive(self) -> bytes | None:
        """Return bytes, b"" at the end, None when there are none now. May raise OSError."""
        try:
            return self.sock.recv(READ_BYTES)
        except BlockingIOError:
            return None

    def start(self, response: Response, tail: bytes, *, head_only: bool) -> bool:
        """Send a response; True when all of it went out, else the reactor continues with `flush`."""
        if response.body is None or head_only:
            data = response.head + tail if head_only else response.head + tail + response.text
            sent = self._send(data, more=False)
            if sent == len(data):
                return True
            self.pending = memoryview(data)[sent:]
            return False
        data = response.head + tail
        self.body = response.body  # type: ignore[assignment]  # the relay's only Body is a Blob
        self.body_offset = response.offset
        self.body_left = response.size_bytes
        sent = self._send(data, more=True)
        if sent < len(data):
            self.pending = memoryview(data)[sent:]
            return False
        return self._send_blob()

    def flush(self) -> bool:
        """Go on with a response that did not fit; True when all of it went out."""
        if self.pending is not None:
            sent = self._send(self.pending, more=self.body is not None)
            if sent < len(self.pending):
                self.pending = self.pending[sent:]
                return False
            self.pending = None
        return self.body is None or self._send_blob()

    def _send(self, data: bytes | memoryview, *, more: bool) -> int:
        try:
            return self.sock.send(data, socket.MSG_MORE if more else 0)
        except BlockingIOError:
            return 0

    def _send_blob(self) -> bool:
        body = self.body
        assert body is not None
        budget = SEND_BYTES_PER_TURN
        while self.body_left and budget > 0:
            try:
                sent = os.sendfile(self.fd, body.fd, self.body_offset, min(self.body_left, budget))
            except BlockingIOError:
                return False
            if sent == 0:
                raise ConnectionError("the object ended early")
            self.body_offset += sent
            self.body_left -= sent
            budget -= sent
        if self.body_left:
            return False
        self.body = None
        return True

    @property
    def unsent_bytes(self) -> int:
        """How much of the current response has not left yet."""
        return self.body_left + (len(self.pending) if self.pending is not None else 0)

    def wants_write(self) -> bool:
        """Whether a read must wait for the socket to become writable (TLS only)."""
        return False

    def shut(self) -> None:
        """Tell the peer that nothing more will be sent."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket and let go of everything held for it."""
        self.state = ConnectionState.CLOSED
        self.pending = None
        self.body = None
        self.held_request = None
        self.viewer = None
        self.buffer.clear()
        self.sock.close()


class TlsConnection(Connection):
    """A TLS connection: OpenSSL works in memory, and one `send` takes many of its records.

    The handshake happens with the first read.
    """

    __slots__ = ("_encrypted", "_in", "_out", "_tls")

    def __init__(self, sock: socket.socket, address: str, context: ssl.SSLContext) -> None:
        super().__init__(sock, address)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)
        self._encrypted = b""  # what the socket did not take

    def receive(self) -> bytes | None:
        """Return decrypted bytes; all that has come is taken, since epoll cannot see what OpenSSL holds."""
        if self._encrypted and not self._push():
            return None
        data = super().receive()
        if not data:
            return data
        self._in.write(data)
        chunks = []
        try:
            while chunk := self._tls.read(READ_BYTES):
                chunks.append(chunk)
        except ssl.SSLWantReadError:
            if not chunks:
                return None
        finally:
            with contextlib.suppress(ConnectionError):  # what has come is read all the same, then the end
                self._push()  # the handshake, or why it failed
        return b"".join(chunks)

    def start(self, response: Response, tail: bytes, *, head_only: bool) -> bool:
        """Send a response; True when all of it went out, else the reactor continues with `flush`."""
        return super().start(response, tail, head_only=head_only) and self._push()

    def flush(self) -> bool:
        """Go on with a response that did not fit; True when all of it went out."""
        return self._push() and super().flush() and self._push()

    @property
    def unsent_bytes(self) -> int:
        """How much of the current response has not left yet."""
        return super().unsent_bytes + len(self._encrypted)

    def shut(self) -> None:
        """Send close_notify, so that the peer knows that nothing was cut off."""
        with contextlib.suppress(ssl.SSLError, ValueError):
            self._tls.unwrap()
        self._push()

    def wants_write(self) -> bool:
        """Whether the handshake waits for room in the send buffer."""
        return bool(self._encrypted)

    def _push(self) -> bool:
        """Give the socket what is encrypted; True when it took all of it."""
        if self._out.pending:
            self._encrypted += self._out.read()
        if self._encrypted:
            self._encrypted = self._encrypted[super()._send(self._encrypted, more=False) :]
        return not self._encrypted

    def _send(self, data: bytes | memoryview, *, more: bool) -> int:
        view, sent = memoryview(data), 0
        while sent < len(view) and (not self._encrypted or self._push()):
            sent += self._tls.write(view[sent : sent + TLS_CHUNK_BYTES])
            if not more:
                self._push()
        return sent

    def _send_blob(self) -> bool:
        body = self.body
        assert body is not None
        budget = SEND_BYTES_PER_TURN
        while self.body_left and budget > 0 and (not self._encrypted or self._push()):
            sent = self._tls.write(body.view(self.body_offset, min(self.body_left, TLS_CHUNK_BYTES)))
            self.body_offset += sent
            self.body_left -= sent
            budget -= sent
            self._push()
        if self.body_left:
            return False
        self.body = None
        return True
