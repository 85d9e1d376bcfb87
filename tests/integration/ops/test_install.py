"""systemd units, the installer and the container files, checked by the tools that will read them."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import sys
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest
import trio
import yaml

from tests.harness.netns import lab
from tests.harness.processes import running
from tests.integration.ops.command import program
from tests.policy.tree import ROOT, files

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


async def test_a_join_line_that_is_not_whole_is_said(tmp_path: Path) -> None:
    env = {"AIRCLASS_ROOT": str(tmp_path)}
    ran = await program(
        ROOT / "deploy/install.sh", "--slave", "--join", "http://m:8000", folder=tmp_path, env=env
    )
    assert (ran.code, "URL#TOKEN" in ran.err) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_each_service_gets_only_the_secrets_that_it_needs() -> None:
    """A relay that was broken into must not find the master's secrets in its environment."""
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    slave = compose["slave"]
    assert "env_file" not in slave
    assert "secrets" not in slave
    words = ("SECRET", "KEY", "DATABASE", "PASS", "TOKEN", "WEBHOOK")
    given = {name for name in slave["environment"] if any(word in name for word in words)}
    assert given == {"CLUSTER_SECRET", "MAX_ADDRESSES_PER_TOKEN"}
    unit = (ROOT / "deploy/systemd/airclass-slave.service").read_text()
    assert re.findall(r"^LoadCredential=(\S+?):", unit, re.M) == ["cluster-secret"]
    assert "EnvironmentFile" not in unit


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


RULES = """\
say() { :; }
warn() { echo "$*"; }
command() { [ "$2" != ufw ] && builtin command "$@"; }
. "$1"
firewall_open "$2" "$3" "$4" "$5"
"""


async def written_rules(folder: Path, mode: str, mediamtx: str, relays: str) -> str:
    """Return the rules that install.sh leaves on a machine without ufw."""
    (folder / ".env").write_text(f"MODE={mode}\nMASTER_BIND=0.0.0.0:80\nMASTER_BIND=0.0.0.0:8443\n")
    script = ROOT / "deploy/setup/firewall.sh"
    ran = await program("bash", "-euc", RULES, "rules", script, folder, mode, mediamtx, relays, folder=folder)
    assert (ran.code, "There is no ufw" in ran.out) == (0, True), ran.err
    return (folder / "firewall.nft").read_text()


@pytest.mark.parametrize(
    ("mode", "mediamtx", "ports"),
    [
        ("standalone", "", "22, 8443, 8080"),
        ("standalone", "/bin/mediamtx", "22, 8443, 8080, 1935"),
        ("master", "/bin/mediamtx", "22, 8443, 1935"),
        ("slave", "", "22, 8080"),
    ],
)
async def test_the_firewall_opens_what_the_settings_name(
    tmp_path: Path, mode: str, mediamtx: str, ports: str
) -> None:
    rules = await written_rules(tmp_path, mode, mediamtx, "")
    assert re.findall(r"dport \{ (.*) \} accept", rules) == [ports]


@pytest.mark.parametrize(
    ("settings", "hook"),
    [
        ("", "http://127.0.0.1:8000"),
        ("MASTER_BIND=0.0.0.0:80\nMASTER_BIND=[::]:8443\n", "http://127.0.0.1:8443"),
        ("TLS_CERT=/c\nMASTER_URL=https://class.example:8000/\n", "https://class.example:8000"),
    ],
)
async def test_mediamtx_asks_the_master_where_it_listens(settings: str, hook: str, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(settings)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/hls-cdn-secret").write_text("s" * 40)
    script = ROOT / "deploy/setup/ingest.sh"
    words = ("bash", "-euo", "pipefail", "-c", '. "$1"; ingest_environment "$2"', "ingest")
    ran = await program(*words, script, tmp_path, folder=tmp_path)
    told = [f"MTX_HLSCDNSECRET={'s' * 40}", f"MTX_AUTHHTTPADDRESS={hook}/hooks/mediamtx/auth"]
    assert (ran.code, ran.out.splitlines()) == (0, [*told, "MTX_HLSADDRESS=:8888"]), ran.err


async def test_nftables_let_in_what_is_open_and_nothing_else(tmp_path: Path) -> None:
    relays = "192.0.2.0/24,fd00::/8"
    await written_rules(tmp_path, "master", "/bin/mediamtx", relays)
    with lab("street") as net:
        where = net.cables["street"].theirs
        for _ in range(2):  # loading them again changes nothing
            net.inside("nft", "-f", str(tmp_path / "firewall.nft"))
        doors = ("-c", DOORS, "8443", "9000", "8888")
        async with running(*net.prefix, sys.executable, *doors, folder=tmp_path) as child:
            while "open" not in child.output():
                assert child.returncode is None, child.output()
                await trio.sleep(0.05)
            assert [await _lets_in(where, port) for port in (8443, 9000, 8888)] == [True, False, False]


@pytest.mark.parametrize("guide", ["docs/PRODUCTION_DEPLOYMENT.md", "docs/ko/PRODUCTION_DEPLOYMENT.md"])
async def test_nftables_load_the_rules_of_the_guide(guide: str, tmp_path: Path) -> None:
    (rules,) = re.findall(r"^```nft\n(.*?)^```", (ROOT / guide).read_text(), re.M | re.S)
    (tmp_path / "guide.nft").write_text(rules)
    with lab("street") as net:
        net.inside("nft", "-f", str(tmp_path / "guide.nft"))


DOORS = """
import socket, sys
doors = [socket.create_server(("0.0.0.0", int(port))) for port in sys.argv[1:]]
print("open", flush=True)
sys.stdin.read()
"""


async def _lets_in(host: str, port: int) -> bool:
    with trio.move_on_after(1):
        await (await trio.open_tcp_stream(host, port)).aclose()
        return True
    return False


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
    ran = await program(compose, "--profile", "*", "config", "--format", "json", folder=checkout)
    services = json.loads(ran.out)["services"]
    assert services.keys() >= {
        "ingest",
        "master",
        "slave",
        "front",
        "tls",
        "prometheus",
        "grafana",
        "postgres",
    }
    for name, service in services.items():
        assert int(service["deploy"]["resources"]["limits"]["memory"]) > 0, name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert "no-new-privileges:true" in service["security_opt"], name
    assert services["master"]["depends_on"]["postgres"]["required"] is False
    ran = await program(compose, "config", "--services", folder=checkout)
    assert set(ran.out.split()) == {"ingest", "master", "slave", "front"}
    ran = await program(compose, "config", folder=checkout)
    assert "replicas: 3" in ran.out
    (checkout / ".env").write_text("")
    ran = await program(compose, "config", "--quiet", folder=checkout)
    assert ran.code != 0
    assert "openssl rand -hex 32" in ran.err


def _in_context(name: str, rules: list[str]) -> bool:
    """Tell whether .dockerignore lets a file into the image's build; the last rule that fits decides."""
    taken = True
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = [name, *map(str, PurePosixPath(name).parents)]
        anywhere = PurePosixPath(name).parts if "**/" in rule else ()
        if any(fnmatch(part, pattern) for part in (*parts, *anywhere)):
            taken = rule.startswith("!")
    return taken


def test_the_image_is_made_of_sources_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    tracked = {path.relative_to(ROOT).as_posix() for path in files()}
    private = {
        ".env",
        "data/airclass.sqlite3",
        ".git/config",
        "backups/a.tar.gz",
        "frontend/node_modules/x/y.js",
    }
    private |= {"airclass/_pages/index.html", "relay/__pycache__/app.cpython-311.pyc", "deploy/secrets/key"}
    context = {name for name in tracked | private if _in_context(name, rules)}
    assert context & private == set()
    tops = {PurePosixPath(name).parts[0] for name in context}
    assert tops == {
        "airclass",
        "relay",
        "frontend",
        "constraints.txt",
        "deploy",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    }
    assert [name for name in context if name.startswith("deploy/")] == ["deploy/setup/program.sh"]
    assert not any(name.startswith("frontend/tests/") for name in context)
    text = (ROOT / "deploy/docker/Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*$", text, re.MULTILINE)]
    for source in (source.rstrip("/") for sources in copied for source in sources):
        assert any(name == source or name.startswith(source + "/") for name in context), source


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
