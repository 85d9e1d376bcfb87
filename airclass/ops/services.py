"""Finds what runs on an installation's database, stops it for a restore, and starts it again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from relay.base.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND_S = 120.0
END_S = 20.0
POLL_S = 0.1
UNITS = "airclass-*.service"
COMPOSE_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "deploy/compose.yaml")
_PROGRAM = b"airclass"


class Service(Protocol):
    """Something that runs."""

    @property
    def name(self) -> str:
        """What the operator calls it."""

    def stop(self) -> None:
        """Stop it and wait until it is gone."""

    def start(self) -> None:
        """Start it again."""


@dataclass(frozen=True)
class CommandedService:
    """A service with commands for stop and start: systemd, compose."""

    name: str
    stop_command: tuple[str, ...]
    start_command: tuple[str, ...]

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        _run(self.stop_command)

    def start(self) -> None:
        """Start it again."""
        _run(self.start_command)


@dataclass(frozen=True)
class ProcessService:
    """A process started by hand; it is stopped, but how to start it only its owner knows."""

    pid: int
    name: str
    kill: Callable[[int, int], None] = field(default=os.kill)

    def stop(self) -> None:
        """Ask it to end and wait."""
        try:
            self.kill(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + END_S
            while not _is_gone(self.pid):
                if time.monotonic() > deadline:
                    raise StartError(f"{self.name} does not end: stop it by hand, then restore again.")
                time.sleep(POLL_S)
        except ProcessLookupError:
            return

    def start(self) -> None:
        """Do nothing."""


def supervised(folder: Path) -> list[Service]:
    """Return what systemd and Docker Compose run here."""
    found: list[Service] = []
    if systemctl := shutil.which("systemctl"):
        listed = [systemctl, "list-units", UNITS, "--state=active", "--no-legend", "--plain", "--no-pager"]
        for line in _output(listed).splitlines():
            unit = line.split()[0]
            found.append(CommandedService(unit, (systemctl, "stop", unit), (systemctl, "start", unit)))
    docker = shutil.which("docker")
    compose_file = next((f for f in COMPOSE_FILES if (folder / f).is_file()), None)
    if docker and compose_file:
        compose = (docker, "compose", "--file", str(folder / compose_file))
        if _output([*compose, "ps", "--quiet"]).strip():
            name = f"the compose project of {compose_file}"
            found.append(
                CommandedService(name, (*compose, "stop"), (*compose, "up", "--detach", "--no-build"))
            )
    return found


def users_of(database: Path | None) -> list[Service]:
    """Return the processes that have a SQLite database open, each by the one that supervises it."""
    if database is None:
        return []
    wanted = database.resolve()
    found: dict[int, Service] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid() and _has_open(entry, wanted):
            pid = _topmost(int(entry.name))
            found[pid] = ProcessService(pid, f"process {pid} ({_command(pid)})")
    return list(found.values())


def _has_open(process: Path, wanted: Path) -> bool:
    try:
        return any(os.readlink(fd) == str(wanted) for fd in (process / "fd").iterdir())
    except OSError:  # gone meanwhile, or another user's
        return False


def _topmost(pid: int) -> int:
    while True:
        parent = _parent(pid)
        if parent <= 1 or parent == os.getpid() or _PROGRAM not in _words(parent)[:4]:
            return pid
        pid = parent


def _words(pid: int) -> list[bytes]:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
    names = [word.rpartition(b"/")[2] for word in words]
    return [_PROGRAM if n.startswith((b"airclass.", b"airclass-")) else n for n in names]


def _command(pid: int) -> str:
    return b" ".join(_words(pid)).decode(errors="replace").strip()[:60] or "?"


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _run(command: tuple[str, ...]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMMAND_S)
    except (OSError, subprocess.SubprocessError) as exc:
        raise StartError(f"`{' '.join(command)}` failed ({type(exc).__name__}).") from None


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout if done.returncode == 0 else ""
