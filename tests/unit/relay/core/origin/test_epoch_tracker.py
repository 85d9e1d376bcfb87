"""Which epoch a playlist belongs to, and with which number an epoch begins."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.base.cluster_protocol import EpochOffset
from relay.core.origin.epoch_tracker import EpochTracker, first_msn
from relay.core.playlist import ByteRange, Map
from relay.core.stream.timeline import Timeline
from tests.harness.builders import begin, ll, opened, part, parts, playlist, segment

PLAIN = playlist(4, segment(5, duration_s=4.0))


def mediamtx(prefix: str, msn: int = 7) -> str:
    return f"{prefix}_video1_seg{msn}.mp4"


def adopt(timeline: Timeline, key: str) -> None:
    begin(timeline, key, 0, PLAIN)
    timeline.listed(100, len(timeline.epochs) - 1)


@pytest.mark.parametrize(
    "listed",
    [
        playlist(2, segment(6, uri="gap.mp4", gap=True), segment(7, uri=mediamtx("0123456789ab"))),
        playlist(2, segment(7, uri="a/b/0123456789ab_main_seg7.ts?session=1", init=None)),
        ll(opened(7, part("0123456789ab_video1_part0.mp4"))),
        ll(segment(7, uri="s7.mp4", init=Map("0123456789ab_video1_init.mp4"))),
    ],
)
def test_a_muxers_prefix_names_the_session(listed: object) -> None:
    assert EpochTracker(Timeline("class1")).key(listed) == "0123456789ab"  # type: ignore[arg-type]


def test_sessions_without_prefix_are_counted_when_numbers_fall_back() -> None:
    sessions = EpochTracker(Timeline("class1"))
    assert sessions.key(playlist(2, segment(5), segment(6))) == "session-0"
    assert sessions.key(playlist(2, segment(6), segment(7))) == "session-0"
    assert sessions.key(playlist(2, segment(0))) == "session-1"
    assert sessions.key(playlist(2, segment(0), segment(1))) == "session-1"


def test_another_name_under_the_same_number_is_another_session() -> None:
    sessions = EpochTracker(Timeline("class1"))
    assert sessions.key(playlist(2, segment(0, uri="a0.ts?token=1"))) == "session-0"
    assert sessions.key(playlist(2, segment(0, uri="a0.ts?token=2"))) == "session-0"
    assert sessions.key(playlist(2, segment(0, uri="b0.ts"), segment(1, uri="b1.ts"))) == "session-1"
    ranged = replace(segment(0, uri="b0.ts"), byterange=ByteRange(9, 0))
    assert sessions.key(playlist(2, ranged, segment(1, uri="b1.ts"))) == "session-2"


@pytest.mark.parametrize(
    ("newest", "wanted"),
    [("session-3", "session-3"), ("session-3+5", "session-3"), ("0123456789ab", "session-0")],
)
def test_a_relay_that_starts_late_takes_the_clusters_count(newest: str, wanted: str) -> None:
    timeline = Timeline("class1")
    adopt(timeline, newest)
    assert EpochTracker(timeline).key(PLAIN).partition("+")[0] == wanted


def test_nothing_but_gaps_has_no_prefix() -> None:
    gaps = playlist(2, segment(0, uri=mediamtx("0123456789ab"), gap=True))
    assert EpochTracker(Timeline("class1")).key(gaps) == "session-0"


def test_a_session_that_comes_back_after_another_one_is_new() -> None:
    timeline = Timeline("class1")
    video, audio = EpochTracker(timeline), EpochTracker(timeline)
    first = playlist(2, segment(7, uri=mediamtx("aaaaaaaaaaaa")))
    second = playlist(2, segment(7, uri=mediamtx("bbbbbbbbbbbb")))
    assert video.key(first) == audio.key(first) == "aaaaaaaaaaaa"
    adopt(timeline, "aaaaaaaaaaaa")
    assert video.key(second) == "bbbbbbbbbbbb"
    adopt(timeline, "bbbbbbbbbbbb")
    assert audio.key(first) == "aaaaaaaaaaaa"  # a straggler of the same round
    for sessions in (video, audio):
        sessions.begin()
        assert sessions.key(first) == "aaaaaaaaaaaa+1"
        assert sessions.key(first) == "aaaaaaaaaaaa+1"
        if sessions is video:
            adopt(timeline, "aaaaaaaaaaaa+1")
    video.begin()
    assert video.key(first) == "aaaaaaaaaaaa+1"


def test_the_first_number_is_that_of_real_media() -> None:
    assert first_msn(playlist(2, segment(0, gap=True), segment(1))) == 1
    assert first_msn(ll(opened(4, *parts(4, 1)))) == 4
    assert first_msn(ll(segment(3, gap=True), opened(4, *parts(4, 1)))) == 4


@pytest.mark.parametrize(
    ("seen_until_s", "wanted"),
    [
        (900.0, 5),  # a publisher who comes back: all of it is new
        (1000.0, 5),
        (1002.1, 6),
        (1002.9, 6),
        (1003.1, 7),
        (1005.5, 7),
        (9999.0, 7),  # its clock is behind
    ],
)
@pytest.mark.parametrize("dated", [True, False])
def test_a_stand_by_origin_begins_where_viewers_are(seen_until_s: float, wanted: int, dated: bool) -> None:
    middle = segment(6, pdt_s=1002.0 if dated else None)
    listed = playlist(2, segment(4, gap=True), segment(5), middle, segment(7))
    assert first_msn(listed, seen_until_s=seen_until_s, wall_s=1006.0) == wanted


def test_a_session_goes_on_under_its_newest_epoch() -> None:
    timeline = Timeline("class1")
    tracker = EpochTracker(timeline)
    listed = playlist(2, segment(7, uri=mediamtx("aaaaaaaaaaaa")))
    adopt(timeline, "aaaaaaaaaaaa")
    assert tracker.key(listed) == "aaaaaaaaaaaa"
    timeline.learn(EpochOffset("class1", "aaaaaaaaaaaa+4", 90, 4, order=9))
    assert tracker.key(listed) == "aaaaaaaaaaaa+4"


def test_a_late_relay_takes_the_newest_epoch_by_order_for_the_one_on_air() -> None:
    """After a power outage the newest epoch had the lower discontinuity number, and was numbered again."""
    timeline = Timeline("class1")
    timeline.learn(EpochOffset("class1", "bbbbbbbbbbbb", 0, 0, order=2))
    timeline.learn(EpochOffset("class1", "aaaaaaaaaaaa", 23, 1, order=1))
    listed = playlist(2, segment(7, uri=mediamtx("bbbbbbbbbbbb")))
    assert EpochTracker(timeline).key(listed) == "bbbbbbbbbbbb"


def test_an_older_session_that_goes_on_is_on_air_and_gets_a_new_epoch() -> None:
    timeline = Timeline("class1")
    tracker = EpochTracker(timeline)
    first = [playlist(2, segment(n, uri=mediamtx("aaaaaaaaaaaa", n))) for n in (7, 8)]
    assert tracker.key(first[0]) == "aaaaaaaaaaaa"
    adopt(timeline, "aaaaaaaaaaaa")
    adopt(timeline, "bbbbbbbbbbbb")  # by another rendition
    assert tracker.key(first[0]) == "aaaaaaaaaaaa", "a late playlist"
    assert tracker.key(first[0]) == "aaaaaaaaaaaa"
    assert tracker.key(first[1]) == "aaaaaaaaaaaa+1"
    assert tracker.key(first[1]) == "aaaaaaaaaaaa+1", "until it has its numbers"


def test_an_epoch_that_other_relays_began_does_not_end_the_one_on_air_here() -> None:
    """With two origins relays may follow different ones; a line that breaks is no new epoch."""
    timeline = Timeline("class1")
    tracker = EpochTracker(timeline)
    listed = playlist(2, segment(7, uri=mediamtx("aaaaaaaaaaaa")))
    adopt(timeline, "aaaaaaaaaaaa")
    timeline.learn(EpochOffset("class1", "bbbbbbbbbbbb", 200, 1, order=2))
    tracker.begin()
    assert tracker.key(listed) == "aaaaaaaaaaaa"


@pytest.mark.parametrize(("shown", "wanted"), [(106, "session-3"), (108, "session-3"), (109, "session-4")])
def test_an_origin_that_lists_less_than_viewers_have_seen_has_begun_again(shown: int, wanted: str) -> None:
    timeline = Timeline("class1")
    timeline.learn(EpochOffset("class1", "session-3", 100, 1, order=4))
    timeline.learn_numbers(shown, 2)
    assert EpochTracker(timeline).key(PLAIN) == wanted  # its next number is 6
