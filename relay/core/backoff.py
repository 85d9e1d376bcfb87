"""How long to wait before the next try: twice as long each time, up to a bound, spread by chance."""

from __future__ import annotations

FACTOR = 2.0
MAX_DOUBLINGS = 30


class Backoff:
    """Waits of one caller, in seconds; chance comes in from outside."""

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._failures = 0

    def failed(self, chance: float) -> float:
        """Return the wait after one more failure: half to all of the step, by `chance` in [0, 1]."""
        step_s = min(self._max_s, self._first_s * FACTOR ** min(self._failures, MAX_DOUBLINGS))
        self._failures += 1
        return step_s * (0.5 + 0.5 * chance)

    def worked(self) -> None:
        """Begin anew with the shortest wait."""
        self._failures = 0
