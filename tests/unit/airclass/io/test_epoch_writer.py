"""Numbers reach the database, soon or late, and nobody waits long for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from airclass.domain.epochs import MIN_SAVED_MARGIN, SAVE_EVERY, Epochs, StreamNumbers
from airclass.io.epoch_writer import WAIT_S, WRITE_EVERY_S, EpochWriter
from airclass.io.notifier import Notifier
from relay.base.cluster_protocol import EpochOffset, EpochRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest


class VirtualClock:
    """Unix time of the test."""

    def wall_s(self) -> float:
        return 1000.0 + trio.current_time()


class MemoryStore:
    """What the database keeps; `problem` is raised by each write."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.delay_s = 0.0
        self.kept: dict[str, EpochOffset] = {}
        self.numbers: dict[str, tuple[StreamNumbers, float]] = {}

    async def add_epoch(self, offset: EpochOffset, at_s: float) -> EpochOffset:
        await trio.sleep(self.delay_s)
        if self.problem is not None:
            raise self.problem
        return self.kept.setdefault(offset.key, offset)

    async def epochs(self) -> list[EpochOffset]:
        return list(self.kept.values())

    async def save_stream_numbers(self, numbers: Mapping[str, StreamNumbers], at_s: float) -> None:
        if self.problem is not None:
            raise self.problem
        self.numbers |= {stream: (shown, at_s) for stream, shown in numbers.items()}

    async def stream_numbers(self) -> list[tuple[str, StreamNumbers, float]]:
        return [(stream, shown, at_s) for stream, (shown, at_s) in self.numbers.items()]


class Rig:
    """Epochs and their writer."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.notifier = Notifier()
        self.epochs = Epochs(lambda: self.notifier.notify("orders"))
        self.writer = EpochWriter(self.store, self.epochs, self.notifier, VirtualClock())  # type: ignore[arg-type]

    def decide(self, key: str = "k") -> EpochOffset:
        offset = self.epochs.ask("a", EpochRequest("c1", key, 7, 30, 0), {}, 0.0)
        assert offset is not None
        return offset


async def test_an_epoch_is_written_at_once_and_its_asker_waits_for_that(
    autojump_clock: trio.testing.MockClock,
) -> None:
    rig = Rig()
    rig.store.delay_s = 0.1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.writer.run)
        await trio.testing.wait_all_tasks_blocked()
        offset = rig.decide()
        assert await rig.writer.saved(offset) == offset
        assert rig.store.kept == {"k": offset}
        assert trio.current_time() < WAIT_S
        assert await rig.writer.saved(offset) == offset, "at once when it is there"
        nursery.cancel_scope.cancel()


async def test_what_another_master_wrote_first_holds(autojump_clock: trio.testing.MockClock) -> None:
    rig = Rig()
    first = EpochOffset("c1", "k", 99, 4, order=3)
    rig.store.kept["k"] = first
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.writer.run)
        assert await rig.writer.saved(rig.decide()) == first
        nursery.cancel_scope.cancel()
    assert rig.epochs.of("c1") == (first,)


async def test_a_database_that_is_away_is_waited_for_half_a_second_and_written_later(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rig = Rig()
    rig.store.problem = OSError("locked")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.writer.run)
        offset = rig.decide()
        assert await rig.writer.saved(offset) == offset
        assert trio.current_time() == WAIT_S
        await trio.sleep(3 * WRITE_EVERY_S)
        rig.store.problem = None
        await trio.sleep(WRITE_EVERY_S)
        assert rig.store.kept == {"k": offset}
        nursery.cancel_scope.cancel()
    assert [r.getMessage().partition(" ")[0] for r in caplog.records] == ["epochs.unsaved", "epochs.saved"]


async def test_numbers_are_written_and_bound_those_after_a_restart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    rig = Rig()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.writer.run)
        offset = rig.decide()
        rig.epochs.report("c1", 40 + SAVE_EVERY, 1)
        await trio.sleep(2 * WRITE_EVERY_S)
        nursery.cancel_scope.cancel()
    assert rig.store.numbers["c1"][0] == StreamNumbers(40 + SAVE_EVERY, 1)
    await trio.sleep(1000.0)
    after = Rig(rig.store)
    await after.writer.load()
    assert after.epochs.of("c1") == (offset,)
    assert after.epochs.unsaved == {}
    assert after.epochs.numbers("c1").next_msn >= 40 + SAVE_EVERY + MIN_SAVED_MARGIN + 1000
