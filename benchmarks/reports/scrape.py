"""Reads a relay's own figures from its admin port, twice, and says what happened in between.

How often each object was fetched is told by the origin instead: the one who fetches may not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from benchmarks.servers.servers import IngestServer, RelayServer

DEADLINE_S = 5.0
PREFIX = "airclass_relay_"
MEDIA_KINDS = ('kind="part"', 'kind="segment"', 'kind="hint"')
LONG_TURN_S = 0.005
RELAY_AGENT = "AIRClass-relay"
HISTOGRAMS = {
    "turn": "turn_duration_seconds",
    "turn_cpu": "turn_cpu_seconds",
    "push": "push_duration_seconds",
}


def figures(relay: RelayServer) -> dict[str, float]:
    """Return every sample of the relay's /metrics, by name and labels as they stand in the text."""
    answer = httpx.get(f"{relay.admin_url}/metrics", timeout=DEADLINE_S).raise_for_status()
    return samples(answer.text)


def fetches_per_object(ingest: IngestServer) -> float | None:
    """Return how often the relay asked for each media object, as its origin counted; None if it does not."""
    answer = httpx.get(
        f"{ingest.hls_url}/asked", headers={"Authorization": f"Bearer {ingest.secret}"}, timeout=DEADLINE_S
    )
    if answer.status_code != 200:
        return None
    asked: dict[str, int] = answer.json()[RELAY_AGENT]
    return sum(asked.values()) / len(asked)


def samples(text: str) -> dict[str, float]:
    """Return the samples of a Prometheus text: name with labels → value."""
    found = {}
    for line in text.splitlines():
        if line.startswith(PREFIX):
            name, _, value = line.rpartition(" ")
            found[name.removeprefix(PREFIX)] = float(value)
    return found


def between(before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    """Return media objects and requests fetched from the origin, 99th percentiles in milliseconds, turns
    of the reactor, how many of them took longer than LONG_TURN_S by the clock and how many so much CPU, and
    the media held at the end.

    A percentile is the upper bound of the bucket that holds it.
    """
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    fetched = [
        count
        for name, count in grown.items()
        if name.startswith("stream_fetched_objects_total{") and any(kind in name for kind in MEDIA_KINDS)
    ]
    found: dict[str, Any] = {
        "media_fetched": sum(fetched),
        "origin_requests": grown.get("origin_requests_total", 0.0),
    }
    found["turns"] = grown.get("turn_duration_seconds_count", 0.0)
    found["long_turns"] = _longer(grown, "turn_duration_seconds")
    found["long_turns_cpu"] = _longer(grown, "turn_cpu_seconds")
    found["media_mb"] = after.get("cache_bytes", 0.0) / 1e6
    for short, name in HISTOGRAMS.items():
        found[f"{short}_p99_ms"] = _p99_ms(grown, name)
    return found


def _longer(grown: dict[str, float], name: str) -> float:
    count = grown.get(f"{name}_count", 0.0)
    return count - grown.get(f'{name}_bucket{{le="{LONG_TURN_S}"}}', count)


def _p99_ms(grown: dict[str, float], name: str) -> float | None:
    start = f'{name}_bucket{{le="'
    buckets = [
        (float(sample.removeprefix(start).rstrip('"}')), count)
        for sample, count in grown.items()
        if sample.startswith(start)
    ]
    total = max((count for _, count in buckets), default=0.0)
    reached = [bound for bound, count in buckets if total and count >= 0.99 * total]
    return 1000 * min(reached) if reached else None
