"""The store, by one body on SQLite and on PostgreSQL; PostgreSQL is started by the tests."""

from __future__ import annotations

import os
import stat
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from sqlalchemy import create_engine, insert, text

from airclass.config import load_master
from airclass.domain.classrooms import Classroom, ClassStatus
from airclass.domain.epochs import KEEP_EPOCHS, StreamNumbers
from airclass.domain.node_keys import NodeRecord
from airclass.domain.snapshot import Revocation
from airclass.domain.users import Role, User
from airclass.io import schema
from airclass.io.migrate import migrate
from airclass.io.store import AuditEvent, Store, StoredStudent, WriteConflict, open_store
from relay.base.cluster_protocol import EpochOffset
from relay.base.errors import StartError
from tests.harness.postgres import Postgres, postgres_running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from airclass.config import MasterSettings

SECRETS = {"JWT_SECRET_KEY": "j" * 32, "CLUSTER_SECRET": "c" * 32}
WAIT_S = 5.0
KINDS = ("sqlite", "postgresql")
DID = AuditEvent(5.0, "test", "did", "it")
USER = User("u1", "Kim", Role.TEACHER, "hash", 0, False, 1.0)
CLASS = Classroom(
    "c1", "수학", "AAAAAAA", "u1", ClassStatus.OPEN, "pw", 30, "ko", "kh", "", 2, 3.0, frozenset({"u1"}),
    frozenset({"kim", "박지민"}),
)  # fmt: skip


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of our own."""
    with postgres_running() as server:
        yield server


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> MasterSettings:
    """Return settings that name an empty database."""
    if request.param == "sqlite":
        return load_master({**SECRETS, "DATA_DIR": str(tmp_path / "data")})
    server: Postgres = request.getfixturevalue("postgres")
    return load_master({**SECRETS, "DATABASE_URL": server.database("t" + tmp_path.name)})


@pytest.fixture
async def store(settings: MasterSettings) -> AsyncIterator[Store]:
    """Return an open store."""
    opened = await open_store(settings)
    yield opened
    await opened.close()


async def test_an_empty_database_is_an_empty_view(store: Store) -> None:
    view = await store.load(0.0)
    assert (view.revision, view.users, view.classrooms) == (0, {}, {})


async def test_users_are_kept_and_their_names_are_unique_without_case(store: Store) -> None:
    await store.add_user(USER, DID)
    with pytest.raises(WriteConflict, match="taken"):
        await store.add_user(User("u2", "KIM", Role.ADMIN), DID)
    assert (await store.load(0.0)).users == {"u1": USER}
    await store.change_user("u1", {"name": "Lee", "role": "admin", "disabled": True}, DID)
    (changed,) = (await store.load(0.0)).users.values()
    assert (changed.name, changed.role, changed.disabled) == ("Lee", Role.ADMIN, True)
    await store.add_user(User("u2", "Kim", Role.MONITOR), DID)
    await store.delete_user("u1", DID)
    assert (await store.load(0.0)).users.keys() == {"u2"}


async def test_classes_are_kept_whole(store: Store) -> None:
    await store.add_user(USER, DID)
    await store.add_classroom(CLASS, DID)
    assert (await store.load(0.0)).classrooms == {"c1": CLASS}
    with pytest.raises(WriteConflict, match="code"):
        await store.add_classroom(Classroom("c2", "Art", "AAAAAAA"), DID)
    await store.add_classroom(Classroom("c2", "Art", "BBBBBBB"), DID)
    changes = {"name": "New", "code": "CCCCCCC", "roster": frozenset({"lee"}), "co_teachers": frozenset()}
    await store.change_classroom("c1", changes, DID)
    assert (await store.load(0.0)).classrooms["c1"] == replace(CLASS, **changes)
    with pytest.raises(WriteConflict, match="code"):
        await store.change_classroom("c1", {"code": "BBBBBBB"}, DID)
    await store.change_classroom("c1", {"co_teachers": frozenset({"u1"})}, DID)
    assert (await store.load(0.0)).classrooms["c1"].co_teachers == {"u1"}
    await store.delete_classroom("c1", DID)
    assert (await store.load(0.0)).classrooms.keys() == {"c2"}


async def test_a_change_writes_its_own_columns_and_only_over_what_it_expects(
    store: Store, settings: MasterSettings
) -> None:
    await store.add_classroom(replace(CLASS, co_teachers=frozenset()), DID)
    other, before = await open_store(settings), await store.revision()
    async with trio.open_nursery() as nursery:
        for which, changes in (
            (store, {"key_hash": "new"}),
            (other, {"name": "Art"}),
            (store, {"capacity": 5}),
            (other, {"status": ClassStatus.CLOSED}),
        ):
            nursery.start_soon(which.change_classroom, "c1", changes, DID)
        for which in (store, other):
            nursery.start_soon(partial(which.change_classroom, "c1", {}, DID, new_generation=True))
    kept = (await store.load(0.0)).classrooms["c1"]
    assert (kept.key_hash, kept.name, kept.capacity) == ("new", "Art", 5)
    assert (kept.status, kept.generation) == (ClassStatus.CLOSED, CLASS.generation + 2)
    assert await store.revision() == before + 6
    with pytest.raises(WriteConflict, match="meanwhile"):
        await store.change_classroom("c1", {"key_hash": "newer"}, DID, expected={"key_hash": CLASS.key_hash})
    with pytest.raises(WriteConflict, match="meanwhile"):
        await store.change_classroom("gone", {"name": "x"}, DID)
    assert (await store.load(0.0)).classrooms["c1"] == kept
    assert await store.revision() == before + 6, "what is refused writes nothing"
    await other.close()


async def test_names_that_look_alike_are_one_name(store: Store) -> None:
    await store.add_user(USER, DID)
    for number, double in enumerate(("Kim\u3164", "Кim", "ｋｉｍ")):
        with pytest.raises(WriteConflict, match="taken"):
            await store.add_user(User(f"d{number}", double, Role.TEACHER), DID)


async def test_keys_of_names_of_the_schema_before_are_computed_again(settings: MasterSettings) -> None:
    """Two accounts may look alike already: both stay, and the older one has the key."""
    engine = create_engine(settings.database)
    if settings.database_url is None:
        settings.data_dir.mkdir(parents=True)
    migrate(engine, "0001")
    names = {"u1": "Kim", "u2": "Кim", "u3": "e\u0301mile", "u4": "\u3164", "u5": "ＬＥＥ"}
    with engine.begin() as connection:
        for number, (user_id, name) in enumerate(names.items()):
            row = {"id": user_id, "name": name, "name_key": name.casefold(), "created_at_s": number}
            kept = {"role": "teacher", "password_hash": "", "generation": 0, "disabled": False}
            connection.execute(insert(schema.users).values({**row, **kept}))
    engine.dispose()
    store = await open_store(settings)
    assert {u.id: u.name for u in (await store.load(0.0)).users.values()} == names
    engine = create_engine(settings.database)
    with engine.connect() as connection:
        keys = {row[0]: row[1] for row in connection.execute(text("SELECT id, name_key FROM users"))}
    engine.dispose()
    assert keys == {"u1": "kim", "u2": "kim\nu2", "u3": "émile", "u4": "", "u5": "lee"}
    with pytest.raises(WriteConflict, match="taken"):
        await store.add_user(User("u6", "lee", Role.TEACHER), DID)
    await store.close()


@pytest.mark.parametrize("before", [None, 0o755, 0o777])
async def test_the_database_and_its_folder_are_their_owners_alone(tmp_path: Path, before: int | None) -> None:
    """Everybody on the machine could read the password hashes where no umask forbade it."""
    folder = tmp_path / "data"
    if before is not None:
        folder.mkdir(mode=before)
        folder.chmod(before)
        (folder / "airclass.sqlite3").touch(mode=0o644)
    settings = load_master({**SECRETS, "DATA_DIR": str(folder)})
    previous = os.umask(0)
    try:
        store = await open_store(settings)
        await store.add_user(USER, DID)
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.glob("airclass.sqlite3*")}
        await store.close()
    finally:
        os.umask(previous)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes.pop("airclass.sqlite3.lock", None)
    assert set(modes) == {"airclass.sqlite3", "airclass.sqlite3-wal", "airclass.sqlite3-shm"}
    assert set(modes.values()) == {0o600}


async def test_a_postgresql_without_an_encoding_keeps_korean(postgres: Postgres) -> None:
    plain = "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    url = postgres.database("plain", plain)
    store = await open_store(load_master({**SECRETS, "DATABASE_URL": url}))
    await store.add_user(USER, DID)
    await store.add_classroom(CLASS, DID)
    assert (await store.load(0.0)).classrooms == {"c1": CLASS}
    await store.close()


async def test_every_write_is_noticed_by_its_revision(store: Store, settings: MasterSettings) -> None:
    other = await open_store(settings)
    before = await store.revision()
    await other.add_user(USER, DID)
    assert await store.revision() == before + 1
    await other.log(DID)
    await other.add_visits([StoredStudent("s1", "c1", "Kim", 1.0)])
    assert await store.revision() == before + 1, "the audit log and visits are not part of the view"
    await other.close()


async def test_a_link_is_used_once_even_by_two_masters_at_once(
    store: Store, settings: MasterSettings
) -> None:
    other = await open_store(settings)
    won = []

    async def use(which: Store) -> None:
        try:
            await which.revoke([Revocation("link", "l1", 99.0)])
        except WriteConflict:
            return
        won.append(which)

    async with trio.open_nursery() as nursery:
        for which in (store, other, store, other):
            nursery.start_soon(use, which)
    assert len(won) == 1
    await other.close()


async def test_revocations_end(store: Store) -> None:
    await store.revoke([Revocation("token", "t1", 10.0), Revocation("subject", "s1", 20.0)], DID)
    await store.revoke([])
    assert (await store.load(15.0)).revoked == {("subject", "s1")}
    await store.forget_expired(15.0)
    assert (await store.load(0.0)).revoked == {("subject", "s1")}


async def test_drained_nodes(store: Store) -> None:
    await store.set_drained("n1", True, DID)
    await store.set_drained("n1", True, DID)
    assert (await store.load(0.0)).drained == {"n1"}
    await store.set_drained("n1", False, DID)
    assert (await store.load(0.0)).drained == set()


async def test_the_audit_log_is_newest_first(store: Store) -> None:
    for n in range(3):
        await store.log(AuditEvent(float(n), "kim", f"did-{n}", "x"))
    assert [e.action for e in await store.events(2)] == ["did-2", "did-1"]


async def test_visits_are_kept_for_a_day(store: Store) -> None:
    await store.add_visits([StoredStudent("s1", "c1", "Kim", 1.0), StoredStudent("s2", "c1", "박", 5.0)])
    await store.add_visits([])
    assert await store.visits(2.0) == [StoredStudent("s2", "c1", "박", 5.0)]
    await store.forget_visits(9.0)
    assert await store.visits(0.0) == []


async def test_each_students_node_and_the_nodes_of_the_cluster_are_kept(store: Store) -> None:
    await store.add_visits(
        [StoredStudent("s1", "c1", "Kim", 1.0, "n1"), StoredStudent("s2", "c1", "Lee", 1.0)]
    )
    await store.save_seats({"s1": "", "s2": "n2", "nobody": "n3"})
    await store.save_seats({})
    assert {v.subject: v.node_id for v in await store.visits(0.0)} == {"s1": "", "s2": "n2"}
    assert await store.seen_nodes() == []
    await store.save_seen_nodes(["n2", "n1"])
    await store.save_seen_nodes(["n3", "n1"])
    assert sorted(await store.seen_nodes()) == ["n1", "n3"]
    await store.save_seen_nodes([])
    assert await store.seen_nodes() == []


async def test_students_of_the_schema_before_have_no_node(settings: MasterSettings) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    engine = create_engine(settings.database)
    migrate(engine, "0002")
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO visits VALUES ('s1', 'c1', '김', 5.0)"))
    engine.dispose()
    store = await open_store(settings)
    assert await store.visits(0.0) == [StoredStudent("s1", "c1", "김", 5.0)]
    assert await store.seen_nodes() == []
    await store.close()


async def test_the_first_offset_of_an_epoch_stays_and_the_oldest_epochs_go(store: Store) -> None:
    offset = EpochOffset("c1", "k", 5, 1, 2, 0.5, 1)
    assert await store.add_epoch(offset, 1.0) == offset
    assert await store.add_epoch(EpochOffset("c1", "k", 9, 9, order=2), 2.0) == offset
    for n in range(KEEP_EPOCHS):
        await store.add_epoch(EpochOffset("c1", f"k{n}", n, n, order=n + 2), 3.0)
    assert [e.key for e in await store.epochs()] == [f"k{n}" for n in range(KEEP_EPOCHS)]


async def test_epochs_come_back_in_their_order_and_no_two_have_the_same(store: Store) -> None:
    large = 2**40
    assert (await store.add_epoch(EpochOffset("c1", "later", large, large, order=4), 1.0)).order == 4
    assert (await store.add_epoch(EpochOffset("c1", "taken", -7, 2, order=4), 2.0)).order == 5
    assert (await store.add_epoch(EpochOffset("c1", "earlier", 1, 1, order=2), 3.0)).order == 2
    assert (await store.add_epoch(EpochOffset("c2", "none", 1, 1), 4.0)).order == 1
    kept = [(e.key, e.offset, e.order) for e in await store.epochs() if e.stream == "c1"]
    assert kept == [("earlier", 1, 2), ("later", large, 4), ("taken", -7, 5)]


async def test_the_same_epoch_from_many_at_once_is_one(store: Store) -> None:
    kept: list[EpochOffset] = []

    async def add(offset: int) -> None:
        kept.append(await store.add_epoch(EpochOffset("c1", "k", offset, 0, order=1), 1.0))

    async with trio.open_nursery() as nursery:
        for offset in range(4):
            nursery.start_soon(add, offset)
    assert len(set(kept)) == 1


async def test_epochs_from_many_masters_at_once_get_an_order_of_their_own(store: Store) -> None:
    orders: list[int] = []

    async def add(key: str) -> None:
        orders.append((await store.add_epoch(EpochOffset("c1", key, 0, 0, order=1), 1.0)).order)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(add, f"k{number}")
    assert sorted(orders) == [1, 2, 3, 4]


async def test_the_numbers_of_a_stream_never_fall(store: Store) -> None:
    assert await store.stream_numbers() == []
    await store.save_stream_numbers({"c1": StreamNumbers(2**40, 2), "c2": StreamNumbers(7, 0)}, 1.0)
    await store.save_stream_numbers({"c1": StreamNumbers(30, 3)}, 2.0)
    assert sorted(await store.stream_numbers()) == [
        ("c1", StreamNumbers(2**40, 3), 2.0),
        ("c2", StreamNumbers(7, 0), 1.0),
    ]


async def test_a_deleted_class_leaves_no_numbers(store: Store) -> None:
    await store.add_user(USER, DID)
    await store.add_classroom(CLASS, DID)
    await store.add_epoch(EpochOffset("c1", "k", 5, 1, order=1), 1.0)
    await store.save_stream_numbers({"c1": StreamNumbers(30, 2)}, 1.0)
    await store.delete_classroom("c1", DID)
    assert (await store.epochs(), await store.stream_numbers()) == ([], [])


async def test_epochs_of_the_first_schema_are_put_in_order_and_bound_the_numbers(
    settings: MasterSettings,
) -> None:
    await old_database(
        settings,
        "0001",
        "INSERT INTO epochs VALUES ('c1', 'today', 0, 0, 2, 0.5, 200.0)",
        "INSERT INTO epochs VALUES ('c1', 'yesterday', 23, 1, 2, 0.5, 100.0)",
        "INSERT INTO epochs VALUES ('c2', 'only', -5, 4, 2, 0.5, 100.0)",
    )
    store = await open_store(settings)
    kept = [(e.stream, e.key, e.offset, e.order) for e in await store.epochs()]
    assert sorted(kept) == [("c1", "today", 0, 2), ("c1", "yesterday", 23, 1), ("c2", "only", -5, 1)]
    numbers = {stream: shown for stream, shown, _ in await store.stream_numbers()}
    # nothing says how much was shown: a segment for each second since then at most
    assert numbers["c1"].next_msn > 1_700_000_000
    assert [numbers[stream].next_discontinuity_seq for stream in ("c1", "c2")] == [2, 5]
    assert (await store.add_epoch(EpochOffset("c1", "new", 99, 9, order=3), 300.0)).order == 3
    await store.close()


async def test_an_empty_database_of_the_first_schema_is_upgraded(settings: MasterSettings) -> None:
    await old_database(settings, "0001")
    store = await open_store(settings)
    assert (await store.epochs(), await store.stream_numbers()) == ([], [])
    await store.close()


async def old_database(settings: MasterSettings, schema: str, *statements: str) -> None:
    """Make the database as an earlier version left it."""
    if settings.database_url is None:
        settings.data_dir.mkdir(parents=True)
    engine = create_engine(settings.database)
    await trio.to_thread.run_sync(migrate, engine, schema)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


async def test_a_read_that_hangs_is_left_at_its_callers_deadline(store: Store) -> None:
    """Readiness must be told while the database is silent."""
    answer = threading.Event()
    with trio.fail_after(WAIT_S):
        with trio.move_on_after(0.05) as scope:
            await store._read(lambda _: answer.wait(2 * WAIT_S))
        assert scope.cancelled_caught
        assert await store.revision() == 0, "another thread is free"
        answer.set()
        while store._engine.pool.checkedout():  # type: ignore[attr-defined]  # a queue of connections
            await trio.sleep(0.01)


async def test_node_keys_are_kept_and_two_who_change_one_do_not_undo_each_other(store: Store) -> None:
    waiting = NodeRecord(
        "n1", added=True, zone=("10.1.0.0/16", "10.2.0.0/16"), join_id="j1", join_key="sealed"
    )
    await store.save_node_key(waiting, DID, instead_of=None)
    assert (await store.load(0.0)).node_keys == {"n1": waiting}
    assert (await store.load(0.0)).by_join_id == {"j1": waiting}
    with pytest.raises(WriteConflict):
        await store.save_node_key(waiting, None, instead_of=None)
    joined = replace(waiting, key="sealed too", join_used=True, max_connections=9, join_until_s=3.5)
    await store.save_node_key(joined, None, instead_of=waiting)
    before = await store.revision()
    with pytest.raises(WriteConflict):
        await store.save_node_key(replace(waiting, key="of another"), DID, instead_of=waiting)
    assert (await store.load(0.0)).node_keys == {"n1": joined}
    assert await store.revision() == before, "nothing of a refused change is kept"
    assert len(await store.events(10)) == 1
    await store.forget_node_keys(["n1", "n2"])
    assert (await store.load(0.0)).node_keys == {}


async def test_kicks_end_with_the_classs_code_and_with_the_class(store: Store) -> None:
    kicks = [
        Revocation("subject", f"s{n}", 99.0, classroom) for n, classroom in enumerate(("c1", "c1", "c2"))
    ]
    await store.revoke([*kicks, Revocation("link", "l1", 99.0)])
    assert (await store.load(0.0)).kicked == {"c1": ("s0", "s1"), "c2": ("s2",)}
    await store.forget_kicked("c1")
    assert (await store.load(0.0)).kicked == {"c2": ("s2",)}
    await store.delete_classroom("c2", DID)
    assert (await store.load(0.0)).revoked == {("link", "l1")}


async def test_revocations_of_the_first_schema_hold_after_the_upgrade(settings: MasterSettings) -> None:
    if settings.database_url is None:
        settings.data_dir.mkdir()
    engine = create_engine(settings.database)
    migrate(engine, "0001")
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO revocations (kind, value, until_s) VALUES ('subject', 's1', 99)")
        )
    engine.dispose()
    store = await open_store(settings)
    view = await store.load(0.0)
    assert (view.kicked, view.revoked, view.node_keys) == ({"": ("s1",)}, {("subject", "s1")}, {})
    await store.close()


async def test_two_masters_may_start_at_once(settings: MasterSettings) -> None:
    opened: list[Store] = []

    async def start() -> None:
        opened.append(await open_store(settings))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(start)
    assert [await s.revision() for s in opened] == [0] * 4
    for s in opened:
        await s.close()


async def test_a_newer_schema_is_refused_with_a_sentence(store: Store, settings: MasterSettings) -> None:
    engine = create_engine(settings.database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(StartError, match="newer than this program"):
        await open_store(settings)


async def test_the_migrations_make_what_the_code_describes(store: Store, settings: MasterSettings) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from airclass.io.schema import metadata

    engine = create_engine(settings.database)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    assert differences == []


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({"DATA_DIR": "/proc/nowhere"}, "cannot be made"),
        ({"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, "cannot be opened"),
        ({"DATABASE_URL": "rubbish"}, "not a database address"),
    ],
)
async def test_what_cannot_be_opened_is_one_sentence(environ: dict[str, str], word: str) -> None:
    with pytest.raises(StartError, match=word) as caught:
        await open_store(load_master({**SECRETS, **environ}))
    assert "nobody" not in caught.value.reason
