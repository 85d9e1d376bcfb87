"""Sums over Prometheus text."""

from __future__ import annotations

from benchmarks.scrape import fetches, total

TEXT = """\
# TYPE a_total counter
a_total{kind="part"} 3.0
a_total{kind="playlist"} 4.0
a_total_more 9.0
b 1.5
"""


def test_a_metric_is_summed_over_its_labels() -> None:
    assert (total(TEXT, "a_total"), total(TEXT, "b"), total(TEXT, "c")) == (7.0, 1.5, 0.0)


def test_without_a_relay_there_are_no_fetches() -> None:
    assert fetches(None) == 0.0
