"""Puts a backup back: all of it or nothing.

Everything is written beside its place first; then the places are swapped by renaming. The former
state stays beside the new one as `<name>.before-restore-<time>`, and goes back when anything fails.
"""

from __future__ import annotations

import filecmp
import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airclass.ops import databases
from relay.base.errors import AirclassError, StartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airclass.ops.config import OpsSettings
    from airclass.ops.databases import Database
    from airclass.ops.services import Service
    from airclass.ops.unpack import Unpacked

log = logging.getLogger(__name__)

SIDE_FILES = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file to replace; no `source` means that it goes away."""

    target: Path
    source: Path | None


@dataclass
class FileSwap:
    """Files written beside their places, the ones kept aside, and the way back."""

    stamp: str
    drafts: dict[Path, Path] = field(default_factory=dict)
    aside: dict[Path, Path] = field(default_factory=dict)
    placed: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def prepare(self, changes: Sequence[FileChange]) -> None:
        """Write every new file beside its place; what fails here has changed nothing."""
        for change in changes:
            if change.source is None:
                continue
            self._folder(change.target.parent)
            draft = change.target.with_name(f".{change.target.name}.restore-{self.stamp}")
            self.drafts[change.target] = draft
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with change.source.open("rb") as source, os.fdopen(fd, "wb") as file:
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
            _same_owner(draft, change.target)

    def commit(self, changes: Sequence[FileChange]) -> None:
        """Swap by renaming, which needs no room on the disk."""
        for change in changes:
            target = change.target
            if os.path.lexists(target):
                aside = target.with_name(f"{target.name}.before-restore-{self.stamp}")
                target.rename(aside)
                self.aside[target] = aside
            if change.source is not None:
                self.drafts.pop(target).rename(target)
                self.placed.append(target)

    def undo(self) -> None:
        """Put everything back as it was; tries every file before it complains."""
        problems = []
        for target in self.placed:
            problems += _attempt(target.unlink)
        for target, aside in self.aside.items():
            problems += _attempt(aside.rename, target)
        for draft in self.drafts.values():
            _attempt(draft.unlink)
        for folder in reversed(self.folders):
            _attempt(folder.rmdir)
        if problems:
            raise StartError(
                f"The former state could not be put back completely ({problems[0]}): "
                f"it is in the files that end in .before-restore-{self.stamp}."
            )

    def _folder(self, folder: Path) -> None:
        missing = [p for p in (folder, *folder.parents) if not p.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700)
            self.folders.append(path)


def plan(unpacked: Unpacked, settings: OpsSettings, folder: Path) -> tuple[list[FileChange], Database]:
    """Return the files to replace, and the database that the settings name."""
    database = databases.locate(settings)
    kind = unpacked.manifest.database
    if kind and kind != database.kind:
        raise StartError(
            f"The backup holds a {kind} database, but DATABASE_URL names {database.kind}: change it first."
        )
    changes = []
    for entry in unpacked.manifest.files:
        place, _, inner = entry.path.partition("/")
        source = unpacked.folder / entry.path
        if place == "files":
            changes.append(FileChange(folder / inner, source))
        elif place == "data":
            changes.append(FileChange(settings.data_dir / inner, source))
        elif place == "database" and database.path is not None:
            # the old log goes first: it must never meet the new database
            changes += [FileChange(Path(f"{database.path}{side}"), None) for side in SIDE_FILES]
            changes.append(FileChange(database.path, source))
    return [c for c in changes if not _is_same(c)], database


def restore(
    unpacked: Unpacked,
    changes: Sequence[FileChange],
    database: Database,
    services: Sequence[Service],
    *,
    stamp: str,
) -> Path | None:
    """Put the backup in place and start the services again; returns the dump of a former PostgreSQL.

    Whatever ends it, also Ctrl-C, is raised after putting the former state back.
    """
    swap = FileSwap(stamp)
    dump: Path | None = None
    stopped: list[Service] = []
    touched_database = False
    try:
        swap.prepare(changes)
        for service in services:
            stopped.append(service)
            service.stop()
        if database.url is not None and unpacked.manifest.database:
            dump = Path(f"airclass-database.before-restore-{stamp}.pgdump")
            os.close(os.open(dump, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            databases.dump_postgres(database.url, dump)
            touched_database = True
            databases.restore_postgres(database.url, unpacked.folder / "database" / databases.POSTGRES_NAME)
        swap.commit(changes)
        for service in reversed(stopped):
            service.start()
    except BaseException as exc:
        log.warning("restore.failed reason=%s", str(exc) or type(exc).__name__)
        _halt(stopped)
        swap.undo()
        if touched_database and dump is not None and database.url is not None:
            databases.restore_postgres(database.url, dump)
        for service in reversed(stopped):
            service.start()
        raise
    return dump


def _halt(services: Sequence[Service]) -> None:
    for service in services:
        try:
            service.stop()
        except AirclassError as exc:
            log.warning("restore.cannot_stop service=%s reason=%s", service.name, exc.reason)


def _is_same(change: FileChange) -> bool:
    if change.source is None:
        return not os.path.lexists(change.target)
    return change.target.is_file() and filecmp.cmp(change.source, change.target, shallow=False)


def _same_owner(draft: Path, target: Path) -> None:
    """Give a file to whom its predecessor, or its folder, belongs: restores are often run as root."""
    if os.geteuid() == 0:
        model = target.stat() if target.exists() else target.parent.stat()
        os.chown(draft, model.st_uid, model.st_gid)


def _attempt(work: object, *args: object) -> list[str]:
    try:
        work(*args)  # type: ignore[operator]
    except OSError as exc:
        return [f"{exc.filename}: {exc.strerror}"]
    return []
