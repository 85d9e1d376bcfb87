"""All windows of a relay share one memory: who gives way when it is used up."""

from __future__ import annotations

from dataclasses import dataclass

from relay.core.stream.memory_budget import STOPPED_S, MemoryBudget
from relay.core.stream.timeline import Timeline
from tests.harness.builders import begin, fetch_all, new_window, playlist, segment


@dataclass(eq=False)
class Holding:
    """A window of segments of equal size, of which it keeps the last one."""

    budget: MemoryBudget
    newest_at_s: float | None
    segments: int = 0
    segment_bytes: int = 100

    def __post_init__(self) -> None:
        self.budget.join(self)

    @property
    def size_bytes(self) -> int:
        return self.segments * self.segment_bytes

    def add(self, segments: int = 1) -> None:
        self.segments += segments
        self.budget.changed(segments * self.segment_bytes, segments)

    def drop_oldest(self) -> bool:
        if self.segments < 2:
            return False
        self.segments -= 1
        self.budget.changed(-self.segment_bytes, -1)
        return True


def test_nothing_is_forgotten_while_it_fits() -> None:
    budget = MemoryBudget(1000)
    one, two = Holding(budget, 0.0), Holding(budget, 0.0)
    one.add(5)
    two.add(5)
    budget.make_room(1000.0)
    assert (one.segments, two.segments, budget.full) == (5, 5, True)


def test_the_stream_that_stopped_longest_ago_gives_way_first() -> None:
    budget = MemoryBudget(1000)
    live, longest, lately = Holding(budget, 100.0), Holding(budget, 20.0), Holding(budget, 60.0)
    for one, segments in ((live, 6), (longest, 3), (lately, 3)):
        one.add(segments)
    budget.make_room(100.0)
    assert (live.segments, longest.segments, lately.segments) == (6, 1, 3)
    live.add(3)
    budget.make_room(100.0)
    assert (live.segments, longest.segments, lately.segments) == (8, 1, 1), "then the largest"


def test_among_those_that_go_on_the_largest_gives_way() -> None:
    budget = MemoryBudget(1000)
    small, large, new = Holding(budget, 100.0), Holding(budget, 100.0 - STOPPED_S + 1), Holding(budget, None)
    for one, segments in ((small, 3), (large, 8), (new, 1)):
        one.add(segments)
    budget.make_room(100.0)
    assert (small.segments, large.segments, new.segments) == (3, 6, 1)


def test_descriptors_are_bounded_too() -> None:
    budget = MemoryBudget(10**9, 4)
    one = Holding(budget, 0.0)
    one.add(4)
    assert budget.full
    one.add(2)
    budget.make_room(0.0)
    assert (one.segments, budget.used_bodies) == (4, 4)


def test_what_every_window_must_keep_stays_also_above_the_limit() -> None:
    budget = MemoryBudget(100)
    windows = [Holding(budget, 0.0) for _ in range(3)]
    for one in windows:
        one.add(2)
    budget.make_room(0.0)
    assert [one.segments for one in windows] == [1, 1, 1]
    budget.leave(windows[0])
    windows[0].add(2)
    budget.make_room(0.0)
    assert [one.segments for one in windows] == [3, 1, 1], "it takes no part any more"


def test_real_windows_share_it() -> None:
    """CACHE_MB was kept for each rendition of each class: eight classes took eight times as much."""
    budget = MemoryBudget(2000)
    windows = []
    for number in range(8):
        timeline = Timeline(f"class{number}")
        window = new_window(timeline, budget=budget)
        listed = playlist(0, *(segment(n, init=None) for n in range(10)))
        window.update(listed, begin(timeline, like=listed), 100.0, 1_790_000_000.0)
        fetch_all(window, 100.0, size=100)
        windows.append(window)
    assert sum(window.size_bytes for window in windows) == budget.used_bytes <= 2000
    assert all(window.ready for window in windows)
    for window in windows:
        window.release()
    assert (budget.used_bytes, budget.used_bodies) == (0, 0)
