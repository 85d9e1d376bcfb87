"""What a relay's metrics say happened between two looks at them."""

from __future__ import annotations

import math

from benchmarks.reports.scrape import between, samples

TEXT = """\
# TYPE airclass_relay_origin_requests counter
airclass_relay_origin_requests_total 3.0
airclass_relay_stream_fetched_objects_total{kind="part",stream="a"} 3.0
airclass_relay_stream_fetched_objects_total{kind="init",stream="a"} 1.0
airclass_relay_stream_fetched_objects_total{kind="segment",stream="a"} 4.0
airclass_relay_turn_duration_seconds_bucket{le="0.005"} 90.0
airclass_relay_turn_duration_seconds_bucket{le="0.01"} 100.0
airclass_relay_turn_duration_seconds_bucket{le="+Inf"} 100.0
airclass_relay_turn_duration_seconds_count 100.0
airclass_relay_turn_cpu_seconds_bucket{le="0.005"} 99.0
airclass_relay_turn_cpu_seconds_bucket{le="+Inf"} 100.0
airclass_relay_turn_cpu_seconds_count 100.0
airclass_relay_cache_bytes 2000000.0
airclass_relay_push_duration_seconds_bucket{le="0.001"} 98.0
airclass_relay_push_duration_seconds_bucket{le="0.05"} 199.0
airclass_relay_push_duration_seconds_bucket{le="+Inf"} 200.0
python_info 1.0
"""


def test_samples_are_read_with_their_labels() -> None:
    found = samples(TEXT)
    assert found["origin_requests_total"] == 3.0
    assert found['stream_fetched_objects_total{kind="part",stream="a"}'] == 3.0
    assert "python_info" not in found


def test_what_happened_since_the_first_look() -> None:
    before = samples("airclass_relay_origin_requests_total 1.0\n")
    happened = between(before, samples(TEXT))
    assert happened == {
        "media_fetched": 7.0,
        "origin_requests": 2.0,
        "turns": 100.0,
        "long_turns": 10.0,
        "long_turns_cpu": 1.0,
        "media_mb": 2.0,
        "turn_p99_ms": 10.0,
        "turn_cpu_p99_ms": 5.0,
        "push_p99_ms": 50.0,
    }


def test_a_percentile_beyond_the_last_bound_is_infinite() -> None:
    after = samples('airclass_relay_turn_duration_seconds_bucket{le="+Inf"} 5.0\n')
    assert between({}, after)["turn_p99_ms"] == math.inf
    assert between(after, after)["turn_p99_ms"] is None
