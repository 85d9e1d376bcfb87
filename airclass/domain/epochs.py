"""The numbers of each origin session, the same on every relay of the cluster.

When a publisher comes back the origin counts from 0 again. The relays that carry the stream ask
for the new session's base; the first ask opens a short collection, then one answer holds for all
and for ever. Does not keep anything on disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.base.cluster_protocol import EpochOffset

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.base.cluster_protocol import EpochRequest

COLLECT_S = 0.3
KEEP_EPOCHS = 8
MAX_PENDING = 200
MAX_KEY_CHARS = 128


@dataclass(slots=True)
class _Collection:
    until_s: float
    asks: dict[str, EpochRequest] = field(default_factory=dict)


class Epochs:
    """Answers given, and asks still being collected."""

    def __init__(self) -> None:
        self.changes = 0
        self._answers: dict[str, dict[str, EpochOffset]] = {}
        self._pending: dict[tuple[str, str], _Collection] = {}

    def ask(
        self, node_id: str, ask: EpochRequest, carriers: Iterable[str], now_s: float
    ) -> EpochOffset | None:
        """Return the base, or None while others may still ask (until `due_s`).

        `carriers` are the nodes that carry the stream and would ask too.
        """
        found = self._answers.get(ask.stream, {}).get(ask.key)
        if found is not None:
            return found
        place = (ask.stream, ask.key)
        collection = self._pending.setdefault(place, _Collection(now_s + COLLECT_S))
        collection.asks[node_id] = ask
        everybody = set(carriers) <= collection.asks.keys()
        if everybody or now_s >= collection.until_s or len(self._pending) > MAX_PENDING:
            return self._decide(place)
        return None

    def due_s(self, stream: str, key: str) -> float | None:
        """Return when a pending answer must be given; None when nothing is pending."""
        collection = self._pending.get((stream, key))
        return None if collection is None else collection.until_s

    def answer(self, stream: str, key: str, now_s: float) -> EpochOffset | None:
        """Return the base if it is known or due by now."""
        found = self._answers.get(stream, {}).get(key)
        due_s = self.due_s(stream, key)
        if found is None and due_s is not None and now_s >= due_s:
            return self._decide((stream, key))
        return found

    def learn(self, base: EpochOffset) -> bool:
        """Take in a base that was given before (database, or a relay after our restart).

        The first report wins; returns whether it was new.
        """
        if base.key in self._answers.get(base.stream, {}):
            return False
        self._keep(base)
        return True

    def replace(self, base: EpochOffset) -> None:
        """Take another master's answer instead of ours, which came later."""
        self._answers.setdefault(base.stream, {})[base.key] = base
        self.changes += 1

    def of(self, stream: str) -> tuple[EpochOffset, ...]:
        """Return the stream's last bases, oldest first."""
        return tuple(self._answers.get(stream, {}).values())

    def forget(self, stream: str) -> None:
        """Drop all of a stream that is no more."""
        self._answers.pop(stream, None)

    def _decide(self, place: tuple[str, str]) -> EpochOffset:
        asks = self._pending.pop(place).asks.values()
        stream, key = place
        next_msn = max(a.next_msn for a in asks)
        offset = discontinuity_seq = 0
        if next_msn > 0:
            # Nobody lists a number twice: the new session starts above what any relay has shown.
            offset = next_msn - min(a.first_msn for a in asks)
            discontinuity_seq = max(a.next_discontinuity_seq for a in asks)
        # Each relay's proposal covers what it still lists of earlier sessions.
        base = EpochOffset(
            stream,
            key,
            offset,
            discontinuity_seq,
            max(a.target_duration_s for a in asks),
            max(a.part_target_s for a in asks),
        )
        self._keep(base)
        return base

    def _keep(self, base: EpochOffset) -> None:
        answers = self._answers.setdefault(base.stream, {})
        answers[base.key] = base
        self.changes += 1
        while len(answers) > KEEP_EPOCHS:
            del answers[next(iter(answers))]
