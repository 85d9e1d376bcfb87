"""Lines are one line each, as text and as JSON, exceptions included; lines of a request carry its id."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from contextvars import copy_context
from pathlib import Path

import pytest

from relay.base.logs import MAX_ID_CHARS, Kind, begin, formatter, request_id, serving


def record(message: str, *args: object, error: bool = False) -> logging.LogRecord:
    trouble = None
    if error:
        secret = "kept-in-a-variable"
        try:
            raise ValueError("no" * bool(secret))
        except ValueError:
            trouble = sys.exc_info()
    return logging.LogRecord("airclass.x", logging.WARNING, "f", 1, message, args, trouble)


def test_text_reads_time_level_logger_message_and_the_request_last() -> None:
    with serving("abc-1"):
        line = formatter("text").format(record("node.changed node=%s share=%d%%", "수학", 50))
    time, rest = line[:26], line[26:]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", time)
    assert rest == " WARNING airclass.x node.changed node=수학 share=50% request_id=abc-1"


def test_json_is_one_object_a_line() -> None:
    with serving("abc-1"):
        line = formatter("json").format(record("node.changed node=%s", "수학\n2"))
    assert "\n" not in line
    assert "수학" in line
    read = json.loads(line)
    assert read.pop("at").endswith("Z")
    assert read == {
        "level": "warning",
        "logger": "airclass.x",
        "event": "node.changed node=수학\n2",
        "node": "수학\n2",
        "request_id": "abc-1",
    }


@pytest.mark.parametrize(
    ("message", "args", "pairs"),
    [
        ("audit.%s target=%s actor=%.9s", ("login", "kim", "kim"), {"target": "kim", "actor": "kim"}),
        ("x share=%d%% s=%.1f p=%r", (50, 1.5, Path("/a")), {"share": 50, "s": 1.5, "p": "/a"}),
        ("x level=%s event=%s", ("high", "y"), {}),
        ("x a=%(a)s", ({"a": 1},), {}),
        ("x 100%", (), {}),
        (ValueError("a=%s"), (), {}),
    ],
)
def test_json_has_a_key_for_each_value_that_is_named(
    message: str, args: tuple[object, ...], pairs: dict[str, object]
) -> None:
    read = json.loads(formatter("json").format(record(message, *args)))
    assert {name: read[name] for name in read.keys() - {"at", "level", "logger", "event"}} == pairs
    assert (read["level"], read["event"][:2]) == ("warning", record(message, *args).getMessage()[:2])


@pytest.mark.parametrize("control", ["\n", "\r", "\x1b[31m", "\u2028", "\x85"])
def test_nobody_begins_a_line_of_his_own_in_text(control: str) -> None:
    line = formatter("text").format(record("login.failed name=%s", f"a{control}2026-01-01 INFO forged"))
    assert control not in line
    assert len(line.splitlines()) == 1


def test_exceptions_are_part_of_the_line_without_variables() -> None:
    line = formatter("json").format(record("x", error=True))
    assert "\n" not in line
    assert "ValueError: no" in json.loads(line)["exception"]
    text = formatter("text").format(record("x", error=True))
    assert text.endswith("ValueError: no")
    assert "kept-in-a-variable" not in line + text


def test_a_record_is_left_as_it_was_for_other_handlers() -> None:
    line = record("node.drained node=%s", "a")
    with serving("abc-1"):
        formatter("text").format(line)
        assert formatter("text").format(line).count("request_id") == 1
    assert line.getMessage() == "node.drained node=a"


@pytest.mark.parametrize("kind", ["text", "json"])
def test_lines_outside_of_a_request_carry_no_id(kind: Kind) -> None:
    with serving("not an id\nbut two lines"):
        assert "request_id" not in formatter(kind).format(record("x"))
    assert request_id() == ""


@pytest.mark.parametrize("told", ["", "a b", "a\nb", "x" * (MAX_ID_CHARS + 1), "é", "a=b"])
def test_an_id_that_is_none_is_replaced(told: str) -> None:
    def begun(with_id: str) -> str:
        begin(with_id)
        return request_id()

    assert copy_context().run(begun, told) not in ("", told)
    assert copy_context().run(begun, told) != copy_context().run(begun, told)
    assert copy_context().run(begun, "good.One_2-3") == "good.One_2-3"


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["airclass.x DEBUG", "airclass.x INFO", "airclass.x ERROR", "httpx ERROR"]),
        ("info", ["airclass.x INFO", "airclass.x ERROR", "httpx ERROR"]),
        ("error", ["airclass.x ERROR", "httpx ERROR"]),
        ("loud", ["airclass.x INFO", "airclass.x ERROR", "httpx ERROR"]),
    ],
)
def test_the_level_is_that_of_our_own_lines(level: str, heard: list[str]) -> None:
    script = """
import logging
from relay.base.logs import set_up_by
set_up_by({"LOG_LEVEL": "%s", "LOG_FORMAT": "json"})
for name in ("airclass.x", "httpx"):
    for level in ("DEBUG", "INFO", "ERROR"):
        logging.getLogger(name).log(logging.getLevelName(level), "%%s %%s", name, level)
"""
    done = subprocess.run(
        [sys.executable, "-c", script % level], capture_output=True, text=True, timeout=60, check=True
    )
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == heard
