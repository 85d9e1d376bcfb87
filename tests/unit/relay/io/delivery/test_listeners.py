"""Viewers come in: bounded in one go and in all, and with a pause when descriptors run out."""

from __future__ import annotations

import os
import resource
import select
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from relay.core.counters import Counters
from relay.io.delivery.listeners import ACCEPT_PAUSE_S, MAX_ACCEPTS_PER_TURN, Listeners

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW_S = 100.0


class Rig:
    """Listeners on loopback ports that the kernel chose, and callers."""

    def __init__(self, ports: int = 1) -> None:
        self.epoll = select.epoll()
        self.counters = Counters()
        self.listeners = Listeners(self.epoll, self.counters)
        self.bound = [socket.create_server(("127.0.0.1", 0)) for _ in range(ports)]
        for listener in self.bound:
            self.listeners.add(listener)
        self.callers: list[socket.socket] = []

    def call(self, count: int = 1, port: int = 0) -> None:
        address = self.bound[port].getsockname()
        self.callers += [socket.create_connection(address) for _ in range(count)]

    @property
    def ready(self) -> list[int]:
        return [fd for fd, _ in self.epoll.poll(0)]

    def accepted(self, room: int = 1000, port: int = 0) -> int:
        asked: list[str] = []

        def has_room(caller: str) -> bool:
            asked.append(caller)
            return len(asked) <= room

        found = list(self.listeners.accept(self.bound[port].fileno(), has_room, NOW_S))
        assert set(asked) <= {"127.0.0.1"}
        for sock, address in found:
            assert address == "127.0.0.1"
            assert not sock.getblocking()
            sock.close()
        return len(found)

    def close(self) -> None:
        self.listeners.close()
        self.epoll.close()
        for sock in self.callers:
            sock.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig(ports=2)
    yield made
    made.close()


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """Let this process open not a single descriptor more for the length of a block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)  # the lowest number that is free
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_whoever_calls_is_let_in(rig: Rig) -> None:
    fd = rig.bound[0].fileno()
    assert fd in rig.listeners
    assert rig.epoll.fileno() not in rig.listeners
    assert rig.accepted() == 0
    rig.call(3)
    assert rig.ready == [fd]
    assert rig.accepted() == 3
    assert rig.ready == []


def test_those_over_the_room_are_closed_and_counted(rig: Rig) -> None:
    rig.call(5)
    assert rig.accepted(room=2) == 2
    assert rig.counters.refused["connections"] == 3
    assert [sock.recv(1) for sock in rig.callers[2:]] == [b"", b"", b""]


def test_a_flood_takes_one_turn_after_another(rig: Rig) -> None:
    rig.call(MAX_ACCEPTS_PER_TURN + 2)
    assert rig.accepted() == MAX_ACCEPTS_PER_TURN
    assert rig.ready == [rig.bound[0].fileno()]
    assert rig.accepted() == 2


def test_without_descriptors_callers_wait_in_the_kernel(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.call(2)
    rig.call(1, port=1)
    with no_descriptors_left():
        assert rig.accepted() == 0
        assert rig.accepted(port=1) == 0  # spoke in the same turn
    assert caplog.text.count("accept.paused") == 1
    assert rig.listeners.again_s == NOW_S + ACCEPT_PAUSE_S
    assert rig.ready == []  # else the loop would spin
    rig.listeners.resume(NOW_S + ACCEPT_PAUSE_S / 2)
    assert rig.ready == []
    rig.listeners.resume(NOW_S + ACCEPT_PAUSE_S)
    assert rig.listeners.again_s is None
    assert (rig.accepted(), rig.accepted(port=1)) == (2, 1)


def test_closing_ends_a_pause_too(rig: Rig) -> None:
    rig.call()
    with no_descriptors_left():
        assert rig.accepted() == 0
    rig.listeners.close()
    assert rig.listeners.again_s is None
    rig.listeners.resume(NOW_S + 1)
    assert rig.ready == []


def test_nobody_is_let_in_after_closing(rig: Rig) -> None:
    address, fd = rig.bound[0].getsockname(), rig.bound[0].fileno()
    rig.listeners.close()
    assert fd not in rig.listeners
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address)
