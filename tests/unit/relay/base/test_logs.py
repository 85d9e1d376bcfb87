"""Log lines as JSON can be read back, exceptions included; lines of a request carry its id."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from relay.base.logs import MAX_ID_CHARS, JsonLines, Tag, id_for, request_id, serving


def record(message: str, *args: object, error: bool = False) -> logging.LogRecord:
    trouble = None
    if error:
        try:
            raise ValueError("no")
        except ValueError:
            trouble = sys.exc_info()
    return logging.LogRecord("airclass.x", logging.WARNING, "f", 1, message, args, trouble)


def test_a_line_is_one_json_object() -> None:
    line = JsonLines().format(record("node.changed node=%s", "수학\n2"))
    assert "\n" not in line
    read = json.loads(line)
    assert (read["level"], read["logger"], read["event"]) == (
        "warning",
        "airclass.x",
        "node.changed node=수학\n2",
    )
    assert read["at"].endswith("+00:00")


def test_exceptions_are_part_of_the_line() -> None:
    line = JsonLines().format(record("x", error=True))
    assert "\n" not in line
    assert "ValueError: no" in json.loads(line)["exception"]


def test_lines_of_a_request_carry_its_id_once() -> None:
    line = record("node.drained node=%s", "a")
    with serving("abc-1"):
        assert Tag().filter(line)
        assert Tag().filter(line)
    assert request_id.get() == ""
    assert line.getMessage() == "node.drained node=a request_id=abc-1"
    assert json.loads(JsonLines().format(line))["request_id"] == "abc-1"


def test_other_lines_stay_as_they_are() -> None:
    line = record("share=50%")
    with serving("not an id\nbut two lines"):
        assert Tag().filter(line)
    assert line.getMessage() == "share=50%"
    assert "request_id" not in json.loads(JsonLines().format(line))


@pytest.mark.parametrize("told", ["", "a b", "a\nb", "x" * (MAX_ID_CHARS + 1), "é", "a=b"])
def test_an_id_that_is_none_is_replaced(told: str) -> None:
    assert id_for(told) != told
    assert id_for(told) != id_for(told)
    assert id_for("good.One_2-3") == "good.One_2-3"
