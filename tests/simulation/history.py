"""The history of a run: one event a line of JSON, written by the simulation and by `make chaos` alike.

    {"at_s": 12.25, "event": "listed", "node": "relay-1", "stream": "class-1", ...}

`tests.simulation.invariants.Checker` has one method for each kind of event; its arguments are the fields.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.simulation.invariants import Checker, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class History:
    """Passes events to the checker as they happen, and keeps them when a trace is wanted."""

    def __init__(self, *, keep: bool = False) -> None:
        self.now_s = 0.0
        self.checker = Checker()
        self.events: list[dict[str, Any]] | None = [] if keep else None

    def emit(self, event: str, **fields: Any) -> None:
        """Note an event; raises Violation when an invariant is broken by it."""
        if self.events is not None:
            self.events.append({"at_s": round(self.now_s, 3), "event": event, **fields})
        handler = getattr(self.checker, event, None)
        if handler is not None:
            handler(self.now_s, **fields)


def write(path: Path, events: Iterable[dict[str, Any]]) -> None:
    """Write a history, one event a line."""
    path.write_text("".join(json.dumps(event, sort_keys=False) + "\n" for event in events))


def check(path: Path) -> tuple[int, Violation | None]:
    """Read a history and check it; returns how many events were read, and the first violation."""
    checker = Checker()
    count = 0
    with path.open() as lines:
        for line in lines:
            fields = json.loads(line)
            at_s, event = fields.pop("at_s"), fields.pop("event")
            handler = getattr(checker, event, None)
            count += 1
            try:
                if handler is not None:
                    handler(at_s, **fields)
            except Violation as violation:
                return count, violation
    return count, None
