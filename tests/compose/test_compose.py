"""`docker compose up -d`, scaled while a hundred students watch, on a real engine, from another PC.

By hand (`make test-compose`): the first time it makes its base images, some four minutes.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import sys
import tarfile
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from benchmarks.load.viewer_worker import WorkerOrders
from tests.compose import images
from tests.compose.project import NODES_S, POLL_S, SECRETS, running_school
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.compose.engine import Engine
    from tests.compose.project import ComposeProject

FIRST, LATER = 60, 40
WHOLE_S = 420.0
PLAYING_S = 20.0
MAX_ADDED_MB = 300  # most of it is PyAV's FFmpeg and SQLAlchemy
LATENCY_S = 1.75  # what the student's page aims at with parts of half a second
LIFE = ("--size", "640x360", "--fps", "15", "--bitrate-kbps", "800")


@pytest.fixture(scope="module")
def school(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeProject]:
    """What an operator has after `docker compose up -d`: a master and three relays."""
    with running_school(engine, tmp_path_factory.mktemp("school"), "A master and three relays") as made:
        yield made


async def test_three_replicas_are_reached_from_another_pc(school: ComposeProject, tmp_path: Path) -> None:
    with trio.fail_after(WHOLE_S):
        nodes = await school.active_nodes(3)
        assert {n["id"] for n in nodes} == school.replicas()
        token = school.airclass("token", "monitor").strip()
        env = (
            "env",
            f"MASTER_URL={school.url}",
            f"MONITOR_TOKEN={token}",
            "MODE=slave",
            f"DATA_DIR={tmp_path}",
        )
        doctor = (sys.executable, "-m", "airclass.cli.app", "doctor")
        done = await trio.run_process(
            [*school.pc.prefix, *env, *doctor], capture_stdout=True, check=False, cwd=ROOT
        )
        said = done.stdout.decode()
        for node in nodes:
            assert f"[OK] {node['id']} (active) can be reached at {node['url']}" in said, said


async def test_scaled_up_and_down_under_a_hundred_viewers(school: ComposeProject) -> None:
    made = json.loads(school.airclass("classroom", "add", "Math", "--json"))
    with trio.fail_after(WHOLE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_teach, school, made["rtmp_url"])
            await _live(school, made["code"])
            await school.active_nodes(3)
            seen: list[dict[str, Any]] = []
            first = await _join(school, made["code"], FIRST)
            nursery.start_soon(_watch, school, first, 120.0, seen)
            await trio.sleep(PLAYING_S)
            old, up_s = school.replicas(), time.time()
            await trio.to_thread.run_sync(
                school.compose, "up", "--detach", "--no-recreate", "--scale", "slave=5"
            )
            nodes = await school.active_nodes(5)
            assert old < school.replicas()
            later = await _join(school, made["code"], LATER)
            nursery.start_soon(_watch, school, later, 75.0, seen)
            await trio.sleep(PLAYING_S)
            nodes = await school.active_nodes(5)
            down_s = time.time()
            await trio.to_thread.run_sync(
                school.compose, "up", "--detach", "--no-recreate", "--scale", "slave=3"
            )
            left = school.replicas()
            gone = {n["id"]: n["connections"] for n in nodes if n["id"] not in left}
            assert len(left) == 3
            assert sum(gone.values()) > 0, "nobody was on the relays that went"
            while len(seen) < 2:
                await trio.sleep(POLL_S)
            nursery.cancel_scope.cancel()
    viewers = [viewer for crowd in seen for viewer in crowd["viewers"]]
    stalls = [stall for viewer in viewers for stall in viewer["stalls"]]
    moves = sum(len(viewer["moves"]) for viewer in viewers)
    failures: dict[str, int] = {}
    for viewer in viewers:
        for what, count in viewer["failures"].items():
            failures[what] = failures.get(what, 0) + count
    summary = f"{len(viewers)} viewers, {moves} moves, {len(stalls)} stalls, failed requests: {failures}"
    print(summary)
    school.engine.transcript.append(f"{summary}; {sum(gone.values())} were on the relays that went.\n")
    print(f"students on the relays that went: {gone}; scaled up at {up_s:.0f}, down at {down_s:.0f}")
    for second in sorted({int(stall["at_s"]) for stall in stalls}):
        then = [stall["lasted_s"] for stall in stalls if int(stall["at_s"]) == second]
        print(f"  at {second}: {len(then)} stalls, the longest {max(then):.2f} s")
    assert len(viewers) == FIRST + LATER
    assert all(viewer["startup_s"] is not None for viewer in viewers)
    assert moves >= sum(gone.values())
    assert stalls == []


def test_everything_is_lost_and_restored(school: ComposeProject) -> None:
    school.airclass("user", "add", "kim", "--role", "teacher", "--no-password")
    before = school.airclass("user", "list") + school.airclass("classroom", "list", "--json")
    said = school.compose("run", "--rm", "--no-TTY", "tools", "backup", "--auto")
    (archive,) = (school.folder / "backups").iterdir()
    assert archive.name in said
    assert "[WARN]" not in said
    assert "at_s" in school.quietly("exec", "--no-TTY", "master", "cat", "/data/backup.json")
    settings = (school.folder / ".env").read_text()
    school.compose("down", "--volumes", "--timeout", "5")
    (school.folder / ".env").write_text(settings + "LOG_FORMAT=text\n")
    school.compose("run", "--rm", "--no-TTY", "tools", "restore", f"backups/{archive.name}", "--yes")
    assert (school.folder / ".env").read_text() == settings
    school.compose("up", "--detach", "--wait", "--wait-timeout", "120")
    assert school.airclass("user", "list") + school.airclass("classroom", "list", "--json") == before


async def test_https_by_an_authority_of_our_own(school: ComposeProject, tmp_path: Path) -> None:
    school.compose("--profile", "tls", "up", "--detach", "--no-recreate", "tls")
    container = school.quietly("--profile", "tls", "ps", "--quiet", "tls").strip()
    root = tmp_path / "root.crt"
    with trio.fail_after(NODES_S):
        while not root.exists():
            with contextlib.suppress(AssertionError):
                where = f"{container}:/data/caddy/pki/authorities/local/root.crt"
                school.engine.docker("cp", where, root)
            await trio.sleep(POLL_S)
        context = ssl.create_default_context(cafile=str(root))
        async with httpx.AsyncClient(http2=True, verify=context, timeout=10) as client:
            answer = await client.get("https://localhost/readyz")
            assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
            node = sorted(school.replicas())[0]
            answer = await client.get(f"https://localhost/r/{node}/t/no-token/class/index.m3u8")
            assert (answer.status_code, answer.http_version) == (401, "HTTP/2")
            assert (await client.get("https://localhost/r/000000000000/x")).status_code == 502
    school.compose("--profile", "tls", "rm", "--stop", "--force", "tls")


def test_the_image_holds_the_program_and_nothing_else(engine: Engine) -> None:
    made = engine.docker("create", images.AIRCLASS).strip()
    try:
        listing = engine.docker("export", "--output", engine.folder / "work/image.tar", made)
    finally:
        engine.docker("rm", made)
    assert listing == ""
    names = _tar_names(engine.folder / "work/image.tar")
    assert any(name.startswith("opt/airclass/lib/") and "/airclass/_pages/" in name for name in names)
    strange = re.compile(r"(^|/)(tests|node_modules|\.git|\.env|benchmarks)(/|$)|^src/")
    ours = [n for n in names if "site-packages/" not in n or re.search("site-packages/(airclass|relay)/", n)]
    assert [n for n in ours if strange.search(n)] == []
    assert [n for n in names if re.search(r"/site-packages/(pip|setuptools)/|/ensurepip/", n)] == []
    assert {"usr/local/bin/pg_dump", "usr/local/bin/pg_restore"} <= set(names)
    assert [n for n in names if re.search(r"^usr/bin/psql$|^usr/lib/postgresql/|^usr/share/perl/", n)] == []
    for tool in ("pg_dump", "pg_restore"):
        said = engine.docker("run", "--rm", "--read-only", "--entrypoint", tool, images.AIRCLASS, "--version")
        assert said.startswith(f"{tool} (PostgreSQL) ")
    ours, base = (
        json.loads(engine.docker("image", "inspect", it))[0] for it in (images.AIRCLASS, images.BASE)
    )
    added_mb = (ours["Size"] - base["Size"]) / 1e6
    engine.transcript.append(
        f"The image adds {added_mb:.0f} MB to its base of {base['Size'] / 1e6:.0f} MB.\n"
    )
    assert added_mb < MAX_ADDED_MB
    config = ours["Config"]
    assert (config["User"], config["StopSignal"]) == ("10001:10001", "SIGTERM")
    assert config["Healthcheck"]["Test"] == ["CMD", "airclass", "healthcheck"]


def _tar_names(path: Path) -> list[str]:
    with tarfile.open(path) as tar:
        return tar.getnames()


def test_it_stops_in_order_and_logs_no_secret(school: ComposeProject) -> None:
    began_s = time.monotonic()
    school.compose("stop")
    assert time.monotonic() - began_s < 50
    states = [json.loads(line) for line in school.quietly("ps", "--all", "--format", "json").splitlines()]
    assert {s["Service"]: s["ExitCode"] for s in states if s["Service"] in ("master", "slave")} == {
        "master": 0,
        "slave": 0,
    }
    logs = school.quietly("logs", "--no-color")
    assert [name for name, secret in SECRETS.items() if secret in logs] == []
    assert not re.search(r"eyJ[\w-]{10,}\.[\w-]{10,}\.", logs), "a token in the logs"


async def _teach(school: ComposeProject, url: str) -> None:
    teacher = (sys.executable, "-m", "airclass.ingest.teacher", "--to", url, *LIFE)
    await trio.run_process([*school.pc.prefix, *teacher], capture_stdout=True, capture_stderr=True, cwd=ROOT)


async def _watch(school: ComposeProject, urls: list[str], seconds: float, seen: list[dict[str, Any]]) -> None:
    orders = WorkerOrders(urls, len(urls), 5.0, 4.0, seconds, LATENCY_S)
    done = await trio.run_process(
        [*school.pc.prefix, sys.executable, "-m", "benchmarks.load.viewer_worker"],
        stdin=json.dumps(asdict(orders)).encode() + b"\n",
        capture_stdout=True,
        cwd=ROOT,
    )
    seen.append(json.loads(done.stdout.splitlines()[-1]))


async def _join(school: ComposeProject, code: str, count: int) -> list[str]:
    urls = []
    async with httpx.AsyncClient(timeout=10) as client:
        for n in range(count):
            answer = await client.post(f"{school.url}/api/join", json={"code": code, "name": f"Student {n}"})
            assert answer.status_code == 200, answer.text
            urls.append(answer.json()["playback_url"])
    return urls


async def _live(school: ComposeProject, code: str) -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        with trio.fail_after(NODES_S):
            # a running master sees what a command has made within a second
            while (await client.post(f"{school.url}/api/join", json={"code": code, "name": "x"})).is_error:
                await trio.sleep(POLL_S)
            (url,) = await _join(school, code, 1)
            while (await client.get(url)).status_code != 200:
                await trio.sleep(POLL_S)
