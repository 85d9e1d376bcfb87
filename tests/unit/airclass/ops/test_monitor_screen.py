"""The monitor's screen, line by line."""

from __future__ import annotations

import json

from rich.cells import cell_len

from airclass.ops.monitor_screen import paint, screen
from airclass.ops.report import Report, down, read

EXPECTED = """\
═══════════════════════════════════════════════════════════════
  AIRClass Cluster Monitor - 2026-01-22 20:13:39
═══════════════════════════════════════════════════════════════
[OK] Master is UP at http://localhost:8000

┌─────────────────────────────────────────────────────────────┐
│                  AIRClass Cluster Status                    │
├─────────────────────────────────────────────────────────────┤
│ Total Nodes: 3                Active: 3                     │
│ Node: slave-1                                               │
│   URL: http://192.168.1.11:8080                             │
│   Status: active                                            │
│   Connections: 45/150 (30.0%)                               │
└─────────────────────────────────────────────────────────────┘

📊 Cluster Metrics:
   Total Capacity: 450 users
   Current Load: 120 users
   Average Load: 26.7%

✅ RECOMMENDATION: Cluster is well-balanced.
"""


def look(**node: object) -> Report:
    row = {
        "id": "slave-1",
        "url": "http://192.168.1.11:8080",
        "status": "active",
        "connections": 45,
        "capacity": 150,
        "load": 30.0,
        **node,
    }
    summary = {
        "total_nodes": 3,
        "active_nodes": 3,
        "total_capacity": 450,
        "current_load": 120,
        "average_load": 26.7,
        "recommendation": "Cluster is well-balanced.",
    }
    return read("http://localhost:8000", 200, json.dumps({"nodes": [row], "summary": summary}).encode())


def test_the_screen_is_the_one_that_operators_know() -> None:
    assert paint(screen(look(), "2026-01-22 20:13:39"), colour=False) == EXPECTED


def test_colours_only_when_asked() -> None:
    lines = screen(look(), "now")
    assert "\x1b" not in paint(lines, colour=False)
    painted = paint(lines, colour=True)
    assert "\x1b[32m[OK] Master is UP at http://localhost:8000\x1b[0m\n" in painted


def test_a_master_that_is_down_is_said_in_the_first_lines() -> None:
    text = paint(
        screen(down("http://localhost:8000", "cannot be reached (ConnectError)"), "now"), colour=False
    )
    assert "[ERROR] Master is DOWN at http://localhost:8000" in text
    assert "Cluster Status" not in text


def test_long_and_wide_names_stay_in_the_box() -> None:
    text = paint(screen(look(id="교실" * 40, reason="x" * 200, status="unhealthy"), "now"), colour=False)
    box = [line for line in text.splitlines() if line.startswith("│")]
    assert {cell_len(line) for line in box} == {63}
    assert sum(line.count("교") for line in box) == 40


def test_a_refused_token_says_what_to_do() -> None:
    text = paint(screen(read("http://m", 401, b""), "now"), colour=False)
    assert "[OK] Master is UP" in text
    assert "airclass token monitor" in text
