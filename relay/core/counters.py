"""Figures of a running relay: plain numbers, cheap to increment, read by the admin port.

Labels are kinds, statuses, reasons and stream names: never anything that a viewer sent.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field

# A turn of the reactor must stay below 5 ms.
TURN_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)
# From a part's arrival to the last waiter's socket: 50 ms at the 99th percentile is the aim.
PUSH_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


class Histogram:
    """Observations in fixed buckets; `counts` has one more entry than `bounds` (the rest)."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value in the first bucket whose bound is not below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, int]]:
        """Return (upper bound, observations up to it), as Prometheus wants buckets."""
        total, rows = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            total += count
            rows.append((bound, total))
        return rows


def _by_label() -> defaultdict[str, int]:
    return defaultdict(int)


@dataclass(slots=True)
class OriginCounters:
    """What was asked of origins; `failed` by OriginError.kind, `retries` on a fresh connection."""

    requests: int = 0
    retries: int = 0
    connections: int = 0
    received_bytes: int = 0
    failed: defaultdict[str, int] = field(default_factory=_by_label)


@dataclass(slots=True)
class StreamFigures:
    """One stream now: its state (wire.StreamReport), its viewers, and the age of its newest media.

    `lag_s` is negative while there is no media; `fetched` counts objects by kind (segment, part,
    init, hint), `gaps` those that were given up, `overlong` by kind those longer than was promised.
    """

    state: str = "waiting"
    viewers: int = 0
    lag_s: float = -1.0
    cache_bytes: int = 0
    epochs: int = 0
    gaps: int = 0
    overlong: defaultdict[str, int] = field(default_factory=_by_label)
    fetched: defaultdict[str, int] = field(default_factory=_by_label)


@dataclass(slots=True)
class Counters:
    """All figures of one relay process.

    `requests` is keyed by (kind, status), `refused` by reason. `turn_s` is by the clock,
    `turn_cpu_s` what of it was work. Gauges are set by their owners, at the latest when the admin port
    asks for a snapshot.
    """

    requests: defaultdict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    refused: defaultdict[str, int] = field(default_factory=_by_label)
    sent_bytes: int = 0
    accepted: int = 0
    slow_readers_cut: int = 0
    idle_closed: int = 0
    turn_s: Histogram = field(default_factory=lambda: Histogram(TURN_BOUNDS_S))
    turn_cpu_s: Histogram = field(default_factory=lambda: Histogram(TURN_BOUNDS_S))
    push_s: Histogram = field(default_factory=lambda: Histogram(PUSH_BOUNDS_S))
    connections: int = 0
    viewers: int = 0
    max_viewers: int = 0
    waiters: int = 0
    send_queue_bytes: int = 0
    cache_bytes: int = 0
    egress_bps: int = 0
    draining: bool = False
    master_connected: bool = False
    tls_reloads: int = 0
    origin: OriginCounters = field(default_factory=OriginCounters)
    streams: dict[str, StreamFigures] = field(default_factory=dict)
