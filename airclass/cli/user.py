"""`airclass user`: accounts, on the database that the settings name."""

from __future__ import annotations

import getpass
import sys
import time
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from airclass.cli.common import at_database, entropy, event, say, say_json
from airclass.domain.classrooms import make_id
from airclass.domain.users import Role, User, clean_name
from airclass.io.passwords import Passwords
from relay.base.errors import ConfigError

if TYPE_CHECKING:
    from airclass.config import MasterSettings
    from airclass.io.store import Store

MIN_PASSWORD_CHARS = 8

app = App(name="user", help="Accounts: admins, teachers and monitors. Students need none.")


@app.command
def add(
    name: str,
    *,
    role: Literal["admin", "teacher", "monitor"] = "teacher",
    password_stdin: bool = False,
    no_password: bool = False,
    json: bool = False,
) -> None:
    """Make an account.

    Parameters
    ----------
    name
        The name to sign in with.
    role
        What the person may do.
    password_stdin
        Read the password from standard input instead of asking for it.
    no_password
        Make it without one; its owner comes in by `airclass token link`.
    json
        Print {"id", "name", "role"}.
    """
    password = "" if no_password else _password(from_stdin=password_stdin)

    async def work(settings: MasterSettings, store: Store) -> User:
        hashed = await Passwords(b"").hash(password) if password else ""
        user = User(make_id(entropy(8), "u"), _clean(name), Role(role), hashed, created_at_s=time.time())
        await store.add_user(user, event("user.add", user.name, role))
        return user

    user = at_database(work)
    if json:
        say_json({"id": user.id, "name": user.name, "role": role})
    else:
        say(f"{user.name} is {'an' if role == 'admin' else 'a'} {role} now.")


@app.command(name="list")
def list_users(*, json: bool = False) -> None:
    """List all accounts."""

    async def work(settings: MasterSettings, store: Store) -> list[User]:
        return sorted((await store.load(0)).users.values(), key=lambda u: u.name)

    users = at_database(work)
    if json:
        say_json([{"id": u.id, "name": u.name, "role": u.role, "disabled": u.disabled} for u in users])
    for user in users if not json else ():
        say(f"{user.role:8} {user.name}{' (disabled)' if user.disabled else ''}")


@app.command
def passwd(name: str, *, password_stdin: bool = False) -> None:
    """Set a new password; the account's sessions end."""
    password = _password(from_stdin=password_stdin)

    async def work(settings: MasterSettings, store: Store) -> None:
        user = await find(store, name)
        changes = {"password_hash": await Passwords(b"").hash(password), "generation": user.generation + 1}
        await store.change_user(user.id, dict(changes), event("user.change", user.name, "password_hash"))

    at_database(work)
    say("The password is set.")


@app.command
def remove(name: str) -> None:
    """Remove an account; its classes stay."""

    async def work(settings: MasterSettings, store: Store) -> None:
        user = await find(store, name)
        await store.delete_user(user.id, event("user.delete", user.name))

    at_database(work)
    say(f"{name} is removed.")


async def find(store: Store, name: str) -> User:
    """Return the account of this name, or refuse."""
    user = (await store.load(0)).find_user(_clean(name))
    if user is None:
        raise ConfigError([f"There is no user {name!r}: see `airclass user list`."])
    return user


def _clean(name: str) -> str:
    cleaned = clean_name(name)
    if not cleaned:
        raise ConfigError(["The name is empty."])
    return cleaned


def _password(*, from_stdin: bool) -> str:
    password = sys.stdin.readline().rstrip("\n") if from_stdin else _ask_password()
    if len(password) < MIN_PASSWORD_CHARS:
        raise ConfigError(
            [f"The password has fewer than {MIN_PASSWORD_CHARS} characters: choose a longer one."]
        )
    return password


def _ask_password() -> str:
    if not sys.stdin.isatty():
        raise ConfigError(
            ["No terminal to ask for a password: give --password-stdin (or, to add, --no-password)."]
        )
    password = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != password:
        raise ConfigError(["The two passwords differ: nothing was changed."])
    return password
