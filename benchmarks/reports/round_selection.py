"""When rounds of two servers may be compared, and what their figures come to.

A machine that is too busy makes servers answer in bursts what is long overdue: that is other work,
and such a round counts for nothing.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.load.fixed_rate_worker import RateOrders

MIN_PACE = 0.95
MAX_MIX_ERROR = 0.05
MAX_BUSY = 0.85


def kept_pace(seen: dict[str, Any], pace: RateOrders) -> bool:
    """Return whether the work was done as asked: at the pace, in the mix, by a client with time to spare.

    On a machine that is too busy servers answer in bursts what is long overdue, which is other work.
    """
    kept = seen["requests"] >= MIN_PACE * pace.requests_per_s * seen["elapsed_s"]
    share = seen["segments"] / max(1, seen["requests"])
    mixed = abs(share - (1 - pace.playlists)) < MAX_MIX_ERROR
    return bool(kept and mixed and seen["client_busy"] < MAX_BUSY)


def ratio(facts: dict[str, Any], base: dict[str, Any]) -> float | None:
    """Return how a server's CPU a request relates to another's: the median over the rounds, each of
    which is compared with its neighbour in time, so that a busy minute harms both alike.

    Rounds in which either server did not do the work as asked do not count, nor those too short for
    the kernel's clock; None if none is left.
    """
    rounds = zip(
        facts["us_per_request_rounds"],
        facts["fair_rounds"],
        base["us_per_request_rounds"],
        base["fair_rounds"],
        strict=True,
    )
    ratios = [mine / other for mine, fair, other, other_fair in rounds if fair and other_fair and other]
    return median(ratios) if ratios else None


def added_up(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up the rounds of one server; percentiles are of the last round."""
    requests = sum(part["requests"] for part in parts)
    cpu_s = sum(part["cpu_s"] for part in parts)
    added = {
        key: sum(part[key] for part in parts) for key in ("elapsed_s", "user_s", "system_s", "body_bytes")
    }
    failures: dict[str, int] = {}
    for part in parts:
        for what, count in part["failures"].items():
            failures[what] = failures.get(what, 0) + count
    return {
        **parts[-1],
        **added,
        "requests": requests,
        "cpu_s": cpu_s,
        "us_per_request": 1e6 * cpu_s / max(1, requests),
        "cpu_percent": 100 * cpu_s / added["elapsed_s"],
        "us_per_request_rounds": [part["us_per_request"] for part in parts],
        "fair_rounds": [part["fair"] for part in parts],
        "client_busy": max(part["client_busy"] for part in parts),
        "rest_percent": max(part["rest_percent"] for part in parts),
        "failures": failures,
        **({"stalls": sum(part["stalls"] for part in parts)} if "stalls" in parts[0] else {}),
    }
