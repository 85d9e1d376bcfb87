"""What a backup may hold, and which backups are kept: rules only, no file is touched here.

A backup is a tar of regular files below one folder; its manifest names every one with size and sum.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

from relay.base.errors import AirclassError

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
MANIFEST = "manifest.json"
MAX_FILES = 2000
MAX_TOTAL_BYTES = 8 * 1024**3
MAX_MANIFEST_BYTES = 2 * 1024**2
MAX_RATIO = 200
RATIO_FREE_BYTES = 64 * 1024**2
MAX_NAME_BYTES = 200
MAX_DEPTH = 8
KEEP_S = 7 * 86400.0
NAME = re.compile(r"airclass_backup_(\d{8}_\d{6})(?:_\d+)?(?:\.tar\.gz(?:\.enc)?)?")
_STAMP = "%Y%m%d_%H%M%S"
_SAFE_PART = re.compile(r"[A-Za-z0-9._@ +=-]+")
# Searched below the folder of `.env`; what is not there is left out.
FILES = (
    *(".env", "compose*.yaml", "compose*.yml", "docker-compose*.yml", "docker-compose*.yaml"),
    *("mediamtx.yml", "Caddyfile", "secrets/*", "tls/*"),
    *("deploy/.env", "deploy/compose*.yaml", "deploy/mediamtx/*.yml", "deploy/secrets/*"),
)
# Of DATA_DIR: files that hold data. No program is among them, even if DATA_DIR is a folder with programs.
DATA_ENDINGS = frozenset((".json", ".jsonl", ".csv", ".txt", ".key", ".pem", ".crt", ".yml", ".yaml"))
NOT_DATA = ("*.sqlite3*", "*.lock", "*.tmp", "monitor-alerts.json", "backup.json", "*.before-restore-*")
MAX_DATA_DEPTH = 3
DATABASES = ("airclass.sqlite3", "airclass.pgdump")
INFO = ("cluster.json", "volumes.json")


class BackupError(AirclassError):
    """The backup cannot be used: damaged, hostile, or made with another passphrase."""

    status = 400


class ManifestEntry(msgspec.Struct, frozen=True):
    """One file of a backup; `path` begins with one of PLACES."""

    path: str
    size: int
    sha256: str


class BackupManifest(msgspec.Struct, frozen=True):
    """What is in a backup; `made_at` is ISO 8601, `database` is sqlite, postgresql or empty."""

    format: int
    version: str
    made_at: str
    host: str
    database: str
    files: list[ManifestEntry]


def name_for(at: datetime) -> str:
    """Return the name of a backup made at a time, without its ending."""
    return f"airclass_backup_{at.strftime(_STAMP)}"


def made_at(name: str) -> datetime | None:
    """Return the time in a backup's name (as if it were UTC), or None for any other file."""
    match = NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def outdated(names: Iterable[str], now: datetime) -> list[str]:
    """Return the backups older than KEEP_S, never the newest one; `now` as in `made_at`."""
    times = {name: at for name in names if (at := made_at(name)) is not None}
    newest = max(times, key=lambda n: (times[n], n), default=None)
    return sorted(n for n, at in times.items() if (now - at).total_seconds() > KEEP_S and n != newest)


def check_path(path: str) -> PurePosixPath:
    """Return a member's path, or raise BackupError when it could lead anywhere but below us."""
    parts = path.split("/")
    if (
        not path
        or len(path.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES
        or len(parts) > MAX_DEPTH
        or any(part in ("", ".", "..") or not _SAFE_PART.fullmatch(part) for part in parts)
    ):
        raise BackupError(f"The backup is refused: it holds a file named {path[:80]!r}.")
    return PurePosixPath(path)


def is_data(inner: PurePosixPath) -> bool:
    """Tell whether a file below DATA_DIR belongs into a backup."""
    return (
        inner.suffix in DATA_ENDINGS
        and len(inner.parts) <= MAX_DATA_DEPTH
        and not any(part.startswith(".") for part in inner.parts)
        and not any(inner.match(pattern) for pattern in NOT_DATA)
        and "airclass_backup_" not in inner.name
    )


def check_place(path: str) -> PurePosixPath:
    """Return the path of a manifest's entry, or raise BackupError when `make_backup` would not write it.

    A restore often runs as root in a folder with programs: a backup must not bring any.
    """
    checked = check_path(path)
    place, inner = checked.parts[0], PurePosixPath(*checked.parts[1:])
    expected = {
        "files": any(_matches(inner, pattern) for pattern in FILES),
        "data": is_data(inner),
        "database": str(inner) in DATABASES,
        "info": str(inner) in INFO,
    }
    if len(checked.parts) < 2 or not expected.get(place, False):
        raise BackupError(
            f"The backup is refused: it holds {path[:80]!r}, which no backup of AIRClass contains."
        )
    return checked


def _matches(inner: PurePosixPath, pattern: str) -> bool:
    # `match` compares from the right, so that x/.env would match .env.
    return len(inner.parts) == pattern.count("/") + 1 and inner.match(pattern)


class UnpackBudget:
    """Counts what comes out of an archive and stops a bomb early; sizes in bytes."""

    def __init__(self, packed_bytes: int, free_bytes: int) -> None:
        by_ratio = max(RATIO_FREE_BYTES, packed_bytes * MAX_RATIO)
        self._left = min(MAX_TOTAL_BYTES, by_ratio)
        self._free = free_bytes
        self._files = 0

    def spend(self, count: int) -> None:
        """Take note of unpacked bytes, or raise BackupError."""
        self._left -= count
        self._free -= count
        if self._left < 0:
            raise BackupError("The backup is refused: it unpacks to far more than any backup holds.")
        if self._free < 0:
            raise BackupError("There is not enough room on the disk to unpack the backup: make room first.")

    def file(self) -> None:
        """Take note of one more file, or raise BackupError."""
        self._files += 1
        if self._files > MAX_FILES:
            raise BackupError(f"The backup is refused: it holds more than {MAX_FILES} files.")


def read_manifest(data: bytes) -> BackupManifest:
    """Return a manifest that can be trusted to name only sensible paths, each once."""
    try:
        manifest = msgspec.json.decode(data, type=BackupManifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BackupError("The backup's manifest cannot be read: the backup is damaged.") from None
    if manifest.format != FORMAT:
        raise BackupError(
            f"The backup has format {manifest.format}, this program reads {FORMAT}: use the AIRClass "
            f"that made it ({manifest.version[:20]})."
        )
    names = [check_place(entry.path) for entry in manifest.files]
    if len(set(names)) != len(names) or len(names) > MAX_FILES:
        raise BackupError("The backup's manifest names a file twice: the backup is damaged.")
    return manifest
