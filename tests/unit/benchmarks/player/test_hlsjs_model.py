"""The viewer: what it asks in which order, and that stalls and latency are what they should be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.player.hlsjs_model import ModelledViewer, PlayerSettings, RequestKind
from benchmarks.player.listing import Listing
from benchmarks.player.playback import PlaybackState
from relay.core.playlist import (
    MediaPlaylist,
    MultivariantPlaylist,
    Segment,
)
from tests.harness.modelled_playback import HOST, INDEX, PART_S, PARTS, T0, ModelOrigin, ModelPlayback


def test_a_viewer_asks_as_hls_js_does() -> None:
    play = ModelPlayback(ModelOrigin())
    play.run(0.045)
    assert play.log == [
        "index.m3u8",
        "video.m3u8",
        "best.m3u8",
        "video.m3u8?_HLS_msn=30&_HLS_part=0",
        "best.m3u8?_HLS_msn=30&_HLS_part=0",
        "init.mp4",
        "init.mp4",
        "p29.0.mp4",
        "p29.0.mp4",
        "p29.1.mp4",
        "p29.1.mp4",
    ]


def test_nothing_is_fetched_twice_and_nothing_left_out() -> None:
    play = ModelPlayback(ModelOrigin(audio=False))
    play.run(20)
    media = [name for name in play.log if name.startswith("p")]
    assert len(media) == len(set(media))
    assert media == [f"p{n // PARTS}.{n % PARTS}.mp4" for n in range(29 * PARTS, 29 * PARTS + len(media))]
    assert len(media) > 38


def test_a_steady_stream_starts_at_once_and_never_stalls() -> None:
    play = ModelPlayback(ModelOrigin())
    play.run(30)
    facts = play.viewer.finish(play.now_s)
    assert facts.startup_s == pytest.approx(0.05)  # index, playlist, init and two parts
    assert facts.stalls == []
    assert not facts.failures
    assert play.viewer.playback.state is PlaybackState.PLAYING


def test_latency_is_read_from_the_dates() -> None:
    play = ModelPlayback(ModelOrigin(), PlayerSettings(max_rate=1.0))
    play.run(10)
    facts = play.viewer.finish(play.now_s)
    shown_s = play.origin.date_s(27 * PARTS) + play.viewer.playback.position_s
    assert facts.latencies_s[-1] == pytest.approx(play.now_s - shown_s, abs=1e-6)
    assert facts.latencies_s[-1] == pytest.approx(1.5 + 0.05)  # the hold-back and the start-up time


def test_a_pause_of_the_origin_is_a_stall_of_its_length_less_the_buffer() -> None:
    play = ModelPlayback(ModelOrigin(), PlayerSettings(max_rate=1.0))
    play.run(5)
    forward_s = play.viewer.playback.forward_s
    play.freeze(4.0)
    play.run(10)
    (stall,) = play.viewer.finish(play.now_s).stalls
    assert play.viewer.finish(play.now_s).stalls == [stall]
    assert stall.at_s == pytest.approx(T0 + 5 + forward_s)
    assert stall.lasted_s == pytest.approx(4.0 - forward_s, abs=PART_S)


def test_after_a_stall_the_viewer_catches_up_by_playing_faster() -> None:
    play = ModelPlayback(ModelOrigin())
    play.run(5)
    play.freeze(4.0)
    play.run(5)
    late_s = play.viewer.playback.facts.latencies_s[-1]
    assert play.viewer.playback.rate == 1.1
    play.run(60)
    # It keeps a second more distance than before, as hls.js does after a stall.
    assert late_s > 3.9
    assert 2.4 <= play.viewer.playback.facts.latencies_s[-1] < 3.1
    assert play.viewer.playback.rate == 1.0


def test_a_stall_that_lasts_is_counted_at_the_end() -> None:
    play = ModelPlayback(ModelOrigin())
    play.run(5)
    play.freeze(100.0)
    play.run(20)
    (stall,) = play.viewer.finish(play.now_s).stalls
    assert 17 < stall.lasted_s < 20


def test_an_unchanged_answer_slows_the_questions_down() -> None:
    origin = ModelOrigin(audio=False)
    viewer = ModelledViewer(INDEX, origin.read)
    (index,) = viewer.start(T0)
    (first,) = viewer.answered(index, 200, b"index", T0)
    asked = viewer.answered(first, 200, b"video 120", T0)
    blocked = next(get for get in asked if get.kind is RequestKind.PLAYLIST)
    assert viewer.answered(blocked, 200, b"video 120", T0 + 0.6) == []
    assert viewer.due_s == T0 + 1.0
    assert viewer.tick(T0 + 0.9) == []
    assert viewer.tick(T0 + 1.0) == [replace(blocked, asked_s=T0 + 1.0)]


def test_without_blocking_or_parts_the_playlist_is_polled() -> None:
    play = ModelPlayback(ModelOrigin(audio=False, blocking=False, parts=False))
    play.run(20)
    asked = [name for name in play.log if name.startswith("video")]
    assert len(asked) in (10, 11)
    assert play.viewer.finish(play.now_s).stalls == []
    assert "s29.mp4" in play.log
    assert play.viewer.playback.facts.latencies_s[-1] == pytest.approx(6.0, abs=2.1)


def test_a_wish_for_latency_goes_before_the_hold_back() -> None:
    play = ModelPlayback(ModelOrigin(), PlayerSettings(latency_s=3.0))
    play.run(10)
    assert play.viewer.playback.facts.latencies_s[-1] == pytest.approx(3.0, abs=0.6)


def test_a_bare_media_playlist_is_played() -> None:
    origin = ModelOrigin(audio=False)
    viewer = ModelledViewer(HOST + "video.m3u8?x=1", origin.read)
    (get,) = viewer.start(T0)
    (again,) = viewer.answered(get, 200, b"video 120", T0)
    assert again.url == HOST + "video.m3u8?x=1"
    asked = viewer.answered(again, 200, b"video 120", T0)
    assert [get.url.removeprefix(HOST) for get in asked] == [
        "video.m3u8?x=1&_HLS_msn=30&_HLS_part=0",
        "init.mp4",
    ]


def test_failures_are_counted_and_tried_again() -> None:
    origin = ModelOrigin(audio=False)
    viewer = ModelledViewer(INDEX, origin.read)
    (index,) = viewer.start(T0)
    assert viewer.answered(index, 503, b"", T0) == []
    (index,) = viewer.tick(T0 + 0.5)
    (first,) = viewer.answered(index, 200, b"index", T0 + 0.5)
    _, init = viewer.answered(first, 200, b"video 120", T0 + 0.5)
    assert viewer.answered(init, 404, b"", T0 + 0.6) == []
    assert viewer.due_s == pytest.approx(T0 + 1.1)
    (init,) = viewer.tick(T0 + 1.2)
    assert init.kind is RequestKind.INIT
    assert viewer.answered(init, 0, b"", T0 + 1.3) == []
    assert viewer.finish(T0 + 2).failures == {"multivariant 503": 1, "init 404": 1, "init 0": 1}


def test_a_playlist_that_lies_is_a_failure() -> None:
    origin = ModelOrigin(audio=False)
    viewer = ModelledViewer(INDEX, origin.read)
    (index,) = viewer.start(T0)
    (first,) = viewer.answered(index, 200, b"index", T0)
    again, _ = viewer.answered(first, 200, b"video 120", T0)
    assert viewer.answered(again, 200, b"video 8", T0) == []
    assert viewer.answered(again, 200, b"index", T0) == []
    assert viewer.answered(again, 200, b"nonsense", T0) == []
    assert viewer.playback.facts.failures == {
        "playlist: line 0: the media sequence went back": 1,
        "playlist: line 0: a media playlist was expected": 1,
        "playlist: line 1: no playlist": 1,
    }


def test_an_index_without_variants_is_a_failure() -> None:
    viewer = ModelledViewer(INDEX, lambda _: MultivariantPlaylist())
    (index,) = viewer.start(T0)
    assert viewer.answered(index, 200, b"", T0) == []
    assert sum(viewer.playback.facts.failures.values()) == 1


def test_the_end_of_a_class_is_no_stall() -> None:
    play = ModelPlayback(ModelOrigin())
    play.origin.ended_at = play.origin.count_at(T0 + 5)
    play.run(5.2)
    play.frozen_from_s, play.frozen_to_s = T0 + 5, T0 + 1000
    play.run(20)
    assert play.viewer.finish(play.now_s).stalls == []
    assert play.viewer.playback.state is PlaybackState.ENDED


def _plain(*segments: Segment) -> Listing:
    return Listing(MediaPlaylist(2, segments, segments[0].msn))


def test_gaps_and_what_the_window_lost_are_jumped() -> None:
    pages = {
        b"1": _plain(Segment(0, "s0", 2.0), Segment(1, "gap", 2.0, gap=True), Segment(2, "http://b/s2", 2.0)),
        b"2": _plain(Segment(8, "s8", 2.0), Segment(9, "s9", 2.0)),
    }
    viewer = ModelledViewer(INDEX, pages.__getitem__, PlayerSettings(latency_s=6.0))
    (index,) = viewer.start(T0)
    (first,) = viewer.answered(index, 200, b"1", T0)
    (s0,) = viewer.answered(first, 200, b"1", T0)
    (s2,) = viewer.answered(s0, 200, b"", T0)
    assert (s0.url, s2.url) == (HOST + "s0", "http://b/s2")
    assert viewer.answered(s2, 200, b"", T0) == []
    assert viewer.playback.forward_s == 4.0
    (later,) = viewer.tick(T0 + 2)
    (s8,) = viewer.answered(later, 200, b"2", T0 + 2)
    viewer.answered(s8, 200, b"", T0 + 2)
    assert (s8.url, viewer.playback.forward_s) == (HOST + "s8", 4.0)


def test_nothing_is_played_before_every_rendition_is_listed() -> None:
    empty = Listing(MediaPlaylist(2))
    viewer = ModelledViewer(INDEX, lambda _: empty)
    (index,) = viewer.start(T0)
    (first,) = viewer.answered(index, 200, b"", T0)
    assert viewer.answered(first, 200, b"x", T0) == []
    assert viewer.finish(T0 + 9).startup_s is None


def test_a_blink_is_no_stall() -> None:
    play = ModelPlayback(ModelOrigin(), PlayerSettings(max_rate=1.0))
    play.run(5)
    play.freeze(play.viewer.playback.forward_s + 0.03)
    play.run(10)
    assert play.viewer.finish(play.now_s).stalls == []
