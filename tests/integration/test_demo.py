"""`airclass demo` and `standalone` as a newcomer runs them: what they promise, and that nothing stays.

Real processes on ports that the kernel chooses; every test has a deadline of its own.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import trio

from airclass.ingest.ports import lan_address
from tests.harness.processes import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.processes import ChildProcess

TEST_S = 100
READY_S = 60.0
STOP_S = 5.0
GONE_S = 5.0
POLL_S = 0.1
AIRCLASS = (sys.executable, "-m", "airclass.cli.app")
SECRETS = {"JWT_SECRET_KEY": "j" * 40, "CLUSTER_SECRET": "c" * 40}
RECORD = {
    *("master_url", "relay_url", "relay_admin_url", "join_code", "student_url", "teacher_url", "admin_url"),
    *("rtmp_url", "origin_url", "admin_token", "monitor_token", "ingest", "pids"),
}


class System:
    """A running demo or installation."""

    def __init__(self, child: ChildProcess, ready_file: Path, temporary: Path) -> None:
        self.child, self._ready_file, self.temporary = child, ready_file, temporary

    @property
    def record(self) -> dict[str, Any]:
        """What the ready file says now."""
        record: dict[str, Any] = json.loads(self._ready_file.read_text())
        return record

    async def joined(self, name: str = "Kim") -> dict[str, Any]:
        """Join by code; the class is live."""
        async with httpx.AsyncClient() as client:
            while True:
                body = {"code": self.record["join_code"], "name": name}
                with suppress(httpx.TransportError):
                    answer = await client.post(f"{self.record['master_url']}/api/join", json=body)
                    if answer.status_code == 200 and answer.json()["live"]:
                        return dict(answer.json())
                await trio.sleep(POLL_S)

    def open_ports(self) -> list[str]:
        """Return the addresses of the record that somebody listens on."""
        addresses = [self.record[key] for key in ("master_url", "relay_url", "relay_admin_url", "origin_url")]
        return [url for url in (*addresses, self.record["rtmp_url"]) if _listens(url)]


async def newest_media(url: str) -> bytes:
    """Return the newest segment that a player would find behind a playback address."""
    async with httpx.AsyncClient() as client:
        while True:
            try:
                index = await client.get(url)
                if index.status_code == 200:
                    media_url = urljoin(url, _uris(index.text)[0])
                    segments = _uris((await client.get(media_url)).text)
                    media = await client.get(urljoin(media_url, segments[-1]))
                    if media.status_code == 200:
                        return media.content
            except (httpx.TransportError, IndexError):
                pass
            await trio.sleep(POLL_S)


def _uris(playlist: str) -> list[str]:
    return [line for line in playlist.splitlines() if line and not line.startswith("#")]


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    with socket.socket() as sock:
        sock.settimeout(2)
        return sock.connect_ex((parts.hostname, parts.port)) == 0


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits for its parent to notice does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until_gone(pids: list[int], folder: Path) -> None:
    """Wait until no process and nothing in the folder is left."""
    with trio.move_on_after(GONE_S):
        while any(map(alive, pids)) or any(folder.iterdir()):
            await trio.sleep(POLL_S)
    assert [pid for pid in pids if alive(pid)] == []
    assert list(folder.iterdir()) == []


@asynccontextmanager
async def started(folder: Path, *command: str, **env: str) -> AsyncIterator[System]:
    """Run a command until the end of the block, with a TMPDIR of its own."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    ready_file = folder / "ready.json"
    args = (*AIRCLASS, *command, "--ports", "0", "--ready-file", str(ready_file))
    clean = {"TMPDIR": str(temporary), "INGEST": "embedded", **env}
    async with running(*args, folder=folder, env=clean) as child:
        await child.ready(ready_file, within_s=READY_S)
        yield System(child, ready_file, temporary)


async def test_a_student_plays_as_soon_as_the_file_is_there_and_nothing_stays(tmp_path: Path) -> None:
    with trio.fail_after(TEST_S):
        async with started(tmp_path, "demo") as demo:
            record = demo.record
            assert set(record) == RECORD
            assert set(record["pids"]) == {"master", "relay", "ingest", "teacher"}
            assert record["ingest"] == "embedded"
            assert len(demo.open_ports()) == 5
            with trio.fail_after(2):
                seat = await demo.joined()
                assert len(await newest_media(seat["pathways"][0]["url"])) > 10_000
            await _links_and_tokens_work(record)
            before_s = trio.current_time()
            assert await demo.child.stop() == 0
            assert trio.current_time() - before_s < STOP_S
            await until_gone(list(record["pids"].values()), demo.temporary)
            assert not (tmp_path / "ready.json").exists()
            assert not any(map(_listens, (record["master_url"], record["relay_url"], record["rtmp_url"])))
            said = demo.child.output()
    for told in (record["student_url"], record["join_code"], record["rtmp_url"]):
        assert told in said
    assert record["admin_token"] not in said
    assert "Traceback" not in said


async def _links_and_tokens_work(record: dict[str, Any]) -> None:
    async with httpx.AsyncClient(base_url=record["master_url"]) as client:
        for role in ("teacher", "admin"):
            link = record[f"{role}_url"]
            assert link.endswith(f"&next=/{'teach' if role == 'teacher' else 'admin'}")
            token = link.partition("#link=")[2].partition("&")[0]
            answer = await client.post("/api/login", json={"link_token": token})
            assert answer.json()["user"]["role"] == role
            known = (await client.get("/api/classrooms")).json()["classrooms"]
            assert [c["code"] for c in known] == [record["join_code"]]
            assert known[0]["rtmp_url"] == record["rtmp_url"]
            client.cookies.clear()
        for kind in ("admin", "monitor"):
            bearer = {"Authorization": f"Bearer {record[f'{kind}_token']}"}
            nodes = (await client.get("/cluster/nodes", headers=bearer)).json()
            assert [n["status"] for n in nodes["nodes"]] == ["active"]


async def test_kill_9_of_the_parent_leaves_nothing(tmp_path: Path) -> None:
    with trio.fail_after(TEST_S):
        async with started(tmp_path, "demo") as demo:
            record = demo.record
            demo.child.kill()
            await demo.child.wait()
            await until_gone(list(record["pids"].values()), demo.temporary)
            # the ingest's own child notices after the ingest: the test's deadline bounds it
            while any(map(_listens, (record["master_url"], record["relay_url"], record["rtmp_url"]))):
                await trio.sleep(POLL_S)


@pytest.mark.parametrize("victim", ["ingest", "relay", "master", "teacher"])
async def test_a_killed_child_comes_back_and_the_class_goes_on(tmp_path: Path, victim: str) -> None:
    with trio.fail_after(TEST_S):
        async with started(tmp_path, "demo") as demo:
            before = demo.record
            os.kill(before["pids"][victim], 9)
            while demo.record["pids"][victim] == before["pids"][victim]:
                await trio.sleep(POLL_S)
            seat = await demo.joined("Lee")
            assert len(await newest_media(seat["pathways"][0]["url"])) > 10_000
            after = demo.record
            assert {k: v for k, v in after.items() if k != "pids"} == {
                k: v for k, v in before.items() if k != "pids"
            }
            others = {name for name in before["pids"] if name != victim}
            assert all(after["pids"][name] == before["pids"][name] for name in others)


async def test_public_links_can_be_reached_from_other_machines(tmp_path: Path) -> None:
    with trio.fail_after(TEST_S):
        async with started(tmp_path, "demo", "--public") as demo:
            record = demo.record
            for name in ("master_url", "relay_url", "student_url"):
                assert urlsplit(record[name]).hostname == lan_address()
            for name in ("relay_admin_url", "origin_url"):
                assert urlsplit(record[name]).hostname == "127.0.0.1"
            seat = await demo.joined()
            assert urlsplit(seat["pathways"][0]["url"]).hostname == lan_address()


async def test_an_installation_keeps_its_class_and_waits_for_its_teacher(tmp_path: Path) -> None:
    env = {**SECRETS, "DATA_DIR": str(tmp_path / "data")}
    with trio.fail_after(2 * TEST_S):
        async with started(tmp_path, "standalone", **env) as school:
            first = school.record
            assert set(first) == RECORD
            assert set(first["pids"]) == {"master", "relay", "ingest"}
            lesson = ("--to", first["rtmp_url"], "--size", "320x180", "--bitrate-kbps", "200")
            async with running(*AIRCLASS, "teach", *lesson, folder=tmp_path):
                seat = await school.joined()
                assert await newest_media(seat["pathways"][0]["url"])
        async with started(tmp_path, "standalone", **env) as school:
            second = school.record
            assert second["join_code"] == first["join_code"]
            assert (
                second["rtmp_url"].rpartition("/")[2]
                == first["rtmp_url"].rpartition("/")[2].partition("?")[0]
            )


def _stream(record: dict[str, Any]) -> str:
    return urlsplit(record["rtmp_url"]).path


CANNOT = {
    "a port that is taken": ({}, "MASTER_BIND: {taken} cannot be used (Address already in use)"),
    "no MediaMTX": ({"INGEST": "mediamtx", "PATH": "/nowhere"}, "MediaMTX was not found: get MediaMTX 1.20"),
    "a folder that cannot be": ({"DATA_DIR": "/dev/null/x"}, "DATA_DIR /dev/null/x cannot be written"),
    "no secrets": ({"JWT_SECRET_KEY": ""}, "JWT_SECRET_KEY is missing"),
    "a bad setting": ({"INGEST": "ffmpeg"}, "INGEST: "),
}


@pytest.mark.parametrize("what", CANNOT)
async def test_what_keeps_it_from_starting_is_one_sentence(tmp_path: Path, what: str) -> None:
    env, sentence = CANNOT[what]
    with trio.fail_after(TEST_S), socket.create_server(("127.0.0.1", 0)) as server:
        taken = f"127.0.0.1:{server.getsockname()[1]}"
        free = {name: "127.0.0.1:0" for name in ("RELAY_BIND", "RELAY_ADMIN_BIND", "INGEST_RTMP_BIND")}
        binds = {"MASTER_BIND": taken, "INGEST_HLS_BIND": "127.0.0.1:0", **free}
        own = {"DATA_DIR": str(tmp_path / "data"), "INGEST": "embedded", "TMPDIR": str(tmp_path)}
        environ = {**binds, **SECRETS, **own, **env}
        async with running(*AIRCLASS, "standalone", folder=tmp_path, env=environ) as child:
            assert await child.wait() == 2
            said = child.output().strip()
    assert sentence.format(taken=taken) in said
    assert "Traceback" not in said
    assert len(said.splitlines()) <= 2
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("airclass-run")] == []


async def test_a_ready_file_that_cannot_be_written(tmp_path: Path) -> None:
    ready_file = tmp_path / "file" / "ready.json"
    (tmp_path / "file").write_text("")
    with trio.fail_after(TEST_S):
        command = (*AIRCLASS, "demo", "--ports", "0", "--ready-file", str(ready_file))
        async with running(*command, folder=tmp_path) as child:
            assert await child.wait() == 2
            assert "the folder of --ready-file" in child.output()
