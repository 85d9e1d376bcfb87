"""Passwords: argon2id in threads, the same time for nobody, one check for a whole class."""

from __future__ import annotations

import trio
from argon2 import PasswordHasher

from airclass.io.passwords import Passwords

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Counting(PasswordHasher):
    """Counts what it does."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checks = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        self.checks += 1
        return super().verify(hash, password)


async def test_right_and_wrong() -> None:
    passwords = Passwords(b"pepper", CHEAP)
    stored = await passwords.hash("open sesame")
    assert stored.startswith("$argon2id$")
    assert await passwords.matches("open sesame", stored)
    assert not await passwords.matches("open sesam", stored)
    assert not await passwords.matches("x", "rubbish")


async def test_nobody_costs_as_much_as_somebody() -> None:
    hasher = Counting()
    passwords = Passwords(b"pepper", hasher)
    assert not await passwords.matches("nobody has this password", "")
    assert hasher.checks == 1


async def test_a_shared_password_is_checked_once_however_many_come() -> None:
    hasher = Counting()
    passwords = Passwords(b"pepper", hasher)
    stored = await passwords.hash("class")
    results: list[bool] = []

    async def come(password: str) -> None:
        results.append(await passwords.matches_shared(password, stored))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(come, "class")
    assert results == [True] * 50
    assert hasher.checks == 1
    assert not await passwords.matches_shared("wrong", stored)
    assert hasher.checks == 2


async def test_weaker_hashes_are_made_anew() -> None:
    stored = await Passwords(b"", CHEAP).hash("x")
    assert Passwords(b"").needs_rehash(stored)
    assert not Passwords(b"", CHEAP).needs_rehash(stored)
    assert not Passwords(b"").needs_rehash("rubbish")
