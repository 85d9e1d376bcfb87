"""Makes a backup: settings, compose files, ingest configuration, database, and what the cluster is now.

The archive appears under its name only when it is whole and has been read back.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import msgspec

from airclass.io.backup_record import LAST_FILE
from airclass.ops import databases
from airclass.ops.backup_archive import (
    FILES,
    FORMAT,
    MANIFEST,
    BackupError,
    BackupManifest,
    ManifestEntry,
    check_path,
    is_data,
    name_for,
    outdated,
)
from airclass.ops.encryption import SealWriter
from relay import __version__
from relay.base.errors import StartError
from relay.base.process import write_ready_file

if TYPE_CHECKING:
    from airclass.ops.config import OpsSettings

MAX_FILE_BYTES = 4 * 1024**2
MAX_DATA_FILES = 200
DOCKER_S = 15.0
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A finished backup; `warnings` are sentences for the operator."""

    path: Path
    size_bytes: int
    manifest: BackupManifest
    removed: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass
class CollectedFiles:
    """What goes into the archive, in order: small files as bytes, the database as a path."""

    items: list[tuple[str, bytes | Path]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    database: str = ""


def make_backup(
    settings: OpsSettings,
    folder: Path,
    dest: Path,
    *,
    cluster: bytes,
    auto: bool,
    now: datetime | None = None,
) -> BackupResult:
    """Write a backup of the installation in `folder` into `dest`; with `auto` delete outdated ones.

    `cluster` is the answer of `/cluster/nodes`, or empty. Raises StartError, leaving nothing behind.
    """
    now = now or datetime.now().astimezone()
    is_new = not dest.exists()
    try:
        dest.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".airclass-backup-", dir=dest) as work:
            collected = collect(settings, folder, Path(work), cluster)
            manifest = _manifest(collected, now)
            draft = Path(work) / "draft"
            _write(draft, name_for(now), manifest, collected, settings)
            path = _free_name(dest, name_for(now), sealed=settings.backup_passphrase is not None)
            draft.rename(path)
        _sync_folder(dest)
        size_bytes = path.stat().st_size
        _remember(settings.data_dir, now, size_bytes)
        stamp = now.replace(tzinfo=UTC)
        removed = outdated((p.name for p in dest.iterdir()), stamp) if auto else []
        for name in removed:
            _remove(dest / name)
    except StartError:
        if is_new:
            with suppress(OSError):
                dest.rmdir()  # only when it is empty
        raise
    except OSError as exc:
        raise StartError(
            f"The backup could not be written to {dest} ({exc.strerror}): nothing was changed; "
            "make room, or name another folder."
        ) from None
    return BackupResult(path, size_bytes, manifest, tuple(removed), tuple(collected.warnings))


def collect(settings: OpsSettings, folder: Path, work: Path, cluster: bytes) -> CollectedFiles:
    """Gather everything; the database is copied into `work`."""
    found = CollectedFiles()
    for pattern in FILES:
        for path in sorted(folder.glob(pattern)):
            _take(found, path, f"files/{path.relative_to(folder).as_posix()}")
    for path in _data_files(found, settings.data_dir):
        _take(found, path, f"data/{path.relative_to(settings.data_dir).as_posix()}")
    _take_database(found, settings, work)
    if not any(name.startswith(("files/", "database/", "data/")) for name, _ in found.items):
        raise StartError(f"There is nothing to back up in {folder}: run this where .env is, or set DATA_DIR.")
    found.items.append(("info/cluster.json", cluster or b"{}"))
    found.items.append(("info/volumes.json", json.dumps(_volumes(), indent=1).encode()))
    if not cluster:
        found.warnings.append("The master did not answer: the list of nodes is not in the backup.")
    return found


def _take(found: CollectedFiles, path: Path, name: str) -> None:
    if not path.is_file():
        return
    try:
        check_path(name)
    except BackupError:
        found.warnings.append(f"{path} is left out: its name holds unusual characters.")
        return
    data = path.read_bytes() if path.stat().st_size <= MAX_FILE_BYTES else None
    if data is None:
        found.warnings.append(f"{path} is left out: it is larger than {MAX_FILE_BYTES} bytes.")
        return
    found.items.append((name, data))


def _take_database(found: CollectedFiles, settings: OpsSettings, work: Path) -> None:
    database = databases.locate(settings)
    copy = work / "database"
    if database.path is not None:
        if not database.path.is_file():
            found.warnings.append(f"There is no database at {database.path} yet.")
            return
        databases.copy_sqlite(database.path, copy)
    elif database.url is not None:
        databases.dump_postgres(database.url, copy)
    found.database = database.kind
    found.items.append((database.name, copy))


def _data_files(found: CollectedFiles, data_dir: Path) -> list[Path]:
    if not data_dir.is_dir():
        return []
    paths = [
        path
        for path in sorted(data_dir.rglob("*"))
        if path.is_file() and not path.is_symlink() and is_data(_below(data_dir, path))
    ]
    if len(paths) > MAX_DATA_FILES:
        found.warnings.append(f"Of the files in {data_dir} only the first {MAX_DATA_FILES} are saved.")
    return paths[:MAX_DATA_FILES]


def _below(folder: Path, path: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(folder).as_posix())


def _volumes() -> dict[str, object]:
    docker = shutil.which("docker")
    if docker is None:
        return {"docker": "not installed here"}
    command = [docker, "volume", "ls", "--filter", "name=airclass", "--format", "{{json .}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOCKER_S, check=True)
        return {"volumes": [json.loads(line) for line in done.stdout.splitlines() if line]}
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        return {"docker": f"does not answer ({type(exc).__name__})"}


def _manifest(collected: CollectedFiles, now: datetime) -> BackupManifest:
    entries = []
    for name, source in collected.items:
        if isinstance(source, bytes):
            entries.append(ManifestEntry(name, len(source), hashlib.sha256(source).hexdigest()))
        else:
            with source.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            entries.append(ManifestEntry(name, source.stat().st_size, digest))
    made_at = now.isoformat(timespec="seconds")
    return BackupManifest(FORMAT, __version__, made_at, platform.node()[:64], collected.database, entries)


def _write(
    draft: Path, top: str, manifest: BackupManifest, collected: CollectedFiles, settings: OpsSettings
) -> None:
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        with ExitStack() as stack:
            out: IO[bytes] = file
            if settings.backup_passphrase is not None:
                seal = SealWriter(file, settings.backup_passphrase.get_secret_value())
                stack.callback(seal.close)
                out = seal  # type: ignore[assignment]
            tar = stack.enter_context(tarfile.open(fileobj=out, mode="w|gz", format=tarfile.USTAR_FORMAT))
            listing = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
            for name, source in [(MANIFEST, listing), *collected.items]:
                _add(tar, f"{top}/{name}", source)
        file.flush()
        os.fsync(file.fileno())


def _add(tar: tarfile.TarFile, name: str, source: bytes | Path) -> None:
    info = tarfile.TarInfo(name)
    info.mode = 0o600
    if isinstance(source, bytes):
        info.size = len(source)
        tar.addfile(info, io.BytesIO(source))
    else:
        info.size = source.stat().st_size
        with source.open("rb") as file:
            tar.addfile(info, file)


def _free_name(dest: Path, name: str, *, sealed: bool) -> Path:
    ending = ".tar.gz.enc" if sealed else ".tar.gz"
    number = 1
    path = dest / f"{name}{ending}"
    while path.exists():
        number += 1
        path = dest / f"{name}_{number}{ending}"
    return path


def _remember(data_dir: Path, now: datetime, size_bytes: int) -> None:
    """Record the backup for the master (`airclass/io/backup_record.py`), which runs as another user."""
    if data_dir.is_dir():
        write_ready_file(data_dir / LAST_FILE, {"at_s": now.timestamp(), "size_bytes": size_bytes})
        if os.geteuid() == 0:
            owner = data_dir.stat()
            os.chown(data_dir / LAST_FILE, owner.st_uid, owner.st_gid)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
