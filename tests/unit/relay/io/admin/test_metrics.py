"""Metric names and values; the text is judged by Prometheus' own tool."""

import shutil
import subprocess

from relay.core.counters import Counters, StreamFigures
from relay.io.admin.metrics import MAX_STREAMS_SHOWN, RelayMetrics


def busy() -> Counters:
    counters = Counters(sent_bytes=700, viewers=3, max_viewers=150, egress_bps=80, draining=True)
    counters.requests["segment", 200] += 5
    counters.requests["playlist", 503] += 1
    counters.refused["capacity"] += 2
    counters.turn_s.observe(0.0007)
    counters.turn_s.observe(7.0)
    counters.turn_cpu_s.observe(0.0004)
    counters.origin.requests = 9
    counters.origin.failed["timeout"] += 1
    live = counters.streams["class1"] = StreamFigures("live", 3, 0.4, 1000, 2, 1)
    live.fetched["part"] += 8
    counters.streams["class2"] = StreamFigures()
    return counters


def samples(counters: Counters, *, ready: bool = True) -> dict[str, float]:
    lines = RelayMetrics(counters).render(ready=ready).decode().splitlines()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name.removeprefix("airclass_relay_"): float(value) for name, _, value in pairs}


def test_what_was_counted_is_shown() -> None:
    shown = samples(busy())
    for name, value in {
        'requests_total{kind="segment",status="200"}': 5,
        'requests_total{kind="playlist",status="503"}': 1,
        'refused_total{reason="capacity"}': 2,
        "sent_bytes_total": 700,
        "viewers": 3,
        "viewer_capacity": 150,
        "egress_bytes_per_second": 10,
        "draining": 1,
        "ready": 1,
        'turn_duration_seconds_bucket{le="0.0005"}': 0,
        'turn_duration_seconds_bucket{le="0.001"}': 1,
        'turn_duration_seconds_bucket{le="+Inf"}': 2,
        "turn_duration_seconds_count": 2,
        'turn_cpu_seconds_bucket{le="0.0005"}': 1,
        "turn_duration_seconds_sum": 7.0007,
        "origin_requests_total": 9,
        'origin_failures_total{kind="timeout"}': 1,
        'stream_state{state="live",stream="class1"}': 1,
        'stream_state{state="waiting",stream="class1"}': 0,
        'stream_lag_seconds{stream="class1"}': 0.4,
        'stream_fetched_objects_total{kind="part",stream="class1"}': 8,
        'stream_state{state="waiting",stream="class2"}': 1,
    }.items():
        assert shown[name] == value, name
    assert 'stream_lag_seconds{stream="class2"}' not in shown
    assert "process_resident_memory_bytes" in shown


def test_streams_are_bounded_and_each_render_is_fresh() -> None:
    counters = Counters()
    metrics = RelayMetrics(counters)
    assert b"airclass_relay_ready 0.0" in metrics.render(ready=False)
    assert b"airclass_relay_ready 1.0" in metrics.render(ready=True)
    for number in range(MAX_STREAMS_SHOWN + 10):
        counters.streams[f"c{number}"] = StreamFigures()
    assert metrics.render(ready=True).count(b"airclass_relay_stream_viewers{") == MAX_STREAMS_SHOWN


def test_names_cannot_break_the_text() -> None:
    counters = Counters()
    counters.streams['a"} 1\nevil 2'] = StreamFigures()
    assert b"\nevil" not in RelayMetrics(counters).render(ready=True)


def test_prometheus_own_tool_finds_nothing_to_say() -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: apt-get install prometheus"
    text = RelayMetrics(busy()).render(ready=True)
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=20)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
