"""Passwords: argon2id in a few threads, the same time for unknown users as for known ones.

Accounts and classes have threads of their own, so that neither waits for the other's guesses.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter, OrderedDict

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MAX_THREADS = 2
MAX_SHARED_THREADS = 1
MAX_SHARED_CHECKS = 16
MAX_CHECKS_PER_CLASS = 4
MAX_PASSWORD_CHARS = 256
MAX_REMEMBERED = 10_000


class Passwords:
    """Hashes and checks passwords without blocking the loop.

    A class's password is checked hundreds of times a second when a school joins at once: what was right or
    wrong before is remembered (keyed by a secret, in memory) and costs microseconds.
    """

    def __init__(self, pepper: bytes, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._pepper = pepper
        self._limiter = trio.CapacityLimiter(MAX_THREADS)
        self._shared_limiter = trio.CapacityLimiter(MAX_SHARED_THREADS)
        self._answers: OrderedDict[bytes, bool] = OrderedDict()
        self._checking: dict[bytes, trio.Event] = {}
        self._checks: Counter[str] = Counter()
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """Return the argon2id hash to store."""
        return await trio.to_thread.run_sync(self._hasher.hash, password, limiter=self._limiter)

    async def matches(self, password: str, stored: str) -> bool:
        """Tell whether the password is the stored one; an empty `stored` takes as long and is False."""
        right = await trio.to_thread.run_sync(
            self._verify, stored or self._nobody, password, limiter=self._limiter
        )
        return right and bool(stored)

    def remember(self, password: str, stored: str) -> None:
        """Note the password of a class that has just been set: no student waits for its first check."""
        self._note(self._mark(password, stored), right=True)

    def was_wrong(self, password: str, stored: str) -> bool:
        """Tell whether this password was offered before and was wrong."""
        return self._answers.get(self._mark(password, stored)) is False

    def is_busy(self, who: str, password: str, stored: str) -> bool:
        """Tell whether `matches_shared` has no place for another check, of this class or of all."""
        mark = self._mark(password, stored)
        if mark in self._answers or mark in self._checking:
            return False
        full = self._checks.total() >= MAX_SHARED_CHECKS
        return full or self._checks[who] >= MAX_CHECKS_PER_CLASS

    async def matches_shared(self, password: str, stored: str, who: str) -> bool:
        """Like `matches` for a password that the members of class `who` share; checked once."""
        mark = self._mark(password, stored)
        while mark in self._checking:
            await self._checking[mark].wait()
        known = self._answers.get(mark)
        if known is not None:
            return known
        done = self._checking[mark] = trio.Event()
        self._checks[who] += 1
        try:
            right = await trio.to_thread.run_sync(
                self._verify, stored, password, limiter=self._shared_limiter
            )
            self._note(mark, right=right)
            return right
        finally:
            self._checks[who] -= 1
            if not self._checks[who]:
                del self._checks[who]
            del self._checking[mark]
            done.set()

    def _mark(self, password: str, stored: str) -> bytes:
        return hmac.new(self._pepper, f"{stored}\n{password}".encode(), hashlib.sha256).digest()

    def _note(self, mark: bytes, *, right: bool) -> None:
        self._answers[mark] = right
        if len(self._answers) > MAX_REMEMBERED:
            # Wrong ones go first: an attacker makes them by the thousand, and a right one costs a check.
            oldest = next((m for m, was_right in self._answers.items() if not was_right), None)
            self._answers.pop(oldest if oldest is not None else next(iter(self._answers)))

    def needs_rehash(self, stored: str) -> bool:
        """Tell whether the hash was made with weaker parameters than today's."""
        try:
            return self._hasher.check_needs_rehash(stored)
        except InvalidHashError:
            return False

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False
