"""The wheel of deadlines: never early, and late by one step at most."""

from __future__ import annotations

import math
from dataclasses import dataclass

from relay.core.delivery.timer_wheel import TimerWheel


@dataclass(eq=False)
class Owner:
    deadline_s: float


def test_an_owner_expires_once() -> None:
    wheel: TimerWheel[Owner] = TimerWheel(0.5)
    owner = Owner(10.2)
    wheel.watch(owner)
    assert wheel.next_s() == 10.5
    assert wheel.expired(10.4) == []
    assert wheel.expired(10.5) == [owner]
    assert wheel.expired(11.0) == []
    assert wheel.next_s() == math.inf
    assert len(wheel) == 0


def test_a_deadline_that_moved_away_costs_nothing_until_its_first_time_comes() -> None:
    wheel: TimerWheel[Owner] = TimerWheel(0.5)
    owner = Owner(1.0)
    wheel.watch(owner)
    owner.deadline_s = 7.0
    wheel.keep(owner)
    assert wheel.next_s() == 1.0
    assert wheel.expired(1.0) == []
    assert wheel.next_s() == 7.0
    assert wheel.expired(7.0) == [owner]


def test_a_deadline_that_came_nearer_is_filed_anew() -> None:
    wheel: TimerWheel[Owner] = TimerWheel(0.5)
    owner = Owner(75.0)
    wheel.keep(owner)
    owner.deadline_s = 10.0
    wheel.watch(owner)
    assert wheel.next_s() == 10.0
    assert wheel.expired(10.0) == [owner]
    assert wheel.expired(75.0) == []


def test_no_deadline_is_not_filed() -> None:
    wheel: TimerWheel[Owner] = TimerWheel()
    owner = Owner(math.inf)
    wheel.watch(owner)
    assert len(wheel) == 0
    owner.deadline_s = 1.0
    wheel.watch(owner)
    owner.deadline_s = math.inf
    assert wheel.expired(2.0) == []
    assert len(wheel) == 0


def test_a_forgotten_owner_does_not_expire_and_others_of_its_second_do() -> None:
    wheel: TimerWheel[Owner] = TimerWheel()
    gone, stays = Owner(1.0), Owner(1.0)
    wheel.watch(gone)
    wheel.watch(stays)
    wheel.forget(gone)
    wheel.forget(gone)
    assert wheel.expired(5.0) == [stays]
    wheel.watch(stays)
    wheel.forget(stays)
    assert wheel.next_s() == math.inf
