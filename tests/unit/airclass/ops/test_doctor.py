"""Findings of the doctor, each made to appear."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import httpx
import pytest
import trio

from airclass.ops.config import load_ops
from airclass.ops.doctor import (
    Finding,
    certificate,
    disk,
    examine,
    judge_keyframes,
    keyframes,
    mediamtx,
    ports,
    version_of_mediamtx,
)
from airclass.ops.report import CRITICAL, OK, WARNING
from tests.fakes.control import running_master
from tests.processes import running


def test_one_line_each_without_control_characters() -> None:
    assert str(Finding(WARNING, "a\x1b[31m\nb")) == "[WARN] a[31m b"


def test_ports_that_are_taken_and_free() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        taken = f"127.0.0.1:{sock.getsockname()[1]}"
        (finding,) = ports("master", {"MASTER_BIND": taken})
        assert (finding.level, f"process {os.getpid()}: stop that" in finding.text) == (CRITICAL, True)
    (finding,) = ports("master", {"MASTER_BIND": taken})
    assert finding.level == OK
    assert ports("master", {"MASTER_BIND": "127.0.0.1:0"}) == []
    assert (
        ports("slave", {"RELAY_BIND": "nonsense:99999", "RELAY_ADMIN_BIND": "127.0.0.1:0"})[0].level
        == CRITICAL
    )


async def test_a_port_of_a_running_master_is_no_trouble(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    env = {"JWT_SECRET_KEY": "j" * 40, "CLUSTER_SECRET": "c" * 40, "DATA_DIR": str(tmp_path)}
    command = (
        sys.executable,
        "-m",
        "airclass.cli.app",
        "master",
        "--bind",
        "127.0.0.1:0",
        "--ready-file",
        ready,
    )
    async with running(*command, folder=tmp_path, env=env) as child:
        bind = (await child.ready(ready))["master_url"].removeprefix("http://")
        (finding,) = ports("master", {"MASTER_BIND": bind})
        assert finding.level == OK
        assert f"is held by AIRClass ({Path(sys.executable).resolve().name[:6]}" in finding.text
        assert f"process {child.pid})" in finding.text


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


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ("", "[OK] No class is live"),
        ("airclass_longest_segment_seconds 0.0", "[OK] No class is live"),
        ("airclass_longest_segment_seconds 2.033", "[OK] Key frames come at least every 2.0 s"),
        ("airclass_longest_segment_seconds 8.53", "[WARN] A class has a key frame only every 8.5 s"),
    ],
)
def test_rare_key_frames_are_seen_in_the_masters_metrics(metrics: str, words: str) -> None:
    assert str(judge_keyframes(f"# HELP x\n{metrics}\n")).startswith(words)


async def test_the_length_comes_from_the_relays(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relay = await control.node("near")
        relay.states[made["id"]] = "live"
        relay.segment_s = 6.5
        await relay.beat()
        environ = {"MASTER_URL": control.url, "JWT_SECRET_KEY": "j" * 40, "DATA_DIR": str(tmp_path)}
        environ["MONITOR_TOKEN"] = control.monitor["Authorization"].removeprefix("Bearer ")
        async with httpx.AsyncClient() as client:
            finding = await keyframes(load_ops(environ), client)
        assert (finding.level, "every 6.5 s" in finding.text) == (WARNING, True)
