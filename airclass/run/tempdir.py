"""A temporary folder that goes away with us, even after `kill -9`: a janitor outlives us to empty it."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from relay.base.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

JANITOR_S = 5.0
# `cat` ends when we do, for nobody else holds the other end; a child that dies with us may still write once.
_SWEEP = 'cat >/dev/null; rm -rf -- "$0" 2>/dev/null || { sleep 1; rm -rf -- "$0"; }'


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Make a folder for the length of the block; StartError when there is no room for one."""
    try:
        folder = tempfile.mkdtemp(prefix=prefix)
    except OSError as exc:
        raise StartError(
            f"no temporary folder can be made ({exc.strerror}): make room, or set TMPDIR to a writable folder"
        ) from None
    sweep, own = ["/bin/sh", "-c", _SWEEP, folder], {"PATH": "/usr/bin:/bin"}
    with subprocess.Popen(sweep, env=own, stdin=subprocess.PIPE, process_group=0) as janitor:
        try:
            yield Path(folder)
        finally:
            assert janitor.stdin is not None
            janitor.stdin.close()
            janitor.wait(JANITOR_S)


@contextmanager
def hold_folder(folder: Path, what: str) -> Iterator[None]:
    """Keep a folder for this process for the length of the block; StartError when another one has it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            # some network file systems have no locks on folders: then there is no protection
            if exc.errno in (errno.EAGAIN, errno.EACCES):
                raise StartError(
                    f"{what} {folder} is in use by another airclass standalone: stop that one, or run this "
                    f"one in another folder or with another {what}"
                ) from None
        yield
    finally:
        os.close(descriptor)


def check_writable(folder: Path, what: str) -> None:
    """Make the folder if need be and write into it; StartError says what to do when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise StartError(
            f"{what} {folder} cannot be written ({exc.strerror}): choose another folder, or change its owner"
        ) from None
