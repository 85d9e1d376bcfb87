"""How log lines look, and which request a line belongs to: the same for master, relay and commands.

A line keeps its form `noun.verb key=value`; while a request is served, its id is the last pair. The id
comes in or is made at the master and goes on to the relays with the orders that the request causes.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ID_CHARS = 64
TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_ID_CHARS}}}")

request_id: ContextVar[str] = ContextVar("request_id", default="")


def id_for(told: str) -> str:
    """Return the id that a caller told, if it is one, else a new one of 64 random bits."""
    return told if _ID.fullmatch(told) else secrets.token_hex(8)


@contextmanager
def serving(told: str) -> Iterator[None]:
    """Let the lines of a block carry an id from outside, if it is one."""
    token = request_id.set(told if _ID.fullmatch(told) else "")
    try:
        yield
    finally:
        request_id.reset(token)


class Tag(logging.Filter):
    """Adds the id of the request that is being served."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record's text; every record passes."""
        current = request_id.get()
        if current and not hasattr(record, "request_id"):
            record.msg, record.args = f"{record.getMessage()} request_id={current}", None
            record.request_id = current
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; the message keeps its form."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if hasattr(record, "request_id"):
            line["request_id"] = record.request_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(level: str, kind: Literal["text", "json"]) -> None:
    """Make all log lines of this process look as LOG_LEVEL and LOG_FORMAT say; on standard error."""
    logging.basicConfig(format=TEXT)
    root = logging.getLogger()
    root.setLevel(level.upper())
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    for handler in root.handlers:
        handler.addFilter(Tag())
        if kind == "json":
            handler.setFormatter(JsonLines())
