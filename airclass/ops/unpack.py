"""Opens a backup, trusting nothing in it: archive or folder, into a place of our own, checked by sums."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import stat
import tarfile
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from airclass.ops import databases
from airclass.ops.backup_archive import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    BackupError,
    BackupManifest,
    UnpackBudget,
    check_path,
    read_manifest,
)
from airclass.ops.encryption import SealReader, is_sealed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_BYTES = 1024 * 1024
MAX_READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A backup in a folder of ours, every file as its manifest says."""

    folder: Path
    manifest: BackupManifest
    counts: dict[str, int]
    encrypted: bool


def unpack(source: Path, target: Path, passphrase: str) -> Unpacked:
    """Unpack a backup into the empty folder `target` and check every sum, or raise ArchiveError."""
    encrypted = False
    free_bytes = shutil.disk_usage(target).free
    if source.is_dir():
        _copy_folder(source, target, _folder_budget(source, free_bytes))
    elif source.is_file():
        with source.open("rb") as file:
            encrypted = is_sealed(file)
            if encrypted and not passphrase:
                raise BackupError("The backup is encrypted: set BACKUP_PASSPHRASE.")
            stream: IO[bytes] = SealReader(file, passphrase) if encrypted else file  # type: ignore[assignment]
            _extract(stream, target, UnpackBudget(source.stat().st_size, free_bytes))
    else:
        raise BackupError(f"There is no backup at {source}.")
    manifest = _verify(target)
    counts = {}
    if manifest.database == "sqlite":
        counts = databases.check_sqlite(target / "database" / databases.SQLITE_NAME)
    return Unpacked(target, manifest, counts, encrypted)


class _Bounded:
    """A stream that charges a budget and refuses huge reads, which only a hostile header asks for."""

    def __init__(self, stream: IO[bytes], budget: UnpackBudget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        if not 0 <= size <= MAX_READ_BYTES:
            raise BackupError("The backup is refused: its headers ask for too much.")
        data = self._stream.read(size)
        self._budget.spend(len(data))
        return data


def _extract(stream: IO[bytes], target: Path, budget: UnpackBudget) -> None:
    try:
        with gzip.GzipFile(fileobj=stream, mode="rb") as plain:
            bounded = _Bounded(plain, budget)  # type: ignore[arg-type]
            with tarfile.open(fileobj=bounded, mode="r|") as tar:  # type: ignore[call-overload]
                for member in tar:
                    budget.file()
                    _extract_member(tar, member, target)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as exc:
        raise BackupError(f"The backup is damaged or no backup at all ({type(exc).__name__}).") from None


def _extract_member(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if member.isdir():
        check_path(member.name.rstrip("/"))
        return
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        raise BackupError(f"The backup is refused: {member.name[:80]!r} is no plain file.")
    _, *inner = check_path(member.name).parts  # the first part is the backup's own name
    if not inner:
        raise BackupError(f"The backup is refused: {member.name[:80]!r} lies outside its folder.")
    source = tar.extractfile(member)
    assert source is not None
    _write_new(target.joinpath(*inner), iter(lambda: source.read(CHUNK_BYTES), b""))


def _folder_budget(source: Path, free_bytes: int) -> UnpackBudget:
    packed = sum(p.lstat().st_size for p in source.rglob("*"))
    return UnpackBudget(packed, free_bytes)


def _copy_folder(source: Path, target: Path, budget: UnpackBudget) -> None:
    for path in sorted(source.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise BackupError(f"The backup is refused: {path.name[:80]!r} is no plain file.")
        budget.file()
        inner = check_path(path.relative_to(source).as_posix())
        with path.open("rb") as file:
            _write_new(target / inner, _charged(file, budget))


def _charged(file: IO[bytes], budget: UnpackBudget) -> Iterator[bytes]:
    while data := file.read(CHUNK_BYTES):
        budget.spend(len(data))
        yield data


def _write_new(path: Path, chunks: Iterator[bytes]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise BackupError(f"The backup is refused: it holds {path.name!r} twice.") from None
    with os.fdopen(fd, "wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _verify(folder: Path) -> BackupManifest:
    listing = folder / MANIFEST
    if not listing.is_file() or listing.stat().st_size > MAX_MANIFEST_BYTES:
        raise BackupError("The backup has no manifest: it is damaged or no AIRClass backup.")
    manifest = read_manifest(listing.read_bytes())
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    wanted = {entry.path for entry in manifest.files}
    if missing := sorted(wanted - present):
        raise BackupError(f"The backup is damaged: {missing[0]} is missing.")
    if extra := sorted(present - wanted):
        raise BackupError(f"The backup is refused: {extra[0]} is not in its manifest.")
    for entry in manifest.files:
        with (folder / entry.path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if (folder / entry.path).stat().st_size != entry.size or digest != entry.sha256:
            raise BackupError(f"The backup is damaged: {entry.path} is not as it was saved.")
    names = {
        f"database/{databases.SQLITE_NAME}": "sqlite",
        f"database/{databases.POSTGRES_NAME}": "postgresql",
    }
    held = [kind for name, kind in names.items() if name in wanted]
    if held != ([manifest.database] if manifest.database else []):
        raise BackupError("The backup is damaged: its database is not the one that its manifest tells of.")
    return manifest
