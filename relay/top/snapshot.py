"""Snapshot of a relay: rates and percentiles out of two readings of its metrics.

Knows metric names and arithmetic. Neither fetches nor draws.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

Labels = tuple[tuple[str, str], ...]
PREFIX = "airclass_relay_"


class MetricsSample:
    """All samples of one scrape, taken at `at_s` (monotonic)."""

    def __init__(self, at_s: float, samples: list[tuple[str, dict[str, str], float]]) -> None:
        self.at_s = at_s
        self._values: dict[str, dict[Labels, float]] = defaultdict(dict)
        for name, labels, value in samples:
            self._values[name.removeprefix(PREFIX)][tuple(sorted(labels.items()))] = value

    def value(self, name: str, **labels: str) -> float:
        """Return one sample; 0.0 when it is absent."""
        return self._values.get(name, {}).get(tuple(sorted(labels.items())), 0.0)

    def by(self, name: str, label: str) -> dict[str, float]:
        """Return a metric summed by the values of one label."""
        sums: dict[str, float] = defaultdict(float)
        for labels, value in self._values.get(name, {}).items():
            sums[dict(labels).get(label, "")] += value
        return dict(sums)


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One stream; `lag_s` is negative while there is no media."""

    name: str
    state: str
    viewers: int
    lag_s: float
    cache_bytes: int
    sessions: int
    gaps: int
    fetched_per_s: float


@dataclass(frozen=True, slots=True)
class RelaySnapshot:
    """What one screen shows; rates are since the reading before."""

    version: str
    viewers: int
    capacity: int
    connections: int
    waiters: int
    egress_bps: float
    requests_per_s: dict[str, float]
    statuses: dict[str, int]
    refused: dict[str, int]
    slow_readers_cut: int
    send_queue_bytes: int
    cache_bytes: int
    memory_bytes: int
    cpu_ratio: float
    turn_p50_s: float
    turn_p99_s: float
    push_p99_s: float
    origin_failures: dict[str, int]
    draining: bool
    master_connected: bool
    streams: list[StreamRow] = field(default_factory=list)


def look(now: MetricsSample, before: MetricsSample | None) -> RelaySnapshot:
    """Compare two readings; without the one before, rates are 0 and percentiles since the start."""
    seconds = max(now.at_s - before.at_s, 1e-3) if before else 0.0

    def rate(name: str, label: str) -> dict[str, float]:
        older = before.by(name, label) if before else {}
        return {
            k: max(0.0, v - older.get(k, 0.0)) / seconds if seconds else 0.0
            for k, v in now.by(name, label).items()
        }

    fetched = rate("stream_fetched_objects_total", "stream")
    cpu = rate("process_cpu_seconds_total", "")
    return RelaySnapshot(
        version=next(iter(now.by("build_info", "version")), "?"),
        viewers=int(now.value("viewers")),
        capacity=int(now.value("viewer_capacity")),
        connections=int(now.value("connections")),
        waiters=int(now.value("waiters")),
        egress_bps=rate("sent_bytes_total", "").get("", 0.0) * 8,
        requests_per_s=rate("requests_total", "kind"),
        statuses=_whole(now.by("requests_total", "status")),
        refused=_whole(now.by("refused_total", "reason")),
        slow_readers_cut=int(now.value("slow_readers_cut_total")),
        send_queue_bytes=int(now.value("send_queue_bytes")),
        cache_bytes=int(now.value("cache_bytes")),
        memory_bytes=int(now.value("process_resident_memory_bytes")),
        cpu_ratio=cpu.get("", 0.0),
        turn_p50_s=percentile(now, before, "turn_duration_seconds", 0.5),
        turn_p99_s=percentile(now, before, "turn_duration_seconds", 0.99),
        push_p99_s=percentile(now, before, "push_duration_seconds", 0.99),
        origin_failures=_whole(now.by("origin_failures_total", "kind")),
        draining=bool(now.value("draining")),
        master_connected=bool(now.value("master_connected")),
        streams=[
            _stream(now, name, fetched.get(name, 0.0)) for name in sorted(now.by("stream_viewers", "stream"))
        ],
    )


def percentile(now: MetricsSample, before: MetricsSample | None, name: str, share: float) -> float:
    """Return the upper bound of the bucket in which the percentile lies; 0.0 when nothing was seen."""
    older = before.by(f"{name}_bucket", "le") if before else {}
    rows = sorted(
        (float(bound), total - older.get(bound, 0.0))
        for bound, total in now.by(f"{name}_bucket", "le").items()
    )
    if not rows or rows[-1][1] <= 0:
        return 0.0
    return next(bound for bound, total in rows if total >= share * rows[-1][1])


def _stream(now: MetricsSample, name: str, fetched_per_s: float) -> StreamRow:
    states = [
        s
        for s in ("waiting", "live", "reconnecting", "ended")
        if now.value("stream_state", stream=name, state=s)
    ]
    return StreamRow(
        name=name,
        state=states[0] if states else "?",
        viewers=int(now.value("stream_viewers", stream=name)),
        lag_s=now.by("stream_lag_seconds", "stream").get(name, -1.0),
        cache_bytes=int(now.value("stream_cache_bytes", stream=name)),
        sessions=int(now.value("stream_epochs_total", stream=name)),
        gaps=int(now.value("stream_gaps_total", stream=name)),
        fetched_per_s=fetched_per_s,
    )


def _whole(values: dict[str, float]) -> dict[str, int]:
    return {name: int(value) for name, value in sorted(values.items()) if value}
