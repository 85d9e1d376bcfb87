"""Seats in virtual time: even after a herd, nearly even in an hour's churn, and drawn."""

from __future__ import annotations

import random
import re
import sys
from typing import TYPE_CHECKING

from benchmarks import routing

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_all_three_are_printed_and_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing = tmp_path / "some" / "routing.svg"
    monkeypatch.setattr(sys, "argv", ["benchmarks.routing", "--plot", str(drawing)])
    monkeypatch.setattr(routing, "SAMPLES", 200)
    routing.main()
    herd, churn, tree, plot = capsys.readouterr().out.splitlines()
    assert herd.startswith("herd     10 x 150: 1,500 at once, spread 0,")
    assert herd.endswith("one more is refused")
    assert "0 turned away" in churn
    assert tree.startswith("tree     1,000,000 viewers on 6,667 nodes, ")
    assert plot.split()[-1] == str(drawing)
    lines = re.findall(r'<polyline [^>]*points="([^"]*)"/>', drawing.read_text())
    assert [len(points.split()) for points in lines] == [360, 360]


def test_nobody_is_lost_in_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "SAMPLES", 300)
    nodes, each_s, spread = routing.tree(random.Random(1))
    assert nodes == 6667
    assert each_s > 0
    assert spread <= 3
