"""Findings of the doctor, each made to appear."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trio

from airclass.ops.config import load_ops
from airclass.ops.doctor import Finding, certificate, disk, examine, mediamtx, ports, version_of_mediamtx
from airclass.ops.report import CRITICAL, OK, WARNING
from tests.fakes.control import running_master

if TYPE_CHECKING:
    from pathlib import Path


def test_one_line_each_without_control_characters() -> None:
    assert str(Finding(WARNING, "a\x1b[31m\nb")) == "[WARN] a[31m b"


def test_ports_that_are_taken_and_free() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        taken = f"127.0.0.1:{sock.getsockname()[1]}"
        (finding,) = ports("master", {"MASTER_BIND": taken})
        assert (finding.level, taken in finding.text) == (WARNING, True)
    (finding,) = ports("master", {"MASTER_BIND": taken})
    assert finding.level == OK
    assert ports("master", {"MASTER_BIND": "127.0.0.1:0"}) == []
    assert (
        ports("slave", {"RELAY_BIND": "nonsense:99999", "RELAY_ADMIN_BIND": "127.0.0.1:0"})[0].level
        == WARNING
    )


@pytest.mark.parametrize(
    ("text", "level"),
    [("v1.20.1", OK), ("v1.9.0", CRITICAL), ("v2.0.0", OK), ("", WARNING), ("what?", WARNING)],
)
def test_mediamtx_versions(text: str, level: int) -> None:
    assert version_of_mediamtx(text).level == level


def test_mediamtx_that_is_not_there() -> None:
    assert mediamtx("/nowhere/mediamtx").level == WARNING


def test_disk_and_certificate(tmp_path: Path) -> None:
    (finding,) = disk(tmp_path / "not/yet/made")
    assert "GB are free" in finding.text
    assert certificate(None) == []
    (finding,) = certificate(tmp_path / "none.pem")
    assert (finding.level, "PEM" in finding.text) == (CRITICAL, True)


async def test_a_cluster_seen_from_a_students_place(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.node("near")
        relay = control.relay("away", public_url="http://127.0.0.1:1")
        await relay.register()
        environ = {
            "MODE": "slave",
            "MASTER_URL": control.url,
            "MONITOR_TOKEN": control.monitor["Authorization"].removeprefix("Bearer "),
            "RELAY_BIND": "127.0.0.1:0",
            "RELAY_ADMIN_BIND": "127.0.0.1:0",
            "DATA_DIR": str(tmp_path),
        }
        found = [str(f) for f in await examine(load_ops(environ), environ)]
        for words in (
            f"[OK] The master at {control.url} is ready.",
            "[OK] The clocks agree.",
            "[OK] near (active) can be reached at http://127.0.0.1:",
            "[ERROR] away cannot be reached from here at http://127.0.0.1:1",
            "[WARN] near tells students to come to http://127.0.0.1:",
        ):
            assert any(line.startswith(words) for line in found), found


async def test_no_master_is_one_clear_line(tmp_path: Path) -> None:
    environ = {"MODE": "master", "MASTER_URL": "http://127.0.0.1:1", "DATA_DIR": str(tmp_path)}
    with trio.fail_after(20):
        found = await examine(load_ops(environ), environ)
    assert [f.level for f in found if "does not answer" in f.text] == [CRITICAL]
