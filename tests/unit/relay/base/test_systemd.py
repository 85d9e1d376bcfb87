"""What a service manager hears, over a real datagram socket."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
import trio

from relay.base.systemd import Systemd, without

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def heard(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def test_ready_and_stopping_are_said_with_a_status(manager: socket.socket) -> None:
    systemd = Systemd({"NOTIFY_SOCKET": manager.getsockname()})
    systemd.ready("serving at http://here")
    assert heard(manager) == "READY=1\nSTATUS=serving at http://here"
    systemd.stopping("bye")
    assert heard(manager) == "STOPPING=1\nSTATUS=bye"


def test_an_abstract_address_is_understood() -> None:
    name = f"airclass-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name)
        sock.settimeout(5)
        Systemd({"NOTIFY_SOCKET": "@" + name}).ready("x")
        assert heard(sock).startswith("READY=1")


async def test_signs_of_life_come_three_times_a_period(
    manager: socket.socket, autojump_clock: trio.testing.MockClock
) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000"}
    with trio.move_on_after(25):
        await Systemd(environ).run()
    assert [heard(manager) for _ in range(3)] == ["WATCHDOG=1"] * 3
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard(manager)


@pytest.mark.parametrize(
    "more", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "x"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
async def test_without_a_watchdog_of_ours_nothing_runs(manager: socket.socket, more: dict[str, str]) -> None:
    await Systemd({"NOTIFY_SOCKET": manager.getsockname(), **more}).run()


def test_without_systemd_or_with_a_dead_one_nothing_happens(tmp_path: Path) -> None:
    Systemd({}).ready("x")
    Systemd({"NOTIFY_SOCKET": str(tmp_path / "none")}).ready("x")


def test_a_child_is_no_service() -> None:
    ours = {"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "PATH": "/bin"}
    assert without(ours) == {"PATH": "/bin"}
