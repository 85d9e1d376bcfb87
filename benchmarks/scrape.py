"""Reads a relay's own counters from its admin port."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from benchmarks.servers import Relay

FETCHES = "airclass_relay_fetches_total"
DEADLINE_S = 5.0


def fetches(relay: Relay | None) -> float:
    """Return how many requests the relay has sent to its origin; 0 without a relay."""
    return total(metrics(relay), FETCHES) if relay else 0.0


def metrics(relay: Relay) -> str:
    """Return the text of the relay's /metrics."""
    return httpx.get(f"{relay.admin_url}/metrics", timeout=DEADLINE_S).raise_for_status().text


def total(text: str, name: str) -> float:
    """Return the sum of one metric over its labels."""
    lines = (line for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)
