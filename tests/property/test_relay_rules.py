"""Rules against naive models: the wheel of deadlines, and when a blocking request is answered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from relay.core.delivery.blocking_reload import HeldRequests
from relay.core.delivery.timer_wheel import TimerWheel
from relay.core.stream.live_edge import LiveEdge, ReloadDecision

STEP_S = 0.25


class Owner:
    def __init__(self, deadline_s: float) -> None:
        self.deadline_s = deadline_s


_time = st.integers(0, 400).map(lambda n: n / 16)


class WheelMachine(RuleBasedStateMachine):
    """Every owner expires once: never before its deadline, at the latest one step after it."""

    @initialize()
    def begin(self) -> None:
        self.wheel: TimerWheel[Owner] = TimerWheel(STEP_S)
        self.owners: list[Owner] = []
        self.now_s = 0.0

    @rule(after_s=_time)
    def watch(self, after_s: float) -> None:
        owner = Owner(self.now_s + after_s)
        self.wheel.watch(owner)
        self.owners.append(owner)

    @rule(index=st.integers(0, 50), after_s=_time)
    def move_away(self, index: int, after_s: float) -> None:
        if self.owners:
            owner = self.owners[index % len(self.owners)]
            owner.deadline_s += after_s
            self.wheel.keep(owner)

    @rule(index=st.integers(0, 50), after_s=_time)
    def come_nearer(self, index: int, after_s: float) -> None:
        if self.owners:
            owner = self.owners[index % len(self.owners)]
            owner.deadline_s = max(self.now_s, owner.deadline_s - after_s)
            self.wheel.watch(owner)

    @rule(index=st.integers(0, 50))
    def forget(self, index: int) -> None:
        if self.owners:
            self.wheel.forget(self.owners.pop(index % len(self.owners)))

    @rule(after_s=_time)
    def pass_time(self, after_s: float) -> None:
        self.now_s += after_s
        late = self.wheel.expired(self.now_s)
        assert len(late) == len(set(late))
        for owner in late:
            assert owner in self.owners
            assert owner.deadline_s <= self.now_s
            self.owners.remove(owner)
        for owner in self.owners:
            assert owner.deadline_s > self.now_s - STEP_S

    @invariant()
    def nobody_is_lost(self) -> None:
        assert len(self.wheel) == len(self.owners)
        if self.owners:
            nearest = min(owner.deadline_s for owner in self.owners)
            assert self.wheel.next_s() < nearest + STEP_S


TestWheel = WheelMachine.TestCase


# -- blocking reload ------------------------------------------------------------------------------


class Line:
    """A playlist that grows part by part: what a person would count on paper.

    `lengths` is how many parts each segment has (0: listed without parts); `position` how many
    parts, or whole segments, are out.
    """

    def __init__(self, lengths: list[int], first: int) -> None:
        self.lengths = lengths
        self.first = first
        self.events = [
            (segment, part) for segment, count in enumerate(lengths) for part in range(max(1, count))
        ]
        self.position = 0

    def out(self) -> list[tuple[int, int]]:
        return self.events[: self.position]

    @property
    def complete(self) -> int:
        """How many segments are complete."""
        ended = [s for s, p in self.out() if p == max(1, self.lengths[s]) - 1]
        return len(ended)

    def live_edge(self) -> LiveEdge:
        complete = self.complete
        shown = sum(1 for segment, _ in self.out() if segment == complete)
        return LiveEdge(self.first + complete - 1, self.lengths[complete - 1] if complete else 0, shown)

    def has(self, msn: int, part: int | None) -> bool:
        """Whether what was asked for, or anything later, is out."""
        segment = msn - self.first
        if segment < max(0, self.complete - 1):
            return True
        if part is None:
            return segment < self.complete
        if segment < self.complete and not self.lengths[segment]:
            return True
        if segment < self.complete and part >= self.lengths[segment]:
            segment, part = segment + 1, 0
        return any(event >= (segment, part) for event in self.out())


_lengths = st.lists(st.integers(0, 4), min_size=3, max_size=6)
_ask = st.tuples(st.integers(-2, 9), st.none() | st.integers(0, 9))


@given(_lengths, st.integers(1, 50), st.lists(_ask, max_size=12), st.data())
def test_a_blocking_request_is_answered_neither_early_nor_late(
    lengths: list[int], first: int, asks: list[tuple[int, int | None]], data: st.DataObject
) -> None:
    line = Line(lengths, first)
    line.position = data.draw(st.integers(0, len(line.events)))
    waiting: HeldRequests[int] = HeldRequests()
    held: dict[int, tuple[int, int | None, float]] = {}
    now_s = 0.0
    for who, (segment, part) in enumerate(asks):
        msn, live_edge = max(0, first + segment), line.live_edge()
        verdict = live_edge.judge(msn, part, 0.5)
        assert (verdict is ReloadDecision.NOW) == line.has(msn, part)
        if verdict is ReloadDecision.TOO_FAR:
            assert msn > live_edge.last_msn
            assert msn > live_edge.last_msn + 2 or (part is not None and part >= 6)
        if verdict is ReloadDecision.HOLD:
            until_s = now_s + data.draw(st.sampled_from([1.0, 6.0]))
            waiting.hold(who, msn, part, until_s)
            held[who] = msn, part, until_s
        if data.draw(st.booleans()) and line.position < len(line.events):
            line.position += 1
            ready = waiting.reached(line.live_edge())
            assert set(ready) == {who for who, (m, p, _) in held.items() if line.has(m, p)}
            for who_is_ready in ready:
                del held[who_is_ready]
        now_s += data.draw(st.sampled_from([0.0, 0.4, 2.0]))
        late = waiting.overdue(now_s)
        assert set(late) == {who for who, (_, _, until) in held.items() if until <= now_s}
        for who_is_late in late:
            del held[who_is_late]
        assert len(waiting) == len(held)
        if held:
            assert waiting.next_due_s() <= min(until for _, _, until in held.values())


@given(_lengths, _ask)
def test_once_answered_always_answered(lengths: list[int], ask: tuple[int, int | None]) -> None:
    line = Line(lengths, 10)
    answered = []
    for position in range(len(line.events) + 1):
        line.position = position
        answered.append(line.live_edge().reached(max(0, 10 + ask[0]), ask[1]))
    assert answered == sorted(answered)
