"""Findings of the doctor, each made to appear."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from email.utils import formatdate
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
from pydantic import SecretStr

from airclass.domain.tokens import TokenIssuer, TokenKind
from airclass.ops.config import load_ops
from airclass.ops.doctor import (
    Finding,
    backup,
    certificate,
    disk,
    env_file,
    examine,
    files,
    judge_keyframes,
    keyframes,
    master,
    mediamtx,
    monitor_token,
    ports,
    room,
    version_of_mediamtx,
)
from airclass.ops.freshness import certificate_end_s
from airclass.ops.report import CRITICAL, OK, WARNING
from tests.harness.certificates import self_signed
from tests.harness.fake_http import FakeServer, ReceivedRequest, reply
from tests.harness.master_in_process import running_master
from tests.harness.processes import running


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
    assert certificate(None, time.time()) == []
    (finding,) = certificate(tmp_path / "none.pem", time.time())
    assert (finding.level, "PEM" in finding.text) == (CRITICAL, True)


@pytest.mark.parametrize(
    ("free_bytes", "words"),
    [
        (3 * 10**9, "[OK] 3.0 GB are free for DATA_DIR data."),
        (10**9, "[WARN] 1.0 GB are free for DATA_DIR data: make room soon."),
        (10**8, "[ERROR] 0.1 GB are free for DATA_DIR data: make room now"),
    ],
)
def test_a_disk_that_fills_up(free_bytes: int, words: str) -> None:
    assert str(room(free_bytes, Path("data"))).startswith(words)


@pytest.mark.parametrize(
    ("days_left", "words"),
    [
        (30, "[OK] The certificate ends in 30 days."),
        (5, "[WARN] The certificate ends in 5 days: renew it."),
        (-1, "[ERROR] The certificate has ended: renew it"),
    ],
)
def test_the_end_of_a_certificate(days_left: int, words: str, tmp_path: Path) -> None:
    cert, _ = self_signed(tmp_path)
    (finding,) = certificate(cert, certificate_end_s(cert) - days_left * 86400)
    assert str(finding).startswith(words)


@pytest.mark.parametrize(
    ("age_hours", "words"),
    [(3, "[OK] The last backup is 3 hours old."), (72, "[WARN] The last backup is 3 days old: look at its")],
)
def test_the_age_of_the_backup(age_hours: int, words: str, tmp_path: Path) -> None:
    assert str(backup(tmp_path, time.time())).startswith("[WARN] There has never been a backup")
    (tmp_path / "backup.json").write_text('{"at_s": 1e9, "size_bytes": 7}')
    assert str(backup(tmp_path, 1e9 + age_hours * 3600)).startswith(words)


def test_a_low_limit_of_open_files() -> None:
    script = "import resource as r; r.setrlimit(r.RLIMIT_NOFILE, (1000, 1000)); "
    script += "from airclass.ops.doctor import files; print(files())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[WARN] Only 1000 files may be open: raise it")
    assert files().level == OK


@pytest.mark.parametrize(("late_s", "words"), [(0, "[OK] The clocks agree."), (90, "[ERROR] This clock and")])
async def test_clocks_that_differ(late_s: int, words: str, tmp_path: Path) -> None:
    async def ready(_: ReceivedRequest, stream: trio.abc.Stream) -> None:
        date = formatdate(time.time() - late_s, usegmt=True)
        await stream.send_all(reply(b'{"problems": []}', headers=[("Date", date)]))

    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as client:
        fake = FakeServer(ready)
        await nursery.start(partial(fake.run, sockets=True))
        settings = load_ops({"MASTER_URL": fake.url, "DATA_DIR": str(tmp_path)})
        found = [str(finding) for finding in await master(settings, client)]
        nursery.cancel_scope.cancel()
    assert found[0] == f"[OK] The master at {fake.url} is ready."
    assert found[1].startswith(words)


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


def test_a_monitor_token_that_ends_soon_or_has_ended() -> None:
    issuer = TokenIssuer(b"j" * 40)

    def made(life_s: float) -> SecretStr:
        minted = issuer.mint(TokenKind.MONITOR, subject="x", token_id="1", wall_s=1000.0, life_s=life_s)
        return SecretStr(minted)

    assert monitor_token(None, 1000.0) == []
    levels = [monitor_token(made(days * 86400.0), 1000.0)[0].level for days in (365, 10)]
    assert levels == [OK, WARNING]
    (ended,) = monitor_token(made(60), 2000.0)
    assert (ended.level, "airclass token monitor" in ended.text) == (CRITICAL, True)
    assert monitor_token(SecretStr("nonsense"), 0.0)[0].level == CRITICAL


def test_a_folder_without_settings_is_said(tmp_path: Path) -> None:
    (finding,) = env_file(tmp_path / ".env", {})
    assert finding.level == WARNING
    assert "There is no .env" in finding.text
    assert env_file(tmp_path / ".env", {"CLUSTER_SECRET_FILE": "/etc/x"}) == []
