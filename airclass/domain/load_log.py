"""When the cluster's figures are worth a line in the log: they have changed, and the last line is not new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airclass.domain.advice import ClusterSummary

EVERY_S = 10.0  # while a school comes in, every second has another number


@dataclass(frozen=True, slots=True)
class LoadSample:
    """What the line holds."""

    students: int
    capacity: int
    nodes: int
    active: int


class LoadLog:
    """Remembers what was said last."""

    def __init__(self) -> None:
        self._said: LoadSample | None = None
        self._at_s = float("-inf")

    def news(self, summary: ClusterSummary, now_s: float, *, at_once: bool) -> LoadSample | None:
        """Return the figures when they are to be logged; `at_once` after a change of a node's status."""
        now = LoadSample(
            summary.current_load, summary.total_capacity, summary.total_nodes, summary.active_nodes
        )
        if now == self._said or not (at_once or now_s - self._at_s >= EVERY_S):
            return None
        self._said, self._at_s = now, now_s
        return now
