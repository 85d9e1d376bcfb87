"""The load generator against a real server on loopback: reuse, limits, faults, deadlines.

Ports are the kernel's; every loop runs until an absolute time at most.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from benchmarks.load.http_wire import WireResponse, request_bytes
from benchmarks.load.load_engine import LoadEngine, ResponseHandler, ViewerHost
from benchmarks.servers.origin import SizedOriginServer

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 10.0
BIG = bytes(3_000_000)


class Handler(BaseHTTPRequestHandler):
    """`/big` is 3 MB, `/close` closes after the answer, `/drop` gives no answer, else the path itself."""

    protocol_version = "HTTP/1.1"
    peers: set[tuple[str, int]]

    def do_GET(self) -> None:
        self.peers.add(self.client_address)
        if self.path == "/drop":
            self.close_connection = True
            return
        body = BIG if self.path == "/big" else self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/close":
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server() -> Iterator[tuple[tuple[str, int], set[tuple[str, int]]]]:
    peers: set[tuple[str, int]] = set()
    handler = type("H", (Handler,), {"peers": peers})
    with SizedOriginServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield ("127.0.0.1", served.server_port), peers
        finally:
            served.shutdown()
            thread.join()


@contextmanager
def looped(address: tuple[str, int], deadline_s: float = DEADLINE_S) -> Iterator[LoadEngine]:
    loop = LoadEngine(address, deadline_s=deadline_s)
    try:
        yield loop
    finally:
        loop.close()


def ask(
    loop: LoadEngine, host: ViewerHost, paths: list[str], *, keep: bool = True, at_once: bool = True
) -> list[WireResponse]:
    """Get all paths, together or one after another, and return the answers in the order they came."""
    answers: list[WireResponse] = []
    left = list(paths)

    def answered(answer: WireResponse, now_s: float) -> None:
        answers.append(answer)
        if len(answers) == len(paths):
            loop.stopped = True
        elif not at_once:
            send(now_s)

    def send(now_s: float) -> None:
        host.get(request_bytes(f"http://h{left.pop(0)}"), answered, now_s, keep=keep)

    for _ in range(len(paths) if at_once else 1):
        send(time.time())
    loop.stopped = False
    loop.run(time.time() + DEADLINE_S)
    assert loop.stopped, "the answers did not come in time"
    return answers


def test_a_connection_is_kept_and_used_again() -> None:
    with server() as (address, peers), looped(address) as loop:
        answers = ask(loop, ViewerHost(loop), ["/a", "/b", "/c"], at_once=False)
        assert [answer.body for answer in answers] == [b"/a", b"/b", b"/c"]
        assert len(peers) == 1
        assert (loop.requests, loop.body_bytes) == (3, 6)


def test_no_more_than_the_allowed_connections_are_opened() -> None:
    with server() as (address, peers), looped(address) as loop:
        answers = ask(loop, ViewerHost(loop, most=2), [f"/{n}" for n in range(9)])
        assert sorted(answer.body for answer in answers) == [f"/{n}".encode() for n in range(9)]
        assert len(peers) <= 2


@pytest.mark.parametrize("keep", [True, False])
def test_a_large_body_is_read_or_dropped_to_its_last_byte(keep: bool) -> None:
    with server() as (address, _), looped(address) as loop:
        first, second = ask(loop, ViewerHost(loop), ["/big", "/a"], keep=keep, at_once=False)
        assert (first.done, first.body_bytes, len(first.body)) == (True, len(BIG), len(BIG) * keep)
        assert second.done


def test_a_server_that_closes_is_met_again_on_a_new_connection() -> None:
    with server() as (address, peers), looped(address) as loop:
        answers = ask(loop, ViewerHost(loop), ["/close", "/a"], at_once=False)
        assert [answer.body for answer in answers] == [b"/close", b"/a"]
        assert len(peers) == 2


def test_a_dropped_request_is_sent_again_once_if_the_connection_was_used() -> None:
    with server() as (address, _), looped(address) as loop:
        answers = ask(loop, ViewerHost(loop, most=1), ["/a", "/drop", "/b"], at_once=False)
        assert [answer.status for answer in answers] == [200, 0, 200]


def test_a_request_that_waits_gets_a_connection_when_one_is_lost() -> None:
    with server() as (address, _), looped(address) as loop:
        answers = ask(loop, ViewerHost(loop, most=1), ["/drop", "/a"])
        assert [answer.status for answer in answers] == [0, 200]


def test_a_refused_connection_is_an_answer_without_status() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = closed.getsockname()
    with looped(address) as loop:
        (answer,) = ask(loop, ViewerHost(loop), ["/a"])
        assert (answer.status, answer.done) == (0, False)


def test_what_is_no_http_is_an_answer_without_status() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def talk() -> None:
            with listening.accept()[0] as peer:
                peer.recv(1000)
                peer.sendall(b"SSH-2.0-x\r\n\r\n")
                peer.recv(1000)

        thread = threading.Thread(target=talk)
        thread.start()
        with looped(listening.getsockname()) as loop:
            (answer,) = ask(loop, ViewerHost(loop), ["/a"])
        thread.join(DEADLINE_S)
        assert answer.status == 0


def test_a_silent_server_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, looped(silent.getsockname(), 0.05) as loop:
        (answer,) = ask(loop, ViewerHost(loop), ["/a"])
        assert answer.status == 0


def test_timers_fire_in_order_and_the_loop_ends_in_time() -> None:
    with looped(("127.0.0.1", 9)) as loop:
        seen: list[str] = []
        began_s = time.time()
        loop.at(began_s + 0.02, lambda _: seen.append("second"))
        loop.at(began_s + 0.01, lambda _: seen.append("first"))
        loop.at(began_s + 60, lambda _: seen.append("never"))
        loop.run(began_s + 0.05)
        assert seen == ["first", "second"]
        assert 0.05 <= time.time() - began_s < 5


def test_patience_ends_before_the_deadline_and_the_line_moves_on() -> None:
    """A peer that accepts and says nothing; the second request waits in line for the one connection."""
    with socket.create_server(("127.0.0.1", 0)) as silent, server() as (address, _):
        with looped(address) as loop:
            told: list[tuple[str, bool, bool]] = []

            def asker(name: str) -> ResponseHandler:
                def answered(answer: WireResponse, now_s: float) -> None:
                    told.append((name, answer.late, answer.done))
                    loop.stopped = len(told) == 3

                return answered

            mute = ViewerHost(loop, most=1, address=silent.getsockname())
            now_s = time.time()
            mute.get(request_bytes("http://h/a"), asker("first"), now_s, keep=True, patience_s=0.1)
            mute.get(request_bytes("http://h/b"), asker("in line"), now_s, keep=True, patience_s=0.2)
            prompt = ViewerHost(loop)
            prompt.get(request_bytes("http://h/c"), asker("prompt"), now_s, keep=True, patience_s=0.05)
            loop.run(now_s + DEADLINE_S)
            assert time.time() - now_s < DEADLINE_S / 2
    assert sorted(told) == [("first", True, False), ("in line", True, False), ("prompt", False, True)]
