"""`airclass restore`: puts a backup back, or only checks it."""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime
from pathlib import Path

from airclass.cli.backup import size
from airclass.cli.common import end_in_order, note, say
from airclass.ops import services
from airclass.ops.config import load_ops
from airclass.ops.restore import plan
from airclass.ops.restore import restore as put_back
from airclass.ops.unpack import Unpacked, unpack
from relay.base.errors import AirclassError, StartError
from relay.base.settings import environment


def restore(path: Path, *, yes: bool = False, verify: bool = False) -> int:
    """Put a backup back into the folder where this is run; asks first.

    Parameters
    ----------
    path
        The archive, or a folder that one was unpacked into.
    yes
        Do not ask.
    verify
        Only check that the backup is whole and can be read.
    """
    end_in_order()
    secret = load_ops().backup_passphrase
    folder = Path.cwd()
    with tempfile.TemporaryDirectory(prefix=".airclass-restore-", dir=_roomy(folder)) as work:
        try:
            unpacked = unpack(path, Path(work), secret.get_secret_value() if secret else "")
        except OSError as exc:
            reason = f"The backup cannot be unpacked ({exc.strerror}): nothing was changed."
            raise StartError(reason) from None
        _describe(unpacked)
        if verify:
            return 0
        saved = unpacked.folder / "files" / ".env"
        settings = load_ops(environment(saved if saved.is_file() else None))
        changes, database = plan(unpacked, settings, folder)
        running = services.supervised(folder)
        say(f"\nThis replaces {len(changes)} files in {folder} and {settings.data_dir}.")
        for service in running or services.users_of(database.path):
            say(f"It stops {service.name} meanwhile.")
        if not yes and not _agreed():
            say("Nothing was changed.")
            return 1
        users = _Users(database.path)
        stamp = f"{datetime.now().astimezone():%Y%m%d_%H%M%S}"
        try:
            put_back(unpacked, changes, database, [*running, users], stamp=stamp)
        except OSError as exc:
            raise StartError(f"The restore failed ({exc.strerror}); the former state is back.") from None
        except AirclassError as exc:
            raise StartError(f"{exc.reason} The former state is back.") from None
    if unpacked.manifest.database:
        note("backup.restored", path.name)
    say(f"[OK] Restore completed successfully!\n  The former state: *.before-restore-{stamp}")
    for name in users.stopped:
        say(f"  Start again by hand: {name}")
    return 0


class _Users:
    """Whoever has the database open once the supervised services are stopped."""

    name = "the processes on the database"

    def __init__(self, database: Path | None) -> None:
        self._database = database
        self.stopped: list[str] = []

    def stop(self) -> None:
        for process in services.users_of(self._database):
            process.stop()
            self.stopped.append(process.name)

    def start(self) -> None:
        """They were started by hand, and are started by hand again."""


def _describe(unpacked: Unpacked) -> None:
    manifest = unpacked.manifest
    sealed = ", encrypted" if unpacked.encrypted else ""
    say(f"Backup of {manifest.made_at} from {manifest.host}, AIRClass {manifest.version}{sealed}")
    for entry in manifest.files:
        say(f"  {entry.path:<44} {size(entry.size):>10}")
    counts = ", ".join(f"{number} {table}" for table, number in unpacked.counts.items())
    say(f"  database: {manifest.database or 'none'}{f' ({counts})' if counts else ''}")
    say(f"[OK] All {len(manifest.files)} files are as they were saved.")


def _agreed() -> bool:
    sys.stdout.write("Continue? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _roomy(folder: Path) -> Path:
    return folder if folder.is_dir() else Path(tempfile.gettempdir())
