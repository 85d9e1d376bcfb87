"""The window of one rendition: what is fetched, listed, given up and forgotten."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from relay.base.cluster_protocol import EpochOffset
from relay.core.playlist import ByteRange, Map, MediaPlaylist, Part, PreloadHint, Segment
from relay.core.stream.fetch_queue import MAX_PART_ATTEMPTS, RETRY_FIRST_S, HintStatus
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.stream.segment import Fetch
from relay.core.stream.segment_list import MAX_WINDOW_SEGMENTS
from relay.core.stream.timeline import Epoch, Timeline
from tests.harness.builders import (
    INIT,
    WALL_S,
    begin,
    bytes_of,
    data,
    fetch_all,
    ll,
    new_window,
    opened,
    part,
    parts,
    playlist,
    segment,
    wanted,
)

if TYPE_CHECKING:
    from relay.core.stream.window import Window


class Rig:
    """A window with its timeline and a clock."""

    def __init__(self, *, max_bytes: int = 1_000_000, key: str = "one", first_msn: int = 0) -> None:
        self.timeline = Timeline("class1")
        self.window: Window = new_window(self.timeline, budget=MemoryBudget(max_bytes))
        self.now_s = 100.0
        self.epoch: Epoch = begin(self.timeline, key, first_msn, like=ll(segment(0, parts=parts(0, 4))))

    def restart(self, key: str, first_msn: int = 0) -> None:
        """The publisher has come back: a new session with numbers of its own."""
        self.window.finish()
        self.epoch = begin(self.timeline, key, first_msn)

    def update(self, listed: MediaPlaylist, *, fetch: bool = True) -> list[str]:
        self.window.update(listed, self.epoch, self.now_s, WALL_S + self.now_s)
        return fetch_all(self.window, self.now_s) if fetch else []

    def plain(self, *msns: int) -> list[str]:
        return self.update(playlist(2, *(segment(n) for n in msns)))

    @property
    def listed(self) -> list[int]:
        return [e.msn for e in self.window.listed]

    @property
    def gaps(self) -> list[int]:
        return [e.msn for e in self.window.listed if e.gap]

    def text_names(self) -> list[str]:
        return [f"v0-{e.epoch.tag}-{e.msn}.mp4" for e in self.window.listed]


# -- plain segments -------------------------------------------------------------------------------


def test_a_window_begins_with_all_that_is_listed_newest_first() -> None:
    rig = Rig()
    rig.update(playlist(2, *(segment(n) for n in (5, 6, 7))), fetch=False)
    assert not rig.window.ready
    assert [f.uri for f in wanted(rig.window, rig.now_s)] == ["init.mp4", "s7.mp4", "s6.mp4", "s5.mp4"]


def test_nothing_is_listed_before_everything_is_here() -> None:
    rig = Rig()
    rig.update(playlist(2, *(segment(n) for n in (5, 6, 7))), fetch=False)
    *others, last = wanted(rig.window, rig.now_s)
    for fetch in others:
        rig.window.arrived(fetch, data(fetch.uri), rig.now_s)
    assert (rig.listed, rig.window.ready, rig.window.newest_at_s) == ([], False, None)
    rig.window.arrived(last, b"last", rig.now_s)
    assert rig.listed == [5, 6, 7]
    assert rig.window.newest_at_s == rig.now_s


def test_a_slow_start_lists_what_is_here_when_time_is_up() -> None:
    rig = Rig()
    rig.update(playlist(2, *(segment(n) for n in (5, 6, 7))), fetch=False)
    for fetch in list(wanted(rig.window, rig.now_s))[:3]:  # init, 7, 6
        rig.window.arrived(fetch, data(fetch.uri), rig.now_s)
    rig.window.tick(rig.now_s + 2.9)
    assert rig.listed == []
    rig.window.tick(rig.now_s + 3.0)
    assert rig.listed == [6, 7]
    rig.plain(5, 6, 7, 8)
    assert rig.listed == [6, 7, 8]


def test_nothing_can_be_listed_while_nothing_is_here() -> None:
    rig = Rig()
    rig.update(playlist(2, segment(5)), fetch=False)
    rig.window.tick(rig.now_s + 3.5)
    assert not rig.window.ready


def test_the_window_moves_with_the_origin_and_fetches_each_object_once() -> None:
    rig = Rig()
    asked = rig.plain(5, 6, 7)
    for first in range(6, 30):
        rig.now_s += 2
        asked += rig.plain(first, first + 1, first + 2)
        assert rig.listed == [first, first + 1, first + 2]
        assert rig.window.live_edge.last_msn == first + 2
    assert len(asked) == len(set(asked)) == 1 + 27
    assert rig.window.tally.fetched == 28


def test_segments_stay_fetchable_for_another_window() -> None:
    rig = Rig()
    for first in range(10):
        rig.plain(first, first + 1, first + 2)
    assert rig.listed == [9, 10, 11]
    name = f"v0-{rig.epoch.tag}-"
    assert [n for n in range(12) if rig.window.lookup(f"{name}{n}.mp4")] == [6, 7, 8, 9, 10, 11]
    assert bytes_of(rig.window, f"{name}9.mp4") == data("s9.mp4")
    assert rig.window.tally.evicted == 6
    assert rig.window.lookup("v0-00000000-9.mp4") is None


def test_the_oldest_go_when_bytes_run_out_and_the_newest_never() -> None:
    rig = Rig(max_bytes=250)
    for first in range(5):
        rig.update(playlist(2, *(segment(n) for n in range(first, first + 3))), fetch=False)
        fetch_all(rig.window, rig.now_s, size=100)
        assert rig.window.size_bytes <= 250
    assert rig.listed == [6]
    rig.update(playlist(2, segment(6), segment(7)), fetch=False)
    fetch_all(rig.window, rig.now_s, size=1000)
    assert rig.listed == [7]


def test_a_first_filling_stays_within_its_bytes() -> None:
    rig = Rig(max_bytes=350)
    rig.update(playlist(2, *(segment(n) for n in range(20))), fetch=False)
    asked = fetch_all(rig.window, rig.now_s, size=100)
    assert rig.window.size_bytes <= 350
    assert rig.listed == [18, 19]
    assert len(asked) <= 5


def test_a_window_over_its_bytes_fetches_only_what_it_waits_for() -> None:
    rig = Rig(max_bytes=150)
    rig.plain(0)
    rig.update(playlist(2, *(segment(n) for n in range(1, 5))), fetch=False)
    first = rig.window.wanted(rig.now_s)
    second = rig.window.wanted(rig.now_s)
    assert first is not None
    assert second is not None
    rig.window.arrived(second, data("s2.mp4", 200), rig.now_s)
    assert rig.window.wanted(rig.now_s) is None
    rig.window.arrived(first, data("s1.mp4", 100), rig.now_s)
    assert rig.listed == [2]
    assert rig.window.wanted(rig.now_s) is not None


def test_a_list_that_only_grows_is_followed_at_its_end() -> None:
    rig = Rig()
    long = MAX_WINDOW_SEGMENTS + 50
    asked = rig.update(playlist(2, *(segment(n) for n in range(long))))
    assert len(asked) == MAX_WINDOW_SEGMENTS + 1
    assert rig.listed == list(range(50, long))
    rig.update(playlist(2, *(segment(n) for n in range(long + 1))))
    assert rig.listed == list(range(51, long + 1))


# -- what cannot be had ---------------------------------------------------------------------------


def test_a_failed_segment_is_asked_for_again_after_a_while() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.update(playlist(2, *(segment(n) for n in (1, 2, 3))), fetch=False)
    fetch = rig.window.wanted(rig.now_s)
    assert fetch is not None
    rig.window.failed(fetch, rig.now_s, gone=False)
    assert rig.window.wanted(rig.now_s) is None
    again_s = rig.window.retry_at_s(rig.now_s)
    assert again_s == pytest.approx(rig.now_s + RETRY_FIRST_S)
    again = rig.window.wanted(again_s)
    assert again is not None
    assert again.uri == "s3.mp4"
    rig.window.failed(again, again_s, gone=False)
    assert rig.window.retry_at_s(again_s) == pytest.approx(again_s + 2 * RETRY_FIRST_S)


def test_what_is_missing_for_too_long_becomes_a_gap_and_the_list_moves_on() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.update(playlist(2, *(segment(n) for n in (1, 2, 3, 4))), fetch=False)
    missing, fourth = wanted(rig.window, rig.now_s)
    rig.window.arrived(fourth, data("s4.mp4"), rig.now_s)
    assert rig.window.retry_at_s(rig.now_s) == math.inf
    assert rig.listed == [0, 1, 2]
    rig.window.tick(rig.now_s + 5.0)
    assert rig.listed == [0, 1, 2]
    rig.window.tick(rig.now_s + 5.1)
    assert (rig.listed, rig.gaps) == ([1, 2, 3, 4], [3])
    rig.window.arrived(missing, b"too late", rig.now_s)
    assert rig.window.lookup(rig.text_names()[2]) is None
    assert rig.window.tally.gaps == 1


def test_what_is_gone_becomes_a_gap_at_once() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.update(playlist(2, *(segment(n) for n in (1, 2, 3))), fetch=False)
    fetch = rig.window.wanted(rig.now_s)
    assert fetch is not None
    rig.window.failed(fetch, rig.now_s, gone=True)
    assert rig.gaps == [3]
    assert rig.window.wanted(rig.now_s) is None
    assert rig.window.retry_at_s(rig.now_s) == math.inf


def test_the_origins_gaps_stay_gaps_but_not_at_the_beginning() -> None:
    rig = Rig()
    # MediaMTX fills a new low-latency playlist up with them
    rig.update(playlist(2, *(segment(n, uri="gap.mp4", gap=True) for n in range(6)), segment(6)))
    assert (rig.listed, rig.gaps) == ([6], [])
    rig.update(playlist(2, segment(6), segment(7, gap=True), segment(8)))
    assert (rig.listed, rig.gaps) == ([6, 7, 8], [7])


def test_a_hole_in_the_origins_list_is_listed_as_gaps() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.now_s += 10
    rig.plain(5, 6, 7)
    assert rig.listed == [5, 6, 7]
    assert rig.window.tally.gaps == 2
    rig2 = Rig()
    rig2.plain(0, 1, 2)
    rig2.plain(4)
    assert (rig2.listed, rig2.gaps) == ([2, 3, 4], [3])
    assert [e.pdt_s for e in rig2.window.listed] == pytest.approx([WALL_S + 98, WALL_S + 100, WALL_S + 103])


def test_after_a_hole_longer_than_the_window_the_list_begins_anew() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.update(playlist(2, *(segment(n) for n in (50, 51, 52))), fetch=False)
    assert not rig.window.ready
    assert rig.window.live_edge.last_msn == 2
    # their initialization section is here: the session is the same
    assert fetch_all(rig.window, rig.now_s) == ["s52.mp4", "s51.mp4", "s50.mp4"]
    assert rig.listed == [50, 51, 52]


def test_an_older_playlist_changes_nothing() -> None:
    rig = Rig()
    rig.plain(5, 6, 7)
    version = rig.window.version
    assert rig.plain(3, 4, 5, 6) == []
    assert (rig.listed, rig.window.version) == ([5, 6, 7], version)


def test_a_put_back_fetch_is_made_again_at_once_and_not_counted() -> None:
    rig = Rig()
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2))), fetch=False)
    flying = list(wanted(rig.window, rig.now_s))
    assert [f.kind for f in flying] == ["init", "part", "part"]
    for fetch in flying:
        rig.window.put_back(fetch)
    assert list(wanted(rig.window, rig.now_s)) == flying


def test_a_fetch_for_what_is_gone_meanwhile_is_dropped() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    for kind in ("segment", "part", "init", "hint"):
        lost = Fetch(kind, "x.mp4", None, 99, 0, "v0-i.mp4")
        version = rig.window.version
        rig.window.arrived(lost, b"x", rig.now_s)
        rig.window.failed(lost, rig.now_s, gone=True)
        rig.window.put_back(lost)
        assert (rig.listed, rig.window.version) == ([0, 1, 2], version)
    lost = Fetch("part", "x.mp4", None, 2, 7)
    rig.window.failed(lost, rig.now_s, gone=True)


def test_a_failure_after_the_segment_was_given_up_changes_nothing() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.update(playlist(2, segment(2), segment(3)), fetch=False)
    fetch = rig.window.wanted(rig.now_s)
    assert fetch is not None
    rig.window.tick(rig.now_s + 10)
    rig.window.failed(fetch, rig.now_s + 11, gone=True)
    assert rig.window.tally.gaps == 1


def test_an_unusual_length_is_counted() -> None:
    rig = Rig()
    rig.update(playlist(2, segment(0, duration_s=9.0)))
    assert rig.window.tally.long_segments == 1


def test_a_part_longer_than_was_promised_is_listed_as_it_is_and_counted() -> None:
    rig = Rig()
    rig.update(playlist(2, opened(0, *parts(0, 2)), part_target_s=0.5))
    rig.update(playlist(2, opened(0, *parts(0, 2), part("long.mp4", 1.4)), part_target_s=0.5))
    entry = rig.window.open_entry
    assert entry is not None
    assert [p.duration_s for p in rig.window.listed_parts(entry)] == [0.5, 0.5, 1.4]
    assert rig.window.tally.long_parts == 1


# -- initialization sections ----------------------------------------------------------------------


def test_a_segment_waits_for_its_initialization_section_which_is_asked_for_again() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.update(playlist(2, segment(2), segment(3, init=Map("other.mp4"))), fetch=False)
    init, whole = wanted(rig.window, rig.now_s)
    rig.window.failed(init, rig.now_s, gone=False)
    rig.window.arrived(whole, data("s3.mp4"), rig.now_s)
    assert rig.listed == [0, 1, 2]
    again_s = rig.window.retry_at_s(rig.now_s)
    assert again_s < math.inf
    (again,) = wanted(rig.window, again_s)
    assert again == init
    rig.window.arrived(again, b"init", again_s)
    assert rig.listed == [1, 2, 3]
    assert bytes_of(rig.window, again.name) == b"init"
    rig.window.arrived(again, b"twice", again_s)
    assert bytes_of(rig.window, again.name) == b"init"


def test_a_segment_whose_initialization_section_never_comes_is_a_gap_under_the_one_before() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.update(playlist(2, segment(2), segment(3, init=Map("lost.mp4"))), fetch=False)
    _, whole = wanted(rig.window, rig.now_s)
    rig.window.arrived(whole, data("s3.mp4"), rig.now_s)
    rig.window.tick(rig.now_s + 5.1)
    assert rig.gaps == [3]
    assert rig.window.listed[-1].listed_init is rig.window.listed[0].init


def test_a_missing_initialization_section_of_a_gap_that_comes_after_all_is_not_fetched_again() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.update(playlist(2, segment(2), segment(3, init=Map("late.mp4"))), fetch=False)
    init, whole = wanted(rig.window, rig.now_s)
    rig.window.failed(whole, rig.now_s, gone=True)
    assert rig.gaps == [3]
    shown = rig.window.listed[-1].listed_init
    rig.window.arrived(init, data("late.mp4"), rig.now_s)
    assert rig.window.listed[-1].listed_init is shown  # what was shown stays
    asked = rig.update(playlist(2, segment(3, init=Map("late.mp4")), segment(4, init=Map("late.mp4"))))
    assert asked == ["s4.mp4"]
    assert bytes_of(rig.window, init.name) == data("late.mp4")


def test_holes_after_a_segment_without_its_initialization_section_list_one_that_is_here() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.update(playlist(2, segment(2), segment(3, init=Map("lost.mp4"))), fetch=False)
    rig.now_s += 60
    rig.update(playlist(2, segment(5, init=Map("lost.mp4"))), fetch=False)
    assert rig.gaps == [3, 4]
    assert {e.listed_init for e in rig.window.listed} == {rig.window.listed[0].init}


def test_a_segment_whose_middle_was_late_is_not_given_up_at_its_end() -> None:
    rig = Rig()
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2))))
    rig.now_s += 9.0
    rig.update(ll(segment(0, parts=parts(0, 4)), segment(1, parts=parts(1, 4))), fetch=False)
    rig.window.tick(rig.now_s + 2.9)
    assert rig.gaps == []
    rig.window.tick(rig.now_s + 3.1)
    assert rig.gaps == [1]


def test_a_part_that_is_listed_and_still_hinted_at_is_fetched_once() -> None:
    rig = Rig()
    asked = rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 1)), hint="p1.0.mp4"))
    asked += rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 1)), hint="p0.3.mp4"))
    assert sorted(asked) == ["init.mp4", *(f"p0.{n}.mp4" for n in range(4)), "p1.0.mp4"]


def test_a_hinted_part_under_way_is_due_once_it_is_listed() -> None:
    rig = Rig()
    rig.update(ll(segment(0, parts=parts(0, 4)), hint="p1.0.mp4"), fetch=False)
    while (hint := rig.window.wanted(rig.now_s)) is not None and hint.kind != "hint":
        rig.window.arrived(hint, data(hint.uri), rig.now_s)
    assert hint is not None
    assert rig.window.outlook(hint) is HintStatus.AHEAD
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 1)), hint="p1.1.mp4"), fetch=False)
    assert rig.window.outlook(hint) is HintStatus.DUE


def test_a_part_of_the_first_list_without_its_initialization_section_is_not_shown() -> None:
    rig = Rig()
    rig.update(ll(opened(0, *parts(0, 2))), fetch=False)
    init, first = wanted(rig.window, rig.now_s)
    rig.window.arrived(first, data(first.uri), rig.now_s)
    assert rig.window.live_edge.open_parts == 0
    rig.window.tick(rig.now_s + 4)
    assert not rig.window.ready
    rig.window.arrived(init, b"init", rig.now_s + 4)
    assert rig.window.live_edge.open_parts == 1


def test_initialization_sections_leave_with_their_last_segment() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    name = rig.window.listed[0].init
    assert name is not None
    for first in range(3, 12):
        rig.update(playlist(2, segment(first, init=Map("b.mp4"))))
        here = rig.window.lookup(name.name) is not None
        assert here == any(rig.window.lookup(f"v0-{rig.epoch.tag}-{n}.mp4") for n in (0, 1, 2))
    assert rig.window.lookup(name.name) is None


def test_segments_without_initialization_section_begin_a_list_of_their_own() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.restart("two")
    rig.update(playlist(2, segment(0, uri="a.ts", init=None)))
    assert rig.listed == [3]
    assert rig.window.listed[0].init is None
    assert not rig.window.listed[0].discontinuity
    assert rig.window.listed[0].discontinuity_seq == 1


# -- parts ----------------------------------------------------------------------------------------


def grow(rig: Rig, msn: int, count: int, *, hint: bool = False) -> list[str]:
    """List the parts of a segment one after the other, then the whole; two segments a playlist."""
    asked = []
    for shown in range(1, count + 1):
        rig.now_s += 0.5
        before = [segment(msn - 1, parts=parts(msn - 1, count))] if msn else []
        following = f"p{msn}.{shown}.mp4" if shown < count else f"p{msn + 1}.0.mp4"
        last = opened(msn, *parts(msn, shown)) if shown < count else segment(msn, parts=parts(msn, shown))
        asked += rig.update(ll(*before, last, hint=following if hint else ""))
    return asked


def test_parts_are_listed_as_they_come_and_make_up_the_segment() -> None:
    rig = Rig()
    asked = grow(rig, 0, 4)
    for shown in range(1, 4):
        rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, shown))))
        live_edge = rig.window.live_edge
        assert (live_edge.last_msn, live_edge.last_parts, live_edge.open_parts) == (0, 4, shown)
        assert rig.window.open_entry is not None
        assert rig.window.listed_parts(rig.window.open_entry) == rig.window.open_entry.parts
        assert rig.window.hint_name == f"v0-{rig.epoch.tag}-1.{shown}.mp4"
    asked += rig.update(ll(segment(0, parts=parts(0, 4)), segment(1, parts=parts(1, 4))))
    assert rig.window.hint_name == f"v0-{rig.epoch.tag}-2.0.mp4"
    assert "s0.mp4" not in asked
    assert "s1.mp4" not in asked
    whole = bytes_of(rig.window, f"v0-{rig.epoch.tag}-0.mp4")
    assert whole == b"".join(data(p.uri) for p in parts(0, 4))
    assert bytes_of(rig.window, f"v0-{rig.epoch.tag}-0.2.mp4") == data("p0.2.mp4")


def test_parts_are_listed_for_the_last_two_segments() -> None:
    rig = Rig()
    for msn in range(4):
        grow(rig, msn, 4)
    shown = {e.msn: len(rig.window.listed_parts(e)) for e in rig.window.listed}
    assert shown == {1: 0, 2: 4, 3: 4}
    for msn in range(4, 8):
        grow(rig, msn, 4)
    here = [n for n in range(8) if rig.window.lookup(f"v0-{rig.epoch.tag}-{n}.3.mp4")]
    assert here == [2, 3, 4, 5, 6, 7]


def test_parts_before_a_discontinuity_are_not_listed_once_there_is_one() -> None:
    rig = Rig()
    grow(rig, 0, 4)
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2))))
    rig.window.finish()
    assert [len(rig.window.listed_parts(e)) for e in rig.window.listed] == [4, 2]
    rig.restart("two")
    rig.update(ll(opened(0, *parts(0, 1))))
    assert rig.window.open_entry is not None
    assert len(rig.window.listed_parts(rig.window.open_entry)) == 1
    assert [len(rig.window.listed_parts(e)) for e in rig.window.listed] == [0, 0]
    rig.update(ll(segment(0, parts=parts(0, 4))))
    assert [len(rig.window.listed_parts(e)) for e in rig.window.listed] == [0, 0, 4]


def test_a_part_that_fails_twice_makes_way_for_the_whole_segment() -> None:
    rig = Rig()
    grow(rig, 0, 4)
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2))), fetch=False)
    for _ in range(MAX_PART_ATTEMPTS):
        (fetch,) = wanted(rig.window, rig.now_s)
        assert fetch.uri == "p1.0.mp4"
        rig.window.failed(fetch, rig.now_s, gone=False)
        rig.now_s += 2
    assert list(wanted(rig.window, rig.now_s)) == []
    rig.update(ll(segment(0, parts=parts(0, 4)), segment(1, parts=parts(1, 4))))
    assert rig.listed == [0, 1]
    assert rig.window.live_edge.last_parts == 0
    assert rig.window.listed_parts(rig.window.listed[1]) == []
    assert bytes_of(rig.window, f"v0-{rig.epoch.tag}-1.mp4") == data("s1.mp4")


def test_a_part_that_is_gone_or_a_gap_makes_way_at_once() -> None:
    for missing in (None, part("p1.1.mp4", gap=True)):
        rig = Rig()
        grow(rig, 0, 4)
        listed = [*parts(1, 4)]
        if missing:
            listed[1] = missing
        rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *listed[:2])), fetch=False)
        for fetch in wanted(rig.window, rig.now_s):
            if fetch.part == 1 or not missing:
                rig.window.failed(fetch, rig.now_s, gone=True)
        assert rig.update(ll(segment(1, parts=tuple(listed)))) == ["s1.mp4"]
        assert rig.listed[-1] == 1


def test_parts_that_do_not_add_up_make_way_for_the_whole_segment() -> None:
    rig = Rig()
    assert "s0.mp4" in rig.update(ll(segment(0, duration_s=2.0, parts=parts(0, 3))))
    assert bytes_of(rig.window, f"v0-{rig.epoch.tag}-0.mp4") == data("s0.mp4")


def test_byte_ranges_of_parts_are_asked_for() -> None:
    rig = Rig()
    ranged = tuple(Part("s0.mp4", 0.5, byterange=ByteRange(10, 10 * n)) for n in range(4))
    rig.update(ll(segment(0, parts=ranged)), fetch=False)
    fetches = [f for f in wanted(rig.window, rig.now_s) if f.kind == "part"]
    assert fetches[0].byterange == ByteRange(10, 0)


# -- preload hints --------------------------------------------------------------------------------


def test_a_hinted_part_is_fetched_ahead_and_listed_without_another_fetch() -> None:
    rig = Rig()
    asked = grow(rig, 0, 4, hint=True)
    asked += grow(rig, 1, 4, hint=True)
    assert asked.count("init.mp4") == 1
    assert len(asked) == len(set(asked)) == 1 + 9
    assert rig.window.live_edge.last_msn == 1
    assert bytes_of(rig.window, f"v0-{rig.epoch.tag}-1.mp4") == b"".join(data(p.uri) for p in parts(1, 4))


def test_a_hinted_part_that_comes_after_its_listing_takes_its_place() -> None:
    rig = Rig()
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 1)), hint="p1.1.mp4"), fetch=False)
    while (hint := rig.window.wanted(rig.now_s)) is not None and hint.kind != "hint":
        rig.window.arrived(hint, data(hint.uri), rig.now_s)
    assert hint is not None
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2)), hint="p1.2.mp4"), fetch=False)
    rig.window.arrived(hint, data("p1.1.mp4"), rig.now_s)
    assert rig.window.live_edge.open_parts == 2
    assert [f.uri for f in wanted(rig.window, rig.now_s)] == ["p1.2.mp4"]


def test_a_withdrawn_hint_does_not_stop_the_next_one() -> None:
    rig = Rig()
    rig.update(ll(segment(0, parts=parts(0, 4)), hint="p1.0.mp4"))
    rig.update(ll(segment(0, parts=parts(0, 4)), hint="other.mp4"), fetch=False)
    assert [f.uri for f in wanted(rig.window, rig.now_s)] == ["other.mp4"]
    rig.update(ll(segment(0, parts=parts(0, 4))), fetch=False)
    assert list(wanted(rig.window, rig.now_s)) == []
    late = Fetch("hint", "other.mp4", None, -1)
    rig.window.arrived(late, b"x", rig.now_s)
    rig.window.failed(late, rig.now_s, gone=True)


def test_a_hint_that_fails_is_asked_for_once_more_when_it_is_listed_again() -> None:
    rig = Rig()
    listed = ll(segment(0, parts=parts(0, 4)), hint="p1.0.mp4")
    rig.update(listed, fetch=False)
    while (fetch := rig.window.wanted(rig.now_s)) is not None:
        if fetch.kind == "hint":
            rig.window.failed(fetch, rig.now_s, gone=True)
            break
        rig.window.arrived(fetch, data(fetch.uri), rig.now_s)
    assert rig.window.wanted(rig.now_s) is None
    rig.update(listed, fetch=False)
    (again,) = wanted(rig.window, rig.now_s)
    rig.update(listed, fetch=False)
    rig.window.put_back(again)
    assert list(wanted(rig.window, rig.now_s)) == [again]


def test_no_hint_is_fetched_that_would_have_no_place() -> None:
    rig = Rig()
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 1)), hint="p1.1.mp4"))
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 3)), hint="p1.3.mp4"), fetch=False)
    fetch = rig.window.wanted(rig.now_s)
    assert fetch is not None
    rig.window.failed(fetch, rig.now_s, gone=False)
    assert rig.window.wanted(rig.now_s) is None


def test_other_hints_are_left_alone() -> None:
    rig = Rig()
    hints = (PreloadHint("MAP", "init2.mp4"), PreloadHint("PART", "p.mp4", byterange_start=5))
    rig.window.update(
        MediaPlaylist(2, (segment(0, parts=parts(0, 4)),), preload_hints=hints, part_target_s=0.5),
        rig.epoch,
        rig.now_s,
        WALL_S,
    )
    assert all(f.kind != "hint" for f in wanted(rig.window, rig.now_s))


# -- sessions -------------------------------------------------------------------------------------


def test_a_new_session_goes_on_with_a_discontinuity() -> None:
    rig = Rig()
    rig.plain(5, 6, 7)
    rig.restart("two")
    rig.plain(0, 1)
    assert rig.listed == [7, 8, 9]
    marks = {e.msn: (e.discontinuity, e.discontinuity_seq) for e in rig.window.listed}
    assert marks == {7: (False, 0), 8: (True, 1), 9: (False, 1)}
    assert rig.window.listed[1].init is not rig.window.listed[0].init


def test_the_open_segment_of_the_old_session_is_closed_with_what_viewers_saw() -> None:
    rig = Rig()
    grow(rig, 0, 4)
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2))))
    version = rig.window.version
    rig.window.finish()
    assert rig.window.version > version
    last = rig.window.listed[-1]
    assert (last.msn, last.duration_s, last.gap) == (1, 1.0, False)
    assert bytes_of(rig.window, f"v0-{rig.epoch.tag}-1-2.mp4") == data("p1.0.mp4") + data("p1.1.mp4")
    assert rig.window.lookup(f"v0-{rig.epoch.tag}-1.mp4") is None  # another relay may have all of it
    assert rig.window.hint_name == f"v0-{rig.epoch.tag}-2.0.mp4"
    assert begin(rig.timeline, "two").offset == 2


def test_nothing_of_an_old_session_comes_after_its_end() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.window.finish()
    assert rig.plain(1, 2, 3) == []
    assert rig.listed == [0, 1, 2]
    old = rig.epoch
    rig.epoch = begin(rig.timeline, "two")
    rig.plain(0)
    rig.window.update(playlist(2, segment(9)), old, rig.now_s, WALL_S)
    assert rig.listed == [1, 2, 3]


def test_bytes_of_an_old_session_never_take_a_place_in_the_new_one() -> None:
    """An origin with plain names gives both sessions' objects the same ones."""
    rig = Rig()
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 1))))
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2)), hint="p1.2.mp4"), fetch=False)
    old = [rig.window.wanted(rig.now_s)]
    rig.restart("two", first_msn=1)
    rig.update(ll(opened(1, *parts(1, 2)), hint="p1.2.mp4"), fetch=False)
    new = list(wanted(rig.window, rig.now_s))
    assert [f.uri for f in old if f] == ["p1.1.mp4"]
    old += [Fetch(f.kind, f.uri, f.byterange, f.msn, f.part, f.name) for f in new]
    for fetch in old:
        assert fetch is not None
        rig.window.arrived(fetch, b"old", rig.now_s)
        rig.window.failed(fetch, rig.now_s, gone=True)
    for fetch in new:
        rig.window.arrived(fetch, b"new", rig.now_s)
    fetch_all(rig.window, rig.now_s)
    name = f"v0-{rig.epoch.tag}-{rig.window.live_edge.last_msn + 1}"
    assert bytes_of(rig.window, f"{name}.0.mp4") == b"new"
    assert bytes_of(rig.window, f"{name}.1.mp4") == data("p1.1.mp4")


def test_what_was_not_listed_of_the_old_session_is_forgotten() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.update(playlist(2, segment(2), segment(3)), fetch=False)
    flying = rig.window.wanted(rig.now_s)
    assert flying is not None
    rig.restart("two")
    rig.window.arrived(flying, b"late", rig.now_s)
    assert rig.listed == [0, 1, 2]
    rig.plain(0)
    assert bytes_of(rig.window, f"v0-{rig.epoch.tag}-3.mp4") == data("s0.mp4")


def test_a_session_that_ends_before_anything_was_listed_leaves_nothing() -> None:
    rig = Rig()
    rig.update(playlist(2, segment(5)), fetch=False)
    rig.restart("two")
    rig.now_s += 60
    rig.update(playlist(2, *(segment(n) for n in (0, 1))), fetch=False)
    assert not rig.window.ready
    fetch_all(rig.window, rig.now_s)
    assert rig.listed == [0, 1]
    assert not rig.window.listed[0].discontinuity


def test_numbers_given_by_the_cluster_leave_a_gap_where_this_relay_saw_less() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.window.finish()
    rig.epoch = rig.timeline.adopt(
        rig.timeline.decide_alone(rig.timeline.request("two", -1, playlist(2, segment(0))))
    )
    rig.plain(0)
    assert (rig.listed, rig.gaps) == ([2, 3, 4], [3])
    assert [e.discontinuity for e in rig.window.listed] == [False, False, True]


def test_an_epoch_of_which_nothing_was_listed_is_a_gap_with_its_discontinuity() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.window.finish()
    rig.timeline.listed(3, 1)  # the master gives every epoch a number of each kind
    rig.restart("three")
    rig.plain(0)
    marks = [(e.msn, e.gap, e.discontinuity_seq, e.discontinuity) for e in rig.window.listed]
    assert marks == [(2, False, 0, False), (3, True, 1, True), (4, False, 2, True)]


def test_more_discontinuities_than_segments_begin_the_list_anew() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    rig.timeline.listed(2, 1)  # by another rendition
    rig.restart("three")
    rig.update(playlist(2, segment(0)), fetch=False)
    assert not rig.window.ready
    fetch_all(rig.window, rig.now_s)
    (only,) = rig.window.listed
    assert (only.msn, only.discontinuity_seq, only.discontinuity) == (3, 2, False)


def renumber(rig: Rig, offset: int, discontinuity_seq: int) -> None:
    """Give the session that runs another epoch."""
    before = rig.epoch
    rig.epoch = rig.timeline.adopt(
        EpochOffset("class1", f"{before.key}+9", offset, discontinuity_seq, 2, 0.5)
    )


def test_a_session_that_is_numbered_once_more_goes_on_with_its_next_segment() -> None:
    rig = Rig()
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2))))
    renumber(rig, 2, 1)
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 3))))
    assert rig.window.open_entry is not None
    assert rig.window.open_entry.msn == 1, "what was begun stays where it is"
    rig.update(ll(segment(0, parts=parts(0, 4)), segment(1, parts=parts(1, 4)), opened(2, *parts(2, 1))))
    rig.update(ll(segment(1, parts=parts(1, 4)), segment(2, parts=parts(2, 4))))
    marks = [(e.msn, e.gap, e.discontinuity_seq) for e in rig.window.listed]
    assert marks[-3:] == [(2, True, 0), (3, True, 0), (4, False, 1)]
    assert bytes_of(rig.window, f"v0-{rig.epoch.tag}-4.mp4") == b"".join(data(p.uri) for p in parts(2, 4))


def test_a_window_without_media_takes_the_other_numbers_at_once() -> None:
    rig = Rig()
    rig.update(playlist(2), fetch=False)
    renumber(rig, 5, 1)
    rig.plain(0, 1)
    assert rig.listed == [5, 6]


def test_an_update_says_whether_its_epoch_is_over() -> None:
    rig = Rig()
    old = rig.epoch
    assert rig.window.update(playlist(2, segment(0)), old, 0.0, WALL_S)
    rig.window.finish()
    assert not rig.window.update(playlist(2, segment(1)), old, 0.0, WALL_S)
    rig.epoch = begin(rig.timeline, "two")
    assert rig.window.update(playlist(2, segment(0)), rig.epoch, 0.0, WALL_S)
    assert not rig.window.update(playlist(2, segment(1)), old, 0.0, WALL_S)


def test_numbers_below_what_was_listed_are_never_used() -> None:
    rig = Rig()
    rig.plain(5, 6, 7)
    rig.window.finish()
    base = rig.timeline.decide_alone(rig.timeline.request("two", 3, playlist(2, segment(0))))
    rig.epoch = rig.timeline.adopt(base)
    assert rig.plain(0, 1, 2) == []
    rig.plain(2, 3, 4)
    assert rig.listed == [5, 6, 7, 8, 9][-3:]


def test_discontinuities_of_the_origin_itself() -> None:
    rig = Rig()
    rig.update(playlist(2, segment(0), segment(1, discontinuity=True), segment(2)))
    assert [e.discontinuity_seq for e in rig.window.listed] == [0, 1, 1]
    # an origin that forgets to count: the tag left its list, its sequence says 0
    rig.update(playlist(2, segment(2), segment(3)))
    assert [(e.discontinuity_seq, e.discontinuity) for e in rig.window.listed[-2:]] == [
        (1, False),
        (1, False),
    ]
    rig.update(playlist(2, segment(3), segment(5), discontinuity_sequence=2))
    assert [(e.msn, e.discontinuity_seq, e.discontinuity) for e in rig.window.listed] == [
        (3, 1, False),
        (4, 1, False),
        (5, 2, True),
    ]


def test_a_segment_that_never_ended_is_closed_when_the_origin_has_moved_on() -> None:
    rig = Rig()
    grow(rig, 0, 4)
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2))))
    rig.now_s += 2
    rig.update(ll(segment(2, parts=parts(2, 4))))  # the line was cut for a while
    assert (rig.listed, rig.gaps) == ([0, 1, 2], [])
    assert rig.window.listed[1].duration_s == 1.0


def test_a_segment_of_which_nothing_came_is_a_gap_when_the_origin_has_moved_on() -> None:
    rig = Rig()
    grow(rig, 0, 4)
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2))), fetch=False)
    rig.update(ll(segment(3, parts=parts(3, 4))))
    assert (rig.listed, rig.gaps) == ([1, 2, 3], [1, 2])


def test_a_part_of_a_segment_that_will_come_whole_is_not_taken() -> None:
    rig = Rig()
    grow(rig, 0, 4)
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 1))), fetch=False)
    flying = rig.window.wanted(rig.now_s)
    assert flying is not None
    missing = part("p1.1.mp4", gap=True)
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 1), missing)), fetch=False)
    rig.window.arrived(flying, data(flying.uri), rig.now_s)
    assert rig.window.live_edge.open_parts == 0


def test_a_part_of_a_given_up_segment_is_not_taken() -> None:
    rig = Rig()
    grow(rig, 0, 4)
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 1))), fetch=False)
    flying = rig.window.wanted(rig.now_s)
    assert flying is not None
    rig.update(ll(segment(2, parts=parts(2, 4))), fetch=False)
    rig.window.arrived(flying, b"late", rig.now_s)
    assert rig.window.lookup(f"v0-{rig.epoch.tag}-1.0.mp4") is None


# -- dates, keys, the rest ------------------------------------------------------------------------


def test_every_segment_has_a_date_of_the_origin_where_it_says_one() -> None:
    rig = Rig()
    rig.update(playlist(2, segment(0), segment(1, pdt_s=1000.0), segment(2)))
    assert [e.pdt_s for e in rig.window.listed] == [998.0, 1000.0, 1002.0]
    rig.update(playlist(2, segment(2), segment(3), segment(4, pdt_s=2000.0)))
    assert [e.pdt_s for e in rig.window.listed] == [1002.0, 1004.0, 2000.0]


def test_up_to_when_viewers_have_seen() -> None:
    rig = Rig()
    assert rig.window.seen_until_s is None
    rig.update(ll(segment(0, parts=parts(0, 4), pdt_s=1000.0)))
    assert rig.window.seen_until_s == 1002.0
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 3))), fetch=False)
    fetch = rig.window.wanted(rig.now_s)
    assert fetch is not None
    rig.window.arrived(fetch, b"part", rig.now_s)
    assert rig.window.seen_until_s == 1002.5
    fetch_all(rig.window, rig.now_s)
    assert rig.window.seen_until_s == 1003.5


def test_an_origin_without_dates_gets_those_of_this_machine() -> None:
    rig = Rig()
    rig.update(playlist(2, segment(0), segment(1, discontinuity=True), segment(2)))
    assert [e.pdt_s for e in rig.window.listed] == [WALL_S + 94, WALL_S + 96, WALL_S + 98]


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_clock_that_jumps_moves_no_date_that_was_listed_and_none_that_follows(jump_s: float) -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    before = [e.pdt_s for e in rig.window.listed]
    rig.window.update(
        playlist(2, *(segment(n) for n in (0, 1, 2, 3))),
        rig.epoch,
        rig.now_s + 2,
        WALL_S + rig.now_s + jump_s,
    )
    fetch_all(rig.window, rig.now_s + 2)
    assert [e.pdt_s for e in rig.window.listed][:3] == before
    assert rig.window.listed[3].pdt_s == pytest.approx((before[2] or 0.0) + 2.0)


def test_keys_are_spelt_out_because_numbers_and_place_change() -> None:
    rig = Rig()
    rig.window.base_url = "http://origin.example/live/"
    rig.update(playlist(2, segment(7, keys=('#EXT-X-KEY:METHOD=AES-128,URI="k?v=1"',))))
    (key,) = rig.window.listed[0].keys
    assert key == f'#EXT-X-KEY:METHOD=AES-128,URI="http://origin.example/live/k?v=1",IV=0x{7:032x}'


def test_keys_of_initialization_sections_are_absolute() -> None:
    rig = Rig()
    rig.window.base_url = "http://origin.example/live/"
    init = Map("i.mp4", keys=('#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x1',))
    rig.update(playlist(2, segment(7, init=init, keys=init.keys)))
    found = rig.window.listed[0].init
    assert found is not None
    assert found.map.keys == ('#EXT-X-KEY:METHOD=AES-128,URI="http://origin.example/live/k",IV=0x1',)


def test_tags_of_the_playlist_are_those_that_the_origin_writes_now() -> None:
    rig = Rig()
    rig.update(replace(playlist(2, segment(0)), tags=("#EXT-X-NEW:1", "#EXT-X-START:TIME-OFFSET=-6")))
    assert rig.window.tags == ("#EXT-X-NEW:1", "#EXT-X-START:TIME-OFFSET=-6")
    version = rig.window.version
    rig.update(replace(playlist(2, segment(0)), tags=("#EXT-X-NEW:1", "#EXT-X-START:TIME-OFFSET=-6")))
    assert rig.window.version == version
    rig.update(replace(playlist(2, segment(0)), tags=("#EXT-X-NEW:2",)))
    assert (rig.window.tags, rig.window.version) == (("#EXT-X-NEW:2",), version + 1)


def test_variables_and_the_word_of_old_about_caching_are_not_passed_on() -> None:
    rig = Rig()
    spent = ('#EXT-X-DEFINE:NAME="a",VALUE="b"', "#EXT-X-ALLOW-CACHE:NO")
    rig.update(replace(playlist(2, segment(0)), tags=(*spent, "#EXT-X-NEW:b")))
    assert rig.window.tags == ("#EXT-X-NEW:b",)


def test_tags_of_a_session_that_is_over_change_nothing() -> None:
    rig = Rig()
    rig.plain(0, 1)
    old = rig.epoch
    rig.restart("two")
    rig.plain(0)
    rig.window.update(replace(playlist(2, segment(1)), tags=("#EXT-X-NEW:1",)), old, rig.now_s, WALL_S)
    assert rig.window.tags == ()


def test_tags_and_titles_go_with_their_segment() -> None:
    rig = Rig()
    rig.update(playlist(2, replace(segment(0, tags=("#EXT-X-NEW:1",)), title="a song")))
    (entry,) = rig.window.listed
    assert (entry.tags, entry.title) == (("#EXT-X-NEW:1",), "a song")


def test_no_hint_is_given_where_parts_are_not_listed() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    assert rig.window.hint_name == ""
    assert rig.window.open_entry is None
    timeline = Timeline("class1")
    window = new_window(timeline)
    window.update(playlist(2, segment(0)), begin(timeline, like=playlist(2)), 0.0, WALL_S)
    fetch_all(window, 0.0)
    assert window.hint_name == ""


def test_a_version_is_a_version() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    version = rig.window.version
    rig.plain(0, 1, 2)
    rig.window.tick(rig.now_s)
    assert rig.window.version == version
    rig.plain(1, 2, 3)
    assert rig.window.version > version


def test_the_longest_of_the_newest_segments() -> None:
    rig = Rig()
    assert rig.window.newest_segment_s == 0.0
    rig.update(playlist(2, segment(0, duration_s=1.0), segment(1, duration_s=9.0, gap=True)))
    assert rig.window.newest_segment_s == 1.0


def test_audio_may_be_stripped_of_independence() -> None:
    assert new_window(audio=True).strip_independent
    assert not new_window().strip_independent


def test_an_empty_playlist_is_no_news() -> None:
    rig = Rig()
    rig.update(playlist(2))
    assert not rig.window.ready
    rig.update(playlist(2, Segment(0, "s0.mp4", 2.0, map=INIT)))
    assert rig.listed == [0]


def test_a_window_is_settled_when_all_that_is_complete_is_listed() -> None:
    rig = Rig()
    rig.update(ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 1))), fetch=False)
    assert not rig.window.settled
    fetch_all(rig.window, rig.now_s)
    assert rig.window.settled


def test_the_durations_are_those_of_the_newest_session_that_is_listed() -> None:
    rig = Rig()
    assert (rig.window.pins, rig.window.longest_listed_s) == (None, 0.0)
    rig.update(ll(segment(0, duration_s=2.5), opened(1, *parts(1, 1))))
    first = rig.epoch.pins
    assert (rig.window.pins, rig.window.longest_listed_s) == (first, 2.5)
    rig.restart("two")
    assert rig.window.pins is first, "until its first media is listed"
    rig.update(ll(segment(0, duration_s=2.0)))
    assert rig.window.pins is rig.epoch.pins


def test_a_window_that_is_given_up_leaves_the_budget() -> None:
    budget = MemoryBudget(10**6)
    window = new_window(budget=budget)
    listed = playlist(2, segment(0), segment(1))
    window.update(listed, begin(Timeline("class1"), like=listed), 100.0, 0.0)
    fetch_all(window, 100.0)
    assert budget.used_bytes == window.size_bytes > 0
    window.release()
    assert budget.used_bytes == 0
