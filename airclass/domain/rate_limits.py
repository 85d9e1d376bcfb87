"""How often somebody may ask: token buckets, and patience with wrong passwords.

A school sits behind one address, so an address alone never locks anybody out: it only slows
wrong guesses down.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

MAX_BUCKETS = 20_000
MAX_KNOWN = 50_000
PAIR_TRIES = 5
PAIR_REFILL_S = 60.0
ADDRESS_TRIES = 50
ADDRESS_REFILL_S = 10.0
SLOW_PAIR_S = 10.0
CLASS_TRIES = 60
CLASS_REFILL_S = 5.0


@dataclass(frozen=True, slots=True)
class RateLimit:
    """`burst` requests at once, then `rate_per_s`."""

    rate_per_s: float
    burst: int


class RateLimiter:
    """One bucket per key; full ones are forgotten, and the oldest when there are too many."""

    def __init__(self) -> None:
        self._levels: OrderedDict[tuple[str, ...], tuple[float, float]] = OrderedDict()

    def take(self, key: tuple[str, ...], limit: RateLimit, now_s: float, cost: float = 1.0) -> float:
        """Take from a bucket; returns 0 when allowed, else the seconds until it would be."""
        level, at_s = self._levels.pop(key, (float(limit.burst), now_s))
        level = min(limit.burst, level + (now_s - at_s) * limit.rate_per_s)
        wait_s = max(0.0, (cost - level) / limit.rate_per_s)
        self._levels[key] = (level if wait_s else level - cost, now_s)
        while len(self._levels) > MAX_BUCKETS:
            self._levels.popitem(last=False)
        return wait_s

    def peek(self, key: tuple[str, ...], limit: RateLimit, now_s: float) -> float:
        """Return what `take` would, without taking."""
        level, at_s = self._levels.get(key, (float(limit.burst), now_s))
        level = min(limit.burst, level + (now_s - at_s) * limit.rate_per_s)
        return max(0.0, (1.0 - level) / limit.rate_per_s)

    def empty(self, key: tuple[str, ...]) -> None:
        """Forget what was taken from a bucket."""
        self._levels.pop(key, None)


class LoginThrottle:
    """Counts wrong passwords and codes; right ones cost nothing.

    Ask `wait_s` and tell `wrong` before checking (so that parallel guesses count), and `right` when it
    was right, which takes the count back.
    """

    def __init__(self) -> None:
        self._wrong = RateLimiter()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def wait_s(self, what: str, who: str, address: str, now_s: float) -> float:
        """Return the seconds to wait before `who` may try again from `address`; 0: now.

        `what` is "login" or "class", `who` the account or class.
        """
        pair_s = self._wrong.peek((what, who, address), _pair(what), now_s)
        if pair_s or (who, address) in self._known:
            return pair_s
        from_here = self._wrong.peek((what, "", address), _ADDRESS, now_s)
        if from_here or self._wrong.peek((what, who), _CLASS, now_s):
            # Many wrong guesses: everybody still gets a try every SLOW_PAIR_S.
            return self._wrong.take((what, who, address, "slow"), _SLOW, now_s)
        return 0.0

    def wrong(self, what: str, who: str, address: str, now_s: float) -> None:
        """Count a wrong guess."""
        self._wrong.take((what, who, address), _pair(what), now_s)
        self._wrong.take((what, who), _CLASS, now_s)
        self._wrong.take((what, "", address), _ADDRESS, now_s)

    def right(self, what: str, who: str, address: str, now_s: float) -> None:
        """Forgive `who` at `address`, and remember them: others' wrong guesses no longer slow them."""
        self._wrong.empty((what, who, address))
        self._wrong.take((what, who), _CLASS, now_s, -1.0)
        self._wrong.take((what, "", address), _ADDRESS, now_s, -1.0)
        self._known[(who, address)] = None
        self._known.move_to_end((who, address))
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def _pair(what: str) -> RateLimit:
    # A class's password is typed by a whole school from one address, an account's by one person.
    return _PAIR if what == "login" else _CLASS


_PAIR = RateLimit(1 / PAIR_REFILL_S, PAIR_TRIES)
_ADDRESS = RateLimit(1 / ADDRESS_REFILL_S, ADDRESS_TRIES)
_CLASS = RateLimit(1 / CLASS_REFILL_S, CLASS_TRIES)
_SLOW = RateLimit(1 / SLOW_PAIR_S, 1)
