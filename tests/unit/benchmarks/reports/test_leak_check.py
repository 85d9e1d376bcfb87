"""Growth: what a process takes after its start, and nothing of the start itself."""

from __future__ import annotations

import os
import time

import pytest

from benchmarks.reports.leak_check import Sample, growth, sampled


def samples(*rss_mb: float, every_s: float = 60.0) -> list[Sample]:
    return [{"at_s": n * every_s, "rss_mb": mb, "descriptors": 10.0} for n, mb in enumerate(rss_mb)]


def test_the_start_does_not_count() -> None:
    found = growth(samples(*[20.0] * 10, *[60.0] * 30))
    assert found == {"after_s": 600.0, "rss_percent": 0.0, "descriptors": 0.0}


def test_growth_after_the_start_does() -> None:
    found = growth(samples(*[60.0] * 15, *[66.0] * 15))
    assert found is not None
    assert found["rss_percent"] == pytest.approx(10.0)


def test_a_short_run_is_judged_from_its_second_third() -> None:
    found = growth(samples(10.0, 20.0, 20.0, 20.0, every_s=10.0))
    assert found is not None
    assert (found["after_s"], found["rss_percent"]) == (10.0, 0.0)


@pytest.mark.parametrize("few", [[], samples(10.0)])
def test_too_little_says_nothing(few: list[Sample]) -> None:
    assert growth(few) is None


def test_a_process_is_looked_at() -> None:
    with sampled(os.getpid(), 0.01) as seen:
        until_s = time.monotonic() + 5
        while len(seen) < 3 and time.monotonic() < until_s:
            os.sched_yield()
    assert len(seen) >= 3
    assert seen[0]["rss_mb"] > 1
    assert seen[0]["descriptors"] >= 3
