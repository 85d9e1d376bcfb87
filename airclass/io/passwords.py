"""Passwords: argon2id in a few threads, the same time for unknown users as for known ones."""

from __future__ import annotations

import hashlib
import hmac

import trio
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MAX_THREADS = 2
MAX_PASSWORD_CHARS = 256
MAX_REMEMBERED = 10_000


class Passwords:
    """Hashes and checks passwords without blocking the loop.

    A class's password is checked hundreds of times a second when a school joins at once: what
    was right before is remembered (keyed by a secret, in memory) and costs microseconds.
    """

    def __init__(self, pepper: bytes, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._pepper = pepper
        self._limiter = trio.CapacityLimiter(MAX_THREADS)
        self._right: set[bytes] = set()
        self._checking: dict[bytes, trio.Event] = {}
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

    async def matches_shared(self, password: str, stored: str) -> bool:
        """Like `matches` for a password that many people share; checked once, then remembered."""
        mark = hmac.new(self._pepper, f"{stored}\n{password}".encode(), hashlib.sha256).digest()
        while mark in self._checking:
            await self._checking[mark].wait()
        if mark in self._right:
            return True
        done = self._checking[mark] = trio.Event()
        try:
            right = await self.matches(password, stored)
            if right and len(self._right) < MAX_REMEMBERED:
                self._right.add(mark)
            return right
        finally:
            del self._checking[mark]
            done.set()

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
