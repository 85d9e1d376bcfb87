"""The picture: exact standstills, the catch-up rate, latency from dates."""

from __future__ import annotations

import pytest

from benchmarks.player.playback import MIN_STALL_S, START_BUFFER_S, Playback, PlaybackState, Stall

T0 = 1_800_000_000.0


def playing(buffer_s: float = 2.0) -> Playback:
    playback = Playback(1.1)
    playback.begin(T0)
    playback.advance(T0 + 0.5)
    playback.buffered(buffer_s, T0 + 0.5, complete=False, target_s=2.0)
    return playback


def test_the_picture_starts_when_enough_is_there() -> None:
    playback = Playback(1.1)
    playback.begin(T0)
    playback.buffered(START_BUFFER_S - 0.01, T0 + 0.2, complete=False, target_s=2.0)
    assert playback.facts.startup_s is None
    playback.advance(T0 + 0.5)
    assert playback.position_s == 0.0
    playback.buffered(START_BUFFER_S, T0 + 0.5, complete=False, target_s=2.0)
    assert playback.state is PlaybackState.PLAYING
    assert playback.facts.startup_s == pytest.approx(0.5)


def test_the_end_of_a_short_class_is_played_too() -> None:
    playback = Playback(1.1)
    playback.begin(T0)
    playback.buffered(0.1, T0, complete=True, target_s=2.0)
    playback.advance(T0 + 1)
    assert playback.state is PlaybackState.ENDED
    assert playback.position_s == pytest.approx(0.1)
    playback.buffered(9.0, T0 + 2, complete=True, target_s=2.0)
    assert playback.finish(T0 + 3).stalls == []


def test_a_standstill_begins_where_the_buffer_ended() -> None:
    playback = playing(2.0)
    playback.advance(T0 + 10)
    assert (playback.state, playback.position_s) == (PlaybackState.STALLED, 2.0)
    playback.buffered(4.0, T0 + 10, complete=False, target_s=2.0)
    assert playback.facts.stalls == [Stall(T0 + 2.5, 7.5)]
    assert playback.extra_latency_s == 1.0


def test_stalls_add_at_most_a_target_duration_of_distance() -> None:
    playback = playing(2.0)
    for n in range(1, 5):
        playback.advance(T0 + 10 * n)
        playback.buffered(2.0 + n, T0 + 10 * n, complete=False, target_s=2.0)
    assert len(playback.facts.stalls) == 4
    assert playback.extra_latency_s == 2.0


def test_a_blink_is_no_stall() -> None:
    playback = playing(2.0)
    playback.advance(T0 + 2.5 + MIN_STALL_S / 2)
    playback.buffered(4.0, T0 + 2.5 + MIN_STALL_S / 2, complete=False, target_s=2.0)
    assert (playback.state, playback.facts.stalls) == (PlaybackState.PLAYING, [])


def test_a_stall_that_lasts_is_counted_once() -> None:
    playback = playing(2.0)
    assert playback.finish(T0 + 5).stalls == playback.finish(T0 + 9).stalls
    assert playback.facts.stalls[0].lasted_s == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("latency_s", "buffer_s", "rate"),
    [(1.5, 5.0, 1.0), (1.54, 5.0, 1.0), (1.8, 5.0, 1.1), (1.6, 5.0, 1.05), (3.0, 0.9, 1.0), (9.0, 5.0, 1.0)],
)
def test_the_rate(latency_s: float, buffer_s: float, rate: float) -> None:
    playback = playing(buffer_s)
    playback.steer(latency_s, 1.5, 2.0)
    assert playback.rate == pytest.approx(rate)


def test_a_faster_picture_reaches_further() -> None:
    playback = playing(10.0)
    playback.steer(3.0, 1.5, 2.0)
    playback.advance(T0 + 1.5)
    assert playback.position_s == pytest.approx(1.1)


def test_latency_is_now_minus_the_date_of_the_picture() -> None:
    playback = playing(10.0)
    playback.note_latency(T0 + 0.5)
    playback.dated(0.0, T0 - 3.0)
    playback.dated(5.0, T0 + 2.0)
    playback.advance(T0 + 1.5)
    playback.note_latency(T0 + 1.5)
    playback.advance(T0 + 50)
    playback.note_latency(T0 + 50)
    assert playback.facts.latencies_s == [pytest.approx(3.5)]  # unknown before the dates, and while it stands
