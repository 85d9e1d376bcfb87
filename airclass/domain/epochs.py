"""The numbers of every stream, the same on every relay of the cluster.

Each epoch has one offset for ever, and each new epoch starts above every number that viewers have been
shown anywhere. What viewers have been shown is known from the relays' reports and requests, from the
offsets given out earlier, and after a restart from the database. The rule as a whole is in
docs/relay.md ("Who chooses the offset?"). Does no I/O: the master's services save what is `unsaved`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from airclass.domain.classrooms import StreamState
from relay.base.cluster_protocol import SUCCESSOR, EpochOffset, session_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from relay.base.cluster_protocol import EpochRequest, StreamReport

COLLECT_S = 0.3
KEEP_EPOCHS = 64
ORDERED_EPOCHS = 8  # as many as a relay keeps
MAX_PENDING = 200
MAX_KEY_CHARS = 128
MAX_SUFFIX_CHARS = 20
# A live relay that does not ask in time, or has ended, may have listed so much since its last report.
LIVE_MARGIN = 2
# The database is written when this many numbers were shown since; what it says is up to MIN_SAVED_MARGIN
# and one segment a second behind.
SAVE_EVERY = 8
MIN_SAVED_MARGIN = 64
# JavaScript players count exactly up to 2**53; a report beyond this is nonsense.
MAX_NUMBER = 2**52


@dataclass(frozen=True, slots=True)
class StreamNumbers:
    """The lowest numbers of a stream that no viewer has been shown."""

    next_msn: int = 0
    next_discontinuity_seq: int = 0

    def above(self, next_msn: int, next_discontinuity_seq: int) -> StreamNumbers:
        """Return numbers that are above these and those; numbers out of range are ignored."""
        msn = next_msn if next_msn < MAX_NUMBER else 0
        discontinuity_seq = next_discontinuity_seq if next_discontinuity_seq < MAX_NUMBER else 0
        return StreamNumbers(max(self.next_msn, msn), max(self.next_discontinuity_seq, discontinuity_seq))


@dataclass(slots=True)
class _Stream:
    """What is known of one stream's numbers."""

    epochs: dict[str, EpochOffset] = field(default_factory=dict)
    reported: StreamNumbers = StreamNumbers()  # by relays
    given: StreamNumbers = StreamNumbers()  # by offsets: an epoch takes at least one number of each kind
    saved: StreamNumbers = StreamNumbers()
    loaded: StreamNumbers = StreamNumbers()
    loaded_margin: int = 0

    @property
    def numbers(self) -> StreamNumbers:
        """The numbers above everything that viewers may have been shown.

        What the database says needs its margin only until a relay reports more than can have been unsaved
        when it was read: that relay has been there all the time, so its numbers are exact.
        """
        is_exact = self.reported.next_msn >= self.loaded.next_msn + SAVE_EVERY
        margin = 0 if is_exact else self.loaded_margin
        return self.shown.above(self.loaded.next_msn + margin, self.loaded.next_discontinuity_seq)

    @property
    def shown(self) -> StreamNumbers:
        """The numbers above what viewers have been shown, as far as this master has seen it."""
        return self.reported.above(self.given.next_msn, self.given.next_discontinuity_seq)

    def newest_of(self, session: str) -> EpochOffset | None:
        """Return the newest epoch of an origin session."""
        mine = [e for e in self.epochs.values() if session_of(e.key) == session]
        return max(mine, key=lambda e: e.order, default=None)


@dataclass(slots=True)
class _Collection:
    until_s: float
    requests: dict[str, EpochRequest] = field(default_factory=dict)
    reports: Mapping[str, StreamReport] = field(default_factory=dict)


class Epochs:
    """The offsets given out, the numbers shown, and requests that are still being collected.

    `changed` is called whenever there is an epoch that relays do not know yet. `first_order` is above all
    order numbers of earlier masters, also if the database was lost: it is the time of the start.
    """

    def __init__(self, changed: Callable[[], None] = lambda: None, first_order: int = 1) -> None:
        self.unsaved: dict[tuple[str, str], EpochOffset] = {}
        self._streams: dict[str, _Stream] = {}
        self._pending: dict[tuple[str, str], _Collection] = {}
        self._changed = changed
        self._first_order = first_order

    # -- requests -------------------------------------------------------------------------

    def ask(
        self, node_id: str, request: EpochRequest, reports: Mapping[str, StreamReport], now_s: float
    ) -> EpochOffset | None:
        """Return the epoch's offset, or None while other relays may still ask (until `due_s`).

        `reports` are those of the nodes that carry the stream and so will ask too.
        """
        stream = self._stream(request.stream)
        stream.reported = stream.reported.above(request.next_msn, request.next_discontinuity_seq)
        if request.refused:
            return self._successor(node_id, request, reports)
        found = stream.epochs.get(request.key)
        if found is not None:
            return found
        place = (request.stream, request.key)
        collection = self._pending.setdefault(place, _Collection(now_s + COLLECT_S))
        collection.requests[node_id] = request
        collection.reports = reports
        everybody = reports.keys() <= collection.requests.keys()
        if everybody or now_s >= collection.until_s or len(self._pending) > MAX_PENDING:
            return self._decide_pending(place)
        return None

    def due_s(self, stream: str, key: str) -> float | None:
        """Return when a pending request must be answered; None when nothing is pending."""
        collection = self._pending.get((stream, key))
        return None if collection is None else collection.until_s

    def answer(self, stream: str, key: str, now_s: float) -> EpochOffset | None:
        """Return the epoch's offset if it is known or due by now."""
        due_s = self.due_s(stream, key)
        if due_s is not None and now_s >= due_s:
            return self._decide_pending((stream, key))
        known = self._streams.get(stream)
        return known.epochs.get(key) if known is not None else None

    # -- what relays and the database say ---------------------------------------------------

    def report(self, stream: str, next_msn: int, next_discontinuity_seq: int) -> None:
        """Note the highest numbers that a relay has listed to viewers."""
        known = self._stream(stream)
        known.reported = known.reported.above(next_msn, next_discontinuity_seq)

    def lost(self, reports: Iterable[StreamReport]) -> None:
        """Note the last reports of a relay that has ended: a live one may have listed more since then."""
        for report in reports:
            if report.state == StreamState.LIVE and report.next_msn and report.stream in self._streams:
                self.report(report.stream, report.next_msn + LIVE_MARGIN, report.next_discontinuity_seq)

    def learn(self, offset: EpochOffset) -> bool:
        """Take in an offset that a relay has from an earlier master, or decided alone.

        The first one of an epoch stays; returns whether it was new. The relay whose offset differs
        finds out by its orders and asks for higher numbers.
        """
        stream = self._stream(offset.stream)
        if offset.key in stream.epochs:
            stream.given = _with(stream.given, offset)
            return False
        taken = {e.order for e in stream.epochs.values()}
        if offset.order <= 0 or offset.order in taken:
            offset = msgspec.structs.replace(offset, order=self._next_order(stream))
        self._keep(offset)
        return True

    def replace(self, offset: EpochOffset) -> None:
        """Take the offset that the database keeps in place of ours: another master was first."""
        self._keep(offset)
        self.saved_epoch(offset)

    def load(self, offsets: Iterable[EpochOffset]) -> None:
        """Take in what the database keeps."""
        for offset in offsets:
            self.replace(offset)

    def load_numbers(self, stream: str, numbers: StreamNumbers, age_s: float) -> None:
        """Take in the numbers that the database keeps; they were written `age_s` ago."""
        known = self._stream(stream)
        known.loaded = known.saved = numbers
        known.loaded_margin = MIN_SAVED_MARGIN + int(max(0.0, age_s))

    # -- what orders and the database need ----------------------------------------------------

    def of(self, stream: str) -> tuple[EpochOffset, ...]:
        """Return the stream's last epochs, oldest first."""
        known = self._streams.get(stream)
        epochs = known.epochs.values() if known is not None else ()
        return tuple(sorted(epochs, key=lambda e: e.order)[-ORDERED_EPOCHS:])

    def numbers(self, stream: str) -> StreamNumbers:
        """Return numbers above all that viewers of the stream may have been shown."""
        known = self._streams.get(stream)
        return StreamNumbers() if known is None else known.numbers

    def unsaved_numbers(self) -> dict[str, StreamNumbers]:
        """Return the streams whose numbers should be written to the database."""
        return {
            name: stream.shown
            for name, stream in self._streams.items()
            if stream.shown.next_msn >= stream.saved.next_msn + SAVE_EVERY
            or stream.shown.next_discontinuity_seq > stream.saved.next_discontinuity_seq
        }

    def saved_numbers(self, stream: str, numbers: StreamNumbers) -> None:
        """Note that the database keeps these numbers."""
        known = self._streams.get(stream)
        if known is not None:
            known.saved = known.saved.above(numbers.next_msn, numbers.next_discontinuity_seq)

    def saved_epoch(self, offset: EpochOffset) -> None:
        """Note that the database keeps this offset."""
        self.unsaved.pop((offset.stream, offset.key), None)

    def forget(self, stream: str) -> None:
        """Drop a stream that was deleted."""
        self._streams.pop(stream, None)
        for place in [p for p in self.unsaved if p[0] == stream]:
            del self.unsaved[place]

    # -- deciding -------------------------------------------------------------------------

    def _stream(self, name: str) -> _Stream:
        return self._streams.setdefault(name, _Stream())

    def _decide_pending(self, place: tuple[str, str]) -> EpochOffset:
        collection = self._pending.pop(place)
        learned = self._stream(place[0]).epochs.get(place[1])
        return learned or self._decide(place[1], collection.requests, collection.reports)

    def _successor(
        self, node_id: str, request: EpochRequest, reports: Mapping[str, StreamReport]
    ) -> EpochOffset:
        """Number a running session once more, above what the relay that refused its offset has shown.

        An epoch keeps its offset, so the session goes on as another epoch, on all relays.
        """
        newest = self._stream(request.stream).newest_of(session_of(request.key))
        if newest is not None and newest.key != request.refused and _is_usable(newest, request):
            return newest
        return self._decide("", {node_id: request}, reports)

    def _decide(
        self, key: str, requests: Mapping[str, EpochRequest], reports: Mapping[str, StreamReport]
    ) -> EpochOffset:
        """Give an epoch its numbers; without a key it is named after its session and its numbers."""
        first = next(iter(requests.values()))
        stream = self._stream(first.stream)
        numbers = stream.numbers
        for node_id, report in reports.items():
            if node_id not in requests and report.state == StreamState.LIVE and report.next_msn:
                numbers = numbers.above(report.next_msn + LIVE_MARGIN, report.next_discontinuity_seq)
        first_msn = min(r.first_msn for r in requests.values())
        # The first epoch of a stream keeps the origin's own numbers.
        offset = numbers.next_msn - first_msn if numbers.next_msn or stream.epochs else 0
        discontinuity_seq = numbers.next_discontinuity_seq
        # Each relay's proposal covers what it still lists of earlier epochs.
        session = session_of(first.key)[: MAX_KEY_CHARS - MAX_SUFFIX_CHARS]
        decided = EpochOffset(
            first.stream,
            key or f"{session}{SUCCESSOR}{discontinuity_seq}",
            offset,
            discontinuity_seq,
            max(r.target_duration_s for r in requests.values()),
            max(r.part_target_s for r in requests.values()),
            self._next_order(stream),
        )
        self._keep(decided)
        stream.given = stream.given.above(offset + first_msn + 1, discontinuity_seq + 1)
        return decided

    def _next_order(self, stream: _Stream) -> int:
        return max(self._first_order, max((e.order for e in stream.epochs.values()), default=0) + 1)

    def _keep(self, offset: EpochOffset) -> None:
        stream = self._stream(offset.stream)
        stream.epochs[offset.key] = self.unsaved[offset.stream, offset.key] = offset
        stream.given = _with(stream.given, offset)
        while len(stream.epochs) > KEEP_EPOCHS:
            oldest = min(stream.epochs.values(), key=lambda e: e.order)
            del stream.epochs[oldest.key]
            self.saved_epoch(oldest)
        self._changed()


def _is_usable(offset: EpochOffset, request: EpochRequest) -> bool:
    """Tell whether a relay can list an epoch: none of its numbers is below what viewers have seen."""
    return (
        request.first_msn + offset.offset >= request.next_msn
        and offset.discontinuity_seq >= request.next_discontinuity_seq
    )


def _with(numbers: StreamNumbers, offset: EpochOffset) -> StreamNumbers:
    """Return numbers above these and the first ones of an epoch, which takes at least one of each."""
    return numbers.above(offset.offset + 1, offset.discontinuity_seq + 1)
