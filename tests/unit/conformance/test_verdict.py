"""Stalls, starts and deaths are told from samples alone."""

from __future__ import annotations

import pytest

from tests.conformance.verdict import ObservedStall, Sample, alive, disturbed, plain, stalls, started_s


def play(*runs: tuple[float, float], step_s: float = 0.1) -> list[Sample]:
    """Return samples of a player: pairs of (seconds of wall clock, speed of the picture)."""
    at_s, position_s, samples = 100.0, 0.0, [Sample(100.0, 0.0)]
    for length_s, speed in runs:
        for _ in range(round(length_s / step_s)):
            at_s, position_s = at_s + step_s, position_s + speed * step_s
            samples.append(Sample(at_s, position_s, int(position_s * 15)))
    return samples


def test_a_smooth_player_has_no_stall() -> None:
    assert stalls(play((1, 0), (10, 1)), 111) == []


def test_waiting_for_the_first_picture_is_no_stall_but_a_late_start() -> None:
    samples = play((2, 0), (10, 1))
    assert stalls(samples, 112) == []
    assert started_s(samples) == pytest.approx(102.1)


def test_a_stall_is_found_with_its_length() -> None:
    (stall,) = stalls(play((3, 1), (1.5, 0), (3, 1)), 107.5)
    assert (stall.from_s, stall.to_s) == pytest.approx((103, 104.5))


def test_creeping_counts_as_standing() -> None:
    assert len(stalls(play((3, 1), (1, 0.2), (3, 1)), 107)) == 1
    assert stalls(play((3, 1), (1, 0.5), (3, 1)), 107) == []


def test_a_stall_shorter_than_the_clock_can_tell_is_not_told() -> None:
    samples = play((3, 1), (0.5, 0), (3, 1))
    assert len(stalls(samples, 106.5)) == 1
    assert stalls(samples, 106.5, least_s=0.8) == []


def test_a_stall_that_never_ends_lasts_until_the_end() -> None:
    (stall,) = stalls(play((3, 1), (4, 0)), 107)
    assert stall.to_s == 107


def test_a_player_that_says_nothing_more_stands() -> None:
    (stall,) = stalls(play((3, 1)), 110)
    assert (stall.from_s, stall.to_s) == pytest.approx((103, 110))


def test_a_jump_back_does_not_hide_that_it_goes_on() -> None:
    before, after = play((3, 1)), play((3, 1))
    samples = [*before, *(Sample(s.at_s + 3, s.position_s, s.frames) for s in after[1:])]
    assert sum(s.to_s - s.from_s for s in stalls(samples, 106)) <= 0.2


def test_within_counts_the_common_time_alone() -> None:
    assert ObservedStall(3, 6).within(5, 9) == 1
    assert ObservedStall(3, 6).within(7, 9) == 0


def test_alive_needs_movement_at_the_end() -> None:
    assert alive(play((10, 1)), 110)
    assert not alive(play((5, 1), (5, 0)), 110)
    assert not alive(play((5, 1)), 110)


def test_sound_alone_is_not_alive() -> None:
    frozen = [Sample(s.at_s, s.position_s, 7) for s in play((10, 1))]
    assert not alive(frozen, 110)


def test_plain_says_when_it_began_and_how_long_it_stood() -> None:
    seen = plain(play((1, 0), (3, 1), (1, 0), (5, 1)), 99, 110)
    assert seen.plays
    assert (seen.start_s, seen.stall_s) == pytest.approx((2.1, 1.0))


def test_plain_without_any_picture_does_not_play() -> None:
    assert not plain([], 99, 110).plays
    assert plain(play((10, 0)), 99, 110).start_s is None


def test_what_lies_after_the_return_is_beyond_the_gap() -> None:
    seen = disturbed(play((5, 1), (6, 0), (5, 1)), lost_s=103, back_s=110.5, until_s=116)
    assert seen.plays
    assert (seen.stall_s, seen.gap_s, seen.beyond_s) == pytest.approx((6, 7.5, 0.5))
