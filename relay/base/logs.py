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

from relay.base.import_guard import without

with without("rich"):  # 3 MB, for tracebacks in colour that no log has
    from structlog.contextvars import bind_contextvars, bound_contextvars, get_contextvars, merge_contextvars
    from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter, plain_traceback
    from structlog.processors import JSONRenderer, TimeStamper, format_exc_info
    from structlog.stdlib import ProcessorFormatter, add_log_level, add_logger_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from structlog.typing import EventDict

Kind = Literal["text", "json"]

MAX_ID_CHARS = 64
OURS = ("airclass", "relay")
_ID = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_ID_CHARS}}}")
_NAMED = re.compile(r"(?:(\w+)=)?%[^a-zA-Z]*[a-zA-Z]")
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
    as_json = kind == "json"
    return ProcessorFormatter(
        foreign_pre_chain=[add_log_level, add_logger_name, merge_contextvars, *([_pairs] if as_json else [])],
        processors=[ProcessorFormatter.remove_processors_meta, *(_JSON if as_json else _TEXT)],
        pass_foreign_args=as_json,
    )


def _pairs(_logger: object, _level: str, line: EventDict) -> EventDict:
    """Give each value that a message names, as in `node=%s`, a key of its own, to search by."""
    values = line.pop("positional_args")
    names = _NAMED.findall(str(line["_record"].msg).replace("%%", ""))
    if isinstance(values, tuple) and len(values) == len(names):
        for name, value in zip(names, values, strict=True):
            if name:
                line.setdefault(name, value if isinstance(value, str | int | float) else str(value))
    return line


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
