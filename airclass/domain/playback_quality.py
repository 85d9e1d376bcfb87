"""How well a student's picture arrives, in one word."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.base.cluster_protocol import ViewerReport

GOOD_BUFFER_MS = 1000
POOR_BUFFER_MS = 300


def quality(report: ViewerReport | None) -> str:
    """Return good, fair, poor, or unknown while the player has told nothing (CMCD `bl`, `bs`)."""
    if report is None or report.buffer_ms < 0:
        return "unknown"
    if report.buffer_ms < POOR_BUFFER_MS or report.starved > 2:
        return "poor"
    return "good" if report.buffer_ms >= GOOD_BUFFER_MS and report.starved == 0 else "fair"
