"""The database, behind a handful of verbs; every call runs in a thread under one limiter.

Each write counts `revision` up in its own transaction, so that every master notices it
(`Store.revision`) and reads the whole picture anew (`Store.load`): the tables are small.
"""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
import trio
from sqlalchemy import bindparam, create_engine, delete, event, exc, insert, make_url, select, update

from airclass.domain.classrooms import Classroom, ClassStatus
from airclass.domain.epochs import KEEP_EPOCHS, StreamNumbers
from airclass.domain.node_keys import NodeRecord
from airclass.domain.snapshot import Revocation, Snapshot
from airclass.domain.users import Role, User, name_key
from airclass.io import schema
from airclass.io.migrate import migrate
from relay.base.cluster_protocol import EpochOffset
from relay.base.errors import RequestError, StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, CursorResult, Engine, Executable
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from airclass.config import MasterSettings

log = logging.getLogger(__name__)

SQLITE_NAME = "airclass.sqlite3"
MAX_THREADS = 4
MAX_EVENTS = 1000
CONNECT_S = 10
KEEP_EVENTS_S = 400 * 86400.0
CHANGED_MEANWHILE = "Somebody else changed this meanwhile: look at it again, then try again."
TRIES = 4
_SQLITE_BUSY_MS = 10_000
_EPOCH = tuple(schema.epochs.c[name] for name in EpochOffset.__struct_fields__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One line of the audit log: who did what to whom."""

    at_s: float
    actor: str
    action: str
    target: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StoredStudent:
    """A student entered a class under a name; `node_id` is where their seat is, empty without one."""

    subject: str
    classroom_id: str
    name: str
    joined_at_s: float
    node_id: str = ""


class WriteConflict(RequestError):
    """Somebody else has this name or code, or used this link."""

    def __init__(self, reason: str) -> None:
        super().__init__(409, reason)


class Store:
    """All that is kept on disk."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._limiter = trio.CapacityLimiter(MAX_THREADS)

    async def close(self) -> None:
        """Close the connections; may wait for a running query."""
        await trio.to_thread.run_sync(self._engine.dispose, limiter=self._limiter)

    async def revision(self) -> int:
        """Return the number of writes so far, by anyone."""
        return await self._read(_revision)

    async def load(self, wall_s: float) -> Snapshot:
        """Return the whole picture; revocations that ended before `wall_s` are left out."""
        return await self._read(partial(_load, wall_s))

    async def add_user(self, user: User, event: AuditEvent) -> None:
        """Store a new account; Conflict when the name is taken."""
        row = {**asdict(user), "name_key": name_key(user.name)}
        await self._write([insert(schema.users).values(row)], event, f"The name {user.name} is taken.")

    async def change_user(self, user_id: str, changes: dict[str, object], event: AuditEvent) -> None:
        """Set columns of an account."""
        if "name" in changes:
            changes = {**changes, "name_key": name_key(str(changes["name"]))}
        statement = update(schema.users).where(schema.users.c.id == user_id).values(changes)
        await self._write([statement], event, "The name is taken.")

    async def delete_user(self, user_id: str, event: AuditEvent) -> None:
        """Remove an account; its classes stay, for an admin to hand on."""
        await self._write(
            [
                delete(schema.co_teachers).where(schema.co_teachers.c.user_id == user_id),
                delete(schema.users).where(schema.users.c.id == user_id),
            ],
            event,
        )

    async def add_classroom(self, classroom: Classroom, event: AuditEvent) -> None:
        """Store a new class; Conflict when its code is taken."""
        await self._write(
            [
                insert(schema.classrooms).values(_class_row(classroom)),
                *_teacher_rows(classroom.id, classroom.co_teachers),
            ],
            event,
            "This class code is taken: try again.",
        )

    async def change_classroom(
        self,
        classroom_id: str,
        changes: Mapping[str, object],
        event: AuditEvent,
        *,
        expected: Mapping[str, object] | None = None,
        new_generation: bool = False,
    ) -> None:
        """Set columns of a class, and no others, so that changes made at once do not undo each other.

        WriteConflict when the new code is taken, when the class is gone, or when a column no longer holds
        what is `expected`. `new_generation` ends the tokens of everybody who is inside.
        """
        table, links = schema.classrooms, schema.co_teachers
        columns = {name: value for name, value in changes.items() if name != "co_teachers"}
        if "roster" in columns:
            columns["roster"] = _roster_text(cast("Iterable[str]", columns["roster"]))
        if new_generation:
            columns["generation"] = table.c.generation + 1
        same = [table.c[name] == value for name, value in (expected or {}).items()]
        statement = (
            update(table).where(table.c.id == classroom_id, *same).values(columns or {"id": classroom_id})
        )
        others: list[Executable] = []
        if "co_teachers" in changes:
            others.append(delete(links).where(links.c.classroom_id == classroom_id))
            others += _teacher_rows(classroom_id, cast("Iterable[str]", changes["co_teachers"]))
        await self._write(others, event, "This class code is taken: try again.", first=statement)

    async def delete_classroom(self, classroom_id: str, event: AuditEvent) -> None:
        """Remove a class and everything about it."""
        await self._write(
            [
                delete(schema.co_teachers).where(schema.co_teachers.c.classroom_id == classroom_id),
                delete(schema.visits).where(schema.visits.c.classroom_id == classroom_id),
                delete(schema.epochs).where(schema.epochs.c.stream == classroom_id),
                delete(schema.revocations).where(schema.revocations.c.classroom_id == classroom_id),
                delete(schema.stream_numbers).where(schema.stream_numbers.c.stream == classroom_id),
                delete(schema.classrooms).where(schema.classrooms.c.id == classroom_id),
            ],
            event,
        )

    async def revoke(self, revocations: Iterable[Revocation], event: AuditEvent | None = None) -> None:
        """Refuse these from now on; Conflict when one is refused already (a link used twice)."""
        table = schema.revocations
        rows = [asdict(r) for r in revocations]
        if rows:
            await self._write([], event, "This was used or refused already.", rows=(insert(table), rows))

    async def forget_kicked(self, classroom_id: str) -> None:
        """Delete the revocations of a class's students; its new code has ended their tokens."""
        table = schema.revocations
        mine = (table.c.kind == "subject") & (table.c.classroom_id == classroom_id)
        await self._write([delete(table).where(mine)], None)

    async def forget_expired(self, wall_s: float) -> None:
        """Delete revocations whose tokens have ended, and very old audit lines."""
        await self._write(
            [
                delete(schema.revocations).where(schema.revocations.c.until_s < wall_s),
                delete(schema.events).where(schema.events.c.at_s < wall_s - KEEP_EVENTS_S),
            ],
            None,
        )

    async def set_drained(self, node_id: str, drained: bool, event: AuditEvent) -> None:
        """Remember that an operator drains a node (or does no longer)."""
        table = schema.drained_nodes
        statements: list[Executable] = [delete(table).where(table.c.node_id == node_id)]
        if drained:
            statements.append(insert(table).values(node_id=node_id))
        await self._write(statements, event)

    async def save_node_key(
        self, record: NodeRecord, event: AuditEvent | None, *, instead_of: NodeRecord | None
    ) -> None:
        """Keep what is known of a node, unless it is not `instead_of` any more (WriteConflict)."""
        table = schema.node_keys
        row = {**asdict(record), "zone": ",".join(record.zone)}
        if instead_of is None:
            await self._write([insert(table).values(row)], event, "Another node has this name by now.")
            return
        same = (
            (table.c.node_id == record.node_id)
            & (table.c.key == instead_of.key)
            & (table.c.removed == instead_of.removed)
            & (table.c.join_id == instead_of.join_id)
            & (table.c.join_used == instead_of.join_used)
        )
        statements: list[Executable] = [update(table).where(same).values(row)]
        await self._write(statements, event, "Another node has this name by now.", must_match=True)

    async def forget_node_keys(self, node_ids: Iterable[str]) -> None:
        """Delete what is known of these nodes."""
        table = schema.node_keys
        await self._write([delete(table).where(table.c.node_id.in_(list(node_ids)))], None)

    async def log(self, event: AuditEvent) -> None:
        """Write a line of the audit log that changes nothing else."""
        await self._write([], event, count=False)

    async def events(self, limit: int) -> list[AuditEvent]:
        """Return the newest lines of the audit log, newest first."""
        table = schema.events
        columns = (table.c.at_s, table.c.actor, table.c.action, table.c.target, table.c.detail)
        query = select(*columns).order_by(table.c.id.desc()).limit(min(limit, MAX_EVENTS))
        return await self._read(lambda c: [AuditEvent(*row) for row in c.execute(query)])

    async def add_visits(self, visits: list[StoredStudent]) -> None:
        """Remember who entered which class; called in batches, behind the answers."""
        if visits:
            rows = (insert(schema.visits), [asdict(v) for v in visits])
            await self._write([], None, rows=rows, count=False)

    async def visits(self, since_s: float) -> list[StoredStudent]:
        """Return who entered since `since_s`."""
        table = schema.visits
        columns = (table.c.subject, table.c.classroom_id, table.c.name, table.c.joined_at_s, table.c.node_id)
        query = select(*columns).where(table.c.joined_at_s >= since_s)
        return await self._read(lambda c: [StoredStudent(*row) for row in c.execute(query)])

    async def save_seats(self, seats: dict[str, str]) -> None:
        """Remember on which node each student has a seat (empty: on none); called in batches."""
        if seats:
            table = schema.visits
            statement = (
                update(table).where(table.c.subject == bindparam("who")).values(node_id=bindparam("node"))
            )
            rows: list[dict[str, object]] = [
                {"who": subject, "node": node_id} for subject, node_id in seats.items()
            ]
            await self._write([], None, rows=(statement, rows), count=False)

    async def save_seen_nodes(self, node_ids: Iterable[str]) -> None:
        """Remember the nodes of the cluster, in place of those that were remembered before."""
        table = schema.seen_nodes
        rows: list[dict[str, object]] = [{"node_id": node_id} for node_id in sorted(node_ids)]
        await self._write([delete(table)], None, rows=(insert(table), rows) if rows else None, count=False)

    async def seen_nodes(self) -> list[str]:
        """Return the nodes of the cluster as they were remembered last."""
        query = select(schema.seen_nodes.c.node_id)
        return await self._read(lambda c: list(c.execute(query).scalars()))

    async def forget_visits(self, before_s: float) -> None:
        """Delete names of students who entered before `before_s`."""
        await self._write(
            [delete(schema.visits).where(schema.visits.c.joined_at_s < before_s)], None, count=False
        )

    async def add_epoch(self, offset: EpochOffset, at_s: float) -> EpochOffset:
        """Keep an epoch's offset; returns the one that was kept first.

        Its order number changes when another master has given the same one to another epoch.
        """
        for _ in range(TRIES - 1):
            try:
                return await self._run(partial(_add_epoch, offset, at_s))
            except exc.IntegrityError:  # another call was first: now its row is there to be read
                continue
        return await self._run(partial(_add_epoch, offset, at_s))

    async def epochs(self) -> list[EpochOffset]:
        """Return all kept offsets, oldest first."""
        query = select(*_EPOCH).order_by(schema.epochs.c.order)
        return await self._read(lambda c: [EpochOffset(*row) for row in c.execute(query)])

    async def save_stream_numbers(self, numbers: Mapping[str, StreamNumbers], at_s: float) -> None:
        """Keep the highest numbers that viewers were shown; what is kept never falls."""
        await self._run(partial(_save_stream_numbers, numbers, at_s))

    async def stream_numbers(self) -> list[tuple[str, StreamNumbers, float]]:
        """Return each stream's kept numbers, and when they were written (Unix time)."""
        table = schema.stream_numbers
        query = select(table.c.stream, table.c.next_msn, table.c.next_discontinuity_seq, table.c.at_s)
        return await self._read(
            lambda c: [(r.stream, StreamNumbers(r[1], r[2]), r.at_s) for r in c.execute(query)]
        )

    async def _read(self, work: Callable[[Connection], T]) -> T:
        # A read may be left to its thread when its caller's deadline has passed; a write is waited for.
        return await self._run(work, begin=self._engine.connect, abandon=True)

    async def _write(
        self,
        statements: list[Executable],
        event: AuditEvent | None,
        conflict: str = "",
        *,
        first: Executable | None = None,
        rows: tuple[Executable, list[dict[str, object]]] | None = None,
        count: bool = True,
        must_match: bool = False,
    ) -> None:
        """Run statements in one transaction; `first` must change a row, or nothing is written."""

        def work(connection: Connection) -> None:
            if count:
                connection.execute(update(schema.revision).values(value=schema.revision.c.value + 1))
            if first is not None and not cast("CursorResult[Any]", connection.execute(first)).rowcount:
                raise WriteConflict(CHANGED_MEANWHILE)
            for statement in statements:
                if connection.execute(statement).rowcount == 0 and must_match:
                    raise WriteConflict(conflict)
            if rows is not None:
                # One statement for all: `values([…])` would be compiled, and kept, per number of rows.
                connection.execute(*rows)
            if event is not None:
                connection.execute(insert(schema.events).values(asdict(event)))

        try:
            await self._run(work)
        except exc.IntegrityError:
            raise WriteConflict(conflict or CHANGED_MEANWHILE) from None

    async def _run(
        self,
        work: Callable[[Connection], T],
        begin: Callable[[], AbstractContextManager[Connection]] | None = None,
        *,
        abandon: bool = False,
    ) -> T:
        def run() -> T:
            with (begin or self._engine.begin)() as connection:
                return work(connection)

        return await trio.to_thread.run_sync(run, limiter=self._limiter, abandon_on_cancel=abandon)


async def open_store(settings: MasterSettings) -> Store:
    """Open the database that the settings name and bring it up to date; StartError if that fails."""
    return await trio.to_thread.run_sync(_open, settings)


def _open(settings: MasterSettings) -> Store:
    try:
        if settings.database_url is None:
            settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            _keep_private(settings.data_dir)
        # a database without an encoding (SQL_ASCII) would answer in bytes
        url = make_url(settings.database)
        is_postgres = url.get_backend_name() == "postgresql"
        options = {"client_encoding": "utf8", "connect_timeout": CONNECT_S} if is_postgres else {}
        engine = create_engine(url, pool_size=MAX_THREADS, pool_pre_ping=True, connect_args=options)
    except OSError as error:
        raise StartError(f"DATA_DIR {settings.data_dir} cannot be made: {error.strerror}") from None
    except exc.ArgumentError:
        raise StartError("DATABASE_URL is not a database address: see .env.example.") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    try:
        migrate(engine)
    except (OSError, exc.OperationalError) as error:
        engine.dispose()
        where = f"DATA_DIR {settings.data_dir}" if settings.database_url is None else "DATABASE_URL"
        raise StartError(f"The database cannot be opened ({where}): {_short(error)}") from None
    except StartError:
        engine.dispose()
        raise
    return Store(engine)


def _keep_private(data_dir: Path) -> None:
    """Take the rights of other users of this machine away: the database holds password hashes.

    A new database file, and what SQLite puts beside it, gets the same rights.
    """
    database = data_dir / SQLITE_NAME
    with suppress(FileExistsError):
        os.close(os.open(database, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    wanted = [(path, 0o600) for path in data_dir.glob(f"{SQLITE_NAME}*")]
    if data_dir.resolve() != Path.cwd():  # else it may hold more than data
        wanted.append((data_dir, 0o700))
    for path, mode in wanted:
        with suppress(OSError):  # somebody else's, such as root's: it is theirs to decide
            if stat.S_IMODE(path.stat().st_mode) & ~mode:
                path.chmod(mode)
                log.info("data.made_private path=%s mode=%o", path, mode)


def _short(error: Exception) -> str:
    return str(getattr(error, "orig", error)).splitlines()[0]


def _prepare_sqlite(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_SQLITE_BUSY_MS}", "journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _revision(connection: Connection) -> int:
    return int(connection.execute(select(schema.revision.c.value)).scalar_one())


def _load(wall_s: float, connection: Connection) -> Snapshot:
    # Read the counter first: a write in between makes the picture newer than it says, never older.
    number = _revision(connection)
    helpers: dict[str, set[str]] = {}
    for classroom_id, user_id in connection.execute(select(schema.co_teachers)):
        helpers.setdefault(classroom_id, set()).add(user_id)
    revocations = [
        Revocation(*row)
        for row in connection.execute(
            select(schema.revocations).where(schema.revocations.c.until_s >= wall_s)
        )
    ]
    return Snapshot(
        revision=number,
        users={r.id: _user(r) for r in connection.execute(select(schema.users))},
        classrooms={
            r.id: _classroom(r, helpers.get(r.id, set()))
            for r in connection.execute(select(schema.classrooms))
        },
        revoked=frozenset((r.kind, r.value) for r in revocations),
        revocations=tuple(revocations),
        drained=frozenset(connection.execute(select(schema.drained_nodes.c.node_id)).scalars()),
        node_keys={r.node_id: _node_record(r) for r in connection.execute(select(schema.node_keys))},
    )


def _user(row: object) -> User:
    fields = {k: v for k, v in row._mapping.items() if k != "name_key"}  # type: ignore[attr-defined]
    return User(**{**fields, "role": Role(fields["role"])})


def _classroom(row: object, helpers: set[str]) -> Classroom:
    fields = dict(row._mapping)  # type: ignore[attr-defined]
    roster = frozenset(fields.pop("roster").splitlines())
    status = ClassStatus(fields.pop("status"))
    return Classroom(**fields, status=status, roster=roster, co_teachers=frozenset(helpers))


def _node_record(row: object) -> NodeRecord:
    fields = dict(row._mapping)  # type: ignore[attr-defined]
    zone = tuple(network for network in fields.pop("zone").split(",") if network)
    return NodeRecord(**fields, zone=zone)


def _class_row(classroom: Classroom) -> dict[str, object]:
    row = asdict(classroom)
    del row["co_teachers"]
    return {**row, "roster": _roster_text(classroom.roster)}


def _roster_text(names: Iterable[str]) -> str:
    return "\n".join(sorted(names))


def _teacher_rows(classroom_id: str, user_ids: Iterable[str]) -> list[Executable]:
    return [
        insert(schema.co_teachers).values(classroom_id=classroom_id, user_id=user_id)
        for user_id in sorted(user_ids)
    ]


def _add_epoch(offset: EpochOffset, at_s: float, connection: Connection) -> EpochOffset:
    table = schema.epochs
    mine = (table.c.stream == offset.stream) & (table.c.key == offset.key)
    found = connection.execute(select(*_EPOCH).where(mine)).first()
    if found is not None:
        return EpochOffset(*found)
    by_order = (
        select(table.c.key, table.c.order)
        .where(table.c.stream == offset.stream)
        .order_by(table.c.order.desc())
    )
    before = connection.execute(by_order).all()
    if offset.order <= 0 or offset.order in {row.order for row in before}:
        offset = msgspec.structs.replace(offset, order=before[0].order + 1 if before else 1)
    connection.execute(insert(table).values({**msgspec.structs.asdict(offset), "at_s": at_s}))
    outdated = [row.key for row in before[KEEP_EPOCHS - 1 :]]
    if outdated:
        connection.execute(delete(table).where(table.c.stream == offset.stream, table.c.key.in_(outdated)))
    return offset


def _save_stream_numbers(numbers: Mapping[str, StreamNumbers], at_s: float, connection: Connection) -> None:
    table = schema.stream_numbers
    for stream, shown in numbers.items():
        kept = connection.execute(select(table).where(table.c.stream == stream)).first()
        if kept is None:
            row = {"stream": stream, **asdict(shown), "at_s": at_s}
            connection.execute(insert(table).values(row))
        else:
            row = {**asdict(shown.above(kept.next_msn, kept.next_discontinuity_seq)), "at_s": at_s}
            connection.execute(update(table).where(table.c.stream == stream).values(row))
