"""Log lines as JSON can be read back, exceptions included."""

from __future__ import annotations

import json
import logging
import sys

from airclass.cli.logs import JsonLines


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
