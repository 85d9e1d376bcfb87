"""Result files as Markdown."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.reports.tables import markdown

MACHINE = {
    "cores": "2",
    "cpu": "Some CPU",
    "memory": "4 GiB",
    "kernel": "6.1",
    "congestion_control": "cubic",
    "python": "3.11.9",
    "date": "2026-11-23 12:00 UTC",
}
TIMES = {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": None}


def test_a_comparison() -> None:
    facts: dict[str, Any] = {
        "requests": 1000,
        "elapsed_s": 10.0,
        "us_per_request": 42.25,
        "ratio_to_nginx": 0.875,
        "time_ms": TIMES,
        "client_busy": 0.5,
        "rest_percent": 3.0,
    }
    ll = {**facts, "time_ms": None, "spread_ms": TIMES, "stalls": 2}
    text = markdown(
        {"machine": MACHINE, "result": {"mixed": {"relay": facts}, "ll": {"relay": ll}}}, "x.json"
    )
    assert "| mixed | relay | 100 | 42.2 | 0.88 | 1.0 / 3.0 | – | 50 % | 3 % |" in text
    assert "| ll | relay | 100 | 42.2 | 0.88 | 1.0 / 3.0 | 2 | 50 % | 3 % |" in text
    assert text.endswith(
        "\n2 × Some CPU, 4 GiB, Linux 6.1 (cubic), Python 3.11.9, 2026-11-23 12:00 UTC, `x.json`.\n"
    )


@pytest.mark.parametrize("with_relay", [True, False])
def test_viewers(with_relay: bool) -> None:
    seen: dict[str, Any] = {
        "viewers": 150,
        "started": 149,
        "stalls": 1,
        "startup_s": TIMES,
        "latency_s": TIMES,
        "requests": 3000,
        "elapsed_s": 10.0,
        "generators": {"rest_percent": 12.0},
    }
    if with_relay:
        seen["relay"] = {
            "us_per_request": 60.0,
            "cpu_percent": 7.0,
            "rss_mb": 61.0,
            "fetches_per_object": 1.0,
        }
        seen["added_ms"] = TIMES
    setup = {"variant": "lowLatency", "part_s": 0.5, "ingest": "origin", "url": "relay"}
    text = markdown({"machine": MACHINE, "setup": setup, "result": seen}, "x.json")
    assert "| viewers, started | 150, 149 |" in text
    assert "| start-up p50 / p95 / max | 1.00 / 2.00 / – s |" in text
    assert ("after the origin's reader p50 / p99 | 1.00 / 3.00 ms" in text) == with_relay
    assert ("60.0 µs a request, 7.0 % of a core, 61 MB" in text) == with_relay
