"""Does a process grow? Its memory and descriptors while a benchmark runs, and what they come to."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.reports.machine import cost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

EVERY_S = 10.0
WARM_S = 600.0  # what a process takes before this is its start, not growth
WARM_SHARE = 1 / 3  # of a run that is too short for that

Sample = dict[str, float]


@contextmanager
def sampled(pid: int, every_s: float = EVERY_S) -> Iterator[list[Sample]]:
    """Look at a process every few seconds for the length of a block; yields the list that is filled."""
    done, samples, began_s = threading.Event(), list[Sample](), time.monotonic()

    def look() -> None:
        while not done.wait(every_s):
            now = cost([pid])
            samples.append(
                {
                    "at_s": round(time.monotonic() - began_s, 1),
                    "rss_mb": now.rss_bytes / 1e6,
                    "memfd_mb": now.memfd_bytes / 1e6,
                    "descriptors": now.descriptors,
                }
            )

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def growth(samples: Sequence[Mapping[str, float]]) -> dict[str, float] | None:
    """Return how much memory (percent) and descriptors grew after the start; None with too few samples.

    Each end is the mean of up to five samples, because what is in flight comes and goes.
    """
    if not samples:
        return None
    warm_s = min(WARM_S, samples[-1]["at_s"] * WARM_SHARE)
    steady = [sample for sample in samples if sample["at_s"] >= warm_s]
    ends = min(5, len(steady) // 2)
    if not ends:
        return None
    first, last = steady[:ends], steady[-ends:]
    mean = {
        name: (sum(s[name] for s in first) / ends, sum(s[name] for s in last) / ends)
        for name in ("rss_mb", "descriptors")
    }
    return {
        "after_s": steady[0]["at_s"],
        "rss_percent": 100 * (mean["rss_mb"][1] / mean["rss_mb"][0] - 1),
        "descriptors": mean["descriptors"][1] - mean["descriptors"][0],
    }
