"""One viewer's connection over a socket pair: what fits goes out, the rest waits for room."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from relay.core.delivery.response import Response
from relay.io.delivery.connection import SEND_BYTES_PER_TURN, Connection, ConnectionState, TlsConnection
from relay.io.delivery.memfd import MemfdBody, MemfdStore
from tests.harness.certificates import self_signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = 4096


class Pair:
    """A connection and the viewer's end of it."""

    def __init__(self, ours: Connection, viewer: socket.socket) -> None:
        self.ours = ours
        self.viewer = viewer
        self.got = b""

    def read(self) -> None:
        try:
            while data := self.viewer.recv(1 << 20):
                self.got += data
        except (BlockingIOError, ssl.SSLWantReadError):
            pass

    def finish(self) -> int:
        """Read and flush in turns until all is out; returns how often it took."""
        turns = 1
        while not self.ours.flush():
            self.read()
            turns += 1
            assert turns < 100_000
        self.read()
        return turns


def sockets() -> tuple[socket.socket, socket.socket]:
    ours, viewer = socket.socketpair()
    for one in (ours, viewer):
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    return ours, viewer


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, viewer = sockets()
    made = Pair(Connection(ours, "192.0.2.1"), viewer)
    yield made
    made.ours.close()
    viewer.close()


def filled_body(size: int) -> MemfdBody:
    made = MemfdStore().new()
    made.append(b"before")
    made.append(bytes(range(256)) * (size // 256))
    return made


def of(body: MemfdBody, size: int) -> Response:
    return Response(200, "segment", b"HEAD\r\n", body=body, offset=6, size_bytes=size)


def test_a_small_reply_goes_out_at_once(pair: Pair) -> None:
    assert pair.ours.start(Response(200, "playlist", b"HEAD\r\n", b"text"), b"tail\r\n", head_only=False)
    pair.read()
    assert pair.got == b"HEAD\r\ntail\r\ntext"
    assert pair.ours.unsent_bytes == 0
    assert pair.ours.flush()


def test_a_head_alone(pair: Pair) -> None:
    assert pair.ours.start(Response(200, "playlist", b"HEAD\r\n", b"text"), b"tail\r\n", head_only=True)
    assert pair.ours.start(of(filled_body(256), 256), b"tail\r\n", head_only=True)
    pair.read()
    assert pair.got == b"HEAD\r\ntail\r\n" * 2


def test_text_that_does_not_fit_is_continued(pair: Pair) -> None:
    text = b"x" * 300_000
    assert not pair.ours.start(Response(200, "playlist", b"HEAD\r\n", text), b"tail\r\n", head_only=False)
    assert 0 < pair.ours.unsent_bytes < 300_012
    pair.finish()
    assert pair.got == b"HEAD\r\ntail\r\n" + text


def test_a_body_that_does_not_fit_is_continued_and_let_go(pair: Pair) -> None:
    size = 3 * SEND_BYTES_PER_TURN
    body = filled_body(size)
    wanted = b"HEAD\r\ntail\r\n" + bytes(body.view(6, size))
    assert not pair.ours.start(of(body, size), b"tail\r\n", head_only=False)
    assert pair.ours.body is body
    pair.finish()
    assert pair.got == wanted
    assert pair.ours.body is None


def test_not_even_the_head_fits(pair: Pair) -> None:
    while pair.ours._send(b"x" * 1000, more=False):
        pass
    assert not pair.ours.start(of(filled_body(256), 256), b"tail\r\n", head_only=False)
    assert pair.ours.unsent_bytes == 256 + len(b"HEAD\r\ntail\r\n")
    pair.finish()
    assert pair.got.endswith(b"tail\r\n" + bytes(range(256)))


def test_one_connection_takes_so_much_of_a_turn_and_no_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        viewer = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 * SEND_BYTES_PER_TURN)
    viewer.setblocking(False)
    pair = Pair(Connection(ours, "127.0.0.1"), viewer)
    size = 2 * SEND_BYTES_PER_TURN + 256
    before = size
    pair.ours.start(of(filled_body(size), size), b"\r\n", head_only=False)
    while pair.ours.unsent_bytes:
        assert before - pair.ours.unsent_bytes <= SEND_BYTES_PER_TURN
        before = pair.ours.unsent_bytes
        pair.read()
        pair.ours.flush()
    pair.ours.close()
    viewer.close()


def test_a_body_that_is_shorter_than_was_said_ends_the_connection(pair: Pair) -> None:
    with pytest.raises(ConnectionError):
        pair.ours.start(of(filled_body(256), 300), b"\r\n", head_only=False)


def test_reading(pair: Pair) -> None:
    assert pair.ours.receive() is None
    pair.viewer.send(b"GET")
    assert pair.ours.receive() == b"GET"
    assert not pair.ours.wants_write()
    pair.viewer.close()
    assert pair.ours.receive() == b""


def test_shutting_tells_the_viewer_and_closing_lets_go(pair: Pair) -> None:
    pair.ours.shut()
    assert pair.viewer.recv(10) == b""
    pair.ours.close()
    assert pair.ours.state is ConnectionState.CLOSED
    with pytest.raises(OSError, match="closed|descriptor"):
        pair.ours.receive()


# -- TLS ------------------------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Pair]:
    cert, key = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    trusting = ssl.create_default_context(cafile=str(cert))
    ours, viewer = sockets()
    connection = TlsConnection(ours, "192.0.2.1", context)
    client = trusting.wrap_socket(viewer, server_hostname="localhost", do_handshake_on_connect=False)
    for _ in range(100):
        try:
            client.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            connection.receive()
        else:
            break
    assert connection.receive() is None  # the handshake's end: a request would come with it
    made = Pair(connection, client)
    yield made
    connection.close()
    client.close()


def test_tls_text_and_bodies(secure: Pair) -> None:
    size = SEND_BYTES_PER_TURN + 512
    body = filled_body(size)
    assert not secure.ours.start(of(body, size), b"\r\n", head_only=False)
    assert secure.finish() > 1
    assert secure.got == b"HEAD\r\n\r\n" + bytes(body.view(6, size))
    secure.got = b""
    assert secure.ours.start(Response(200, "playlist", b"HEAD\r\n", b"text"), b"\r\n", head_only=False)
    secure.read()
    assert secure.got == b"HEAD\r\n\r\ntext"


def test_tls_reading_takes_all_of_a_record(secure: Pair) -> None:
    assert secure.ours.receive() is None
    assert not secure.ours.wants_write()
    secure.viewer.send(b"x" * 1500)
    secure.viewer.send(b"y")
    got = b""
    while data := secure.ours.receive():
        got += data
    assert got == b"x" * 1500 + b"y"


def test_tls_a_handshake_without_room_waits_for_it(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    ours, viewer = sockets()
    filler = ours.dup()
    connection = TlsConnection(ours, "192.0.2.1", context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(cert)).wrap_bio(
        incoming, outgoing, server_hostname="localhost"
    )
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    viewer.send(outgoing.read())
    while Connection(filler, "")._send(b"x", more=False):
        pass
    assert connection.receive() is None
    assert connection.wants_write()
    connection.close()
    for one in (filler, viewer):
        one.close()


def test_tls_the_end(secure: Pair) -> None:
    secure.read()  # whoever closes with something unread resets the connection
    secure.viewer.close()
    assert secure.ours.receive() == b""


def test_tls_a_peer_that_has_gone_is_still_heard(tmp_path: Path) -> None:
    """What it said last is read although the end of the handshake cannot be sent any more."""
    cert, key = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    ours, viewer = sockets()
    connection = TlsConnection(ours, "192.0.2.1", context)
    client = ssl.create_default_context(cafile=str(cert)).wrap_socket(
        viewer, server_hostname="localhost", do_handshake_on_connect=False
    )
    while True:
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            connection.receive()
        else:
            break
    client.send(b"GET")
    client.close()
    assert connection.receive() == b"GET"
    with pytest.raises(BrokenPipeError):  # nothing more can be said to it
        connection.receive()
    connection.close()
