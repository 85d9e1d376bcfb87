"""Waiters are woken: urgent topics at once, calm ones together."""

from __future__ import annotations

import trio

from airclass.io.hub import CALM_S, Hub


async def test_urgent_topics_wake_at_once_and_calm_ones_with_the_flush(autojump_clock: object) -> None:
    hub = Hub()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hub.run)
        with hub.listen("seat:a", "class:c") as waker:
            began_s = trio.current_time()
            hub.notify("seat:a")
            await waker.wait()
            assert trio.current_time() == began_s
            hub.notify("class:c")
            hub.notify("class:c")
            await waker.wait()
            assert 0 < trio.current_time() - began_s <= CALM_S
            with trio.move_on_after(5) as scope:
                await waker.wait()
            assert scope.cancelled_caught, "woken once for both"
        nursery.cancel_scope.cancel()


async def test_a_change_while_the_waiter_works_is_not_lost(autojump_clock: object) -> None:
    hub = Hub()
    with hub.listen("orders") as waker:
        hub.notify("orders")
        await waker.wait()
        hub.notify("orders")
        with trio.fail_after(1):
            await waker.wait()


def test_nothing_is_kept_for_topics_without_waiters() -> None:
    hub = Hub()
    hub.notify("class:c")
    with hub.listen("class:c"):
        assert hub._waiters.keys() == {"class:c"}
    assert (hub._waiters, hub._dirty) == ({}, set())
