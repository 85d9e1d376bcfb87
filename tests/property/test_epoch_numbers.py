"""Several relays, one master and its database, in any order of restarts, outages and late requests.

The relays are the real timelines, trackers and windows; the master is the real `Epochs`. What stands
between them (the puller, the calls, the database) is as short as a model can be.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from airclass.domain.epochs import COLLECT_S, KEEP_EPOCHS, Epochs, StreamNumbers
from relay.base.cluster_protocol import EpochOffset, EpochRequest, StreamReport
from relay.core.origin.epoch_tracker import EpochTracker, first_msn
from relay.core.stream.segment import segment_name
from relay.core.stream.timeline import Timeline
from tests.harness.builders import WALL_S, fetch_all, new_window, playlist, segment

if TYPE_CHECKING:
    from collections.abc import Generator

    from relay.core.playlist import MediaPlaylist

STREAM = "class1"
SEGMENT_S = 2.0
LISTED = 5
RELAYS = 3
EXAMPLES = 150
STEPS = 40
relay_numbers = st.integers(0, RELAYS - 1)


@dataclass
class Session:
    """What one publisher sends: segments from number 0 on."""

    prefix: str
    started_s: float
    segments: int = 1

    def listed(self) -> MediaPlaylist:
        first = max(0, self.segments - LISTED)
        return playlist(
            2,
            *(
                segment(
                    n, uri=f"{self.prefix}_main_seg{n}.ts", init=None, pdt_s=self.started_s + SEGMENT_S * n
                )
                for n in range(first, self.segments)
            ),
        )


@dataclass
class Shown:
    """What viewers were shown anywhere: one name is one content, one epoch has one offset."""

    contents: dict[str, str] = field(default_factory=dict)
    offsets: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)  # by session

    def note(self, name: str, content: str, epoch_key: str, numbers: tuple[int, int], msn: int) -> None:
        assert self.contents.setdefault(name, content) == content, "one name, two contents"
        self.offsets.setdefault(epoch_key, set()).add(numbers)
        session = content.partition("_")[0]
        self.highest[session] = max(self.highest.get(session, -1), msn)


class Relay:
    """One relay process."""

    def __init__(self, name: str, shown: Shown) -> None:
        self.name = name
        self.shown = shown
        self.timeline = Timeline(STREAM)
        self.tracker = EpochTracker(self.timeline)
        self.window = new_window(self.timeline)
        self.is_live = False
        self.connected = False
        self.reported = self.report()
        self.last = (-1, -1)
        self.disputes = self.refusals = 0

    def report(self) -> StreamReport:
        state = "live" if self.is_live else "reconnecting"
        return StreamReport(
            *(STREAM, state, 0, 1.0),
            next_msn=self.timeline.next_msn,
            next_discontinuity_seq=self.timeline.next_discontinuity_seq,
        )

    def lose(self) -> None:
        self.is_live = False
        self.tracker.begin()

    def obey(self, epochs: tuple[EpochOffset, ...]) -> None:
        for offset in epochs:
            self.disputes += not self.timeline.learn(offset)

    def poll(self, listed: MediaPlaylist, now_s: float) -> Generator[EpochRequest, EpochOffset | None]:
        """Take in a playlist as the puller does; yields what it asks the master."""
        timeline = self.timeline
        key = self.tracker.key(listed)
        epoch = timeline.known(key)
        if epoch is None or not timeline.has_begun(epoch):
            if timeline.current is None or timeline.current.session != key.partition("+")[0]:
                self.window.finish()
            first = first_msn(listed, seen_until_s=self.window.seen_until_s)
            if epoch is None or not timeline.accepts(epoch, first):
                request = timeline.request(key, first, listed)
                offset = yield request
                if offset is not None and not timeline.accepts(offset, first):
                    self.refusals += 1
                    request = timeline.refuse(offset, request)
                    offset = yield request
                    assert offset is None or timeline.accepts(offset, first), (
                        "the master answers a higher one"
                    )
                epoch = timeline.adopt(offset or timeline.decide_alone(request))
            timeline.begin(epoch)
        self.is_live = self.window.update(listed, epoch, now_s, WALL_S + now_s)
        fetch_all(self.window, now_s)
        self.look()

    def look(self) -> None:
        """Check what viewers see now against what they have seen."""
        entries = self.window.listed
        assert [e.msn for e in entries] == list(range(entries[0].msn, entries[0].msn + len(entries)))
        for before, after in zip(entries, entries[1:], strict=False):
            step = after.discontinuity_seq - before.discontinuity_seq
            assert step == after.discontinuity, "a step that no tag says"
        for entry in entries:
            if not entry.gap:
                numbers = (entry.epoch.offset, entry.epoch.discontinuity_seq)
                name = segment_name("v0", entry)
                self.shown.note(name, entry.uri, entry.epoch.key, numbers, entry.msn)
        newest = (entries[-1].msn, entries[-1].discontinuity_seq)
        assert newest >= self.last, "numbers fell"
        assert newest[1] >= self.last[1], "discontinuities fell"
        self.last = newest


class Master:
    """The master and its database, which may be away."""

    def __init__(self) -> None:
        self.starts = 1
        self.epochs = Epochs(first_order=1000)
        self.has_database = True
        self.rows: dict[str, EpochOffset] = {}
        self.numbers: tuple[StreamNumbers, float] | None = None
        self.given: dict[str, EpochOffset] = {}

    def write(self, now_s: float) -> None:
        if not self.has_database:
            return
        for offset in list(self.epochs.unsaved.values()):
            kept = self.rows.setdefault(offset.key, offset)
            assert kept == offset, "there is one master"
            self.epochs.saved_epoch(offset)
        for stream, numbers in self.epochs.unsaved_numbers().items():
            self.numbers = (numbers, now_s)
            self.epochs.saved_numbers(stream, numbers)

    def restart(self, now_s: float) -> None:
        """What was not written is forgotten; a relay that knows it brings it when it registers."""
        self.given = {key: self.given[key] for key in self.given.keys() & self.rows.keys()}
        self.starts += 1
        self.epochs = Epochs(first_order=1000 * self.starts)
        self.epochs.load(sorted(self.rows.values(), key=lambda e: e.order))
        if self.numbers is not None:
            self.epochs.load_numbers(STREAM, self.numbers[0], now_s - self.numbers[1])

    def lose_database(self) -> None:
        self.rows, self.numbers, self.given = {}, None, {}

    def answered(self, offset: EpochOffset) -> EpochOffset:
        kept = self.given.setdefault(offset.key, offset)
        assert (kept.offset, kept.discontinuity_seq) == (offset.offset, offset.discontinuity_seq), (
            "an epoch has one offset for ever"
        )
        return offset


class Cluster(RuleBasedStateMachine):
    """What every program may do."""

    @initialize()
    def begin(self) -> None:
        self.now_s = 0.0
        self.shown = Shown()
        self.master = Master()
        self.relays = [self.fresh(n) for n in range(RELAYS)]
        self.count = 0
        self.session: Session | None = None
        self.before = -1  # the highest number of earlier sessions, when this one began

    def fresh(self, number: int) -> Relay:
        relay = Relay(f"n{number}", self.shown)
        self.connect(relay)
        return relay

    def connect(self, relay: Relay) -> None:
        """Register: the relay brings what it knows, and gets its orders; its first beat follows."""
        relay.connected = True
        for offset in relay.timeline.offsets():
            self.master.epochs.learn(offset)
        numbers = self.master.epochs.numbers(STREAM)
        relay.timeline.learn_numbers(numbers.next_msn, numbers.next_discontinuity_seq)
        relay.obey(self.master.epochs.of(STREAM))
        self.beat(relay)

    def beat(self, relay: Relay) -> None:
        if relay.connected:
            relay.reported = report = relay.report()
            self.master.epochs.report(STREAM, report.next_msn, report.next_discontinuity_seq)

    def reports(self) -> dict[str, StreamReport]:
        return {r.name: r.report() for r in self.relays if r.connected}

    def poll(self, *numbers: int) -> None:
        """Let relays look at the origin within one collection of the master, in this order."""
        if self.session is None:
            return
        listed = self.session.listed()
        waiting = []
        lost = [relay for relay in self.relays if not relay.is_live]
        for relay in dict.fromkeys(self.relays[n] for n in numbers):
            asking = relay.poll(listed, self.now_s)
            request = next(asking, None)
            if request is not None:
                waiting.append((relay, asking, request, self.ask(relay, request)))
        self.now_s += COLLECT_S
        for relay, asking, asked, answer in waiting:
            request: EpochRequest | None = asked
            offset = answer
            while request is not None:
                if relay.connected:
                    offset = offset or self.master.epochs.answer(STREAM, request.key, self.now_s)
                    assert offset is not None
                    self.master.answered(offset)
                try:
                    request = asking.send(offset)
                except StopIteration:
                    break
                offset = self.ask(relay, request)
        for relay in lost:
            if relay.is_live:
                self.beat(relay)  # a stream that comes or goes is reported at once
        self.master.write(self.now_s)

    def ask(self, relay: Relay, request: EpochRequest) -> EpochOffset | None:
        if not relay.connected:
            return None
        return self.master.epochs.ask(relay.name, request, self.reports(), self.now_s)

    def deliver(self) -> None:
        for relay in self.relays:
            if relay.connected:
                relay.obey(self.master.epochs.of(STREAM))

    def beat_all(self) -> None:
        for relay in self.relays:
            self.beat(relay)
        self.master.write(self.now_s)

    # -- what happens ---------------------------------------------------------------------

    @rule(order=st.permutations(range(RELAYS)), count=st.integers(1, RELAYS), segments=st.integers(1, 4))
    def class_goes_on(self, order: list[int], count: int, segments: int) -> None:
        """Some relays, in some order, see new segments; the others see them later."""
        if self.session is not None:
            self.session.segments += segments
            self.now_s += SEGMENT_S * segments
        self.poll(*order[:count])
        self.beat_all()
        self.deliver()

    @rule(order=st.permutations(range(RELAYS)), count=st.integers(0, RELAYS), away_s=st.integers(1, 500))
    def publisher_returns(self, order: list[int], count: int, away_s: int) -> None:
        self.publisher_leaves()
        self.now_s += away_s
        self.count += 1
        self.before = max(self.shown.highest.values(), default=-1)
        self.session = Session(f"{self.count:012x}", WALL_S + self.now_s, segments=2)
        self.now_s += 2 * SEGMENT_S
        self.poll(*order[:count])

    @rule()
    def publisher_leaves(self) -> None:
        self.session = None
        for relay in self.relays:
            relay.lose()
        self.beat_all()

    @rule(number=relay_numbers)
    def relay_restarts(self, number: int) -> None:
        if self.relays[number].connected:
            self.master.epochs.lost([self.relays[number].reported])
        self.relays[number] = self.fresh(number)

    @rule(away_s=st.integers(0, 100))
    def master_restarts(self, away_s: int) -> None:
        """Nobody has reported to the new one when the next relay asks."""
        self.now_s += away_s
        self.master.restart(self.now_s)
        for relay in self.relays:
            relay.connected = False

    @rule(number=relay_numbers)
    def relay_connects(self, number: int) -> None:
        if not self.relays[number].connected:
            self.connect(self.relays[number])

    @rule(off_s=st.integers(0, 100_000))
    def power_fails(self, off_s: int) -> None:
        self.session = None
        self.now_s += off_s
        self.master.restart(self.now_s)
        self.relays = [self.fresh(n) for n in range(RELAYS)]

    def teardown(self) -> None:
        """In the end all relays agree, and go on together."""
        if not hasattr(self, "relays"):
            return
        self.master.has_database = True
        for relay in self.relays:
            if not relay.connected:
                self.connect(relay)
        if self.session is None:
            self.publisher_returns(list(range(RELAYS)), RELAYS, 1)
        for _ in range(2 * LISTED):
            self.class_goes_on(list(range(RELAYS)), RELAYS, 1)
        playlists = [[segment_name("v0", e) for e in relay.window.listed] for relay in self.relays]
        assert playlists[0] == playlists[1] == playlists[2], "all relays list the same"
        assert len(self.master.epochs.of(STREAM)) <= KEEP_EPOCHS


class AttachedCluster(Cluster):
    """Relays reach the master whenever they ask, and the database is there."""

    def poll(self, *numbers: int) -> None:
        for number in numbers:
            self.relay_connects(number)
        super().poll(*numbers)
        session = self.session
        if session is not None:
            first = min(
                (e.msn for r in self.relays for e in r.window.listed if e.uri.startswith(session.prefix)),
                default=self.before + 1,
            )
            assert first > self.before, "viewers have seen a number of the new session before"
        assert all(len(offsets) == 1 for offsets in self.shown.offsets.values())

    def teardown(self) -> None:
        super().teardown()
        assert not sum(r.disputes for r in getattr(self, "relays", []))


class CutCluster(Cluster):
    """Lines to the master are cut, and the database is away, lost or not written in time."""

    @rule(number=relay_numbers)
    def line_is_cut(self, number: int) -> None:
        self.relays[number].connected = False

    @rule()
    def database_is_away(self) -> None:
        self.master.has_database = False

    @rule()
    def database_is_back(self) -> None:
        self.master.has_database = True
        self.master.write(self.now_s)

    @precondition(lambda self: self.count > 1)
    @rule()
    def database_is_lost(self) -> None:
        """The master starts with an empty one, while relays play on."""
        self.master.lose_database()
        self.master_restarts(0)


for machine in (AttachedCluster, CutCluster):
    machine.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS)
TestAttached = AttachedCluster.TestCase
TestCut = CutCluster.TestCase
