"""Losing everything and getting it back, with the real commands and a real master."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.harness.postgres import Postgres, postgres_running
from tests.harness.processes import ChildProcess, free_ports, running
from tests.integration.ops.command import ENV, SECRET, Ran, program, python_path, run
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

WHOLE_S = 100.0
PASSWORD = "correct horse battery"
SETTINGS = f"""\
MODE=master
JWT_SECRET_KEY={SECRET}
CLUSTER_SECRET={SECRET}
MASTER_BIND=127.0.0.1:0
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A school with settings, 3 users and 2 classes, made once by the commands; keys in keys.json."""
    folder = tmp_path_factory.mktemp("template") / "school"
    folder.mkdir()
    (folder / ".env").write_text(SETTINGS)
    (folder / ".env").chmod(0o600)
    (folder / "compose.yaml").write_text("name: airclass\n")
    (folder / "mediamtx.yml").write_text("rtmp: yes\n")
    (folder.parent / "keys.json").write_text(json.dumps(_people_and_classes(folder)))
    return folder


def _people_and_classes(folder: Path) -> dict[str, str]:
    for name, role in (("boss", "admin"), ("kim", "teacher"), ("lee", "monitor")):
        _make(folder, "user", "add", name, "--role", role, "--password-stdin")
    made = [json.loads(_make(folder, "classroom", "add", name, "--json")) for name in ("Math", "English")]
    return {classroom["id"]: classroom["stream_key"] for classroom in made}


def _make(folder: Path, *words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "airclass.cli.app", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=PASSWORD,
        check=True,
        capture_output=True,
        text=True,
        timeout=WHOLE_S,
    ).stdout


@pytest.fixture
def school(tmp_path: Path, template: Path) -> Path:
    """A folder as an operator has it, to be ruined."""
    return Path(shutil.copytree(template, tmp_path / "school"))


@pytest.fixture
def keys(template: Path) -> dict[str, str]:
    """The stream keys by class."""
    return dict(json.loads((template.parent / "keys.json").read_text()))


async def check_school(school: Path, keys: dict[str, str]) -> None:
    """Check logins, classes, and that the ingest hook takes the same stream keys."""
    async with master_of(school) as (url, client):
        for name, role in (("boss", "admin"), ("kim", "teacher"), ("lee", "monitor")):
            answer = await client.post(f"{url}/api/login", json={"username": name, "password": PASSWORD})
            assert (answer.status_code, answer.json()["user"]["role"]) == (200, role)
        for classroom, key in keys.items():
            ask = {
                "action": "publish",
                "path": f"live/{classroom}",
                "query": f"token={key}",
                "protocol": "rtmp",
            }
            assert (await client.post(f"{url}/hooks/mediamtx/auth", json=ask)).status_code == 204


class master_of:  # noqa: N801  reads as a verb at its places of use
    """A running master in the school's folder."""

    def __init__(self, school: Path) -> None:
        self._school = school

    async def __aenter__(self) -> tuple[str, httpx.AsyncClient]:
        ready = self._school / "ready.json"
        ready.unlink(missing_ok=True)
        args = (sys.executable, "-m", "airclass.cli.app", "master", "--ready-file", ready)
        env = {"PYTHONPATH": str(ROOT), "DATA_DIR": str(self._school / "data"), **dotenv(self._school)}
        self._child = running(*args, folder=self._school, env=env)
        child: ChildProcess = await self._child.__aenter__()
        self.child = child
        self._client = httpx.AsyncClient(timeout=20)
        return (await child.ready(ready))["master_url"], self._client

    async def __aexit__(self, *exc: object) -> None:
        await self._client.aclose()
        await self._child.__aexit__(None, None, None)


def dotenv(school: Path) -> dict[str, str]:
    lines = (school / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


async def backup(school: Path, *args: str, env: dict[str, str] | None = None) -> tuple[Ran, Path]:
    ran = await run("backup", *args, folder=school, env=env)
    assert ran.code == 0, ran.err
    name = next(line.split(": ", 1)[1] for line in ran.out.splitlines() if "Location" in line)
    return ran, school / name


@pytest.fixture
async def deadline() -> AsyncIterator[None]:
    with trio.fail_after(WHOLE_S):
        yield


async def test_everything_lost_and_everything_back(
    school: Path, keys: dict[str, str], deadline: None
) -> None:
    ran, archive = await backup(school)
    assert "[OK] Backup completed successfully!" in ran.out
    assert archive.name.startswith("airclass_backup_20")
    assert "  Size: " in ran.out
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    safe = school.parent / archive.name
    archive.rename(safe)
    shutil.rmtree(school)
    school.mkdir()
    ran = await run("restore", safe, "--yes", folder=school)
    assert ran.code == 0, ran.err
    assert "3 users, 2 classrooms" in ran.out
    assert (school / ".env").read_text() == SETTINGS
    assert stat.S_IMODE((school / ".env").stat().st_mode) == 0o600
    await check_school(school, keys)
    ran = await run("classroom", "list", "--json", folder=school)
    assert {c["id"] for c in json.loads(ran.out)} == set(keys)


async def test_the_same_nodes_are_back(school: Path, deadline: None) -> None:
    """A relay outlives the loss: the restored master takes it back, and knows that it is to be empty."""
    (port,) = free_ports(1)
    settings = SETTINGS.replace("127.0.0.1:0", f"127.0.0.1:{port}")
    (school / ".env").write_text(settings)
    env = {
        **ENV,
        **{"NODE_ID": "slave-2", "MASTER_URL": f"http://127.0.0.1:{port}", "PYTHONPATH": str(ROOT)},
        **{"RELAY_BIND": "127.0.0.1:0", "RELAY_ADMIN_BIND": "127.0.0.1:0"},
    }
    relay = (sys.executable, "-m", "relay", "--ready-file", school.parent / "relay.json")
    async with running(*relay, folder=school.parent, env=env):
        async with master_of(school):
            await _until_nodes_are(school, {"slave-2": "active"})
            assert (await run("drain", "slave-2", "--force", folder=school)).code == 0
            await _until_nodes_are(school, {"slave-2": "draining"})
            _, archive = await backup(school)
        safe = archive.rename(school.parent / archive.name)
        with tarfile.open(safe) as tar:
            snapshot = tar.extractfile(f"{safe.name.removesuffix('.tar.gz')}/info/cluster.json")
            assert snapshot is not None
            assert [node["id"] for node in json.load(snapshot)["nodes"]] == ["slave-2"]
        shutil.rmtree(school)
        school.mkdir()
        ran = await run("restore", safe, "--yes", folder=school)
        assert ran.code == 0, ran.err
        async with master_of(school):
            await _until_nodes_are(school, {"slave-2": "draining"})


async def _until_nodes_are(school: Path, wanted: dict[str, str]) -> None:
    """Wait until the master knows these nodes with this status and no others; the test's deadline holds."""
    found: dict[str, str] = {}
    while found != wanted:
        await trio.sleep(0.2)
        ran = await run("monitor", "--json", folder=school)
        found = {node["id"]: node["status"] for node in json.loads(ran.out)["nodes"]}


async def test_what_root_saves_and_restores_belongs_to_the_folders_owner(
    school: Path, deadline: None
) -> None:
    os.chown(school / "data", 10001, 10001)
    _, archive = await backup(school)
    # else the master could not read it, and BackupTooOld would ring for ever
    note = (school / "data/backup.json").stat()
    assert (note.st_uid, note.st_gid) == (10001, 10001)
    shutil.rmtree(school / "data")
    (school / "data").mkdir()
    os.chown(school / "data", 10001, 10001)
    ran = await run("restore", archive, "--yes", folder=school)
    assert ran.code == 0, ran.err
    made = list((school / "data").iterdir())
    assert {p.name for p in made} >= {"airclass.sqlite3", "airclass.sqlite3.lock"}
    assert {(p.stat().st_uid, p.stat().st_gid) for p in made} == {(10001, 10001)}


async def test_it_asks_first_and_shows_what_is_inside(school: Path, deadline: None) -> None:
    _, archive = await backup(school)
    (school / ".env").write_text(SETTINGS + "LOG_LEVEL=debug\n")
    ran = await run("restore", archive, folder=school, input="n\n")
    assert ran.code == 1
    assert "files/.env" in ran.out
    assert "Nothing was changed." in ran.out
    assert "LOG_LEVEL" in (school / ".env").read_text()
    ran = await run("restore", archive, folder=school, input="y\n")
    assert (ran.code, (school / ".env").read_text()) == (0, SETTINGS)
    kept = list(school.glob(".env.before-restore-*"))
    assert [p.read_text() for p in kept] == [SETTINGS + "LOG_LEVEL=debug\n"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_closed_terminal_leaves_nothing_behind(
    school: Path, number: signal.Signals, deadline: None
) -> None:
    """What was unpacked holds every secret, and waits in the folder for the operator's answer."""
    _, archive = await backup(school)
    command = ("env", "-C", school, sys.executable, "-m", "airclass.cli.app", "restore", archive)
    async with running(*command, folder=school.parent, env={"PYTHONPATH": str(ROOT)}) as child:
        while "This replaces" not in child.output():
            assert child.returncode is None, child.output()
            await trio.sleep(0.05)
        assert len(list(school.glob(".airclass-restore-*"))) == 1
        child.kill(number)
        assert await child.wait() == 128 + number
    assert list(school.rglob(".airclass-*")) == []
    assert "Traceback" not in child.output()


async def test_a_running_master_is_stopped_and_its_database_replaced(
    school: Path, keys: dict[str, str], deadline: None
) -> None:
    _, archive = await backup(school)
    server = master_of(school)
    await server.__aenter__()
    ran = await run("user", "remove", "kim", folder=school)
    assert ran.code == 0, ran.err
    ran = await run("restore", archive, "--yes", folder=school)
    assert ran.code == 0, ran.err
    assert f"process {server.child.pid}" in ran.out
    assert await server.child.wait() == 0
    await server.__aexit__()
    await check_school(school, keys)


async def test_a_full_disk_leaves_the_old_state_alone(school: Path, deadline: None) -> None:
    _, archive = await backup(school)
    before = await run("user", "list", folder=school)
    ran = await run("user", "add", "new", "--no-password", folder=school)
    after = await run("user", "list", folder=school)
    assert before.out != after.out
    # no file may grow beyond 60 kB: the database does not fit any more
    ran = await run("restore", archive, "--yes", folder=school, prefix=("prlimit", "--fsize=60000"))
    assert ran.code == 2
    assert "nothing was changed" in ran.err
    assert (await run("user", "list", folder=school)).out == after.out
    assert list(school.rglob("*before-restore*")) == list(school.rglob(".airclass-*")) == []
    ran = await run("backup", folder=school, prefix=("prlimit", "--fsize=60000"))
    assert ran.code == 2
    assert list((school / "backups").iterdir()) == [archive]


async def test_auto_keeps_seven_days(school: Path, deadline: None) -> None:
    folder = school / "backups"
    folder.mkdir()
    now = datetime.now().astimezone()
    for days in (1, 6, 8, 30):
        (folder / f"airclass_backup_{now - timedelta(days=days):%Y%m%d_%H%M%S}.tar.gz").write_bytes(b"")
    (folder / "notes.txt").write_text("mine")
    ran, archive = await backup(school, "--auto")
    assert ran.out.count("Removed") == 2
    assert len(list(folder.iterdir())) == 4
    assert archive.exists()
    assert (folder / "notes.txt").exists()


async def test_encrypted_by_passphrase(school: Path, keys: dict[str, str], deadline: None) -> None:
    env = {"BACKUP_PASSPHRASE": "horse battery staple"}
    _, archive = await backup(school, env=env)
    assert archive.name.endswith(".tar.gz.enc")
    data = archive.read_bytes()
    assert SECRET.encode() not in data
    shutil.rmtree(school / "data")
    ran = await run("restore", archive, "--yes", folder=school)
    assert (ran.code, "BACKUP_PASSPHRASE" in ran.err) == (2, True)
    ran = await run("restore", archive, "--yes", folder=school, env={"BACKUP_PASSPHRASE": "wrong" * 3})
    assert (ran.code, "another one" in ran.err) == (2, True)
    ran = await run("restore", archive, "--yes", folder=school, env=env)
    assert ran.code == 0, ran.err
    await check_school(school, keys)


async def test_verify_only_looks(school: Path, deadline: None) -> None:
    _, archive = await backup(school)
    before = sorted(p for p in school.rglob("*") if p.is_file())
    ran = await run("restore", archive, "--verify", folder=school)
    assert (ran.code, "files are as they were saved" in ran.out) == (0, True)
    assert sorted(p for p in school.rglob("*") if p.is_file()) == before
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    ran = await run("restore", archive, "--verify", folder=school)
    assert (ran.code, ran.out) == (2, "")


async def test_the_scripts_do_the_same(school: Path, deadline: None) -> None:
    scripts = ROOT / "deploy/scripts"
    env = {"PYTHONPATH": str(ROOT), **python_path()}
    ran = await program(scripts / "backup-cluster.sh", "saved", folder=school, env=env)
    assert ran.code == 0, ran.err
    (archive,) = (school / "saved").iterdir()
    with tarfile.open(archive) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()}
    assert {
        *("manifest.json", "files/.env", "files/compose.yaml", "files/mediamtx.yml"),
        *("database/airclass.sqlite3", "info/cluster.json", "info/volumes.json"),
    } <= inside
    (school / ".env").write_text("MODE=slave\n")
    ran = await program(scripts / "restore-cluster.sh", archive, "--yes", folder=school, env=env)
    assert (ran.code, (school / ".env").read_text()) == (0, SETTINGS)
    unpacked = school / "by-hand"
    unpacked.mkdir()
    await trio.run_process(["tar", "-xf", str(archive), "-C", str(unpacked)])
    (folder,) = unpacked.iterdir()
    ran = await program(scripts / "restore-cluster.sh", folder, "--verify", folder=school, env=env)
    assert ran.code == 0, ran.err


async def test_secrets_are_not_printed(school: Path, deadline: None) -> None:
    ran, archive = await backup(school)
    again = await run("restore", archive, "--yes", folder=school)
    for text in (ran.out, ran.err, again.out, again.err):
        assert SECRET not in text


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of our own."""
    with postgres_running() as server:
        yield server


@pytest.fixture
def postgres_school(tmp_path: Path, postgres: Postgres) -> tuple[Path, dict[str, str]]:
    """A school whose people are in PostgreSQL, and its stream keys by class."""
    folder = tmp_path / "school"
    folder.mkdir()
    address = postgres.database(tmp_path.name)
    (folder / ".env").write_text(f"{SETTINGS}DATABASE_URL={address}\n")
    return folder, _people_and_classes(folder)


async def test_everything_in_postgresql_lost_and_back(
    postgres_school: tuple[Path, dict[str, str]], postgres: Postgres, deadline: None
) -> None:
    school, keys = postgres_school
    ran, archive = await backup(school)
    assert "database: postgresql" in ran.out
    safe = school.parent / archive.name
    archive.rename(safe)
    shutil.rmtree(school)
    school.mkdir()
    postgres.drop(school.parent.name)
    postgres.database(school.parent.name)
    ran = await run("restore", safe, "--yes", folder=school)
    assert ran.code == 0, ran.err
    await check_school(school, keys)


async def test_a_postgresql_that_refuses_keeps_what_it_had(
    postgres_school: tuple[Path, dict[str, str]], deadline: None
) -> None:
    school, _ = postgres_school
    _, archive = await backup(school)
    assert (await run("user", "remove", "kim", folder=school)).code == 0
    after = (await run("user", "list", folder=school)).out
    # a statement in the dump that cannot be carried out, as on a server of another version
    broken = _with_a_broken_dump(archive, school.parent / "broken")
    ran = await run("restore", broken, "--yes", folder=school)
    assert (ran.code, "pg_restore failed" in ran.err, "former state is back" in ran.err) == (2, True, True)
    assert (await run("user", "list", folder=school)).out == after
    ran = await run("restore", archive, "--yes", folder=school)
    assert ran.code == 0, ran.err
    assert (await run("user", "list", folder=school)).out != after


def _with_a_broken_dump(archive: Path, target: Path) -> Path:
    """Unpack a backup and cut its dump, with a manifest that agrees."""
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    (folder,) = target.iterdir()
    dump = folder / "database/airclass.pgdump"
    dump.write_bytes(dump.read_bytes()[:-400])
    manifest = json.loads((folder / "manifest.json").read_text())
    for entry in manifest["files"]:
        if entry["path"] == "database/airclass.pgdump":
            entry["size"] = dump.stat().st_size
            entry["sha256"] = hashlib.sha256(dump.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_scripts_have_the_run_bit() -> None:
    for name in ("monitor", "backup", "restore"):
        assert os.access(ROOT / f"deploy/scripts/{name}-cluster.sh", os.X_OK)
