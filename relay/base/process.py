"""Process habits that relay, master and their children share: ready files, dying with a parent, and a
garbage collector that holds nobody up."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
# New objects between two looks at the youngest; a look at so many takes about a millisecond.
GC_YOUNG_OBJECTS = 5000


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to end this process when its parent ends (Linux), even by `kill -9`.

    `parent_pid` is who started us: when that process is gone already, this one ends at once.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent_pid:
        raise SystemExit(0)


def allow_many_files() -> int:
    """Raise this process's limit of open files as far as it may go, and return it: sockets are files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def write_ready_file(path: Path, record: Mapping[str, object]) -> None:
    """Write a JSON record so that whoever waits for the file sees all of it or nothing; mode 0600."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as file:
        json.dump(record, file)
    draft.replace(path)


def spare_the_collector() -> None:
    """Call once everything is imported: what is there now stays, and is never looked at again.

    A full collection of what a relay imports takes 30 ms, in which nobody is served.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_YOUNG_OBJECTS, *gc.get_threshold()[1:])
