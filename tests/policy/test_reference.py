"""The reference names what exists: every command and every metric of a relay."""

from __future__ import annotations

import re
from pathlib import Path

from airclass.cli.app import app
from airclass.ops.report import as_json, read
from relay.core.counters import Counters, StreamFigures
from relay.io.admin.metrics import RelayMetrics

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()


def test_every_command_is_in_the_reference() -> None:
    names = {name for name in app if not name.startswith("-")}
    assert names
    assert {name for name in names if f"`airclass {name}`" not in REFERENCE} == set()


def test_every_metric_of_a_relay_is_in_the_reference() -> None:
    counters = Counters()
    counters.streams["class"] = StreamFigures()
    text = RelayMetrics(counters).render(ready=True).decode()
    names = set(re.findall(r"# TYPE (airclass_\S+)", text))
    assert names
    assert {name for name in names if f"`{name}`" not in REFERENCE} == set()


def test_every_field_of_the_monitors_json_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs/PRODUCTION_TOOLS.md").read_text()
    body = b'{"nodes": [{"id": "a", "status": "offline"}], "summary": {}}'
    shown = as_json(read("http://master", 200, body), "2026-01-01T00:00:00+00:00")
    names = {*shown, *shown["master"], *shown["nodes"][0], *shown["summary"], *shown["problems"][0]}
    assert {name for name in names if f"`{name}" not in text} == set()
