"""One stream as viewers see it: renditions, playlists, state, and what the master is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.base.errors import OriginError
from relay.core.playlist import (
    Map,
    MediaPlaylist,
    MultivariantPlaylist,
    PreloadHint,
    Rendition,
    RenditionReport,
    Variant,
    attribute,
    parse,
    render,
)
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.stream.stream import MAX_RENDITIONS, Stream
from tests.harness.builders import MemoryBody, begin, fetch_all, ll, opened, parts, playlist, segment

AUDIO = Rendition(
    (
        ("TYPE", "AUDIO"),
        ("GROUP-ID", '"aud"'),
        ("NAME", '"audio"'),
        ("DEFAULT", "YES"),
        ("URI", '"audio2_stream.m3u8"'),
    )
)
MUXED = Rendition((("TYPE", "AUDIO"), ("GROUP-ID", '"aud"'), ("NAME", '"muxed"')))
SUBTITLES = Rendition(
    (("TYPE", "SUBTITLES"), ("GROUP-ID", '"sub"'), ("NAME", '"text"'), ("URI", '"text.m3u8"'))
)
ANGLE = Rendition((("TYPE", "VIDEO"), ("GROUP-ID", '"cam"'), ("NAME", '"back"'), ("URI", '"back.m3u8"')))
VIDEO = Variant(
    "video1_stream.m3u8", (("BANDWIDTH", "600000"), ("AUDIO", '"aud"'), ("RESOLUTION", "640x360"))
)
INDEX = MultivariantPlaylist((VIDEO,), (AUDIO,), version=10)
PIECES = ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2)), hint="p1.2.mp4")


def stream(index: MultivariantPlaylist | MediaPlaylist = INDEX, **options: bool) -> Stream:
    made = Stream("class1", MemoryBody, budget=MemoryBudget(1_000_000), **options)
    made.describe(index, "http://origin.example/live/index.m3u8")
    return made


def fill(one: Stream, listed: MediaPlaylist = PIECES, now_s: float = 100.0, *names: str) -> None:
    epoch = one.timeline.newest or begin(one.timeline, like=listed)
    for name in names or tuple(s.id for s in one.sources):
        window = one.windows[name]
        window.update(listed, epoch, now_s, 1_790_000_000.0)
        fetch_all(window, now_s)


def text_of(one: Stream, name: str = "v0") -> MediaPlaylist:
    listed = parse(one.media_text(one.windows[name]))
    assert isinstance(listed, MediaPlaylist)
    return listed


# -- renditions -----------------------------------------------------------------------------------


def test_renditions_get_names_of_ours() -> None:
    one = stream(MultivariantPlaylist((VIDEO,), (MUXED, AUDIO, SUBTITLES, ANGLE)))
    assert [(s.id, s.uri, s.audio) for s in one.sources] == [
        ("v0", "video1_stream.m3u8", False),
        ("a1", "audio2_stream.m3u8", True),
        ("s2", "text.m3u8", False),
        ("x3", "back.m3u8", False),
    ]
    listed = parse(one.multivariant_text())
    assert isinstance(listed, MultivariantPlaylist)
    assert [m.uri for m in listed.media] == [None, "a1.m3u8", "s2.m3u8", "x3.m3u8"]
    assert listed.variants[0].uri == "v0.m3u8"
    assert listed.variants[0].attributes == VIDEO.attributes


def test_variants_of_one_playlist_are_one_rendition() -> None:
    other = Variant(VIDEO.uri, (("BANDWIDTH", "1"), ("AUDIO", '"low"')))
    shared = Rendition((("TYPE", "VIDEO"), ("GROUP-ID", '"x"'), ("NAME", '"n"'), ("URI", f'"{VIDEO.uri}"')))
    one = stream(MultivariantPlaylist((VIDEO, other), (AUDIO, shared)))
    assert [s.id for s in one.sources] == ["v0", "a0"]


def test_several_variants() -> None:
    low = Variant("low.m3u8", (("BANDWIDTH", "1"), ("CODECS", '"mp4a.40.2"')))
    one = stream(MultivariantPlaylist((VIDEO, low)))
    assert [(s.id, s.audio) for s in one.sources] == [("v0", False), ("v1", True)]


@pytest.mark.parametrize(
    ("attributes", "audio"),
    [
        ((("CODECS", '"mp4a.40.2"'),), True),
        ((("CODECS", '"ac-3,mp4a.40.2"'),), True),
        ((("CODECS", '"avc1.42c01e,mp4a.40.2"'),), False),
        ((("CODECS", '"mp4a.40.2"'), ("RESOLUTION", "640x360")), False),
        ((("BANDWIDTH", "1"),), False),
    ],
)
def test_audio_is_known_by_its_codecs(attributes: tuple[tuple[str, str], ...], audio: bool) -> None:
    assert stream(MultivariantPlaylist((Variant("x.m3u8", attributes),))).sources[0].audio is audio


def test_a_bare_media_playlist_is_the_only_variant() -> None:
    one = stream(playlist(2, segment(0)))
    assert [(s.id, s.uri) for s in one.sources] == [("v0", "http://origin.example/live/index.m3u8")]
    listed = parse(one.multivariant_text())
    assert isinstance(listed, MultivariantPlaylist)
    assert attribute(listed.variants[0].attributes, "BANDWIDTH") == "2000000"


@pytest.mark.parametrize("said", [True, False])
def test_whether_segments_are_independent_is_the_origins_word(said: bool) -> None:
    for index in (
        MultivariantPlaylist((VIDEO,), independent_segments=said),
        replace(playlist(2, segment(0)), independent_segments=said),
    ):
        assert ("#EXT-X-INDEPENDENT-SEGMENTS" in stream(index).multivariant_text()) is said


def test_titles_and_unknown_tags_stay_with_their_segment() -> None:
    one = stream()
    fill(one, playlist(2, replace(segment(0, tags=("#EXT-X-NEW:1",)), title="a song"), segment(1)))
    first, second = text_of(one).segments
    assert (first.title, first.tags) == ("a song", ("#EXT-X-NEW:1",))
    assert (second.title, second.tags) == ("", ())


def test_unknown_tags_of_the_playlist_stay_at_its_head() -> None:
    one = stream()
    origins = render(replace(playlist(2, segment(0), segment(1)), tags=("#EXT-X-NEW:1",)))
    listed = parse(origins)
    assert isinstance(listed, MediaPlaylist)
    fill(one, listed)
    assert text_of(one).tags == ("#EXT-X-NEW:1",)
    text = one.media_text(one.windows["v0"])
    assert text.index("#EXT-X-NEW:1") < text.index("#EXTINF")


def test_addresses_in_the_indexs_own_tags_stay_with_the_origin() -> None:
    tags = (
        '#EXT-X-SESSION-KEY:METHOD=AES-128,URI="k"',
        '#EXT-X-SESSION-DATA:DATA-ID="t",VALUE="a b"',
        '#EXT-X-DEFINE:NAME="a",VALUE="b"',
    )
    text = stream(MultivariantPlaylist((VIDEO,), tags=tags)).multivariant_text()
    assert '#EXT-X-SESSION-KEY:METHOD=AES-128,URI="http://origin.example/live/k"' in text
    assert tags[1] in text
    assert "DEFINE" not in text


def test_the_origins_own_steering_and_trick_play_are_not_passed_on() -> None:
    tags = (
        '#EXT-X-CONTENT-STEERING:SERVER-URI="/s"',
        '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI="i.m3u8"',
        "#EXT-X-NEW:1",
    )
    text = stream(MultivariantPlaylist((VIDEO,), tags=tags)).multivariant_text()
    assert "STEERING" not in text
    assert "I-FRAME" not in text
    assert "#EXT-X-NEW:1" in text


def test_an_index_without_variants_or_with_too_many_is_refused() -> None:
    with pytest.raises(OriginError):
        stream(MultivariantPlaylist())
    many = tuple(Variant(f"{n}.m3u8", (("BANDWIDTH", "1"),)) for n in range(MAX_RENDITIONS + 1))
    with pytest.raises(OriginError):
        stream(MultivariantPlaylist(many))


def test_renditions_keep_their_windows_over_restarts() -> None:
    one = stream()
    before = dict(one.windows)
    one.describe(INDEX, "http://origin.example/live/index.m3u8")
    assert one.windows == before


def test_names_lead_to_their_window() -> None:
    one = stream()
    video = one.windows["v0"]
    assert one.window_of("v0.m3u8") is video
    assert one.window_of("v0-0123abcd-7.1.mp4") is video
    assert one.window_of("x-0123abcd-7.mp4") is None


# -- playlists ------------------------------------------------------------------------------------


def test_a_low_latency_playlist() -> None:
    one = stream()
    fill(one)
    listed = text_of(one)
    tag = one.timeline.epochs[0].tag
    assert (listed.target_duration_s, listed.part_target_s, listed.version) == (3, 0.55, 10)
    control = listed.server_control
    assert control.can_block_reload
    assert (control.part_hold_back_s, control.hold_back_s) == (1.65, 9.0)
    assert control.can_skip_until_s is None
    (whole,) = listed.segments
    assert whole.uri == f"v0-{tag}-0.mp4"
    assert [p.uri for p in whole.parts] == [f"v0-{tag}-0.{n}.mp4" for n in range(4)]
    assert all(p.independent for p in whole.parts)
    assert whole.program_date_time_s is not None
    assert whole.map is not None
    assert one.windows["v0"].lookup(whole.map.uri) is not None
    assert listed.open_segment is not None
    assert len(listed.open_segment.parts) == 2
    assert listed.preload_hints == (PreloadHint("PART", f"v0-{tag}-1.2.mp4"),)
    assert listed.rendition_reports == (RenditionReport("a0.m3u8", 1, 1),)
    assert not listed.ended


def test_a_report_of_a_rendition_between_two_segments() -> None:
    one = stream()
    fill(one)
    fill(one, ll(segment(0, parts=parts(0, 4)), segment(1, parts=parts(1, 4))), 100.0, "a0")
    assert text_of(one).rendition_reports == (RenditionReport("a0.m3u8", 1, 3),)
    fill(one, ll(segment(1, parts=parts(1, 4)), segment(2)), 100.0, "a0")
    assert text_of(one).rendition_reports == (RenditionReport("a0.m3u8", 2, None),)


def test_no_report_of_a_rendition_that_has_nothing() -> None:
    one = stream()
    fill(one, PIECES, 100.0, "v0")
    assert text_of(one).rendition_reports == ()


@pytest.mark.parametrize("strip", [True, False])
def test_only_the_first_part_of_an_audio_segment_is_independent(strip: bool) -> None:
    one = stream(strip_audio_independent=strip)
    fill(one)
    flags = [p.independent for p in text_of(one, "a0").segments[0].parts]
    assert flags == [True, not strip, not strip, not strip]
    assert all(p.independent for p in text_of(one, "v0").segments[0].parts)


def test_a_plain_playlist() -> None:
    one = stream(playlist(2, segment(0)))
    fill(one, playlist(2, segment(4), segment(5, gap=True), segment(6)))
    listed = text_of(one)
    assert (listed.media_sequence, listed.part_target_s, listed.open_segment) == (4, None, None)
    assert not listed.server_control.can_block_reload
    assert (listed.preload_hints, listed.rendition_reports) == ((), ())
    assert [s.gap for s in listed.segments] == [False, True, False]


def test_a_restart_in_text() -> None:
    one = stream()
    fill(one, playlist(2, segment(0), segment(1), segment(2)))
    one.end_session()
    begin(one.timeline, "two")
    fill(one, playlist(2, segment(0, init=Map("other.mp4"))))
    listed = text_of(one)
    assert (listed.media_sequence, listed.discontinuity_sequence) == (1, 0)
    assert [s.discontinuity for s in listed.segments] == [False, False, True]
    assert listed.segments[0].map != listed.segments[2].map
    for first in (1, 3):
        fill(one, playlist(2, segment(first), segment(first + 1)))
        listed = text_of(one)
    assert (listed.media_sequence, listed.discontinuity_sequence) == (5, 1)
    assert not any(s.discontinuity for s in listed.segments)


def test_no_segment_exceeds_the_target_duration_when_an_encoder_changes_between_sessions() -> None:
    """The real sequence of an encoder that gets B-frames and loses them again (RFC 8216bis §4.4.3.1)."""
    one, msn, seen = stream(), 0, list[list[int]]()
    for key, durations in (
        ("zerolatency", [2.0] * 6),
        ("b-frames", [3.96674, 4.0, 4.0, 4.0, 4.0, 4.0]),
        ("fixed", [2.00024, 1.99976, 2.0, 2.0, 2.0, 2.0]),
        ("fixed later", [2.0] * 6),
    ):
        one.end_session()
        segments = [segment(n, duration_s=s) for n, s in enumerate(durations)]
        lists = [playlist(round(durations[0]), *segments[:count]) for count in range(1, len(segments) + 1)]
        longest_s = one.longest_listed_s
        request = one.timeline.request(key, 0, lists[0], longest_listed_s=longest_s)
        one.timeline.begin(one.timeline.adopt(one.timeline.decide_alone(request)))
        if seen:
            assert text_of(one).target_duration_s == seen[-1][-1], "until its first segment is listed"
        targets = []
        for listed in lists:
            fill(one, listed, 100.0 + msn)
            shown = text_of(one)
            targets.append(shown.target_duration_s)
            assert all(round(s.duration_s) <= shown.target_duration_s for s in shown.segments)
            assert shown.server_control.hold_back_s == 3 * shown.target_duration_s
            msn += 1
        seen.append(targets)
    assert seen == [[3] * 6, [6] * 6, [4] * 6, [3] * 6]


def test_the_tag_at_the_head_of_the_list_is_not_counted_yet() -> None:
    one = stream()
    fill(one, playlist(2, segment(0), segment(1), segment(2)))
    one.end_session()
    begin(one.timeline, "two")
    fill(one, playlist(2, segment(0), segment(1), segment(2)))
    listed = text_of(one)
    assert listed.discontinuity_sequence == 0
    assert listed.segments[0].discontinuity


def test_the_end_is_said_only_on_purpose() -> None:
    one = stream()
    fill(one)
    one.ended = True
    listed = text_of(one)
    assert listed.ended
    assert listed.preload_hints == ()


def test_a_list_of_parts_alone() -> None:
    one = stream()
    fill(one, ll(opened(4, *parts(4, 1))))
    listed = text_of(one)
    assert (listed.media_sequence, listed.segments) == (4, ())
    assert listed.open_segment is not None


# -- state ----------------------------------------------------------------------------------------


def test_states_of_a_stream() -> None:
    one = stream()
    assert one.state(100.0) == "waiting"
    assert one.lag_s(100.0) == -1.0
    fill(one)
    assert one.state(100.0) == "reconnecting"
    one.session_lost = False
    assert one.state(104.5) == "live"
    assert one.lag_s(104.5) == 4.5
    assert one.state(104.6) == "reconnecting"
    one.ended = True
    assert one.state(104.6) == "ended"


def test_a_stream_is_ready_when_all_renditions_are() -> None:
    assert not Stream("class1", MemoryBody, budget=MemoryBudget(1)).ready
    one = stream()
    fill(one, PIECES, 100.0, "v0")
    assert not one.ready
    fill(one)
    assert one.ready


def test_up_to_when_viewers_have_seen_any_rendition() -> None:
    one = stream()
    assert one.seen_until_s is None
    fill(one)
    dates_s = [window.seen_until_s for window in one.windows.values()]
    assert one.seen_until_s == max(date_s for date_s in dates_s if date_s is not None)


def test_a_stream_is_idle_when_its_session_is_over_and_nobody_watches() -> None:
    one = stream()
    assert not one.is_idle(1000.0, 60.0), "it holds nothing"
    fill(one, now_s=100.0)
    assert (one.is_idle(159.0, 60.0), one.is_idle(160.0, 60.0)) == (False, True)
    one.asked_s = 130.0
    assert (one.is_idle(189.0, 60.0), one.is_idle(190.0, 60.0)) == (False, True)
    one.session_lost = False
    assert not one.is_idle(1000.0, 60.0), "its session goes on"
    one.session_lost, one.ended = True, True
    assert not one.is_idle(1000.0, 60.0), "it is served to its end"


def test_media_can_be_dropped_while_numbers_stay() -> None:
    one = stream()
    fill(one)
    one.session_lost = False
    one.forget_media()
    assert not one.ready
    assert one.state(100.0) == "waiting"
    assert one.timeline.newest is not None
    one.describe(INDEX, "http://origin.example/live/index.m3u8")
    fill(one, ll(segment(2), segment(3)))
    assert text_of(one).media_sequence == 2


def test_what_the_master_is_told() -> None:
    one = stream(MultivariantPlaylist((VIDEO,), (MUXED, AUDIO)))
    fill(one)
    one.session_lost, one.problem = False, ""
    report = one.report(7, 101.0)
    assert (report.stream, report.state, report.viewers, report.lag_s) == ("class1", "live", 7, 1.0)
    assert report.segment_s == 2.0
    assert (report.origin, one.fault) == ("unknown", False)
    one.origin.served(95.0)
    one.origin.failed(97.0, "timeout")
    report = one.report(7, 101.0)
    assert (report.origin, report.origin_age_s, report.origin_quiet_s) == ("failed", 4.0, 0.0)
    assert (report.fault, one.fault) == ("timeout", True)
    (variant,) = report.variants
    assert (variant.id, variant.uri, variant.has_audio_group) == ("v0", "v0.m3u8", True)
    assert variant.attributes == "BANDWIDTH=600000,RESOLUTION=640x360"
    (rendition,) = report.renditions
    assert (rendition.id, rendition.uri) == ("a1", "a1.m3u8")
    assert rendition.attributes == 'TYPE=AUDIO,NAME="audio",DEFAULT=YES'
