"""Wakes whoever waits for a change of the cluster: relays' watches and the pages' sockets.

Topics that change with every student are calm: their waiters are woken together, every CALM_S.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

CALM_S = 1.0
# Two thousand pages that all work in the same turn hold everybody else up, and need the memory for it.
WOKEN_AT_ONCE = 20
CALM_TOPICS = ("class", "nodes", "tick")


class Waker:
    """One waiter; changes that happen while it works are not lost."""

    __slots__ = ("_scope", "woken")

    def __init__(self) -> None:
        self.woken = False
        self._scope: trio.CancelScope | None = None

    def wake(self) -> None:
        """Let the waiter run once more."""
        self.woken = True
        if self._scope is not None:
            self._scope.cancel()

    def rest(self) -> None:
        """Forget what has happened so far: the waiter is about to look."""
        self.woken = False

    @contextmanager
    def interrupting(self, scope: trio.CancelScope) -> Iterator[trio.CancelScope]:
        """Let a change cancel what runs in the block."""
        with scope:
            self._scope = scope
            try:
                yield scope
            finally:
                self._scope = None

    async def wait(self) -> None:
        """Wait for the next change since the last call."""
        if not self.woken:
            with self.interrupting(trio.CancelScope()):
                await trio.sleep_forever()
        self.woken = False


class Notifier:
    """Topics and their waiters."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[Waker]] = {}
        self._dirty: set[str] = set()

    def notify(self, topic: str) -> None:
        """Wake those who wait for a topic: now, or with the next flush when it is a calm one."""
        if topic not in self._waiters:
            return
        if topic.partition(":")[0] in CALM_TOPICS:
            self._dirty.add(topic)
        else:
            self._wake(topic)

    @contextmanager
    def listen(self, *topics: str) -> Iterator[Waker]:
        """Wait for several topics at once, inside the block."""
        waker = Waker()
        for topic in topics:
            self._waiters.setdefault(topic, set()).add(waker)
        try:
            yield waker
        finally:
            for topic in topics:
                waiters = self._waiters[topic]
                waiters.discard(waker)
                if not waiters:
                    del self._waiters[topic]

    async def run(self) -> None:
        """Flush the calm topics, for ever."""
        while True:
            await trio.sleep(CALM_S)
            await self.flush()

    async def flush(self) -> None:
        """Wake those whose calm topics have changed, a few at a time."""
        dirty, self._dirty = self._dirty | {"tick"}, set()
        wakers = list(dict.fromkeys(w for topic in sorted(dirty) for w in self._waiters.get(topic, ())))
        for n in range(0, len(wakers), WOKEN_AT_ONCE):
            for waker in wakers[n : n + WOKEN_AT_ONCE]:
                waker.wake()
            await trio.lowlevel.checkpoint()

    def _wake(self, topic: str) -> None:
        for waker in self._waiters.get(topic, ()):
            waker.wake()
