"""Who gives way when sockets run out: the network with the most, and of it what is not used."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from relay.core.viewers.registry import Viewer
from relay.io.delivery.connection import Connection, ConnectionState
from relay.io.delivery.socket_limits import MAX_IDLE_PER_VIEWER, SocketLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX = 40
ATTACKER, SCHOOL = "192.0.2.66", "198.51.100.1"


class Rig:
    """Connections that are never used, and the limits that count them."""

    def __init__(self) -> None:
        self.limits = SocketLimits(MAX)
        self.sockets: list[socket.socket] = []

    def open(self, address: str, count: int = 1, viewer: Viewer | None = None) -> list[Connection]:
        made = []
        for _ in range(count):
            sock = socket.socket()
            self.sockets.append(sock)
            connection = Connection(sock, address)
            connection.viewer = viewer
            self.limits.add(connection)
            made.append(connection)
        return made

    def victim(self, address: str) -> Connection | None:
        return self.limits.begin().victim(address)

    def close(self, connection: Connection) -> None:
        self.limits.remove(connection)
        connection.close()


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    for sock in made.sockets:
        sock.close()


def viewer(name: str) -> Viewer:
    return Viewer(
        name.encode(), subject=name, token_id=name, stream="c1", expires_s=1e9, now_s=0.0, wall_s=0.0
    )


def test_nobody_gives_way_while_there_is_room(rig: Rig) -> None:
    rig.open(ATTACKER, MAX // 2 - 1)
    assert rig.victim(SCHOOL) is None
    assert rig.victim(ATTACKER) is None
    assert not rig.limits.is_full


def test_one_network_replaces_its_own_unused_ones_above_its_share(rig: Rig) -> None:
    mine = rig.open(ATTACKER, MAX // 2)
    assert rig.victim(ATTACKER) is mine[0], "the oldest"
    assert rig.victim(SCHOOL) is None
    for connection in mine:
        connection.viewer = viewer("s1")
        connection.state = ConnectionState.SENDING
    assert rig.victim(ATTACKER) is None, "all are in use: there is still room"


def test_a_flood_of_silent_sockets_keeps_nobody_out(rig: Rig) -> None:
    """As the reactor does it: for each new one, one is closed, and those who watch keep theirs."""
    watching = rig.open(SCHOOL, 10, viewer("s1"))
    for _ in range(300):
        victim = rig.victim(ATTACKER)
        if victim is not None:
            rig.close(victim)
        if not rig.limits.is_full:
            rig.open(ATTACKER)
    for n in range(9):
        room = rig.limits.begin()
        victim = room.victim(f"203.0.113.{n}")
        if victim is not None:
            assert victim.address == ATTACKER
            rig.close(victim)
        assert not rig.limits.is_full
        rig.open(f"203.0.113.{n}")
    assert all(c.state is ConnectionState.IDLE for c in watching)


def test_sockets_above_what_a_viewer_needs_give_way_and_the_newest_stay(rig: Rig) -> None:
    greedy = rig.open(SCHOOL, MAX - 5, viewer("greedy"))
    other = rig.open(SCHOOL, 5, viewer("s2"))
    room = rig.limits.begin()
    closed = []
    while (victim := room.victim(SCHOOL)) is not None:
        rig.close(victim)
        closed.append(victim)
    # Room is made until few enough are left: for another one of its own network, only unused ones go.
    assert set(closed) <= set(greedy)
    assert not set(closed) & set(greedy[-MAX_IDLE_PER_VIEWER:])
    assert all(c.state is ConnectionState.IDLE for c in other)


def test_for_another_network_idle_ones_of_the_largest_give_way(rig: Rig) -> None:
    viewers = [rig.open(SCHOOL, 1, viewer(f"s{n}"))[0] for n in range(MAX)]
    viewers[0].state = ConnectionState.HELD
    assert rig.victim(SCHOOL) is None
    assert rig.limits.is_full
    room = rig.limits.begin()
    assert [room.victim(ATTACKER), room.victim(ATTACKER)] == viewers[1:3], "each only once"


def test_what_was_closed_meanwhile_is_not_chosen(rig: Rig) -> None:
    mine = rig.open(ATTACKER, MAX)
    room = rig.limits.begin()
    assert room.victim(SCHOOL) is mine[0]
    rig.close(mine[1])
    assert room.victim(SCHOOL) is mine[2]
    mine[3].state = ConnectionState.SENDING
    assert room.victim(SCHOOL) is mine[4]


def test_nothing_is_kept_of_a_network_that_has_left(rig: Rig) -> None:
    for connection in rig.open("2001:db8::1", 3) + rig.open("2001:db8::2", 3):
        rig.close(connection)
    assert rig.limits._networks == {}
    assert rig.limits.largest() == ""
    assert rig.victim(SCHOOL) is None
