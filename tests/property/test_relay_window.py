"""Properties of a window, whatever origin, line and publishers do to it.

A made-up origin goes through sessions; a relay polls it when it likes, loses fetches, is cut off,
and evicts. What viewers were shown is remembered and must stay true.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from relay.core.origin.epoch_tracker import EpochTracker, first_msn
from relay.core.playlist import Map, MediaPlaylist, MultivariantPlaylist, PreloadHint, Segment, Variant, parse
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.stream.stream import Stream
from tests.harness.builders import WALL_S, MemoryBody, bytes_of, data, ll, part, playlist

if TYPE_CHECKING:
    from relay.base.cluster_protocol import EpochOffset
    from relay.core.stream.segment import Fetch
    from relay.core.stream.timeline import Timeline
    from relay.core.stream.window import Window

DATA = Path(__file__).parents[1] / "data" / "playlists"
INDEX = MultivariantPlaylist((Variant("video.m3u8", (("BANDWIDTH", "1"),)),))
PARTS = 3
SIZE = 100


def body(uri: str) -> bytes:
    """Return an object's bytes: a segment is its parts."""
    if "_s" not in uri:
        return data(uri, SIZE)
    return b"".join(data(f"{uri[:-4].replace('_s', '_p')}.{i}.mp4", SIZE) for i in range(PARTS))


@dataclass
class Session:
    """One publisher's session as the origin lists it: parts of a second, three a segment."""

    key: str
    first_msn: int
    window: int
    low_latency: bool
    made: int = 0  # parts so far
    tiny_last: bool = False  # whether a segment's last part is of a single frame

    @property
    def complete(self) -> int:
        return self.made // PARTS

    def segment(self, number: int, parts_shown: int) -> Segment:
        msn, whole = self.first_msn + number, parts_shown == PARTS
        lengths = [1.0, 1.0, 0.03 if self.tiny_last else 1.0]
        shown = tuple(part(f"{self.key}_p{msn}.{i}.mp4", lengths[i]) for i in range(parts_shown))
        near = self.low_latency and number >= self.complete - 2
        init = Map(f"{self.key}_init.mp4")
        name = f"{self.key}_s{msn}.mp4" if whole else ""
        return Segment(msn, name, sum(lengths) if whole else 0.0, shown if near else (), map=init)

    def listed(self, *, hint: bool) -> MediaPlaylist:
        first = max(0, self.complete - self.window)
        whole = [self.segment(n, PARTS) for n in range(first, self.complete)]
        rest = self.made % PARTS
        if not self.low_latency:
            return playlist(3, *whole)
        opened = [self.segment(self.complete, rest)] if rest else []
        msn = self.first_msn + self.complete
        listed = ll(*whole, *opened, hint=f"{self.key}_p{msn}.{rest}.mp4" if hint else "")
        return MediaPlaylist(
            3,
            listed.segments,
            self.first_msn + first,
            part_target_s=1.0,
            open_segment=listed.open_segment,
            preload_hints=listed.preload_hints,
        )


@dataclass
class Seen:
    """What viewers were shown so far, and whether it stayed true."""

    stream: Stream
    window: Window
    max_bytes: int
    names: dict[int, str] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)  # discontinuity sequence by number
    dates: dict[int, float] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    first: int = 0
    last: int = -1
    discontinuity_sequence: int = 0
    live_edge: tuple[int, int] = (-1, 0)
    text: tuple[int, str] = (-1, "")

    def look(self) -> None:
        window = self.window
        assert window.size_bytes <= self.max_bytes + 2 * PARTS * SIZE + 2 * SIZE
        live_edge = (window.live_edge.last_msn, window.live_edge.open_parts)
        assert live_edge[0] >= self.live_edge[0], "the edge went back"
        self.live_edge = live_edge
        if not window.ready:
            return
        text = self.stream.media_text(window)
        if window.version == self.text[0]:
            assert text == self.text[1], "one version had two texts"
        self.text = (window.version, text)
        listed = parse(text)
        assert isinstance(listed, MediaPlaylist)
        self.check(listed)

    def check(self, listed: MediaPlaylist) -> None:
        assert listed.media_sequence >= self.first, "the sequence went back"
        assert listed.discontinuity_sequence >= self.discontinuity_sequence
        self.first, self.discontinuity_sequence = listed.media_sequence, listed.discontinuity_sequence
        opened = [listed.open_segment] if listed.open_segment else []
        count = listed.discontinuity_sequence
        for number, segment in enumerate([*listed.segments, *opened]):
            assert segment.msn == listed.media_sequence + number, "the list has a hole"
            count += segment.discontinuity
            assert self.counts.setdefault(segment.msn, count) == count, "another discontinuity count"
            assert segment.program_date_time_s is not None
            date_s = self.dates.setdefault(segment.msn, segment.program_date_time_s)
            assert abs(date_s - segment.program_date_time_s) < 0.002, "another date"
            if segment.uri:
                assert self.names.setdefault(segment.msn, segment.uri) == segment.uri, "another name"
            names = [p.uri for p in segment.parts] + (
                [segment.uri] if segment.uri and not segment.gap else []
            )
            if segment.map is not None:
                names.append(segment.map.uri)
            whole = b""
            for name in names:
                found = bytes_of(self.window, name)
                assert found is not None, f"{name} is listed and cannot be had"
                assert self.bodies.setdefault(name, found) == found, "other bytes under the same name"
                if name in [p.uri for p in segment.parts]:
                    whole += found
            if segment.parts and segment.uri and not segment.gap:
                assert bytes_of(self.window, segment.uri) == whole, "a segment is not its parts"
        end = max((s.msn for s in listed.segments), default=self.last)
        assert end >= self.last, "what was listed was taken back"
        self.last = end
        for hint in listed.preload_hints:
            assert hint == PreloadHint("PART", self.window.hint_name)


def epoch_of(stream: Stream, sessions: EpochTracker, listed: MediaPlaylist) -> object:
    key = sessions.key(listed)
    known = stream.timeline.known(key)
    if known is None:
        stream.end_session()
        known = stream.timeline.adopt(
            stream.timeline.decide_alone(stream.timeline.request(key, first_msn(listed), listed))
        )
    return known


class WindowMachine(RuleBasedStateMachine):
    """Sessions come and go, polls are late, fetches fail, the line is cut."""

    @initialize(
        max_bytes=st.sampled_from([400, 1500, 10_000]), window=st.integers(1, 5), low_latency=st.booleans()
    )
    def begin(self, max_bytes: int, window: int, low_latency: bool) -> None:
        self.stream = Stream("class1", MemoryBody, budget=MemoryBudget(max_bytes))
        self.stream.describe(INDEX, "http://o.example/i")
        self.window = self.stream.windows["v0"]
        self.sessions = EpochTracker(self.stream.timeline)
        self.seen = Seen(self.stream, self.window, max_bytes)
        self.now_s = 100.0
        self.count = 0
        self.size = window
        self.low_latency = low_latency
        self.flying: list[Fetch] = []
        self.had: set[str] = set()
        self.session = Session("000000000000", 0, window, low_latency, made=PARTS)

    @rule(made=st.integers(1, 4))
    def publish(self, made: int) -> None:
        self.session.made += made
        self.now_s += made

    @rule(made=st.integers(20, 60))
    def be_away_for_long(self, made: int) -> None:
        self.publish(made)

    @rule(first_msn=st.integers(0, 9), low_latency=st.booleans())
    def restart(self, first_msn: int, low_latency: bool) -> None:
        self.count += 1
        self.session = Session(f"{self.count:012x}", first_msn, self.size, low_latency, made=PARTS)
        self.now_s += 3

    @rule(hint=st.booleans())
    def poll(self, hint: bool) -> None:
        self.update(self.session.listed(hint=hint))

    @rule()
    def poll_a_sloppy_origin(self) -> None:
        """It still hints at a part that it lists by now."""
        listed = self.session.listed(hint=False)
        newest = listed.open_segment or (listed.segments[-1] if listed.segments else None)
        if newest is not None and newest.parts:
            self.update(replace(listed, preload_hints=(PreloadHint("PART", newest.parts[-1].uri),)))

    def update(self, listed: MediaPlaylist) -> None:
        epoch = epoch_of(self.stream, self.sessions, listed)
        self.window.update(listed, epoch, self.now_s, WALL_S + self.now_s)  # type: ignore[arg-type]

    @rule()
    def ask(self) -> None:
        fetch = self.window.wanted(self.now_s)
        if fetch is not None:
            assert fetch.uri not in [f.uri for f in self.flying], "it is under way"
            assert fetch.uri not in self.had, "it has been fetched"
            self.flying.append(fetch)

    def take(self, index: int) -> Fetch | None:
        return self.flying.pop(index % len(self.flying)) if self.flying else None

    @rule(index=st.integers(0, 9))
    def arrive(self, index: int) -> None:
        if (fetch := self.take(index)) is not None:
            self.window.arrived(fetch, body(fetch.uri), self.now_s)
            self.had.add(fetch.uri)

    @rule()
    def fetch_everything(self) -> None:
        while self.flying:
            self.arrive(0)
        for _ in range(200):
            self.ask()
            if not self.flying:
                return
            self.arrive(0)
        raise AssertionError("the window wants things for ever")

    @rule(index=st.integers(0, 9), gone=st.booleans())
    def fail(self, index: int, gone: bool) -> None:
        if (fetch := self.take(index)) is not None:
            self.window.failed(fetch, self.now_s, gone=gone)

    @rule()
    def cut_the_line(self) -> None:
        while self.flying:
            self.window.put_back(self.flying.pop())

    @rule()
    def tick(self) -> None:
        self.now_s += 0.5
        self.window.tick(self.now_s)

    @invariant()
    def viewers_see_nothing_that_is_untrue(self) -> None:
        self.seen.look()

    def teardown(self) -> None:
        """In the end, with a working line, the list reaches the origin's."""
        if not hasattr(self, "session"):
            return
        self.cut_the_line()
        for _ in range(12):
            self.publish(PARTS)
            self.poll(hint=True)
            self.fetch_everything()
            self.now_s += 1.0
            self.window.tick(self.now_s)
            self.fetch_everything()
            self.seen.look()
        epoch = self.stream.timeline.newest
        assert epoch is not None
        newest = self.session.first_msn + self.session.complete - 1 + epoch.offset
        assert self.window.live_edge.last_msn == newest, "the list fell behind for good"


WindowMachine.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestWindow = WindowMachine.TestCase


# -- one fetch an object --------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.booleans(), st.integers(0, 3), st.booleans()), min_size=1, max_size=40
    ),
    st.booleans(),
)
def test_every_object_is_fetched_once_hints_included(
    steps: list[tuple[int, bool, int, bool]], low_latency: bool
) -> None:
    """The relay fetches one object at a time; a hint may come before or after its listing."""
    stream = Stream("class1", MemoryBody, budget=MemoryBudget(10**6))
    stream.describe(INDEX, "http://o.example/i")
    window, sessions = stream.windows["v0"], EpochTracker(stream.timeline)
    session = Session("0123456789ab", 5, 4, low_latency, made=PARTS)
    asked: list[str] = []
    flying: Fetch | None = None
    now_s = 100.0
    for made, polled, fetches, hint in steps:
        now_s += made
        session.made += made
        if polled:
            listed = session.listed(hint=hint)
            window.update(listed, epoch_of(stream, sessions, listed), now_s, WALL_S)  # type: ignore[arg-type]
        for _ in range(fetches):
            if flying is not None:
                window.arrived(flying, data(flying.uri), now_s)
            flying = window.wanted(now_s)
            if flying is not None:
                asked.append(flying.uri)
    names = [uri for uri in asked if "_p" in uri or "_s" in uri or "_init" in uri]
    assert len(names) == len(set(names))


# -- relays beside each other ---------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), min_size=3, max_size=40),
    st.integers(1, 3),
    st.booleans(),
)
def test_two_relays_list_the_same_numbers_names_and_bytes(
    steps: list[tuple[int, bool, bool]], restarts: int, low_latency: bool
) -> None:
    """Two windows see the same origin at different times; a master gives both the same numbers."""
    streams, windows, sessions = [], [], []
    for _ in range(2):
        stream = Stream("class1", MemoryBody, budget=MemoryBudget(10**6))
        stream.describe(INDEX, "http://o.example/i")
        streams.append(stream)
        windows.append(stream.windows["v0"])
        sessions.append(EpochTracker(stream.timeline))
    bases: dict[str, object] = {}
    names: dict[int, str] = {}
    counts: dict[int, int] = {}
    bodies: dict[str, bytes] = {}
    now_s = 100.0

    def poll(which: int, session: Session) -> None:
        timeline: Timeline = streams[which].timeline
        listed = session.listed(hint=False)
        key = sessions[which].key(listed)
        epoch = timeline.known(key)
        if epoch is None:
            streams[which].end_session()
            if key not in bases:
                asks = [s.timeline.request(key, first_msn(listed), listed) for s in streams]
                furthest = max(asks, key=lambda a: (a.next_msn, a.next_discontinuity_seq))
                bases[key] = timeline.decide_alone(furthest)
            epoch = timeline.adopt(bases[key])  # type: ignore[arg-type]
        window = windows[which]
        window.update(listed, epoch, now_s, WALL_S)
        while (fetch := window.wanted(now_s)) is not None:
            window.arrived(fetch, body(fetch.uri), now_s)
        if not window.ready:
            return
        shown = parse(streams[which].media_text(window))
        assert isinstance(shown, MediaPlaylist)
        count = shown.discontinuity_sequence
        for segment in shown.segments:
            count += segment.discontinuity
            assert counts.setdefault(segment.msn, count) == count
            if segment.gap:
                continue
            assert names.setdefault(segment.msn, segment.uri) == segment.uri
            found = bytes_of(window, segment.uri)
            assert found is not None
            assert bodies.setdefault(segment.uri, found) == found

    for number in range(restarts):
        session = Session(f"{number:012x}", 7 * (number % 2), 4, low_latency, made=PARTS)
        for made, first, second in steps:
            session.made += made
            now_s += made
            if first:
                poll(0, session)
            if second:
                poll(1, session)
        session.made += -session.made % PARTS  # both see the session's last segment end
        for which in (0, 1):
            poll(which, session)
        assert windows[0].live_edge.last_msn == windows[1].live_edge.last_msn


MOMENT = st.tuples(
    st.integers(0, 4),  # parts made
    st.integers(0, 9),  # 0: the publisher begins anew
    st.lists(  # what each relay does then: whether it polls, how much it fetches, what it loses of it
        st.tuples(
            st.integers(0, 3),
            st.sampled_from([9, 9, 2, 1]),
            st.sampled_from(["", "", "late", "lost", "gone"]),
        ),
        min_size=2,
        max_size=2,
    ),
)


@given(st.lists(MOMENT, min_size=6, max_size=30), st.booleans())
@settings(max_examples=200)
def test_one_name_is_one_content_on_every_relay(
    moments: list[tuple[int, int, list[tuple[int, int, str]]]], tiny_last: bool
) -> None:
    """Two relays see one origin over different bad lines: they may list less, never other bytes.

    Sessions end in the middle of a segment, of which one relay has more parts than the other. With
    `tiny_last` the last part of a segment is so short that durations hardly miss it.
    """
    relays = [Beside(), Beside()]
    bases: dict[str, EpochOffset] = {}
    bodies: dict[str, bytes] = {}
    sessions = 0
    session = Session("000000000000", 0, 3, True, made=1, tiny_last=tiny_last)
    now_s = 100.0
    for made, fate, doings in moments:
        session.made += made
        now_s += made + 0.5
        if fate == 0:
            sessions += 1
            session = Session(f"{sessions:012x}", sessions % 3, 3, True, made=1, tiny_last=tiny_last)
        for relay, (polls, fetches, mishap) in zip(relays, doings, strict=True):
            if polls:
                relay.poll(session.listed(hint=polls > 1), bases, [r.stream for r in relays], now_s)
            relay.fetch(fetches, mishap, now_s)
            relay.window.tick(now_s)
            relay.compare(bodies)


@dataclass
class Beside:
    """One of several relays before the same origin."""

    flying: list[Fetch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stream = Stream("class1", MemoryBody, budget=MemoryBudget(10**6))
        self.stream.describe(INDEX, "http://o.example/i")
        self.window = self.stream.windows["v0"]
        self.sessions = EpochTracker(self.stream.timeline)

    def poll(
        self, listed: MediaPlaylist, bases: dict[str, EpochOffset], streams: list[Stream], now_s: float
    ) -> None:
        key = self.sessions.key(listed)
        epoch = self.stream.timeline.known(key)
        if epoch is None:
            self.stream.end_session()
            if key not in bases:  # the master's rule: behind what any relay has listed
                asks = [s.timeline.request(key, first_msn(listed), listed) for s in streams]
                furthest = max(asks, key=lambda a: (a.next_msn, a.next_discontinuity_seq))
                bases[key] = self.stream.timeline.decide_alone(furthest)
            epoch = self.stream.timeline.adopt(bases[key])
        self.window.update(listed, epoch, now_s, WALL_S)

    def fetch(self, count: int, mishap: str, now_s: float) -> None:
        """Fetch some objects; the last one comes late (if at all), or not."""
        for left in reversed(range(count)):
            fetch = self.window.wanted(now_s)
            if fetch is None:
                break
            if mishap and not left % 3:
                self.flying.append(fetch)
                if mishap != "late":
                    self.window.failed(self.flying.pop(), now_s, gone=mishap == "gone")
            else:
                self.window.arrived(fetch, body(fetch.uri), now_s)
        if not mishap and self.flying:
            fetch = self.flying.pop(0)
            self.window.arrived(fetch, body(fetch.uri), now_s)

    def compare(self, bodies: dict[str, bytes]) -> None:
        if not self.window.ready:
            return
        listed = parse(self.stream.media_text(self.window))
        assert isinstance(listed, MediaPlaylist)
        opened = [listed.open_segment] if listed.open_segment else []
        for segment in [*listed.segments, *opened]:
            names = [p.uri for p in segment.parts]
            names += [segment.uri] if segment.uri and not segment.gap else []
            for name in names:
                found = bytes_of(self.window, name)
                assert found is not None
                assert bodies.setdefault(name, found) == found, f"{name} is two things"


# -- real playlists -------------------------------------------------------------------------------


def real(name: str) -> MediaPlaylist:
    listed = parse((DATA / f"mediamtx-1.20.1-{name}.m3u8").read_text())
    assert isinstance(listed, MediaPlaylist)
    return listed


REAL = [
    real(name)
    for name in ("lowLatency-video1_stream-0", "lowLatency-video1_stream-1", "fmp4-video1_stream-0",
                 "fmp4-video1_stream-1", "mpegts-main_stream-0", "mpegts-main_stream-1")
]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, len(REAL) - 1), st.integers(0, 2)), min_size=1, max_size=12))
def test_real_playlists_over_any_restarts(order: list[tuple[int, int]]) -> None:
    """What MediaMTX 1.20.1 listed, as sessions one after the other, also the same one again."""
    stream = Stream("class1", MemoryBody, budget=MemoryBudget(10**6))
    stream.describe(INDEX, "http://o.example/i")
    window, sessions = stream.windows["v0"], EpochTracker(stream.timeline)
    seen = Seen(stream, window, 10**6)
    now_s = 100.0
    for index, lost in order:
        now_s += 10
        sessions.begin()
        window.update(REAL[index], epoch_of(stream, sessions, REAL[index]), now_s, WALL_S)  # type: ignore[arg-type]
        seen.look()
        while (fetch := window.wanted(now_s)) is not None:
            if lost and window.tally.fetched % 5 == lost:
                lost = 0
                window.failed(fetch, now_s, gone=True)
            else:
                window.arrived(fetch, body(fetch.uri), now_s)
            seen.look()
        now_s += 30
        window.tick(now_s)
        seen.look()
    assert window.ready
