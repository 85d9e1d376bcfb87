"""The eight checks of the report on version 2.0, each by really running the tool."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.harness.processes import running
from tests.integration.ops.command import ENV, Ran, program, python_path, run
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WHOLE_S = 100.0
SCRIPTS = ("monitor-cluster.sh", "backup-cluster.sh", "restore-cluster.sh")
FILES = (
    *("README.md", ".env.example", "compose.yaml", "deploy/compose.yaml", "deploy/install.sh"),
    *("deploy/docker/Dockerfile", "deploy/mediamtx/mediamtx.yml", "deploy/prometheus/prometheus.yml"),
    *(f"deploy/scripts/{name}" for name in SCRIPTS),
)
DOCUMENTS = (
    *("docs/QUICKSTART.md", "docs/PRODUCTION_DEPLOYMENT.md", "docs/PRODUCTION_TOOLS.md"),
    *("docs/PRODUCTION_IMPLEMENTATION_SUMMARY.md", "docs/TEST_REPORT_KR.md"),
)
METRICS = {
    *("airclass_http_requests_total", "airclass_http_request_duration_seconds", "airclass_active_streams"),
    *("airclass_active_connections", "airclass_tokens_issued_total", "airclass_cluster_nodes_total"),
    *("airclass_cluster_load_percentage", "airclass_cluster_connections", "airclass_errors_total"),
}


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[str]:
    """A running master with a node of its own records; its address."""
    ready = tmp_path / "ready.json"
    env = {**ENV, "MASTER_BIND": "127.0.0.1:0", "DATA_DIR": str(tmp_path / "data")}
    command = (sys.executable, "-m", "airclass.cli.app", "master", "--ready-file", ready)
    with trio.fail_after(WHOLE_S):
        async with running(*command, folder=tmp_path, env={**env, "PYTHONPATH": str(ROOT)}) as child:
            yield (await child.ready(ready))["master_url"]


async def script(name: str, *words: str, folder: Path, **env: str) -> Ran:
    """Run one of the scripts as cron does, in a folder with a `.env`."""
    return await program(
        ROOT / "deploy/scripts" / name, *words, folder=folder, env={**ENV, **python_path(), **env}
    )


def test_the_files_are_there() -> None:
    assert [name for name in FILES if not (ROOT / name).is_file()] == []
    ignored = subprocess.run(["git", "check-ignore", *FILES], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout == ""


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_have_the_run_bit(name: str) -> None:
    """In the checkout and in git, from which others get it."""
    path = ROOT / "deploy/scripts" / name
    assert os.access(path, os.X_OK)
    staged = subprocess.run(["git", "ls-files", "-s", str(path)], cwd=ROOT, capture_output=True, text=True)
    assert staged.stdout.startswith("100755 ")


async def test_the_monitor_runs_and_has_help(master: str, tmp_path: Path) -> None:
    ran = await script("monitor-cluster.sh", "--help", folder=tmp_path)
    assert ran.code == 0
    for option in ("--watch", "--interval", "--json", "--alert"):
        assert option in ran.out
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in ENV.items()))
    ran = await script("monitor-cluster.sh", folder=tmp_path, MASTER_URL=master)
    assert f"[OK] Master is UP at {master}" in ran.out
    assert "AIRClass Cluster Status" in ran.out
    ran = await script("monitor-cluster.sh", "--json", folder=tmp_path, MASTER_URL=master)
    assert json.loads(ran.out)["master"]["up"] is True


async def _with_a_backup(folder: Path) -> Path:
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in ENV.items()))
    ran = await run("classroom", "add", "Math", folder=folder)
    assert ran.code == 0, ran.err
    ran = await script("backup-cluster.sh", "--auto", folder=folder)
    assert ran.code == 0, ran.err
    assert "[OK] Backup completed successfully!" in ran.out
    (archive,) = (folder / "backups").iterdir()
    return archive


async def test_backup_makes_an_archive(tmp_path: Path) -> None:
    archive = await _with_a_backup(tmp_path)
    assert re.fullmatch(r"airclass_backup_\d{8}_\d{6}\.tar\.gz", archive.name)
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600


async def test_restore_works(tmp_path: Path) -> None:
    archive = await _with_a_backup(tmp_path)
    ran = await run("classroom", "add", "English", folder=tmp_path)
    assert ran.code == 0, ran.err
    ran = await script("restore-cluster.sh", str(archive), "--yes", folder=tmp_path)
    assert ran.code == 0, ran.err
    ran = await run("classroom", "list", "--json", folder=tmp_path)
    assert [room["name"] for room in json.loads(ran.out)] == ["Math"]


async def test_there_are_nine_metrics(master: str, tmp_path: Path) -> None:
    """All nine names, with their types, in what Prometheus gets."""
    token = await run("token", "monitor", folder=tmp_path, env={**ENV, "DATA_DIR": str(tmp_path / "data")})
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token.out.strip()}"}) as client:
        text = (await client.get(f"{master}/metrics")).text
    assert len(METRICS) == 9
    assert set(re.findall(r"^# TYPE (airclass_\S+)", text, re.M)) >= METRICS


async def test_the_dashboard_answers(master: str) -> None:
    """The page, and every script and style that it loads."""
    async with httpx.AsyncClient(base_url=master) as client:
        page = await client.get("/admin")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        loaded = re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)
        assert loaded
        for path in loaded:
            assert (await client.get(path)).status_code == 200, path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_documents_are_there(name: str) -> None:
    text = (ROOT / name).read_text()
    assert text.startswith("# ")
    assert len(text.split()) > 100
