"""Keeps the numbers of streams in the database, without making a returning publisher wait for it.

A relay's request waits for the write for WAIT_S, because another master of the same database may have
numbered the epoch first. A database that is slower than that, or away, is written later.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from airclass.domain.epochs import Epochs
    from airclass.io.clock import Clock
    from airclass.io.notifier import Notifier
    from airclass.io.store import Store
    from relay.base.cluster_protocol import EpochOffset

log = logging.getLogger(__name__)

# Relays number alone after 1.5 s (relay.io.cluster.master_client.EPOCH_S), less the collection.
WAIT_S = 0.5
WRITE_EVERY_S = 1.0


class EpochWriter:
    """Writes what `Epochs` holds and the database does not."""

    def __init__(self, store: Store, epochs: Epochs, notifier: Notifier, clock: Clock) -> None:
        self._store = store
        self._epochs = epochs
        self._notifier = notifier
        self._clock = clock
        self._problem = ""

    async def load(self) -> None:
        """Fill `Epochs` from the database."""
        self._epochs.load(await self._store.epochs())
        wall_s = self._clock.wall_s()
        for stream, numbers, at_s in await self._store.stream_numbers():
            self._epochs.load_numbers(stream, numbers, wall_s - at_s)

    async def run(self) -> None:
        """Write new epochs at once and numbers every WRITE_EVERY_S, until cancelled."""
        with self._notifier.listen("orders") as waker:
            while True:
                await self.write()
                with trio.move_on_after(WRITE_EVERY_S):
                    await waker.wait()

    async def write(self) -> None:
        """Write what waits; what fails is written again next time."""
        try:
            await self._write()
            problem = ""
        except Exception as exc:  # noqa: BLE001  classes go on from memory while the database is away
            problem = type(exc).__name__
        if problem and problem != self._problem:
            log.warning("epochs.unsaved reason=%s: they hold in memory and are written later", problem)
        elif self._problem and not problem:
            log.info("epochs.saved")
        self._problem = problem

    async def saved(self, offset: EpochOffset) -> EpochOffset:
        """Return the offset that holds for an epoch: the one that the database keeps, if it says so soon."""
        place = (offset.stream, offset.key)
        with self._notifier.listen(_topic(offset)) as waker, trio.move_on_after(WAIT_S):
            while place in self._epochs.unsaved:
                await waker.wait()
        return self._epochs.answer(*place, float("-inf")) or offset

    async def _write(self) -> None:
        for offset in list(self._epochs.unsaved.values()):
            kept = await self._store.add_epoch(offset, self._clock.wall_s())
            if kept == offset:
                self._epochs.saved_epoch(offset)
            else:
                self._epochs.replace(kept)
            self._notifier.notify(_topic(offset))
        numbers = self._epochs.unsaved_numbers()
        if numbers:
            await self._store.save_stream_numbers(numbers, self._clock.wall_s())
            for stream, shown in numbers.items():
                self._epochs.saved_numbers(stream, shown)


def _topic(offset: EpochOffset) -> str:
    return f"saved:{offset.stream}:{offset.key}"
