"""Percentiles and sums of what viewers saw."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.reports.report import added_ms, number, percentile, save, spread_ms, summary

if TYPE_CHECKING:
    from pathlib import Path


def test_percentiles_are_values_that_were_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.95, 1.0)] == [1.0, 3.0, 5.0, 5.0]
    assert percentile([], 0.5) is None


def test_a_crowd_is_summed_up() -> None:
    stall = {"at_s": 1.0, "lasted_s": 0.5}
    seen = summary(
        [
            {
                "startup_s": 0.2,
                "stalls": [stall, stall],
                "latencies_s": [1.0, 2.0],
                "failures": {"init 404": 1},
            },
            {"startup_s": None, "stalls": [], "latencies_s": [], "failures": {"init 404": 2}},
        ]
    )
    assert (seen["viewers"], seen["started"], seen["stalls"], seen["stalled_viewers"]) == (2, 1, 2, 1)
    assert seen["stalled_s"] == 1.0
    assert seen["startup_s"]["max"] == 0.2
    assert seen["latency_s"]["max"] == 2.0
    assert seen["failures"] == {"init 404": 3}


def test_spreads_are_milliseconds() -> None:
    assert spread_ms([0.001, 0.002])["max"] == 2.0
    assert spread_ms([])["p50"] is None


def test_numbers_for_people() -> None:
    assert (number(1234.567), number(None), number(3, 0)) == ("1,234.57", "–", "3")


def test_figures_are_kept_as_json(tmp_path: Path) -> None:
    save({"b": 1, "a": 2}, tmp_path / "new" / "x.json")
    assert json.loads((tmp_path / "new" / "x.json").read_text()) == {"a": 2, "b": 1}


def test_the_added_delay_joins_parts_by_their_date() -> None:
    at_origin = [(0, 100.5, 7.0), (0, 101.0, 7.5), (1, 100.5, 7.1)]
    at_viewers = [(0, 100.501, 7.010), (0, 101.0, 7.520), (1, 100.5, 7.130), (0, 103.0, 9.0), (2, 100.5, 9.0)]
    added = added_ms(at_origin, at_viewers)
    assert added["max"] == pytest.approx(30.0)
    assert added["p50"] == pytest.approx(20.0)
    assert added_ms([], at_viewers)["p50"] is None
