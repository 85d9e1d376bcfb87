"""`airclass classroom`: classes, on the database that the settings name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from cyclopts import App

from airclass.cli.common import at_database, entropy, event, say, say_json
from airclass.cli.user import find
from airclass.domain.classrooms import (
    CODE_CHARS,
    KEY_BYTES,
    Classroom,
    ClassStatus,
    hash_key,
    make_code,
    make_id,
    make_key,
    read_code,
)
from airclass.domain.users import clean_name
from airclass.io.passwords import Passwords
from relay.base.errors import ConfigError

if TYPE_CHECKING:
    from airclass.config import MasterSettings
    from airclass.io.store import Store

CODE_TRIES = 5
DEFAULT_RTMP = "rtmp://127.0.0.1:1935"

app = App(
    name="classroom",
    help="Classes. Each command works whether the master runs or not; it sees changes within 1 s.",
)


@app.command
def add(
    name: str,
    *,
    owner: str = "",
    password: str = "",
    capacity: int = 0,
    language: Literal["ko", "en"] = "ko",
    json: bool = False,
) -> None:
    """Make a class, open from the start, and print its code and stream key (shown only now).

    Parameters
    ----------
    name
        The class's name, as students see it.
    owner
        The account of its teacher; without one only admins manage it.
    password
        What students must type besides the code; empty for none.
    capacity
        How many students fit; 0 for no limit of its own.
    language
        The language of the students' page.
    json
        Print {"id", "name", "code", "stream_key", "rtmp_url"}.
    """
    cleaned = clean_name(name, 80)
    if not cleaned:
        raise ConfigError(["The class's name is empty."])

    async def work(settings: MasterSettings, store: Store) -> dict[str, str]:
        key = make_key(entropy(KEY_BYTES))
        classroom = Classroom(
            id=make_id(entropy(8)),
            name=cleaned,
            code=await _free_code(store),
            owner_id=(await find(store, owner)).id if owner else "",
            password_hash=await Passwords(b"").hash(password) if password else "",
            capacity=max(0, capacity),
            language=language,
            key_hash=hash_key(key),
            key_shown=key if settings.demo else "",
            created_at_s=time.time(),
        )
        await store.add_classroom(classroom, event("class.add", classroom.id, cleaned))
        return {
            "id": classroom.id,
            "name": cleaned,
            "code": classroom.code,
            "stream_key": key,
            "rtmp_url": f"{_server(settings)}/{classroom.id}?token={key}",
        }

    made = at_database(work)
    if json:
        say_json(made)
        return
    say(f"Class {made['name']} ({made['id']})\n  code for students  {made['code']}")
    say(f"  RTMP address       {made['rtmp_url']}\n  The stream key is not shown again.")


@app.command(name="list")
def list_classes(*, json: bool = False) -> None:
    """List all classes."""

    async def work(settings: MasterSettings, store: Store) -> list[Classroom]:
        classes = (await store.load(0)).classrooms.values()
        return sorted(classes, key=lambda c: (c.created_at_s, c.id))

    classes = at_database(work)
    if json:
        say_json([{"id": c.id, "name": c.name, "code": c.code, "status": c.status} for c in classes])
    for c in classes if not json else ():
        say(f"{c.id}  {c.code}  {c.status:6}  {c.name}")


@app.command(name="open")
def open_class(which: str) -> None:
    """Let students in; WHICH is a class's id or code."""
    _set(which, ClassStatus.OPEN)


@app.command
def close(which: str) -> None:
    """Send students out until it is opened again; WHICH is a class's id or code."""
    _set(which, ClassStatus.CLOSED)


@app.command
def end(which: str) -> None:
    """End a class for good; WHICH is a class's id or code."""
    _set(which, ClassStatus.ENDED)


@app.command
def rotate_key(which: str, *, json: bool = False) -> None:
    """Give a class a new stream key and print it; WHICH is a class's id or code."""

    async def work(settings: MasterSettings, store: Store) -> dict[str, str]:
        classroom = await _find(store, which)
        key = make_key(entropy(KEY_BYTES))
        shown = key if settings.demo else ""
        changes = {"key_hash": hash_key(key), "key_shown": shown}
        await store.change_classroom(classroom.id, changes, event("class.rotate-key", classroom.id))
        url = f"{_server(settings)}/{classroom.id}?token={key}"
        return {"id": classroom.id, "stream_key": key, "rtmp_url": url}

    made = at_database(work)
    say_json(made) if json else say(made["rtmp_url"])


def _set(which: str, status: ClassStatus) -> None:
    async def work(settings: MasterSettings, store: Store) -> None:
        classroom = await _find(store, which)
        if classroom.status is ClassStatus.ENDED:
            raise ConfigError([f"The class {classroom.name} is over: make a new one."])
        done = event(f"class.{status}", classroom.id)
        expected = {"status": classroom.status}
        await store.change_classroom(classroom.id, {"status": status}, done, expected=expected)

    at_database(work)
    say(f"The class is {status}.")


async def _find(store: Store, which: str) -> Classroom:
    view = await store.load(0)
    found = view.classrooms.get(which) or view.by_code.get(read_code(which))
    if found is None:
        raise ConfigError([f"There is no class {which!r}: see `airclass classroom list`."])
    return found


async def _free_code(store: Store) -> str:
    taken = {c.code for c in (await store.load(0)).classrooms.values()}
    codes = (make_code(entropy(CODE_CHARS)) for _ in range(CODE_TRIES))
    return next(code for code in codes if code not in taken)


def _server(settings: MasterSettings) -> str:
    host = urlsplit(settings.master_url).hostname
    told = settings.ingest_rtmp_public_url or (f"rtmp://{host}:1935" if host else DEFAULT_RTMP)
    return f"{told}/live"
