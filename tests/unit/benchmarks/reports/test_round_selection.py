"""Adding up rounds, and when two servers may be compared."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.load.fixed_rate_worker import RateOrders
from benchmarks.reports.round_selection import added_up, kept_pace, ratio


def round_of(cpu_s: float, requests: int, **more: Any) -> dict[str, Any]:
    return {
        "requests": requests,
        "elapsed_s": 10.0,
        "cpu_s": cpu_s,
        "user_s": cpu_s / 2,
        "system_s": cpu_s / 2,
        "body_bytes": 100,
        "us_per_request": 1e6 * cpu_s / requests,
        "client_busy": cpu_s / 10,
        "rest_percent": 5.0,
        "failures": {"playlist 503": 1},
        "fair": True,
        **more,
    }


def test_rounds_are_weighed_by_their_requests() -> None:
    found = added_up([round_of(1.0, 1000), round_of(3.0, 9000)])
    assert found["us_per_request"] == pytest.approx(400.0)
    assert found["cpu_percent"] == pytest.approx(20.0)
    assert found["us_per_request_rounds"] == [1000.0, pytest.approx(1e6 * 3 / 9000)]
    assert found["client_busy"] == pytest.approx(0.3)
    assert found["failures"] == {"playlist 503": 2}
    assert "stalls" not in found


def test_stalls_are_added_up() -> None:
    assert added_up([round_of(1.0, 1, stalls=2), round_of(1.0, 1, stalls=3)])["stalls"] == 5


def test_the_ratio_is_the_median_of_neighbouring_rounds() -> None:
    relay = added_up([round_of(1.0, 10_000), round_of(9.0, 10_000), round_of(1.2, 10_000)])
    nginx = added_up([round_of(2.0, 10_000), round_of(2.0, 10_000), round_of(1.2, 10_000)])
    assert ratio(relay, nginx) == pytest.approx(1.0)
    assert ratio(nginx, nginx) == 1.0


def test_rounds_that_were_not_fair_do_not_count() -> None:
    relay = added_up([round_of(1.0, 10_000), round_of(9.0, 10_000, fair=False)])
    nginx = added_up([round_of(2.0, 10_000), round_of(2.0, 10_000)])
    assert ratio(relay, nginx) == pytest.approx(0.5)
    assert ratio(added_up([round_of(1.0, 1, fair=False)]), added_up([round_of(1.0, 1)])) is None
    assert ratio(added_up([round_of(1.0, 1)]), added_up([round_of(0.0, 1)])) is None


@pytest.mark.parametrize(
    ("requests", "segments", "busy", "fair"),
    [(1000, 500, 0.3, True), (900, 450, 0.3, False), (1000, 400, 0.3, False), (1000, 500, 0.9, False)],
)
def test_work_is_fair_at_the_pace_in_the_mix_with_time_to_spare(
    requests: int, segments: int, busy: float, fair: bool
) -> None:
    seen = {"requests": requests, "segments": segments, "elapsed_s": 10.0, "client_busy": busy}
    assert kept_pace(seen, RateOrders(["u"], 10, 100.0, 0.5, 1.0, 10.0)) is fair
