"""One publication as HLS: cuts, numbers, names, blocking rules, and playlists that players accept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.ingest import muxer as hls
from airclass.ingest.muxer import Fragment, HlsFlavour, Muxer, MuxerReload, StreamFormat
from relay.base.errors import OriginError
from relay.core.playlist import MediaPlaylist, MultivariantPlaylist, attribute, parse

SHAPE = StreamFormat(("avc1.42c01e", "mp4a.40.2"), 640, 360, 30.0, b"init")
START_S = 1_795_464_000.0


def make(flavour: HlsFlavour = HlsFlavour.LOW_LATENCY) -> Muxer:
    return Muxer("p", SHAPE, flavour=flavour, part_s=0.5, segment_s=2.0, start_wall_s=START_S)


def fill(window: Muxer, parts: int, *, of: int = 4, duration_s: float = 0.5) -> None:
    """Add parts, a key frame before every `of`-th."""
    for n in range(parts):
        last = (n + 1) % of == 0
        window.add(Fragment(b"%d," % n, duration_s, independent=n % of == 0, before_key=last))


def listed(window: Muxer) -> MediaPlaylist:
    playlist = parse(window.playlist())
    assert isinstance(playlist, MediaPlaylist)
    return playlist


def test_segments_parts_hint_and_dates() -> None:
    window = make()
    fill(window, 10)
    playlist = listed(window)
    assert [(s.msn, s.uri, s.duration_s) for s in playlist.segments] == [
        (0, "p_main_seg0.mp4", 2.0),
        (1, "p_main_seg1.mp4", 2.0),
    ]
    assert [p.uri for p in playlist.segments[1].parts] == [f"p_main_part{n}.mp4" for n in (4, 5, 6, 7)]
    assert [p.independent for p in playlist.segments[1].parts] == [True, False, False, False]
    assert playlist.open_segment is not None
    assert [p.uri for p in playlist.open_segment.parts] == ["p_main_part8.mp4", "p_main_part9.mp4"]
    assert [h.uri for h in playlist.preload_hints] == ["p_main_part10.mp4"]
    assert [s.program_date_time_s for s in playlist.segments] == [START_S, START_S + 2]
    assert playlist.part_target_s == 0.5
    assert playlist.server_control.part_hold_back_s == 1.5
    assert playlist.target_duration_s == 2


def test_bodies_are_what_was_listed() -> None:
    window = make()
    fill(window, 10)
    assert window.body("p_main_init.mp4") == b"init"
    assert window.body("p_main_seg1.mp4") == b"4,5,6,7,"
    assert window.body("p_main_part9.mp4") == b"9,"
    for name in ("p_main_seg2.mp4", "p_main_part10.mp4", "p_main_seg1.ts", "q_main_seg1.mp4", "", "../x"):
        assert window.body(name) is None
    assert window.is_hinted("p_main_part10.mp4")
    assert not window.is_hinted("p_main_part11.mp4")


def test_only_a_long_enough_segment_ends_at_a_key_frame() -> None:
    window = make()
    fill(window, 12, of=2)  # a key frame every second
    assert [s.duration_s for s in listed(window).segments] == [2.0, 2.0, 2.0]
    window = make()
    fill(window, 3, of=3, duration_s=0.65)  # 1.95 s: time stamps in ms are allowed to round
    assert [s.msn for s in listed(window).segments] == [0]


def test_far_apart_key_frames_raise_the_target_duration() -> None:
    window = make()
    fill(window, 20, of=20)
    playlist = listed(window)
    assert [s.duration_s for s in playlist.segments] == [10.0]
    assert playlist.target_duration_s == 10


def test_a_long_part_raises_the_part_target() -> None:
    window = make()
    fill(window, 4, duration_s=0.56)
    playlist = listed(window)
    assert playlist.part_target_s == 0.56
    assert playlist.server_control.part_hold_back_s == pytest.approx(1.68)


def test_a_long_part_is_forgotten_with_its_listing() -> None:
    window = make()
    window.add(Fragment(b"x", 1.5, independent=True, before_key=False))
    assert listed(window).part_target_s == 1.5
    fill(window, 40)
    assert listed(window).part_target_s == 0.5


def test_no_key_frames_at_all_end_the_publication() -> None:
    window = make()
    big = Fragment(bytes(hls.MAX_SEGMENT_BYTES // 2), 0.5, independent=True, before_key=False)
    window.add(big)
    window.add(big)
    with pytest.raises(OriginError, match="key frame"):
        window.add(Fragment(b"x", 0.5, independent=False, before_key=False))


@given(st.integers(1, 120), st.integers(1, 9))
def test_the_window_is_bounded_and_everything_listed_can_be_fetched(parts: int, of: int) -> None:
    window = make()
    fill(window, parts, of=of)
    playlist = listed(window)
    assert len(playlist.segments) <= hls.LISTED_SEGMENTS
    names = [s.uri for s in playlist.segments]
    listed_segments = [*playlist.segments, *filter(None, [playlist.open_segment])]
    names += [p.uri for s in listed_segments for p in s.parts]
    assert all(window.body(name) for name in names)
    first_parts = [s.parts[0] for s in listed_segments if s.parts]
    assert all(part.independent for part in first_parts)


def test_old_segments_stay_fetchable_a_while_and_then_go() -> None:
    window = make()
    fill(window, 4 * 20)
    assert listed(window).media_sequence == 20 - hls.LISTED_SEGMENTS
    assert window.body(f"p_main_seg{20 - hls.RETAINED_SEGMENTS}.mp4")
    assert window.body(f"p_main_seg{19 - hls.RETAINED_SEGMENTS}.mp4") is None


@pytest.mark.parametrize(
    ("msn", "part", "answer"),
    [
        (0, None, MuxerReload.NOW),
        (1, None, MuxerReload.NOW),
        (2, None, MuxerReload.WAIT),
        (3, None, MuxerReload.WAIT),
        (4, None, MuxerReload.TOO_FAR),
        (1, 3, MuxerReload.NOW),
        (1, 4, MuxerReload.NOW),  # beyond the last part: part 0 of segment 2, which is there
        (2, 1, MuxerReload.NOW),
        (2, 2, MuxerReload.WAIT),
        (2, 7, MuxerReload.WAIT),
        (2, 8, MuxerReload.TOO_FAR),  # advance part limit: 6 parts of 0.5 s
        (3, 0, MuxerReload.WAIT),
        (4, 0, MuxerReload.TOO_FAR),
    ],
)
def test_blocking_rules(msn: int, part: int | None, answer: MuxerReload) -> None:
    window = make()
    fill(window, 10)
    assert window.reload(msn, part) is answer


def test_part_after_the_last_of_the_newest_segment_waits_for_the_next_one() -> None:
    window = make()
    fill(window, 8)
    assert window.reload(1, 4) is MuxerReload.WAIT
    window.add(Fragment(b"8,", 0.5, independent=True, before_key=False))
    assert window.reload(1, 4) is MuxerReload.NOW


@pytest.mark.parametrize("flavour", [HlsFlavour.FMP4, HlsFlavour.MPEGTS])
def test_plain_flavours_have_no_parts_and_never_block(flavour: HlsFlavour) -> None:
    window = make(flavour)
    fill(window, 10)
    playlist = listed(window)
    assert playlist.part_target_s is None
    assert not playlist.preload_hints
    assert playlist.open_segment is None
    assert not any(s.parts for s in playlist.segments)
    assert window.reload(99, None) is MuxerReload.NOW
    assert window.body("p_main_part0.mp4") is None
    assert not window.is_hinted("p_main_part10.mp4")
    assert playlist.segments[0].uri.endswith(".ts" if flavour is HlsFlavour.MPEGTS else ".mp4")


def test_first_playlist_waits_for_whole_segments() -> None:
    for flavour, parts in ((HlsFlavour.LOW_LATENCY, 4), (HlsFlavour.FMP4, 8), (HlsFlavour.MPEGTS, 4)):
        window = make(flavour)
        fill(window, parts - 1)
        assert not window.listable
        window = make(flavour)
        fill(window, parts)
        assert window.listable


def test_multivariant_says_codecs_size_and_peak() -> None:
    window = make()
    window.add(Fragment(bytes(1000), 2.0, independent=True, before_key=True))
    window.add(Fragment(bytes(3000), 2.0, independent=True, before_key=True))
    playlist = parse(window.multivariant())
    assert isinstance(playlist, MultivariantPlaylist)
    (variant,) = playlist.variants
    assert variant.uri == "main_stream.m3u8"
    assert attribute(variant.attributes, "CODECS") == "avc1.42c01e,mp4a.40.2"
    assert attribute(variant.attributes, "RESOLUTION") == "640x360"
    assert attribute(variant.attributes, "BANDWIDTH") == "12000"
    assert attribute(variant.attributes, "AVERAGE-BANDWIDTH") == "8000"
