"""One look at the cluster as the operator's tools see it: nodes, totals, and how bad it is.

Reads the answer of `/cluster/nodes`; fetches nothing, prints nothing.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from airclass.domain.advice import ADD_ABOVE
from airclass.domain.health import NodeStatus

SCHEMA_VERSION = 1
MAX_NODES = 1000
MAX_TEXT_CHARS = 300
OK, WARNING, CRITICAL = 0, 1, 2
WORDS = {OK: "ok", WARNING: "warning", CRITICAL: "critical"}


class NodeStreamFacts(msgspec.Struct, frozen=True):
    """One class at one node: `state` is served, unknown or failed, and has been so for `age_s`."""

    stream: str
    state: str = ""
    age_s: float = 0.0
    reason: str = ""
    reason_code: str = ""
    avoided: bool = False


class NodeFacts(msgspec.Struct, frozen=True):
    """One node; `load` in percent, `last_seen_s` since its last beat, `lag_s` behind the teacher if known."""

    id: str
    url: str = ""
    status: str = ""
    connections: int = 0
    capacity: int = 0
    load: float = 0.0
    egress_mbps: float = 0.0
    last_seen_s: float = 0.0
    version: str = ""
    reason: str = ""
    zone: list[str] = []
    reason_code: str = ""
    reason_figures: dict[str, int] = {}
    lag_s: float | None = None
    streams: list[NodeStreamFacts] = []


class ReportedSummary(msgspec.Struct, frozen=True):
    """The cluster in six figures; loads in percent."""

    total_nodes: int = 0
    active_nodes: int = 0
    total_capacity: int = 0
    current_load: int = 0
    average_load: float = 0.0
    recommendation: str = ""
    recommendation_code: str = ""
    recommendation_figures: dict[str, str | int] = {}


T = TypeVar("T", NodeFacts, ReportedSummary)


class _NodesResponse(msgspec.Struct, frozen=True):
    nodes: list[NodeFacts]
    summary: ReportedSummary


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong; `key` names it from look to look."""

    key: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """One look; `problem` says why there are no nodes to show, `up` whether the master answers at all."""

    master_url: str
    up: bool
    problem: str = ""
    nodes: tuple[NodeFacts, ...] = ()
    summary: ReportedSummary | None = None

    @property
    def troubles(self) -> tuple[Problem, ...]:
        """Everything that is wrong now, the worst first."""
        return tuple(sorted(_troubles(self), key=lambda t: (-t.level, t.key)))

    @property
    def level(self) -> int:
        """The exit code: 0 fine, 1 warning, 2 critical."""
        return max((t.level for t in self.troubles), default=OK)


def down(master_url: str, problem: str) -> Report:
    """Return the report of a master that does not answer."""
    return Report(clean(master_url), up=False, problem=clean(problem))


NO_TOKEN = "MONITOR_TOKEN is missing: set it to what `airclass token monitor` prints on the master"  # noqa: S105  a sentence


def read(master_url: str, status: int, body: bytes, *, with_token: bool = True) -> Report:
    """Return the report for a response of `/cluster/nodes`; every text in it is cleaned."""
    url = clean(master_url)
    if status in (401, 403):
        refused = "the master refuses the token: set MONITOR_TOKEN to what `airclass token monitor` prints"
        return Report(url, up=True, problem=refused if with_token else NO_TOKEN)
    if status != 200:
        return Report(url, up=False, problem=f"the master answers with status {status}")
    try:
        answer = msgspec.json.decode(body, type=_NodesResponse)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Report(url, up=False, problem="what answers there is not an AIRClass master")
    nodes = tuple(_cleaned(node) for node in answer.nodes[:MAX_NODES])
    return Report(url, up=True, nodes=nodes, summary=_cleaned(answer.summary))


def as_json(report: Report, at: str) -> dict[str, Any]:
    """Return the report as `airclass monitor --json` prints it (docs/PRODUCTION_TOOLS.md)."""
    return {
        "schema": SCHEMA_VERSION,
        "time": at,
        "status": WORDS[report.level],
        "master": {"url": report.master_url, "up": report.up, "problem": report.problem},
        "nodes": [msgspec.to_builtins(node) for node in report.nodes],
        "summary": None if report.summary is None else msgspec.to_builtins(report.summary),
        "problems": [{"key": t.key, "level": WORDS[t.level], "text": t.text} for t in report.troubles],
    }


def clean(text: str) -> str:
    """Return a text without control and invisible formatting characters, of bounded length."""
    kept = "".join(" " if c in "\t\n\r" else c for c in text[:MAX_TEXT_CHARS])
    return "".join(c for c in kept if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))


def _cleaned(look: T) -> T:
    return msgspec.convert(_texts_cleaned(msgspec.to_builtins(look)), type(look))


def _texts_cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {clean(name): _texts_cleaned(kept) for name, kept in value.items()}
    if isinstance(value, list):
        return [_texts_cleaned(kept) for kept in value]
    return clean(value) if isinstance(value, str) else value


def _troubles(report: Report) -> list[Problem]:
    if not report.up:
        return [Problem("master", CRITICAL, f"Master is DOWN at {report.master_url}: {report.problem}")]
    summary = report.summary
    if summary is None:
        return [Problem("token", CRITICAL, report.problem)]
    found = [
        Problem(f"node:{n.id}", WARNING, f"{n.id} is {n.status}{f': {n.reason}' if n.reason else ''}")
        for n in report.nodes
        if n.status in (NodeStatus.UNHEALTHY, NodeStatus.OFFLINE)
        or (n.status == NodeStatus.ACTIVE and n.reason)
    ]
    if not summary.active_nodes:
        found.append(Problem("no-node", CRITICAL, "No node is active: students cannot watch"))
    elif summary.average_load > ADD_ABOVE:
        text = f"Average load is {summary.average_load:.1f} %: add a node"
        found.append(Problem("load", CRITICAL if summary.average_load >= 100 else WARNING, text))
    return found
