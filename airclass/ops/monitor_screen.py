"""The monitor's screen as lines of text: what operators know, in the order they know it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import chop_cells, set_cell_size

from airclass.domain.advice import BALANCED
from airclass.domain.health import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airclass.ops.report import NodeFacts, Report, ReportedSummary

INNER = 61
RULE = "═" * 63
TITLE = f"{' ' * 18}AIRClass Cluster Status"
COLOURS = {"good": "\x1b[32m", "bad": "\x1b[31m", "warn": "\x1b[33m", "bold": "\x1b[1m"}
RESET = "\x1b[0m"
CLEAR = "\x1b[2J\x1b[H"
_NODE_STYLE = {NodeStatus.ACTIVE: "good", NodeStatus.DRAINING: "warn"}


@dataclass(frozen=True, slots=True)
class ScreenLine:
    """One line; `style` is a word of COLOURS or empty."""

    text: str
    style: str = ""


def screen(report: Report, at: str) -> list[ScreenLine]:
    """Return the whole screen; `at` is the time to print in its head."""
    lines = [ScreenLine(RULE), ScreenLine(f"  AIRClass Cluster Monitor - {at}", "bold"), ScreenLine(RULE)]
    if not report.up:
        lines += [
            ScreenLine(f"[ERROR] Master is DOWN at {report.master_url}", "bad"),
            ScreenLine(f"        {report.problem}"),
            ScreenLine(""),
            ScreenLine("Students who are playing play on; nobody new can join until it is back.", "warn"),
        ]
        return lines
    lines += [ScreenLine(f"[OK] Master is UP at {report.master_url}", "good")]
    if report.summary is None:
        return [*lines, ScreenLine(f"[ERROR] {report.problem}", "bad")]
    return [*lines, ScreenLine(""), *_box(report, report.summary), ScreenLine(""), *_totals(report.summary)]


def paint(lines: list[ScreenLine], *, colour: bool) -> str:
    """Return the lines as one text, with colours only if asked for."""
    return "".join(
        f"{COLOURS[line.style]}{line.text}{RESET}\n" if colour and line.style else f"{line.text}\n"
        for line in lines
    )


def _box(report: Report, summary: ReportedSummary) -> Iterator[ScreenLine]:
    yield ScreenLine(f"┌{'─' * INNER}┐")
    yield ScreenLine(f"│{TITLE:<{INNER}}│", "bold")
    yield ScreenLine(f"├{'─' * INNER}┤")
    yield from _row(f"{f'Total Nodes: {summary.total_nodes}':<30}Active: {summary.active_nodes}")
    for node in report.nodes:
        yield from _node(node)
    yield ScreenLine(f"└{'─' * INNER}┘")


def _node(node: NodeFacts) -> Iterator[ScreenLine]:
    style = _NODE_STYLE.get(node.status, "bad")  # type: ignore[call-overload]
    yield from _row(f"Node: {node.id}")
    yield from _row(f"  URL: {node.url}")
    yield from _row(f"  Status: {node.status}", style)
    if node.reason:
        yield from _row(f"  Reason: {node.reason}", style)
    yield from _row(f"  Connections: {node.connections}/{node.capacity} ({node.load:.1f}%)")


def _row(text: str, style: str = "") -> Iterator[ScreenLine]:
    """Yield a text between the box's walls, on as many lines as it needs."""
    for piece in chop_cells(text, INNER - 2):
        yield ScreenLine(f"│ {set_cell_size(piece, INNER - 2)} │", style)


def _totals(summary: ReportedSummary) -> list[ScreenLine]:
    fine = summary.recommendation == BALANCED
    mark = "✅" if fine else "💡" if "scale down" in summary.recommendation else "⚠️ "
    return [
        ScreenLine("📊 Cluster Metrics:", "bold"),
        ScreenLine(f"   Total Capacity: {summary.total_capacity} users"),
        ScreenLine(f"   Current Load: {summary.current_load} users"),
        ScreenLine(f"   Average Load: {summary.average_load:.1f}%"),
        ScreenLine(""),
        ScreenLine(f"{mark} RECOMMENDATION: {summary.recommendation}", "good" if fine else "warn"),
    ]
