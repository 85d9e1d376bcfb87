"""Waiters are woken: urgent topics at once, calm ones together."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise

import trio

from airclass.io.notifier import CALM_S, WOKEN_AT_ONCE, Notifier


async def test_urgent_topics_wake_at_once_and_calm_ones_with_the_flush(autojump_clock: object) -> None:
    notifier = Notifier()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notifier.run)
        with notifier.listen("seat:a", "class:c") as waker:
            began_s = trio.current_time()
            notifier.notify("seat:a")
            await waker.wait()
            assert trio.current_time() == began_s
            notifier.notify("class:c")
            notifier.notify("class:c")
            await waker.wait()
            assert 0 < trio.current_time() - began_s <= CALM_S
            with trio.move_on_after(5) as scope:
                await waker.wait()
            assert scope.cancelled_caught, "woken once for both"
        nursery.cancel_scope.cancel()


async def test_a_change_while_the_waiter_works_is_not_lost(autojump_clock: object) -> None:
    notifier = Notifier()
    with notifier.listen("orders") as waker:
        notifier.notify("orders")
        await waker.wait()
        notifier.notify("orders")
        with trio.fail_after(1):
            await waker.wait()


def test_nothing_is_kept_for_topics_without_waiters() -> None:
    notifier = Notifier()
    notifier.notify("class:c")
    with notifier.listen("class:c"):
        assert notifier._waiters.keys() == {"class:c"}
    assert (notifier._waiters, notifier._dirty) == ({}, set())


async def test_a_crowd_is_woken_a_few_at_a_time_each_once() -> None:
    notifier, counts = Notifier(), [0]
    with ExitStack() as pages:
        wakers = [pages.enter_context(notifier.listen("class:c", "nodes")) for _ in range(6 * WOKEN_AT_ONCE)]
        notifier.notify("class:c")
        notifier.notify("nodes")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(notifier.flush)
            while counts[-1] < len(wakers):
                await trio.lowlevel.checkpoint()
                counts.append(sum(waker.woken for waker in wakers))
    steps = [later - earlier for earlier, later in pairwise(counts)]
    assert max(steps) <= 2 * WOKEN_AT_ONCE, "both tasks run once a turn, in any order"
