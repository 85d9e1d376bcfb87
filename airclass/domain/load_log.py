"""When the cluster's figures are worth a line in the log: they have changed, and the last line is not new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airclass.domain.advice import Summary

EVERY_S = 10.0  # while a school comes in, every second has another number


@dataclass(frozen=True, slots=True)
class Figures:
    """What the line holds."""

    students: int
    capacity: int
    nodes: int
    active: int


class Tally:
    """Remembers what was said last."""

    def __init__(self) -> None:
        self._said: Figures | None = None
        self._at_s = float("-inf")

    def news(self, summary: Summary, now_s: float, *, at_once: bool) -> Figures | None:
        """Return the figures when they are to be logged; `at_once` after a change of a node's status."""
        now = Figures(summary.current_load, summary.total_capacity, summary.total_nodes, summary.active_nodes)
        if now == self._said or not (at_once or now_s - self._at_s >= EVERY_S):
            return None
        self._said, self._at_s = now, now_s
        return now
