"""How often somebody may ask: token buckets, and limits for wrong passwords and class codes.

A school is one address. So an address alone never locks anybody out: it only slows wrong guesses down.
An IPv6 address counts as its network, because an attacker has billions of addresses in one.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from relay.base.network import SITE_BITS, network_of

MAX_BUCKETS = 20_000
MAX_KNOWN = 50_000
PAIR_TRIES = 5
PAIR_REFILL_S = 60.0
ADDRESS_TRIES = 50
ADDRESS_REFILL_S = 10.0
SLOW_PAIR_S = 10.0
CLASS_TRIES = 60
CLASS_REFILL_S = 5.0
SLOW_CLASS_S = 1.0
CODE_TRIES = 300  # a large school that mistypes its codes on one morning
CODE_REFILL_S = 2.0


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


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody offers a password: `what` is "login" or "class", `who` the account or class.

    `device` names a browser that has signed in to the account before, or a student who was in the class.
    """

    what: str
    who: str
    address: str
    device: str = ""


class LoginThrottle:
    """Counts wrong passwords; right ones cost nothing.

    Call `wait_s` and `wrong` before checking (so that parallel guesses count), and `right` when it was
    right, which takes the count back.
    """

    def __init__(self) -> None:
        self._wrong = RateLimiter()
        self._known: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def wait_s(self, attempt: Attempt, now_s: float) -> float:
        """Return the seconds to wait before the next try; 0: now."""
        what, who = attempt.what, attempt.who
        if attempt.device:
            # Nobody else can use this count up: neither a student at the same address, nor many machines.
            return self._wrong.peek(_device(attempt), _PAIR, now_s)
        here = _pair(attempt)
        pair_s = self._wrong.peek(here, _limit(what), now_s)
        if here in self._known:
            # Somebody at this address has the password: the guesses of others neither slow nor refuse them.
            return self._wrong.take((*here, "slow"), _SLOW, now_s) if pair_s else 0.0
        if pair_s:
            return pair_s
        if self._wrong.peek((what, who), _CLASS, now_s):
            # Many wrong guesses from everywhere: one bound for all unknown addresses together.
            return self._wrong.take((what, who, "slow"), _SLOW if what == "login" else _SLOW_CLASS, now_s)
        if self._wrong.peek((what, "", here[2]), _ADDRESS, now_s):
            # Many wrong guesses from here: for each account there is still a try every SLOW_PAIR_S.
            return self._wrong.take((*here, "slow"), _SLOW, now_s)
        return 0.0

    def wrong(self, attempt: Attempt, now_s: float) -> None:
        """Count a wrong guess."""
        if attempt.device:
            self._wrong.take(_device(attempt), _PAIR, now_s)
            return
        here = _pair(attempt)
        self._wrong.take(here, _limit(attempt.what), now_s)
        self._wrong.take((attempt.what, attempt.who), _CLASS, now_s)
        self._wrong.take((attempt.what, "", here[2]), _ADDRESS, now_s)

    def right(self, attempt: Attempt, now_s: float) -> None:
        """Take the count of this try back, and remember the address for this account."""
        if attempt.device:
            self._wrong.empty(_device(attempt))
            return
        here = _pair(attempt)
        self._wrong.empty(here)
        self._wrong.take((attempt.what, attempt.who), _CLASS, now_s, -1.0)
        self._wrong.take((attempt.what, "", here[2]), _ADDRESS, now_s, -1.0)
        _remember(self._known, here)


class CodeThrottle:
    """Counts unknown class codes by network, so that nobody finds a class by trying codes.

    A network that has tried too many gets no further answer, right or wrong, except for the classes that
    are known there: somebody has come in from this network before, or a teacher manages the class from it.
    So a student who tries codes does not keep the school out.
    """

    def __init__(self) -> None:
        self._wrong = RateLimiter()
        self._known: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def wait_s(self, classroom_id: str, address: str, now_s: float) -> float:
        """Return the seconds to wait before a code is looked at; an unknown code has no `classroom_id`."""
        network = network_of(address, SITE_BITS)
        if classroom_id and (classroom_id, network) in self._known:
            return 0.0
        return self._wrong.peek((network,), _CODES, now_s)

    def wrong(self, address: str, now_s: float) -> None:
        """Count an unknown code."""
        self._wrong.take((network_of(address, SITE_BITS),), _CODES, now_s)

    def known(self, classroom_id: str, address: str) -> None:
        """Remember that a class is known at this address."""
        _remember(self._known, (classroom_id, network_of(address, SITE_BITS)))


def _pair(attempt: Attempt) -> tuple[str, str, str]:
    return attempt.what, attempt.who, network_of(attempt.address)


def _device(attempt: Attempt) -> tuple[str, ...]:
    return attempt.what, attempt.who, "device", attempt.device


def _limit(what: str) -> RateLimit:
    # A class's password is typed by a whole school from one address, an account's by one person.
    return _PAIR if what == "login" else _CLASS


def _remember(known: OrderedDict[tuple[str, ...], None], key: tuple[str, ...]) -> None:
    known[key] = None
    known.move_to_end(key)
    while len(known) > MAX_KNOWN:
        known.popitem(last=False)


_PAIR = RateLimit(1 / PAIR_REFILL_S, PAIR_TRIES)
_ADDRESS = RateLimit(1 / ADDRESS_REFILL_S, ADDRESS_TRIES)
_CLASS = RateLimit(1 / CLASS_REFILL_S, CLASS_TRIES)
_SLOW = RateLimit(1 / SLOW_PAIR_S, 1)
_SLOW_CLASS = RateLimit(1 / SLOW_CLASS_S, 1)
_CODES = RateLimit(1 / CODE_REFILL_S, CODE_TRIES)
