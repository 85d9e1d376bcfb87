"""What test runners left behind, as cases: JUnit XML of pytest and vitest, JSON lines of Go. Files only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
GO_ACTIONS = {"pass": PASSED, "fail": FAILED, "skip": SKIPPED}
MESSAGE_CHARS = 2000


@dataclass(frozen=True)
class Case:
    """One case: `place` is the test file (dots and slashes as the runner has them), `name` without it."""

    place: str
    name: str
    result: str
    seconds: float
    message: str = ""

    @property
    def function(self) -> str:
        """The name without pytest's parameters."""
        return self.name.partition("[")[0] if self.place.startswith("tests.") else self.name


def cases(paths: Iterable[Path]) -> list[Case]:
    """Return every case of these files, by place and name."""
    found: list[Case] = []
    for path in paths:
        found += _go(path) if path.suffix == ".json" else _junit(path)
    return sorted(found, key=lambda case: (case.place, case.name))


def _junit(path: Path) -> Iterator[Case]:
    root = ET.parse(path).getroot()  # noqa: S314 - our own runners wrote it a moment ago
    for node in root.iter("testcase"):
        result, message = PASSED, ""
        for kind in ("failure", "error"):
            if (child := node.find(kind)) is not None:
                result, message = FAILED, f"{child.get('message', '')}\n{child.text or ''}".strip()
        if result == PASSED and node.find("skipped") is not None:
            result = SKIPPED
        place, name = node.get("classname", ""), node.get("name", "")
        if place.endswith(".ts"):
            place = f"frontend/{place}"
        yield Case(place, name, result, float(node.get("time", 0)), message[:MESSAGE_CHARS])


def _go(path: Path) -> Iterator[Case]:
    output: dict[str, str] = {}
    for line in path.read_text().splitlines():
        event = json.loads(line)
        name = event.get("Test", "")
        if event["Action"] == "output":
            output[name] = output.get(name, "") + event["Output"]
        elif event["Action"] in GO_ACTIONS and name:
            result = GO_ACTIONS[event["Action"]]
            message = output.get(name, "")[-MESSAGE_CHARS:] if result == FAILED else ""
            yield Case("tests/origin", name, result, event.get("Elapsed", 0.0), message)
