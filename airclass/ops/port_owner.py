"""Which process listens on a port of this machine, as far as the caller may know (Linux, /proc)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

LISTEN = "0A"
TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


@dataclass(frozen=True, slots=True)
class PortOwner:
    """A process; `ours` when it is a part of AIRClass, or its ingest."""

    pid: int
    name: str
    ours: bool


def holder(port: int) -> PortOwner | None:
    """Return who listens on a TCP port; None for nobody, or when that process is another user's."""
    wanted = {f"socket:[{inode}]" for table in TABLES for inode in _listening(table, port)}
    if not wanted:
        return None
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and _holds(process, wanted):
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
            name = (process / "comm").read_text(errors="replace").strip()
            return PortOwner(int(process.name), name, is_ours(words))
    return None


def is_ours(words: list[str]) -> bool:
    """Tell whether a command line starts a part of AIRClass: `airclass …`, `python -m relay …`, MediaMTX."""
    if words[1:2] == ["-m"]:
        return words[2].partition(".")[0] in ("airclass", "relay")
    return any(word.rpartition("/")[2] in ("airclass", "mediamtx") for word in words[:2])


def _listening(table: Path, port: int) -> list[str]:
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [row[9] for row in rows if row[3] == LISTEN and int(row[1].rpartition(":")[2], 16) == port]


def _holds(process: Path, wanted: set[str]) -> bool:
    try:
        return any(os.readlink(fd) in wanted for fd in (process / "fd").iterdir())
    except OSError:  # gone meanwhile, or another user's
        return False
