"""The benchmarks themselves, as a user runs them, small: they start everything, measure and end.

Ports are the kernel's; every run has an absolute deadline.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.timing

ROOT = Path(__file__).parents[3]
DEADLINE_S = 120


def run(result: Path, module: str, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--json", str(result)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert result.exists(), done.stdout + done.stderr
    return done.returncode, done.stdout, json.loads(result.read_text())


def test_a_few_viewers_see_a_picture_without_a_stall(tmp_path: Path) -> None:
    code, output, record = run(
        tmp_path / "x.json",
        "benchmarks.viewers",
        *("5", "--ingest", "origin", "--seconds", "4", "--ramp", "1", "--size", "320x180"),
    )
    seen = record["result"]
    assert (seen["started"], seen["stalls"], seen["failures"]) == (5, 0, {}), output
    assert code == 0
    assert seen["requests"] > 30
    assert seen["relay"]["rss_mb"] > 10
    assert seen["relay"]["fetches_per_object"] == 1.0
    assert 0.3 < seen["latency_s"]["p50"] < 6
    assert record["machine"]["cpu"]


def test_relay_and_nginx_do_the_same_work(tmp_path: Path) -> None:
    code, output, record = run(
        tmp_path / "x.json",
        "benchmarks.compare",
        *("mixed", "mixed-tls", "--viewers", "20", "--tls-viewers", "10", "--rate", "40", "--tls-rate", "20"),
        *("--seconds", "2", "--rounds", "1"),
    )
    assert code == 0, output
    for name, rate in (("mixed", 40), ("mixed-tls", 20)):
        for server in ("relay", "nginx"):
            facts = record["result"][name][server]
            assert facts["failures"] == {}, output
            assert facts["sizes"]["segment"] == 500_000
            assert facts["requests"] > rate
            assert facts["us_per_request"] >= 0  # so little work may be less than a tick of the clock


def test_a_small_school_comes_in(tmp_path: Path) -> None:
    code, output, record = run(tmp_path / "x.json", "benchmarks.joins", "20", "--seconds", "1", "--small")
    assert code == 0, output
    (herd,), (flood,) = record["result"]["herds"], record["result"]["floods"]
    assert set(herd["seats"].values()) == {150}
    assert herd["one_more"] == {"503": 1}
    assert flood["statuses"] == {"200": 20}
    assert flood["hook_statuses"] == {"204": 20}
    assert flood["join_ms"]["max"] >= flood["join_ms"]["p50"] > 0


def test_a_few_pages_wait_and_a_few_connections_say_nothing(tmp_path: Path) -> None:
    code, output, record = run(tmp_path / "x.json", "benchmarks.sockets", "10", "--idle", "20")
    assert code == 0, output
    seen = record["result"]
    assert (seen["pages"], seen["let_go"]) == (10, 20)
    assert seen["rss_mb"] > 50


def test_pages_wait_over_tls_too(tmp_path: Path) -> None:
    code, output, record = run(tmp_path / "x.json", "benchmarks.sockets", "10", *("--idle", "0", "--tls"))
    assert code == 0, output
    assert (record["result"]["pages"], record["setup"]["tls"]) == (10, True)


def test_a_target_that_is_not_there_is_said_in_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.viewers", "1", "--ingest", "mediamtx", "--mediamtx", "nowhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == "MediaMTX is missing: say where it is with --mediamtx PATH"
