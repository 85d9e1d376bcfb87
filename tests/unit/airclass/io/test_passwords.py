"""Passwords: argon2id in threads, the same time for nobody, one check for a whole class."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import trio
from argon2 import PasswordHasher
from trio.testing import wait_all_tasks_blocked

from airclass.io.passwords import MAX_CHECKS_PER_CLASS, MAX_SHARED_CHECKS, Passwords

if TYPE_CHECKING:
    import pytest

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
        results.append(await passwords.matches_shared(password, stored, "c1"))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(come, "class")
    assert results == [True] * 50
    assert hasher.checks == 1
    for _ in range(3):
        assert not await passwords.matches_shared("wrong", stored, "c1")
    assert hasher.checks == 2
    assert passwords.was_wrong("wrong", stored)
    assert not passwords.was_wrong("class", stored)


async def test_a_password_that_was_just_set_needs_no_check() -> None:
    hasher = Counting()
    passwords = Passwords(b"pepper", hasher)
    stored = await passwords.hash("class")
    passwords.remember("class", stored)
    assert await passwords.matches_shared("class", stored, "c1")
    assert hasher.checks == 0


class Held(PasswordHasher):
    """Checks nothing until it is released."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.released = threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        assert self.released.wait(10)
        return super().verify(hash, password)


async def test_checks_of_class_passwords_are_few_for_each_class_and_few_in_all() -> None:
    hasher = Held()
    passwords = Passwords(b"pepper", hasher)
    stored = await passwords.hash("class")
    async with trio.open_nursery() as nursery:
        try:
            for n in range(MAX_CHECKS_PER_CLASS):
                assert not passwords.is_busy("c0", f"wrong {n}", stored)
                nursery.start_soon(passwords.matches_shared, f"wrong {n}", stored, "c0")
                await wait_all_tasks_blocked()
            assert passwords.is_busy("c0", "another", stored)
            assert not passwords.is_busy("c0", "wrong 0", stored), "it is being checked already"
            for n in range(MAX_CHECKS_PER_CLASS, MAX_SHARED_CHECKS):
                assert not passwords.is_busy(f"c{n}", "x", stored)
                nursery.start_soon(passwords.matches_shared, f"x {n}", stored, f"c{n}")
                await wait_all_tasks_blocked()
            assert passwords.is_busy("another class", "x", stored)
        finally:
            hasher.released.set()
    assert not passwords.is_busy("c0", "another", stored)


async def test_a_flood_of_wrong_passwords_does_not_displace_the_right_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("airclass.io.passwords.MAX_REMEMBERED", 5)
    hasher = Counting()
    passwords = Passwords(b"pepper", hasher)
    stored = await passwords.hash("class")
    passwords.remember("class", stored)
    for n in range(20):
        await passwords.matches_shared(f"wrong {n}", stored, "c1")
    assert await passwords.matches_shared("class", stored, "c1")
    assert hasher.checks == 20
    assert len(passwords._answers) == 5


async def test_weaker_hashes_are_made_anew() -> None:
    stored = await Passwords(b"", CHEAP).hash("x")
    assert Passwords(b"").needs_rehash(stored)
    assert not Passwords(b"", CHEAP).needs_rehash(stored)
    assert not Passwords(b"").needs_rehash("rubbish")
