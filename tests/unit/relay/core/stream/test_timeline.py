"""The viewers' number line across restarts, alone and in a cluster."""

from __future__ import annotations

import pytest

from relay.base.cluster_protocol import EpochOffset
from relay.core.stream.timeline import MAX_EPOCHS_KEPT, Epoch, PinnedDurations, Timeline, propose_pins
from tests.harness.builders import begin, ll, opened, part, parts, playlist, segment

PLAIN = playlist(4, segment(7, duration_s=4.0))


def base(key: str, offset: int = 0, discontinuity_seq: int = 0, target_s: int = 6) -> EpochOffset:
    return EpochOffset("class1", key, offset, discontinuity_seq, target_s, 0.55)


def test_the_first_session_keeps_the_origins_numbers() -> None:
    timeline = Timeline("class1")
    assert timeline.newest is None
    epoch = begin(timeline, "aa", first_msn=7)
    assert (epoch.offset, epoch.discontinuity_seq) == (0, 0)
    assert timeline.known("aa") is epoch
    assert timeline.newest is epoch
    assert timeline.epochs == (epoch,)
    assert timeline.known("bb") is None


def test_the_next_session_goes_on_after_what_was_listed() -> None:
    timeline = Timeline("class1")
    begin(timeline, "aa", first_msn=7)
    timeline.listed(20, 0)
    timeline.listed(18, 0)
    epoch = begin(timeline, "bb", first_msn=7)
    assert 7 + epoch.offset == 21
    assert epoch.discontinuity_seq == 1
    timeline.listed(21, 1)
    assert begin(timeline, "cc", first_msn=0).discontinuity_seq == 2


def test_a_session_of_which_nothing_was_listed_uses_up_no_number() -> None:
    timeline = Timeline("class1")
    begin(timeline, "aa", first_msn=7)
    assert begin(timeline, "bb", first_msn=3).offset == 0


def test_a_request_says_what_the_master_must_know() -> None:
    timeline = Timeline("class1")
    timeline.listed(20, 2)
    ask = timeline.request("bb", 7, ll(segment(7)))
    assert (ask.stream, ask.key, ask.first_msn, ask.next_msn, ask.next_discontinuity_seq) == (
        "class1",
        "bb",
        7,
        21,
        3,
    )
    assert (ask.target_duration_s, ask.part_target_s) == (3, 0.55)


def test_durations_are_pinned_for_an_epoch() -> None:
    timeline = Timeline("class1")
    first = timeline.adopt(base("aa"))
    second = timeline.adopt(base("bb", target_s=9))
    assert (first.pins, second.pins) == (PinnedDurations(6, 0.55), PinnedDurations(9, 0.55))
    assert timeline.pin(ll(segment(0, duration_s=20.0))) == timeline.pins == PinnedDurations(9, 0.55)
    assert [offset.target_duration_s for offset in timeline.offsets()] == [6, 9]


def test_a_new_epoch_is_asked_for_with_what_it_needs_and_what_is_still_listed() -> None:
    timeline = Timeline("class1")
    timeline.adopt(base("aa", target_s=9))
    assert timeline.request("bb", 0, ll(segment(0))).target_duration_s == 3
    for longest_s, target_s in ((3.4, 3), (3.5, 4), (8.4, 8)):
        request = timeline.request("bb", 0, ll(segment(0)), longest_listed_s=longest_s)
        assert request.target_duration_s == target_s, "no head-room: its length is known"


def test_an_offset_without_durations_leaves_them_to_the_playlist() -> None:
    timeline = Timeline("class1")
    timeline.adopt(base("aa", target_s=0))
    assert timeline.pins is None
    assert timeline.offsets()[0].target_duration_s == 0
    assert timeline.pin(PLAIN) == PinnedDurations(6, 0.0) == timeline.pins


@pytest.mark.parametrize(
    ("promised_s", "segment_s", "pinned_s"),
    [(1, 1.0, 2), (2, 2.0, 3), (4, 4.2, 7), (6, 6.0, 9), (6, 4.0, 6), (9, 6.0, 9)],
)
def test_segments_have_headroom_once(promised_s: int, segment_s: float, pinned_s: int) -> None:
    missing = segment(1, duration_s=60.0, gap=True)
    listed = playlist(promised_s, missing, segment(2, duration_s=segment_s))
    assert propose_pins(listed) == PinnedDurations(pinned_s, 0.0)


def test_without_media_the_promise_counts() -> None:
    assert propose_pins(playlist(4)) == PinnedDurations(6, 0.0)
    assert propose_pins(playlist(2, part_target_s=0.5)) == PinnedDurations(3, 0.55)


@pytest.mark.parametrize(
    ("promised_s", "part_s", "pinned_s"), [(0.5, 0.5, 0.55), (0.55, 0.5, 0.55), (0.2, 0.3, 0.33)]
)
def test_parts_have_headroom_once(promised_s: float, part_s: float, pinned_s: float) -> None:
    whole = segment(1, parts=parts(1, 4, part_s))
    for listed in (
        playlist(2, whole, part_target_s=promised_s),
        playlist(2, opened(2, *parts(2, 1, part_s)), part_target_s=promised_s),
    ):
        assert propose_pins(listed).part_target_s == pinned_s


@pytest.mark.parametrize("promised_s", [0.5, 1.6])
def test_one_part_of_a_hiccup_is_no_measure(promised_s: float) -> None:
    whole = segment(1, duration_s=3.1, parts=(*parts(1, 2), part("long.mp4", 1.6), part("last.mp4", 0.1)))
    listed = playlist(3, whole, opened(2, *parts(2, 1)), part_target_s=promised_s)
    assert propose_pins(listed).part_target_s == 0.55


def test_too_few_parts_are_no_reason_to_doubt_the_promise() -> None:
    listed = playlist(3, segment(1, parts=parts(1, 2, 0.1)), part_target_s=0.5)
    assert propose_pins(listed).part_target_s == 0.5


def test_the_short_end_of_a_segment_is_not_the_usual_length() -> None:
    short = [segment(n, parts=(part(f"a{n}", 1.0), part(f"b{n}", 0.1), part(f"c{n}", 0.1))) for n in (1, 2)]
    assert propose_pins(playlist(3, *short, part_target_s=1.0)).part_target_s == pytest.approx(1.1)


def test_derived_durations() -> None:
    pins = PinnedDurations(3, 0.55)
    assert pins.part_hold_back_s == pytest.approx(1.65)
    assert pins.hold_back_s == 9.0
    assert pins.hold_s == pytest.approx(0.75 * 2.4)
    assert PinnedDurations(1, 0.5).hold_s == pytest.approx(0.75 * 1.5)


def test_offsets_are_what_another_timeline_adopts() -> None:
    timeline, other = Timeline("class1"), Timeline("class1")
    begin(timeline, "aa", first_msn=7)
    timeline.listed(20, 0)
    begin(timeline, "bb", first_msn=7)
    for one in timeline.offsets():
        other.adopt(one)
    assert other.epochs == timeline.epochs
    assert other.pins == timeline.pins


def test_the_tag_tells_sessions_and_numberings_apart() -> None:
    timeline = Timeline("class1")
    tags = {
        timeline.adopt(one).tag
        for one in (base("aa"), base("bb"), base("aa", offset=1), base("aa", discontinuity_seq=1))
    }
    assert len(tags) == 4
    assert timeline.adopt(base("aa")).tag == Timeline("class1").adopt(base("aa")).tag


def test_only_the_last_sessions_are_kept() -> None:
    timeline = Timeline("class1")
    for number in range(MAX_EPOCHS_KEPT + 3):
        timeline.adopt(base(f"s{number}", discontinuity_seq=number))
    assert [e.key for e in timeline.epochs] == [f"s{n}" for n in range(3, MAX_EPOCHS_KEPT + 3)]


def record(key: str, offset: int, discontinuity_seq: int, order: int = 0) -> EpochOffset:
    return EpochOffset("class1", key, offset, discontinuity_seq, 2, 0.5, order)


def test_the_newest_epoch_has_the_highest_order_number() -> None:
    timeline = Timeline("class1")
    for one in (record("b", 10, 0, 7), record("a", 90, 5, 3), record("c", 50, 9, 5)):
        assert timeline.learn(one)
    assert [e.key for e in timeline.epochs] == ["a", "c", "b"]
    assert timeline.newest is timeline.known("b")
    assert timeline.newest_of("a") is timeline.known("a")
    assert timeline.newest_of("d") is None
    assert timeline.adopt(record("d", 99, 10)).order == 8, "decided alone: after all that is known"
    timeline.learn(record("d", 99, 10, 12))
    assert timeline.offsets()[-1] == record("d", 99, 10, 12), "the master's word on the order"


def test_an_older_master_orders_by_discontinuity() -> None:
    timeline = Timeline("class1")
    for one in (record("a", 0, 0), record("b", 10, 1), record("old", 5, 0)):
        assert timeline.learn(one)
    assert [e.key for e in timeline.epochs] == ["a", "b"]


def test_numbers_below_what_viewers_have_seen_are_not_accepted() -> None:
    timeline = Timeline("class1")
    timeline.listed(20, 2)
    assert timeline.accepts(record("k", 14, 3), 7)
    assert not timeline.accepts(record("k", 13, 3), 7), "20 would be listed a second time"
    assert not timeline.accepts(record("k", 14, 2), 7), "two epochs would have one discontinuity number"


def test_a_refused_epoch_keeps_its_offset_and_the_session_goes_on_under_another_key() -> None:
    timeline = Timeline("class1")
    timeline.begin(timeline.adopt(record("a", 0, 0, 1)))
    timeline.listed(20, 0)
    timeline.learn(record("k", 3, 0, 2))
    request = timeline.request("k", 7, PLAIN)
    assert (request.key, request.refused, request.next_msn) == ("k", "k", 21)
    alone = timeline.decide_alone(request)
    assert (alone.key, alone.offset, alone.discontinuity_seq, alone.order) == ("k+1", 14, 1, 3)
    assert timeline.adopt(alone).session == "k"
    unknown = timeline.request("z", 7, PLAIN)
    assert unknown.refused == ""
    assert timeline.refuse(record("z", 0, 0, 4), unknown).refused == "z"


def test_an_epoch_begins_once_and_older_ones_are_over() -> None:
    timeline = Timeline("class1")
    first, second = timeline.adopt(record("a", 0, 0, 1)), timeline.adopt(record("b", 9, 1, 2))
    assert not timeline.has_begun(first)
    timeline.begin(first)
    assert (timeline.has_begun(first), timeline.has_begun(second)) == (True, False)
    timeline.begin(second)
    assert timeline.has_begun(first)
    assert timeline.current is second


def test_two_relays_that_decided_alone_and_differ_need_an_epoch_above_both() -> None:
    timeline = Timeline("class1")
    ours = timeline.adopt(record("k", 30, 1, 2))
    timeline.begin(ours)
    timeline.listed(40, 1)
    assert timeline.learn(record("k", 30, 1, 5)), "they agree"
    assert ours.order == 5
    assert not timeline.learn(record("k", 28, 1, 5))
    assert not timeline.has_begun(ours)
    assert not timeline.accepts(ours, 99)
    request = timeline.request("k", 9, PLAIN)
    assert request.refused == "k"
    assert timeline.decide_alone(request) == record("k", 30, 1, 5), "nobody answers: it stays"
    higher = timeline.adopt(record("k+3", 50, 3, 6))
    timeline.begin(higher)
    assert timeline.learn(record("k", 28, 1, 5)), "settled"
    assert timeline.newest_of("k") is higher
    assert timeline.known("k") is ours, "what viewers have seen keeps its numbers"


def test_an_older_master_that_repeats_its_offset_is_not_asked_again() -> None:
    timeline = Timeline("class1")
    timeline.begin(timeline.adopt(record("k", 30, 1)))
    timeline.listed(40, 1)
    theirs = record("k", 28, 1)
    assert not timeline.learn(theirs)
    request = timeline.refuse(theirs, timeline.request("k", 9, PLAIN))
    timeline.begin(timeline.adopt(timeline.decide_alone(request)))
    assert timeline.learn(theirs)
    for number in range(MAX_EPOCHS_KEPT):
        timeline.refuse(record(f"s{number}", 0, 0), request)
    assert not timeline.learn(theirs), "only the last refusals are remembered"


def test_an_offset_that_was_corrected_before_this_relay_used_it_is_taken() -> None:
    timeline = Timeline("class1")
    timeline.learn(record("k", 30, 1, 2))
    assert timeline.learn(record("k", 33, 2, 2))
    assert timeline.offsets() == (record("k", 33, 2, 2),)


def test_alone_a_late_relay_goes_on_above_what_the_cluster_has_shown() -> None:
    timeline = Timeline("class1")
    timeline.learn(record("a", 15, 1, 2))
    assert timeline.decide_alone(timeline.request("k", 0, PLAIN)).offset == 16
    timeline.learn_numbers(31, 2)
    alone = timeline.decide_alone(timeline.request("k", 0, PLAIN))
    assert (alone.offset, alone.discontinuity_seq) == (31, 2)


def test_an_epoch_is_a_value() -> None:
    assert Epoch("a", 0, 0, "t") == Epoch("a", 0, 0, "t")


def test_a_session_that_is_only_counted_has_other_names_after_a_restart_of_the_relay() -> None:
    """Names are cached for an hour as never changing, and a plain origin counts from 0 again."""
    lives = [Timeline("class1", salt) for salt in ("1", "2")]
    assert len({life.adopt(base("session-0")).tag for life in lives}) == 2
    assert len({life.adopt(base("0123456789ab")).tag for life in lives}) == 1
    cluster = [Timeline("class1") for _ in range(2)]
    assert len({relay.adopt(base("session-0")).tag for relay in cluster}) == 1
