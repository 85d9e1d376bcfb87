"""Bring the database's schema up to this program's, safely when two masters start at once."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from relay.base.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

_ADVISORY_LOCK = 0x41495243  # "AIRC": the same number in every master of one PostgreSQL


def migrate(engine: Engine, schema: str = "head") -> None:
    """Apply the missing migrations up to a schema; StartError when the database is newer than the program."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection, _locked(connection):
        with connection.begin():
            present = MigrationContext.configure(connection).get_current_revision()
        known = {script.revision for script in scripts.walk_revisions()}
        if present is not None and present not in known:
            raise StartError(
                f"The database has schema {present}, which is newer than this program: "
                "install the newer AIRClass, or restore the backup made before the upgrade."
            )
        if present != scripts.get_current_head():
            config.attributes["connection"] = connection
            with connection.begin():
                command.upgrade(config, schema)


@contextmanager
def _locked(connection: Connection) -> Iterator[None]:
    if connection.dialect.name == "postgresql":
        with connection.begin():
            connection.execute(text("SELECT pg_advisory_lock(:n)"), {"n": _ADVISORY_LOCK})
        try:
            yield
        finally:
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": _ADVISORY_LOCK})
        return
    database = connection.engine.url.database
    lock = Path(f"{database}.lock")
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    for path in (lock, Path(str(database))):
        _give_to_the_folders_owner(path)


def _give_to_the_folders_owner(path: Path) -> None:
    """Let the master open what root has made: `sudo airclass …` and restores come before it."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid)
