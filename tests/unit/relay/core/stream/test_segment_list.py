"""The segments of a rendition on the viewers' number line: numbers, seams, dates, what is kept of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.playlist import Map, MediaPlaylist, PreloadHint
from relay.core.stream.fetch_queue import FetchQueue
from relay.core.stream.media_cache import MediaCache
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.stream.segment import WindowSegment, part_name, segment_name
from relay.core.stream.segment_list import MAX_WINDOW_SEGMENTS, SegmentList, WindowCounters
from relay.core.stream.timeline import Epoch
from tests.harness.builders import MemoryBody, data, ll, opened, part, parts, playlist, segment

BASE = "http://origin/live/video.m3u8"
OTHER_INIT = Map("other.mp4")
FIRST = Epoch("one", 0, 0, "t1")
SECOND = Epoch("two", 0, 1, "t2")


class Rig:
    """A sequence with what is kept of it, and a clock."""

    def __init__(self) -> None:
        self.cache, self.fetching, self.tally = (
            MediaCache("v0", MemoryBody, MemoryBudget(10**6)),
            FetchQueue(),
            WindowCounters(),
        )
        self.line = SegmentList("v0", self.cache, self.fetching, self.tally)
        self.line.target_s, self.line.part_target_s = 3.0, 0.55
        self.now_s = 100.0

    def merge(self, listed: MediaPlaylist, epoch: Epoch = FIRST) -> bool:
        return self.line.merge(listed, epoch, BASE, self.now_s)

    def plain(self, *msns: int, epoch: Epoch = FIRST) -> bool:
        return self.merge(playlist(2, *(segment(n) for n in msns)), epoch)

    def keep(self, entry: WindowSegment) -> None:
        """Have all of a segment here, with its initialization section."""
        if entry.init is not None and entry.init.media is None:
            self.cache.put_init(entry.init, data(entry.init.map.uri))
        for index, one in enumerate(entry.parts):
            if one.media is None:
                self.line.store_part(entry, index, data(one.uri))
        if not entry.parts:
            self.cache.put_segment(entry, data(entry.uri))

    @property
    def msns(self) -> list[int]:
        return [e.msn for e in self.line.entries]

    @property
    def gaps(self) -> list[int]:
        return [e.msn for e in self.line.entries if e.gap]

    @property
    def seams(self) -> list[tuple[int, bool]]:
        return [(e.discontinuity_seq, e.discontinuity) for e in self.line.entries]


def test_a_segment_is_found_by_its_number() -> None:
    rig = Rig()
    assert rig.line.entry(5) is None
    assert not rig.plain(5, 6)
    assert not rig.plain(5, 6, 7)
    assert rig.msns == [5, 6, 7]
    found = rig.line.entry(6)
    assert found is not None
    assert (found.msn, found.uri, found.closed) == (6, "s6.mp4", True)
    assert rig.line.entry(4) is None
    assert rig.line.entry(8) is None


def test_numbers_of_another_session_and_those_evicted_are_not_taken_again() -> None:
    rig = Rig()
    rig.line.floor_msn = 6
    rig.plain(5, 6, 7)
    assert rig.msns == [6, 7]
    rig.line.cut(0, 1)
    rig.plain(6, 7, 8)
    assert rig.msns == [7, 8]


def test_the_epoch_moves_the_origins_numbers() -> None:
    rig = Rig()
    rig.plain(7, epoch=Epoch("one", 15, 0, "t1"))
    assert rig.msns == [22]


def test_a_session_that_is_numbered_once_more_keeps_what_it_has_begun() -> None:
    rig = Rig()
    rig.line.renumber()
    assert rig.line.carried is None, "nothing has begun"
    rig.plain(0, 1)
    rig.merge(ll(segment(1), opened(2, *parts(2, 1))))
    rig.line.renumber()
    higher = Epoch("one+9", 2, 1, "t9")
    rig.plain(1, 2, 3, epoch=higher)
    numbers = [(e.msn, e.epoch.key, e.gap) for e in rig.line.entries]
    assert numbers == [
        (0, "one", False),
        (1, "one", False),
        (2, "one", False),
        (3, "one", True),
        (4, "one", True),
        (5, "one+9", False),
    ]
    assert rig.seams[-3:] == [(0, False), (0, False), (1, True)]


def test_a_gap_says_the_discontinuity_of_an_epoch_of_which_nothing_was_listed() -> None:
    rig = Rig()
    rig.plain(0)
    rig.plain(0, epoch=Epoch("three", 2, 2, "t3"))
    assert (rig.msns, rig.gaps) == ([0, 1, 2], [1])
    assert rig.seams == [(0, False), (1, True), (2, True)]


def test_fillers_before_the_first_media_are_no_gaps_and_later_ones_are() -> None:
    rig = Rig()
    filler = [segment(n, uri="gap.mp4", gap=True) for n in (0, 1, 3)]
    rig.merge(playlist(2, filler[0], filler[1], segment(2), filler[2]))
    assert (rig.msns, rig.gaps) == ([2, 3], [3])


def test_a_hole_is_filled_with_gaps_that_are_dated() -> None:
    rig = Rig()
    rig.merge(playlist(2, segment(0, pdt_s=1000.0)))
    assert not rig.plain(3)
    assert (rig.msns, rig.gaps, rig.tally.gaps) == ([0, 1, 2, 3], [1, 2], 2)
    assert [e.pdt_s for e in rig.line.entries[1:3]] == [1002.0, 1005.0]
    assert rig.line.entries[1].init is rig.line.entries[0].init
    undated = Rig()
    undated.plain(0)
    undated.plain(2)
    assert undated.line.entries[1].pdt_s is None


def test_a_hole_longer_than_the_window_begins_the_sequence_anew() -> None:
    rig = Rig()
    rig.plain(0, 1, 2)
    for entry in rig.line.entries:
        rig.keep(entry)
    assert not rig.plain(5)
    assert rig.plain(9, 10)
    assert rig.msns == [9, 10]
    assert rig.cache.size_bytes == len(data("init.mp4"))  # both sides of the seam need this one


def test_a_longer_list_makes_a_longer_window_up_to_a_bound() -> None:
    rig = Rig()
    rig.plain(*range(5))
    assert rig.line.window_segments == 5
    rig.plain(4)
    assert rig.line.window_segments == 5
    rig.plain(*range(MAX_WINDOW_SEGMENTS + 7))
    assert rig.line.window_segments == MAX_WINDOW_SEGMENTS
    assert len(rig.line.entries) == MAX_WINDOW_SEGMENTS + 7  # what was there before goes by eviction


def test_only_the_end_of_an_endless_list_is_taken() -> None:
    rig = Rig()
    rig.plain(*range(MAX_WINDOW_SEGMENTS + 7))
    assert (rig.msns[0], len(rig.msns)) == (7, MAX_WINDOW_SEGMENTS)


def test_seams_of_the_origin_and_of_sessions_are_counted() -> None:
    rig = Rig()
    rig.merge(playlist(2, segment(0), segment(1, discontinuity=True), segment(2)))
    assert rig.seams == [(0, False), (1, True), (1, False)]
    rig.merge(playlist(2, segment(3)), replace(FIRST, key="two"))  # its count may be behind
    assert rig.seams[-1] == (2, True)
    hole = Rig()
    hole.plain(0)
    hole.merge(playlist(2, segment(2, discontinuity=True)))
    assert hole.seams == [(0, False), (0, False), (1, True)]


@pytest.mark.parametrize(
    ("listed", "epoch"),
    [
        (playlist(2, segment(1)), replace(SECOND, discontinuity_seq=2)),
        (playlist(2, segment(1, init=None)), FIRST),
    ],
)
def test_what_no_tag_can_say_begins_the_sequence_anew(listed: MediaPlaylist, epoch: Epoch) -> None:
    rig = Rig()
    rig.plain(0)
    assert rig.merge(listed, epoch)
    assert rig.msns == [1]
    assert not rig.line.entries[0].discontinuity


def test_a_segment_that_never_ended_is_closed_with_the_parts_that_are_here() -> None:
    rig = Rig()
    rig.merge(ll(opened(0, *parts(0, 3))))
    (entry,) = rig.line.entries
    rig.keep(entry)
    entry.parts[2].media = None
    rig.plain(1)
    assert (entry.closed, entry.sealed_parts, entry.duration_s, entry.gap) == (True, 2, 1.0, False)
    assert rig.cache.get(segment_name("v0", entry)) is entry.media
    assert entry.media is not None


@pytest.mark.parametrize("here", ["nothing", "no initialization section"])
def test_a_segment_of_which_nothing_can_be_shown_is_closed_as_a_gap(here: str) -> None:
    rig = Rig()
    rig.merge(ll(opened(0, *parts(0, 2))))
    (entry,) = rig.line.entries
    if here != "nothing":
        rig.line.store_part(entry, 0, b"a part")
    rig.line.seal(entry)
    assert (entry.closed, entry.gap, entry.duration_s, rig.tally.gaps) == (True, True, 3.0, 1)


def test_parts_are_added_as_they_are_listed_and_one_that_came_ahead_takes_its_place() -> None:
    rig = Rig()
    rig.fetching.hinted([PreloadHint("PART", "p0.1.mp4")])
    hint = rig.fetching.next([], rig.now_s)
    assert hint is not None
    rig.merge(ll(opened(0, *parts(0, 1))))
    (entry,) = rig.line.entries
    rig.line.store_part(entry, 0, data("p0.0.mp4"))
    rig.fetching.arrived_ahead(hint, data("p0.1.mp4"))
    rig.merge(ll(opened(0, *parts(0, 2))))
    assert [p.uri for p in entry.parts] == ["p0.0.mp4", "p0.1.mp4"]
    assert entry.arrived() == 2
    assert rig.cache.get(part_name("v0", FIRST, 0, 1, "mp4")) is entry.parts[1].media


def test_a_part_is_not_taken_out_of_order_nor_where_it_has_no_place() -> None:
    rig = Rig()
    rig.merge(ll(opened(0, *parts(0, 2), part("gap.mp4", gap=True))))
    (entry,) = rig.line.entries
    assert entry.parts_broken
    rig.line.store_part(entry, 0, b"of a broken one")
    entry.parts_broken = False
    rig.line.store_part(entry, 1, b"too early")
    entry.gap = True
    rig.line.store_part(entry, 0, b"given up")
    entry.gap, entry.media = False, object()  # type: ignore[assignment]
    rig.line.store_part(entry, 0, b"here as a whole")
    assert rig.cache.size_bytes == 0


def test_a_segment_is_closed_once_and_patience_begins_with_its_end() -> None:
    rig = Rig()
    rig.merge(ll(opened(0, *parts(0, 2))))
    rig.now_s += 10
    rig.merge(ll(segment(0, parts=parts(0, 4), tags=("#EXT-X-CUE",))))
    (entry,) = rig.line.entries
    assert (entry.first_seen_s, entry.parts_listed, entry.tags) == (108.0, True, ("#EXT-X-CUE",))
    rig.merge(ll(segment(0, uri="renamed.mp4")))
    assert entry.uri == "s0.mp4"


def test_what_is_longer_than_was_promised_is_counted() -> None:
    rig = Rig()
    rig.merge(ll(segment(0, duration_s=4.0, parts=(part("a.mp4", 0.6), part("b.mp4", 0.5)))))
    assert (rig.tally.long_segments, rig.tally.long_parts) == (1, 1)


def test_dates_go_both_ways_from_one_that_the_origin_says() -> None:
    rig = Rig()
    rig.merge(playlist(2, segment(0), segment(1, pdt_s=1000.0), segment(2)))
    rig.line.date(FIRST, 5000.0)
    assert [e.pdt_s for e in rig.line.entries] == [998.0, 1000.0, 1002.0]


def test_without_any_date_the_list_ends_now_and_another_sessions_stay() -> None:
    rig = Rig()
    rig.plain(0)
    rig.line.date(FIRST, 1000.0)
    rig.merge(ll(segment(1), opened(2, *parts(2, 2))), SECOND)
    rig.line.date(SECOND, 5000.0)
    assert [e.pdt_s for e in rig.line.entries] == [998.0, 4997.0, 4999.0]
    rig.merge(ll(segment(2, parts=parts(2, 4), pdt_s=7000.0)), SECOND)
    assert rig.line.entries[2].pdt_s == 4999.0  # what was listed stays true
    rig.line.date(replace(FIRST, key="none of ours"), 9000.0)
    assert rig.line.entries[0].pdt_s == 998.0


def test_keys_are_spelt_out_because_numbers_and_place_change() -> None:
    rig = Rig()
    key = '#EXT-X-KEY:METHOD=AES-128,URI="k.bin"'
    init = Map("init.mp4", keys=(key,))
    rig.merge(playlist(2, segment(7, keys=(key,), init=init)))
    (entry,) = rig.line.entries
    assert 'URI="http://origin/live/k.bin"' in entry.keys[0]
    assert entry.keys[0].endswith("IV=0x00000000000000000000000000000007")
    assert entry.init is not None
    assert 'URI="http://origin/live/k.bin"' in entry.init.map.keys[0]


def test_what_was_kept_leaves_with_its_segment_and_an_initialization_section_with_the_last() -> None:
    rig = Rig()
    rig.merge(playlist(2, segment(0), segment(1), segment(2, init=OTHER_INIT), segment(3, init=OTHER_INIT)))
    for entry in rig.line.entries:
        rig.keep(entry)
    rig.line.entries[2].stand_in = rig.line.entries[2].init
    rig.line.entries[3].stand_in = rig.line.entries[0].init
    rig.line.cut(0, 2)
    assert len(rig.line.inits) == 2  # one of them stands in for another
    rig.line.cut(1, 2)
    assert [init.map.uri for init in rig.line.inits.values()] == ["other.mp4"]
    rig.line.cut(0, 1)
    assert (rig.line.inits, rig.cache.size_bytes) == ({}, 0)
