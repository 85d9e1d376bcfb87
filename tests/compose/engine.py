"""A Docker engine of our own: its data, socket and processes below one folder, nothing shared.

Starts dockerd, and leaves the machine's firewall, forwarding and interfaces as they were. Images stay in
the folder from run to run. Needs root, docker.io and iptables.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START_S = 30.0
STOP_S = 30.0
COMMAND_S = 540.0
POLL_S = 0.1
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
DOCKER = "/usr/bin/docker"  # Debian's: another on PATH may want a builder that is not there


@dataclass(frozen=True)
class Engine:
    """A running dockerd; commands are given up after COMMAND_S seconds."""

    folder: Path
    socket: Path
    transcript: list[str] = field(default_factory=list)

    def docker(self, *args: str | Path, input: bytes | None = None) -> str:
        """Run a docker command and return what it printed; AssertionError with its words if it fails."""
        return run(DOCKER, *args, env=self.env, input=input)

    def compose(self, project: Path, *args: str, input: bytes | None = None, keep: bool = True) -> str:
        """Run a compose command in the folder of the project's `.env`; `keep`: as an operator types it."""
        words = [str(COMPOSE), "--progress", "plain", *args]
        done = finished(words, env=self.env, folder=project, input=input)
        said = done.stdout.decode(errors="replace")
        if keep:
            shown = (done.stderr.decode(errors="replace") + said).replace(str(project), "~/airclass")
            self.transcript.append(
                f"```console\n$ docker compose {shlex.join(args)}\n{shown.rstrip()}\n```\n"
            )
        return said

    def has(self, image: str) -> bool:
        """Tell whether an image is there."""
        done = subprocess.run([DOCKER, "image", "inspect", image], env=self._env(), capture_output=True)
        return done.returncode == 0

    @property
    def env(self) -> dict[str, str]:
        """The environment of the commands."""
        return self._env()

    def _env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_BUILDKIT": "0"}


def run(
    *args: str | Path,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    input: bytes | None = None,
) -> str:
    """Run a command to its end and return its output; AssertionError with its last words if it fails."""
    words = [str(arg) for arg in args]
    return finished(words, env=env, folder=folder, input=input).stdout.decode(errors="replace")


def finished(
    words: list[str], *, env: Mapping[str, str] | None, folder: Path | None, input: bytes | None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end; AssertionError with its last words if it fails."""
    done = subprocess.run(words, env=env, cwd=folder, input=input, capture_output=True, timeout=COMMAND_S)
    last = (done.stdout + done.stderr).decode(errors="replace")[-3000:]
    assert done.returncode == 0, f"{' '.join(words)}: {last}"
    return done


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Run an engine for the length of a block."""
    assert os.geteuid() == 0, "an engine needs root"
    for tool in ("dockerd", "iptables-save", "ip"):
        assert shutil.which(tool), f"{tool} is missing: make test-compose installs it"
    assert not _has_interface("docker0"), "another Docker engine runs here: stop it first, it owns docker0"
    for name in ("data", "exec"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    firewall, forwarding = run("iptables-save"), FORWARD.read_text()
    made = Engine(folder, folder / "docker.sock")
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(
            [
                *("dockerd", "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")),
                *("--pidfile", str(folder / "dockerd.pid"), "--host", f"unix://{made.socket}"),
            ],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _until_it_answers(made, daemon)
        yield made
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(STOP_S)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        _clean(folder, firewall, forwarding)


def _until_it_answers(made: Engine, daemon: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        assert daemon.poll() is None, f"dockerd ended: {_log(made)}"
        done = subprocess.run([DOCKER, "version"], env=made.env, capture_output=True, check=False)
        if done.returncode == 0:
            return
        time.sleep(POLL_S)
    raise AssertionError(f"dockerd does not answer: {_log(made)}")


def _log(made: Engine) -> str:
    return (made.folder / "dockerd.log").read_text(errors="replace")[-3000:]


def _clean(folder: Path, firewall: str, forwarding: str) -> None:
    """Take away what dockerd leaves behind: its chains, the bridges, a mount, the switched-on forwarding."""
    run("iptables-restore", input=(firewall or EMPTY).encode())
    for link in Path("/sys/class/net").iterdir():
        if link.name == "docker0" or (link.name.startswith("br-") and len(link.name) == 15):
            subprocess.run(["ip", "link", "del", link.name], check=False, capture_output=True)
    subprocess.run(["umount", str(folder / "exec/netns/default")], check=False, capture_output=True)
    FORWARD.write_text(forwarding)


def _has_interface(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


EMPTY = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
COMMIT
"""
COMPOSE = Path(sys.executable).with_name("docker-compose")
