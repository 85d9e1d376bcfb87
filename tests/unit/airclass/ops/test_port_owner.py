"""Whose port it is."""

from __future__ import annotations

import os
import socket

import pytest

from airclass.ops.port_owner import holder, is_ours


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_listening_process_is_found(family: socket.AddressFamily) -> None:
    with socket.socket(family) as sock:
        sock.bind(("::1" if family is socket.AF_INET6 else "127.0.0.1", 0))
        port = sock.getsockname()[1]
        assert holder(port) is None, "bound is not listening"
        sock.listen()
        found = holder(port)
        assert found is not None
        assert (found.pid, found.ours) == (os.getpid(), False)


@pytest.mark.parametrize(
    ("command", "ours"),
    [
        ("/opt/airclass/bin/python3 /opt/airclass/current/bin/airclass standalone", True),
        ("python3 -m airclass.cli.app master", True),
        ("python3 -m relay --origin x", True),
        ("/opt/airclass/bin/mediamtx mediamtx.yml", True),
        ("python3 -m http.server /srv/airclass", False),
        ("nginx -p /etc/airclass", False),
        ("", False),
    ],
)
def test_what_counts_as_ours(command: str, ours: bool) -> None:
    assert is_ours(command.split(" ")) is ours
