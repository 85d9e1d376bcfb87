"""Copies of the master's database: SQLite by its backup API, PostgreSQL by pg_dump and pg_restore."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from relay.base.errors import AirclassError, ConfigError, StartError

if TYPE_CHECKING:
    from airclass.ops.config import OpsSettings

SQLITE_NAME = "airclass.sqlite3"
POSTGRES_NAME = "airclass.pgdump"
BUSY_S = 30.0
PAGES_A_STEP = 64
STEP_PAUSE_S = 0.002
POSTGRES_S = 600.0
COUNTED = ("users", "classrooms")


@dataclass(frozen=True, slots=True)
class Database:
    """Where the database is: a SQLite file or a PostgreSQL URL."""

    path: Path | None
    url: URL | None

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return "sqlite" if self.path is not None else "postgresql"

    @property
    def name(self) -> str:
        """The copy's name in a backup."""
        return f"database/{SQLITE_NAME if self.path is not None else POSTGRES_NAME}"


def locate(settings: OpsSettings) -> Database:
    """Return the database that the settings name; ConfigError for one that cannot be copied."""
    if settings.database_url is None:
        return Database(settings.data_dir / SQLITE_NAME, None)
    try:
        url = make_url(settings.database_url.get_secret_value())
    except ArgumentError:
        raise ConfigError(["DATABASE_URL is not a database address: see .env.example."]) from None
    backend = url.get_backend_name()
    if backend == "sqlite" and url.database:
        return Database(Path(url.database), None)
    if backend.startswith("postgres"):
        return Database(None, url)
    raise ConfigError([f"DATABASE_URL names {backend}: only SQLite and PostgreSQL can be backed up."])


def copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database that may be in use, consistently, a few pages at a time."""
    try:
        with closing(_open(source)) as origin, closing(sqlite3.connect(target)) as copy:
            origin.backup(copy, pages=PAGES_A_STEP, sleep=STEP_PAUSE_S)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as exc:
        raise StartError(f"The database {source} cannot be copied ({exc}): is the disk full?") from None
    check_sqlite(target)


def check_sqlite(path: Path) -> dict[str, int]:
    """Return the number of rows of the main tables; StartError when the file is damaged."""
    try:
        with closing(_open(path)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            counts = {}
            for table in COUNTED:
                (counts[table],) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
            return counts
    except sqlite3.Error as exc:
        raise StartError(f"The database {path.name} is damaged or not one of AIRClass ({exc}).") from None


def dump_postgres(url: URL, target: Path) -> None:
    """Write a dump of a PostgreSQL database."""
    options = ["--format=custom", "--no-owner", "--no-privileges", f"--file={target}"]
    _postgres(url, "pg_dump", options)


def restore_postgres(url: URL, source: Path) -> None:
    """Replace the content of a PostgreSQL database, in one transaction: all of it or nothing."""
    options = ["--clean", "--if-exists", "--single-transaction", "--no-owner", "--no-privileges"]
    _postgres(url, "pg_restore", [*options, f"--dbname={url.database}", str(source)])


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=BUSY_S)


def _postgres(url: URL, program: str, options: list[str]) -> None:
    found = shutil.which(program)
    if found is None:
        raise StartError(
            f"{program} is missing: install the PostgreSQL client (apt install postgresql-client)."
        )
    # The password travels in the environment, where `ps` does not show it.
    env = {
        "PATH": str(Path(found).parent),
        "PGHOST": str(url.query.get("host") or url.host or ""),
        "PGPORT": str(url.port or ""),
        "PGUSER": url.username or "",
        "PGPASSWORD": str(url.password or ""),
        "PGDATABASE": url.database or "",
        "PGSSLMODE": str(url.query.get("sslmode", "")),
        "PGCONNECT_TIMEOUT": "10",
    }
    try:
        done = subprocess.run(
            [found, *options],
            env={name: value for name, value in env.items() if value},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=POSTGRES_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StartError(f"{program} did not end within {POSTGRES_S:.0f} s.") from None
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise DatabaseFailed(f"{program} failed: {last[0][:200]}")


class DatabaseFailed(AirclassError):
    """PostgreSQL's own tools refused."""
