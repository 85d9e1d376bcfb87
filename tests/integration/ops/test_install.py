"""systemd units, the installer and the container files, checked by the tools that will read them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.ops.command import program
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

UNITS = sorted((ROOT / "deploy/systemd").glob("airclass-*"))
MAX_EXPOSURE = 2.5
SECRETS = "".join(f"{name}={'x' * 40}\n" for name in ("JWT_SECRET_KEY", "CLUSTER_SECRET", "HLS_CDN_SECRET"))
BIN = os.path.dirname(sys.executable)


def runnable(unit: Path, folder: Path) -> Path:
    """Return a copy whose program is there, as verify wants it."""
    copy = folder / unit.name
    copy.write_text(re.sub(r"/opt/airclass/\S*bin/\w+", shutil.which("true") or "", unit.read_text()))
    return copy


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
async def test_units_are_valid(unit: Path, tmp_path: Path) -> None:
    for other in UNITS:
        runnable(other, tmp_path)
    ran = await program("systemd-analyze", "verify", "--man=no", tmp_path / unit.name, folder=tmp_path)
    assert (ran.code, ran.err) == (0, ""), "an unknown key is only a warning for systemd, not for us"


@pytest.mark.parametrize("unit", [u for u in UNITS if u.suffix == ".service"], ids=lambda unit: unit.name)
async def test_units_are_hardened(unit: Path, tmp_path: Path) -> None:
    copy = runnable(unit, tmp_path)
    ran = await program("systemd-analyze", "security", "--offline=true", "--no-pager", copy, folder=tmp_path)
    level = re.search(r"exposure level for \S+: ([\d.]+)", ran.out)
    assert level is not None, ran.out + ran.err
    assert float(level[1]) <= MAX_EXPOSURE


async def test_a_stopping_relay_has_time_to_empty() -> None:
    for name in ("slave", "standalone"):
        text = (ROOT / f"deploy/systemd/airclass-{name}.service").read_text()
        assert int(re.findall(r"TimeoutStopSec=(\d+)", text)[0]) > 30


async def test_what_cannot_be_installed_is_said(tmp_path: Path) -> None:
    env = {"AIRCLASS_ROOT": str(tmp_path)}
    script = ROOT / "deploy/install.sh"
    ran = await program(script, "--slave", folder=tmp_path, env=env)
    assert (ran.code, "--master-url" in ran.err) == (2, True)
    ran = await program(script, "--frobnicate", folder=tmp_path, env=env)
    assert (ran.code, "--frobnicate" in ran.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


async def test_uninstalling_keeps_settings_and_data(tmp_path: Path) -> None:
    for folder in ("opt/airclass/1", "etc/airclass", "var/lib/airclass", "etc/systemd/system"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/systemd/system/airclass-master.service").touch()
    env = {"AIRCLASS_ROOT": str(tmp_path)}
    for _ in range(2):
        ran = await program(ROOT / "deploy/install.sh", "--uninstall", folder=tmp_path, env=env)
        assert ran.code == 0, ran.err
    assert not (tmp_path / "opt/airclass").exists()
    assert (tmp_path / "etc/airclass").exists()
    await program(ROOT / "deploy/install.sh", "--uninstall", "--purge", folder=tmp_path, env=env)
    assert not (tmp_path / "etc/airclass").exists()
    assert not (tmp_path / "var/lib/airclass").exists()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The files that compose reads, with settings beside them."""
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    shutil.copy(ROOT / "compose.yaml", tmp_path)
    (tmp_path / ".env").write_text(SECRETS)
    return tmp_path


async def test_compose_files_are_valid(checkout: Path) -> None:
    compose = shutil.which("docker-compose", path=f"{BIN}:{os.environ['PATH']}")
    assert compose is not None
    ran = await program(compose, "--profile", "*", "config", "--quiet", folder=checkout)
    assert (ran.code, ran.err) == (0, "")
    ran = await program(compose, "config", "--services", folder=checkout)
    assert set(ran.out.split()) == {"ingest", "master", "slave", "front"}
    ran = await program(compose, "config", folder=checkout)
    assert "replicas: 3" in ran.out
    (checkout / ".env").write_text("")
    ran = await program(compose, "config", "--quiet", folder=checkout)
    assert ran.code != 0
    assert "openssl rand -hex 32" in ran.err


async def test_the_dockerfile_is_clean(tmp_path: Path) -> None:
    hadolint = shutil.which("hadolint", path=f"{BIN}:{os.environ['PATH']}")
    assert hadolint is not None
    ran = await program(hadolint, ROOT / "deploy/docker/Dockerfile", folder=tmp_path)
    assert (ran.code, ran.out) == (0, "")


@pytest.mark.parametrize("name", ["front", "tls"])
async def test_caddy_files_are_valid(name: str, tmp_path: Path) -> None:
    caddy = shutil.which("caddy", path=f"{BIN}:{os.environ['PATH']}")
    assert caddy is not None
    file = ROOT / f"deploy/caddy/{name}.Caddyfile"
    env = {"HOME": str(tmp_path)}
    ran = await program(
        caddy, "validate", "--adapter", "caddyfile", "--config", file, folder=tmp_path, env=env
    )
    assert ran.code == 0, ran.err
    ran = await program(caddy, "fmt", "--diff", file, folder=tmp_path, env=env)
    assert ran.code == 0, ran.out


def test_scripts_have_the_run_bit() -> None:
    for path in [ROOT / "deploy/install.sh", *(ROOT / "deploy/scripts").glob("*-cluster.sh")]:
        assert path.stat().st_mode & stat.S_IXUSR


async def test_the_documents_build_and_their_links_lead_somewhere(tmp_path: Path) -> None:
    mkdocs = (sys.executable, "-W", "ignore", "-m", "mkdocs", "build", "--strict", "--quiet")
    ran = await program(
        *mkdocs, "--site-dir", tmp_path / "site", folder=ROOT, env={"NO_MKDOCS_2_WARNING": "1"}
    )
    assert ran.code == 0, ran.err
    assert (tmp_path / "site/QUICKSTART/index.html").is_file()
