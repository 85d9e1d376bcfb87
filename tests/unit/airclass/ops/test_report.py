"""What the monitor makes of the master's answers."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain.advice import NextStep
from airclass.domain.health import ReasonCode
from airclass.domain.stream_health import ServiceState
from airclass.ops.report import CRITICAL, OK, WARNING, as_json, clean, down, read
from airclass.web.api.schemas import NodeOut, NodesOut, NodeStreamOut, SummaryOut
from tests.harness.nodes_response import URL, nodes_response
from tests.policy.tree import ROOT


def test_a_healthy_cluster_is_fine() -> None:
    report = read(URL, 200, nodes_response({"id": "a"}, {"id": "b"}, average_load=30.0))
    assert (report.up, report.level, report.troubles) == (True, OK, ())


@pytest.mark.parametrize(
    ("body", "level", "keys"),
    [
        (nodes_response({"id": "a"}, {"id": "b", "status": "offline"}), WARNING, ["node:b"]),
        (nodes_response({"id": "a"}, {"id": "b", "status": "draining", "reason": "r"}), OK, []),
        (nodes_response({"id": "a", "reason": "fails 1 of its streams"}), WARNING, ["node:a"]),
        (nodes_response({"id": "a", "status": "unhealthy"}), CRITICAL, ["no-node", "node:a"]),
        (nodes_response(), CRITICAL, ["no-node"]),
        (nodes_response({"id": "a"}, average_load=80.0), OK, []),
        (nodes_response({"id": "a"}, average_load=80.1), WARNING, ["load"]),
        (nodes_response({"id": "a"}, average_load=100.0), CRITICAL, ["load"]),
    ],
)
def test_levels(body: bytes, level: int, keys: list[str]) -> None:
    report = read(URL, 200, body)
    assert (report.level, [t.key for t in report.troubles]) == (level, keys)


def test_a_silent_master_is_critical() -> None:
    report = down(URL, "cannot be reached")
    assert (report.up, report.level, report.troubles[0].key) == (False, CRITICAL, "master")


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_said_with_what_to_do(status: int) -> None:
    report = read(URL, status, b"{}")
    assert (report.up, report.level) == (True, CRITICAL)
    assert "airclass token monitor" in report.problem


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"nodes": 1}', b"\xff", b'{"nodes":[{}],"summary":{}}']
)
def test_something_else_on_the_port_is_not_a_master(body: bytes) -> None:
    assert not read(URL, 200, body).up


@given(st.binary(max_size=200), st.integers(100, 599))
def test_no_answer_breaks_it(body: bytes, status: int) -> None:
    report = read(URL, status, body)
    json.dumps(as_json(report, "now"))


def test_names_cannot_reach_the_terminal() -> None:
    evil, harmless = "a\x1b[2J\x07\u202eb\nc", "a[2Jb c"
    texts = {name: evil for name in ("id", "url", "status", "version", "reason", "reason_code")}
    advice = {"recommendation": evil, "recommendation_code": evil, "recommendation_figures": {evil: evil}}
    report = read(URL, 200, nodes_response({**texts, "zone": [evil], "reason_figures": {evil: 1}}, **advice))
    assert {getattr(report.nodes[0], name) for name in texts} == {harmless}
    assert (report.nodes[0].zone, report.nodes[0].reason_figures) == ([harmless], {harmless: 1})
    assert report.summary is not None
    assert report.summary.recommendation == report.summary.recommendation_code == harmless
    assert report.summary.recommendation_figures == {harmless: harmless}


@given(st.text(max_size=500))
def test_clean_text_is_printable_and_bounded(text: str) -> None:
    kept = clean(text)
    assert len(kept) <= 300
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in kept)
    assert clean(kept) == kept


def test_the_json_schema_is_stable() -> None:
    shown = as_json(
        read(URL, 200, nodes_response({"id": "a", "status": "offline"})), "2026-01-22T20:13:39+09:00"
    )
    assert list(shown) == ["schema", "time", "status", "master", "nodes", "summary", "problems"]
    assert shown["schema"] == 1
    assert shown["master"] == {"url": URL, "up": True, "problem": ""}
    assert list(shown["nodes"][0]) == [
        *("id", "url", "status", "connections", "capacity", "load", "egress_mbps", "last_seen_s"),
        *("version", "reason", "zone", "reason_code", "reason_figures", "lag_s", "streams"),
    ]
    assert list(shown["summary"]) == [
        *("total_nodes", "active_nodes", "total_capacity", "current_load", "average_load"),
        *("recommendation", "recommendation_code", "recommendation_figures"),
    ]
    assert [p["level"] for p in shown["problems"]] == ["critical", "warning"]
    assert as_json(down(URL, "x"), "now")["summary"] is None


def test_nothing_that_the_master_tells_is_left_out() -> None:
    """A field that `/cluster/nodes` gains is to be seen by the monitor, too; older masters lack some."""
    reason = {"reason": "is silent", "reason_code": "silent", "reason_figures": {"seconds": 9}}
    row = NodeOut(
        **{"id": "a", "url": "http://a:8080", "status": "offline", **reason, "zone": ["10.0.0.0/8"]},
        **{"connections": 1, "capacity": 150, "load": 0.7, "egress_mbps": 2.5, "lag_s": 0.25},
        **{"last_seen_s": 9.0, "version": "3.0.0"},
        streams=[NodeStreamOut("c1", "failed", 9.0, "refused", "no-ingest", True)],
    )
    totals = SummaryOut(1, 0, 0, 1, 0.0, "Check a.", "check-node", {"node": "a", "more": 0})
    shown = as_json(read(URL, 200, msgspec.json.encode(NodesOut([row], totals))), "now")
    assert shown["nodes"] == [msgspec.to_builtins(row)]
    assert shown["summary"] == msgspec.to_builtins(totals)
    for name in ("PRODUCTION_TOOLS.md", "ko/PRODUCTION_TOOLS.md"):
        guide = (ROOT / "docs" / name).read_text()
        fields = {*shown["nodes"][0], *shown["nodes"][0]["streams"][0], *shown["summary"]}
        fields |= {*filter(None, ReasonCode), *NextStep, *ServiceState}
        assert [word for word in fields if f"`{word}`" not in guide] == []
    old = as_json(read(URL, 200, nodes_response({"id": "a"})), "now")["nodes"][0]
    assert (old["reason_code"], old["reason_figures"], old["lag_s"], old["streams"]) == ("", {}, None, [])
