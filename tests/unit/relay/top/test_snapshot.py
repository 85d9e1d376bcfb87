import math

import pytest

from relay.top.snapshot import MetricsSample, StreamRow, look, percentile

P = "airclass_relay_"


def reading(at_s: float, scale: float = 1.0) -> MetricsSample:
    return MetricsSample(
        at_s,
        [
            (P + "build_info", {"version": "3.0.0"}, 1),
            (P + "viewers", {}, 7),
            (P + "viewer_capacity", {}, 150),
            (P + "draining", {}, 1),
            (P + "requests_total", {"kind": "part", "status": "200"}, 100 * scale),
            (P + "requests_total", {"kind": "part", "status": "404"}, 10),
            (P + "requests_total", {"kind": "playlist", "status": "200"}, 50 * scale),
            (P + "refused_total", {"reason": "capacity"}, 0),
            (P + "sent_bytes_total", {}, 1000 * scale),
            (P + "turn_duration_seconds_bucket", {"le": "0.001"}, 98 * scale),
            (P + "turn_duration_seconds_bucket", {"le": "0.005"}, 100 * scale),
            (P + "turn_duration_seconds_bucket", {"le": "+Inf"}, 100 * scale),
            (P + "stream_viewers", {"stream": "c1"}, 7),
            (P + "stream_state", {"stream": "c1", "state": "live"}, 1),
            (P + "stream_state", {"stream": "c1", "state": "waiting"}, 0),
            (P + "stream_lag_seconds", {"stream": "c1"}, 0.25),
            (P + "stream_fetched_objects_total", {"stream": "c1", "kind": "part"}, 8 * scale),
            (P + "stream_viewers", {"stream": "c2"}, 0),
            ("process_cpu_seconds_total", {}, 3 * scale),
            ("process_resident_memory_bytes", {}, 2**20),
        ],
    )


def test_a_first_look_has_no_rates() -> None:
    seen = look(reading(10.0), None)
    assert (seen.version, seen.viewers, seen.capacity, seen.draining) == ("3.0.0", 7, 150, True)
    assert seen.requests_per_s == {"part": 0.0, "playlist": 0.0}
    assert seen.statuses == {"200": 150, "404": 10}
    assert (seen.refused, seen.egress_bps, seen.memory_bytes) == ({}, 0.0, 2**20)
    assert (seen.turn_p50_s, seen.turn_p99_s, seen.push_p99_s) == (0.001, 0.005, 0.0)
    assert seen.streams == [
        StreamRow("c1", "live", 7, 0.25, 0, 0, 0, 0.0),
        StreamRow("c2", "?", 0, -1.0, 0, 0, 0, 0.0),
    ]


def test_rates_between_two_looks() -> None:
    seen = look(reading(12.0, 2.0), reading(10.0))
    assert seen.requests_per_s == {"part": 50.0, "playlist": 25.0}
    assert seen.egress_bps == 4000.0
    assert seen.cpu_ratio == pytest.approx(1.5)
    assert seen.streams[0].fetched_per_s == 4.0


def test_a_relay_that_started_anew_has_no_negative_rates() -> None:
    seen = look(reading(12.0), reading(10.0, 2.0))
    assert set(seen.requests_per_s.values()) == {0.0}
    assert seen.turn_p99_s == 0.0


def test_percentiles_beyond_the_last_bound() -> None:
    rows = [(P + "x_bucket", {"le": "0.1"}, 1.0), (P + "x_bucket", {"le": "+Inf"}, 100.0)]
    assert percentile(MetricsSample(0.0, rows), None, "x", 0.99) == math.inf
