"""What is asked of an origin next: order, tickets, retries, hints."""

from __future__ import annotations

import math

import pytest

from relay.core.playlist import ByteRange, Map, PreloadHint
from relay.core.stream.fetch_queue import (
    RETRY_FIRST_S,
    RETRY_MAX_S,
    FetchQueue,
    HintStatus,
    made_of_parts,
    ticket_holder,
)
from relay.core.stream.media import Media
from relay.core.stream.segment import Fetch, FetchAttempt, InitSection, WindowPart, WindowSegment
from relay.core.stream.timeline import Epoch
from tests.harness.builders import MemoryBody

EPOCH = Epoch("one", 0, 0, "0123abcd")
NOW_S = 100.0


def media() -> Media:
    return Media(MemoryBody(), 0, 0, "mp4")


def whole(msn: int, **fields: object) -> WindowSegment:
    """Return a segment that the origin has completed, and of which nothing is here."""
    entry = WindowSegment(msn, EPOCH, 0, False, 0.0, uri=f"s{msn}.mp4", duration_s=1.0, closed=True)
    for name, value in fields.items():
        setattr(entry, name, value)
    return entry


def opened(msn: int, *parts: WindowPart) -> WindowSegment:
    return WindowSegment(msn, EPOCH, 0, False, 0.0, parts=list(parts))


def part(uri: str, *, here: bool = False, duration_s: float = 0.5) -> WindowPart:
    return WindowPart(uri, None, duration_s, True, False, media() if here else None)


def hint(uri: str, **more: int) -> tuple[PreloadHint, ...]:
    return (PreloadHint("PART", uri, **more),)


def asked(fetching: FetchQueue, *pending: WindowSegment, now_s: float = NOW_S) -> list[tuple[str, str]]:
    """Return kind and URI of everything that is asked for without an answer."""
    found = []
    while (fetch := fetching.next(pending, now_s)) is not None:
        found.append((fetch.kind, fetch.uri))
    return found


# -- order ----------------------------------------------------------------------------------------


def test_an_initialization_section_comes_before_its_segment_and_once_for_all() -> None:
    init = InitSection(Map("i.mp4", ByteRange(9, 0)), "v0-i.mp4")
    fetching, pending = FetchQueue(), (whole(1, init=init), whole(2, init=init))
    first = fetching.next(pending, NOW_S)
    assert first is not None
    assert (first.kind, first.byterange, first.name) == ("init", ByteRange(9, 0), "v0-i.mp4")
    assert first.tried is init.tried
    assert asked(fetching, *pending) == [("segment", "s1.mp4"), ("segment", "s2.mp4")]


def test_parts_are_asked_for_in_order_one_of_a_segment_at_a_time() -> None:
    fetching = FetchQueue()
    entry = opened(1, part("p0", here=True), part("p1"), part("p2"))
    assert asked(fetching, entry) == [("part", "p1")]
    entry.parts[1].media = media()
    assert asked(fetching, entry) == [("part", "p2")]


def test_nothing_is_asked_for_that_is_here_or_known_to_be_missing() -> None:
    here = whole(1, media=media())
    gap = whole(2, gap=True)
    joined = whole(3, parts=[part("p0", here=True), part("p1", here=True)])
    assert asked(FetchQueue(), here, gap, joined, opened(4)) == []


def test_a_segment_with_a_broken_part_is_waited_for_whole() -> None:
    entry = opened(1, part("p0"))
    entry.parts_broken = True
    fetching = FetchQueue()
    assert asked(fetching, entry) == []
    entry.closed, entry.uri = True, "s1.mp4"
    assert asked(fetching, entry) == [("segment", "s1.mp4")]


# -- retries --------------------------------------------------------------------------------------


def test_a_failure_puts_an_object_off_twice_as_long_each_time() -> None:
    fetching, entry = FetchQueue(), whole(1)
    now_s, waits = NOW_S, []
    for _ in range(6):
        fetch = fetching.next([entry], now_s)
        assert fetch is not None
        assert fetching.next([entry], now_s) is None
        fetching.failed(fetch, now_s)
        assert fetching.next([entry], now_s) is None
        again_s = fetching.retry_at_s([entry], now_s)
        waits.append(again_s - now_s)
        now_s = again_s
    assert waits == pytest.approx([RETRY_FIRST_S * factor for factor in (1, 2, 4, 8, 10, 10)])
    assert waits[-1] == pytest.approx(RETRY_MAX_S)


def test_retries_of_parts_and_initialization_sections_are_waited_for() -> None:
    fetching = FetchQueue()
    init = InitSection(Map("i.mp4"), "v0-i.mp4")
    entry = opened(1, part("p0", here=True), part("p1"))
    entry.init = init
    assert fetching.retry_at_s([entry], NOW_S) == math.inf
    entry.parts[1].tried.not_before_s = NOW_S + 5
    assert fetching.retry_at_s([entry], NOW_S) == NOW_S + 5
    init.tried.not_before_s = NOW_S + 3
    assert fetching.retry_at_s([entry], NOW_S) == NOW_S + 3
    init.media = media()
    assert fetching.retry_at_s([entry], NOW_S) == NOW_S + 5
    assert fetching.retry_at_s([entry], NOW_S + 6) == math.inf


def test_what_was_put_back_is_asked_for_at_once_and_does_not_count() -> None:
    fetching, entry = FetchQueue(), whole(1)
    fetch = fetching.next([entry], NOW_S)
    assert fetch is not None
    fetching.put_back(fetch)
    assert fetching.next([entry], NOW_S) == fetch
    assert entry.tried.attempts == 1


# -- preload hints --------------------------------------------------------------------------------


def test_a_hint_is_fetched_when_all_that_is_listed_is_here() -> None:
    fetching = FetchQueue()
    fetching.hinted(hint("p1"))
    assert asked(fetching, opened(1, part("p0"))) == [("part", "p0")]
    broken = opened(1)
    broken.parts_broken = True
    assert asked(fetching, broken) == []
    assert asked(fetching, opened(1, part("p0", here=True))) == [("hint", "p1")]
    assert asked(fetching) == []


def test_a_part_keeps_the_ticket_that_it_had_as_a_hint() -> None:
    fetching = FetchQueue()
    fetching.hinted(hint("p0"))
    fetch = fetching.next([], NOW_S)
    assert fetch is not None
    tried, ahead = fetching.listed("p0", None)
    assert (tried, ahead) == (fetch.tried, None)
    fetching.hinted(hint("p1"))
    late = opened(1, WindowPart("p0", None, 0.5, True, False, tried=tried))
    assert fetching.next([late], NOW_S) is None  # p0 is under way, and p1 has no place yet
    assert ticket_holder([whole(0), late], fetch.tried) == (late, 0)
    fetching.failed(fetch, NOW_S)
    assert fetching.next([late], NOW_S) is None
    again = fetching.next([late], NOW_S + RETRY_FIRST_S)
    assert again is not None
    assert (again.kind, again.uri) == ("part", "p0")


def test_a_hinted_part_that_came_ahead_is_taken_when_it_is_listed() -> None:
    fetching = FetchQueue()
    fetching.hinted(hint("p0"))
    fetch = fetching.next([], NOW_S)
    assert fetch is not None
    fetching.arrived_ahead(fetch, b"ahead")
    fetching.hinted(hint("p0"))
    assert fetching.next([], NOW_S) is None
    assert fetching.listed("p0", ByteRange(1, 0))[1] is None
    assert fetching.listed("other", None)[1] is None
    assert fetching.listed("p0", None) == (fetch.tried, b"ahead")
    assert fetching.next([], NOW_S) is None  # an origin that still hints at it


def test_a_hint_that_was_replaced_or_forgotten_comes_to_nothing() -> None:
    fetching = FetchQueue()
    for drop in (lambda: fetching.hinted(hint("other")), fetching.forget):
        fetching.hinted(hint("p0"))
        fetch = fetching.next([], NOW_S)
        assert fetch is not None
        drop()
        fetching.arrived_ahead(fetch, b"late")
        assert fetching.listed("p0", None)[1] is None
        assert fetching.listed("other", None)[1] is None


def test_a_withdrawn_hint_that_is_under_way_is_waited_for() -> None:
    fetching = FetchQueue()
    fetching.hinted(())
    fetching.hinted(hint("p0"))
    fetch = fetching.next([], NOW_S)
    assert fetch is not None
    fetching.hinted(())
    fetching.arrived_ahead(fetch, b"ahead")
    assert fetching.listed("p0", None)[1] == b"ahead"
    fetching.hinted(hint("p1"))
    fetching.hinted(())
    assert fetching.next([], NOW_S) is None


def test_the_outlook_of_a_hinted_part_under_way() -> None:
    fetching = FetchQueue()
    fetching.hinted(hint("p0"))
    fetch = fetching.next([], NOW_S)
    assert fetch is not None
    assert fetching.outlook(fetch, []) is HintStatus.AHEAD
    assert fetching.outlook(fetch, [opened(1, part("p", here=True))]) is HintStatus.AHEAD
    assert (
        fetching.outlook(fetch, [opened(1, part("p"))]) is HintStatus.DUE
    )  # another part waits for the line
    fetching.hinted(())
    assert fetching.outlook(fetch, []) is HintStatus.DUE  # withdrawn, and none in its place
    listed = part("p0")
    listed.tried, _ = fetching.listed("p0", None)
    fetching.hinted(hint("p1"))
    assert fetching.outlook(fetch, [opened(1, listed)]) is HintStatus.DUE
    assert fetching.outlook(fetch, []) is HintStatus.LOST  # another one is hinted at


def test_a_failed_hint_is_asked_for_when_it_is_hinted_again() -> None:
    fetching = FetchQueue()
    fetching.hinted(hint("p0"))
    fetch = fetching.next([], NOW_S)
    assert fetch is not None
    fetching.failed(fetch, NOW_S)
    assert fetching.next([], NOW_S) is None
    fetching.hinted(hint("p0"))
    assert fetching.next([], NOW_S) == fetch


def test_hints_of_other_things_are_left_alone() -> None:
    fetching = FetchQueue()
    fetching.hinted((PreloadHint("MAP", "i.mp4"), *hint("p0", byterange_start=5), *hint("p1")))
    assert asked(fetching) == [("hint", "p1")]


# -- parts and wholes -----------------------------------------------------------------------------


def test_parts_make_up_a_segment_when_their_durations_do() -> None:
    two = [part("p0", here=True), part("p1", here=True)]
    assert made_of_parts(whole(1, parts=two))
    assert not made_of_parts(whole(1))
    assert not made_of_parts(whole(1, parts=two, parts_broken=True))
    assert not made_of_parts(whole(1, parts=[two[0], part("p1")]))


@pytest.mark.parametrize(
    ("listed", "last_s", "made"),
    [(True, 0.46, True), (True, 0.4, False), (False, 0.46, False), (False, 0.499, True)],
)
def test_a_last_part_of_one_frame_is_missed_unless_the_origin_lists_all(
    listed: bool, last_s: float, made: bool
) -> None:
    """Two relays would call different bytes the same segment."""
    parts = [part("p0", here=True), part("p1", here=True, duration_s=last_s)]
    assert made_of_parts(whole(1, parts=parts, parts_listed=listed)) is made


def test_a_ticket_that_nobody_holds() -> None:
    assert ticket_holder([opened(1, part("p0"))], FetchAttempt()) is None
    assert Fetch("part", "p0", None, 1, 0) == Fetch("part", "p0", None, 1, 0)  # whatever its ticket
