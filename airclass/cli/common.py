"""What the commands on the database share: open it, work, print."""

from __future__ import annotations

import json
import secrets
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from airclass.config import load_master
from airclass.io.store import AuditEvent, Store, open_store
from relay.base.errors import AirclassError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType

    from airclass.config import MasterSettings

T = TypeVar("T")


def at_database(work: Callable[[MasterSettings, Store], Awaitable[T]]) -> T:
    """Run `work` with the settings and the database they name."""

    async def body() -> T:
        settings = load_master()
        store = await open_store(settings)
        try:
            return await work(settings, store)
        finally:
            await store.close()

    return trio.run(body)


def event(action: str, target: str, detail: str = "") -> AuditEvent:
    """Return a line of the audit log for something done on the command line."""
    return AuditEvent(time.time(), "command line", action, target, detail)


def note(action: str, target: str) -> None:
    """Write a line of the audit log, if there is a database to write to: for what works without one too."""

    async def work(_: MasterSettings, store: Store) -> None:
        await store.log(event(action, target))

    with suppress(AirclassError):
        at_database(work)


def entropy(count: int) -> bytes:
    """Return random bytes."""
    return secrets.token_bytes(count)


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    """Print a line to standard error, where it does not disturb a script that reads the output."""
    sys.stderr.write(text + "\n")


def say_json(value: Any) -> None:
    """Print a value as JSON."""
    say(json.dumps(value, ensure_ascii=False))


def end_in_order() -> None:
    """Let SIGTERM and SIGHUP (a closed terminal) end this command as Ctrl-C does: things are put back."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
