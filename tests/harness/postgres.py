"""A PostgreSQL server for tests: in a folder of its own, on a Unix socket, gone afterwards."""

from __future__ import annotations

import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, text

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_S = 60.0
MAX_NAME_CHARS = 40


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    folder: Path

    def url(self, name: str) -> str:
        """Return the address of a database, as DATABASE_URL wants it."""
        return f"postgresql://postgres@/{name}?host={self.folder}"

    def database(self, wish: str, kind: str = "") -> str:
        """Make an empty database of about this name and return its address; `kind` ends CREATE DATABASE."""
        self.execute("postgres", f'CREATE DATABASE "{_name(wish)}" {kind}')
        return self.url(_name(wish))

    def drop(self, wish: str) -> None:
        """Lose a database that `database` made."""
        self.execute("postgres", f'DROP DATABASE "{_name(wish)}"')

    def execute(self, name: str, statement: str) -> None:
        """Run one statement in a database."""
        address = self.url(name).replace("postgresql:", "postgresql+psycopg:")
        server = create_engine(address, isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(text(statement))
        server.dispose()


@contextmanager
def postgres_running() -> Iterator[Postgres]:
    """Run a server for the length of a block, as the user that its package makes."""
    programs = Path(_program("initdb")).resolve().parent
    account = pwd.getpwnam("postgres")
    folder = Path(tempfile.mkdtemp(prefix="airclass-pg-"))
    shutil.chown(folder, account.pw_uid, account.pw_gid)

    def run(program: str, *args: str) -> None:
        subprocess.run(
            [str(programs / program), "-D", f"{folder}/data", *args],
            check=True,
            cwd=folder,
            timeout=COMMAND_S,
            capture_output=True,
            user=account.pw_uid,
            group=account.pw_gid,
        )

    run("initdb", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
    options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-o", options, "-l", f"{folder}/log", "-w", "start")
    try:
        yield Postgres(folder)
    finally:
        run("pg_ctl", "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)


def _name(wish: str) -> str:
    return wish.replace("-", "_").lower()[-MAX_NAME_CHARS:]


def _program(name: str) -> str:
    found = shutil.which(name) or next(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")), None)
    assert found is not None, "PostgreSQL is missing: apt-get install postgresql"
    return found
