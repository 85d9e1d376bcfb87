"""The pace of asking an origin, and which of several is asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.origin.playlist_poller import PlaylistPoller, Poll
from tests.harness.builders import ll, opened, parts, playlist, segment

PLAIN = playlist(4, segment(5, duration_s=4.0))


def test_the_first_request_is_plain_and_at_once() -> None:
    assert PlaylistPoller(100.0).next_poll(100.5) == Poll(100.5, "", 3.0)


def test_polling_waits_for_the_last_segments_length_after_a_change_and_half_of_it_otherwise() -> None:
    follower = PlaylistPoller(100.0)
    follower.received(PLAIN, 100.0, 100.1)
    assert follower.next_poll(100.1).at_s == 104.0
    follower.received(PLAIN, 104.0, 104.1)
    assert follower.next_poll(104.1).at_s == 106.0
    follower.received(playlist(4, segment(6, duration_s=9.0)), 106.0, 106.1)
    assert follower.next_poll(106.1).at_s == 110.0


def test_an_empty_list_is_polled_at_its_target_duration() -> None:
    follower = PlaylistPoller(100.0)
    follower.received(playlist(4), 100.0, 100.1)
    assert follower.next_poll(100.1).at_s == 104.0


def test_blocking_requests_ask_for_the_next_part() -> None:
    follower = PlaylistPoller(100.0)
    follower.received(ll(segment(5, parts=parts(5, 4)), opened(6, *parts(6, 2))), 100.0, 100.1)
    assert follower.next_poll(100.1) == Poll(100.1, "_HLS_msn=6&_HLS_part=2", 2.0)
    follower.received(ll(segment(6, parts=parts(6, 4))), 100.1, 100.5)
    assert follower.next_poll(100.5).query == "_HLS_msn=7&_HLS_part=0"


def test_blocking_requests_without_parts_ask_for_the_next_segment() -> None:
    follower = PlaylistPoller(100.0)
    follower.received(playlist(4, segment(5), blocking=True), 100.0, 100.1)
    assert follower.next_poll(100.1) == Poll(100.1, "_HLS_msn=6", 6.0)


def test_an_early_unchanged_answer_is_not_followed_by_a_tight_loop() -> None:
    follower, listed = PlaylistPoller(100.0), ll(segment(5, parts=parts(5, 4)))
    follower.received(listed, 100.0, 100.1)
    follower.received(listed, 100.1, 100.11)
    poll = follower.next_poll(100.11)
    assert (poll.query, poll.at_s) == ("", pytest.approx(100.35))
    follower.received(listed, 100.35, 100.36)
    assert follower.next_poll(100.36).at_s == pytest.approx(100.6)


def test_an_unchanged_answer_at_the_origins_hold_limit_is_asked_again_at_once() -> None:
    follower, listed = PlaylistPoller(100.0), ll(segment(5, parts=parts(5, 4)))
    follower.received(listed, 100.0, 100.1)
    follower.received(listed, 100.1, 101.1)
    assert follower.next_poll(101.1) == Poll(101.1, "_HLS_msn=6&_HLS_part=0", 2.0)


def test_a_blocking_request_that_brings_nothing_is_followed_by_a_plain_one() -> None:
    """A line that hiccups is no fault of the origin; one that does not say what it has either is gone."""
    follower, listed = PlaylistPoller(100.0), ll(segment(5, parts=parts(5, 4)))
    assert not follower.unanswered()
    follower.received(listed, 100.0, 100.1)
    assert follower.unanswered()
    # 1.5 target durations (of 2 s) after the last news it stands still in any case
    assert follower.next_poll(102.1) == Poll(102.1, "", pytest.approx(1.0))
    follower.received(listed, 102.1, 102.11)
    assert follower.next_poll(102.11) == Poll(102.11, "_HLS_msn=6&_HLS_part=0", 2.0)
    assert follower.unanswered()
    assert follower.next_poll(104.11).first_byte_s == 1.0
    assert not follower.unanswered()


@pytest.mark.parametrize(("target_s", "wait_s"), [(2, 1.0), (3, 2.5), (6, 3.0)])
def test_the_last_question_ends_with_the_patience_for_news(target_s: int, wait_s: float) -> None:
    follower = PlaylistPoller(100.0)
    follower.received(replace(ll(segment(5, parts=parts(5, 4))), target_duration_s=target_s), 100.0, 100.0)
    assert follower.unanswered()
    assert follower.next_poll(102.0).first_byte_s == pytest.approx(wait_s)


def test_with_another_origin_at_hand_one_quick_question_decides() -> None:
    follower, listed = PlaylistPoller(100.0, stand_by=True), ll(segment(5, parts=parts(5, 4)))
    assert follower.next_poll(100.0).first_byte_s == 3.0
    follower.received(listed, 100.0, 100.1)
    assert follower.next_poll(100.1).first_byte_s == 1.0
    assert follower.unanswered()
    assert follower.next_poll(101.1) == Poll(101.1, "", 0.5)
    follower.received(listed, 101.1, 101.15)  # it is there: the teacher's line hiccups
    assert follower.next_poll(101.15).first_byte_s == 1.0
    assert not follower.unanswered()  # for too long
    follower.received(ll(segment(6, parts=parts(6, 4))), 102.1, 102.2)
    assert follower.unanswered()  # news: the count begins again


@pytest.mark.parametrize(("part_target_s", "block_s", "check_s"), [(0.2, 1.0, 0.5), (1.0, 2.0, 1.0)])
def test_the_quick_question_has_one_part_of_time(
    part_target_s: float, block_s: float, check_s: float
) -> None:
    follower = PlaylistPoller(100.0, stand_by=True)
    listed = replace(ll(segment(5, parts=parts(5, 4))), part_target_s=part_target_s)
    follower.received(listed, 100.0, 100.0)
    assert follower.next_poll(100.0).first_byte_s == block_s
    assert follower.unanswered()
    assert follower.next_poll(100.0 + block_s).first_byte_s == check_s


def test_with_another_origin_at_hand_polling_waits_no_longer_than_for_news() -> None:
    follower = PlaylistPoller(100.0, stand_by=True)
    follower.received(playlist(2, segment(5)), 100.0, 100.0)
    assert follower.next_poll(100.0) == Poll(102.0, "", pytest.approx(1.0))
    blocking = PlaylistPoller(100.0, stand_by=True)
    blocking.received(playlist(2, segment(5), blocking=True), 100.0, 100.0)
    assert blocking.next_poll(100.0).first_byte_s == 3.0
    assert not blocking.unanswered()


def test_an_ended_list_is_over() -> None:
    follower = PlaylistPoller(100.0)
    assert not follower.ended
    follower.received(ll(segment(5), ended=True), 100.0, 100.1)
    assert follower.ended
    assert follower.next_poll(100.1).query == ""


def test_a_list_stands_still_after_one_and_a_half_target_durations() -> None:
    follower = PlaylistPoller(100.0)
    assert not follower.stalled(101.4)
    assert follower.stalled(101.5)
    follower.received(PLAIN, 101.0, 102.0)
    follower.received(PLAIN, 106.0, 106.0)
    assert not follower.stalled(107.9)
    assert follower.stalled(108.0)
