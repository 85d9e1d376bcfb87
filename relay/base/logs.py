"""How log lines look, and which request a line belongs to: the same for master, relay and commands.

Everybody logs by the standard library, in the form `noun.verb key=value`; structlog renders what arrives,
from Hypercorn and SQLAlchemy too. While a request is served, its id is the last pair. The id comes in or is
made at the master and goes on to the relays with the orders that the request causes.
"""

from __future__ import annotations

import logging
import re
import secrets
from typing import TYPE_CHECKING, Literal

from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars, merge_contextvars
from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter, plain_traceback
from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

Kind = Literal["text", "json"]

MAX_ID_CHARS = 64
OURS = ("airclass", "relay")
_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_ID_CHARS}}}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def begin(told: str) -> None:
    """Let this task's lines carry the id that a caller told; 64 random bits when it is none."""
    bind_contextvars(request_id=told if _ID.fullmatch(told) else secrets.token_hex(8))


def serving(told: str) -> AbstractContextManager[None]:
    """Let the lines of a block carry an id from outside, if it is one."""
    return bound_contextvars(**({"request_id": told} if _ID.fullmatch(told) else {}))


def request_id() -> str:
    """Return the id of the request that is being served, or nothing."""
    return str(get_contextvars().get("request_id", ""))


def _one_line(value: object) -> str:
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], str(value))


def _column(key: str) -> Column:
    shown = (lambda level: str(level).upper()) if key == "level" else _one_line
    return Column(key, KeyValueColumnFormatter(None if key else "", "", "", shown))


_TEXT = (
    TimeStamper("%Y-%m-%d %H:%M:%S.%f", utc=False, key="at"),
    ConsoleRenderer(
        columns=[_column(key) for key in ("at", "level", "logger", "event", "")],  # "": all others, key=value
        exception_formatter=plain_traceback,  # with rich installed the default shows variables, so secrets
    ),
)
_JSON = (TimeStamper("iso", key="at"), format_exc_info, JSONRenderer(sort_keys=True, ensure_ascii=False))


def formatter(kind: Kind) -> logging.Formatter:
    """Return what makes one line of a record; as text, a traceback follows it."""
    return ProcessorFormatter(
        foreign_pre_chain=[add_log_level, add_logger_name, merge_contextvars],
        processors=[ProcessorFormatter.remove_processors_meta, *(_JSON if kind == "json" else _TEXT)],
    )


def set_up(level: str, kind: Kind) -> None:
    """Make all log lines of this process look as LOG_LEVEL and LOG_FORMAT say; on standard error.

    The level is that of our own lines; libraries are heard from `warning` on, as what they tell below it
    holds addresses and headers, so secrets.
    """
    logging.basicConfig()
    ours = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(max(ours, logging.WARNING))
    for name in OURS:
        logging.getLogger(name).setLevel(ours)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(formatter(kind))


def set_up_by(environ: Mapping[str, str]) -> None:
    """Do the same where nobody has checked the settings yet; a word that is none counts as the default."""
    level = environ.get("LOG_LEVEL", "")
    known = level.upper() in logging.getLevelNamesMapping()
    set_up(level if known else "info", "json" if environ.get("LOG_FORMAT") == "json" else "text")
