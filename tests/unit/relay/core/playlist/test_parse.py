"""Reading playlists: each tag, what is kept, what is refused and at which line."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.base.errors import PlaylistError
from relay.core.playlist import (
    ByteRange,
    Map,
    MediaPlaylist,
    MultivariantPlaylist,
    Part,
    PreloadHint,
    RenditionReport,
    Segment,
    ServerControl,
    attribute,
    parse,
)
from relay.core.playlist.parse import (
    MAX_HINTS,
    MAX_PARTS_PER_SEGMENT,
    MAX_RENDITIONS,
    MAX_REPORTS,
    MAX_SEGMENTS,
    MAX_VARIANTS,
)

DATA = Path(__file__).parents[4] / "data" / "playlists"


def media(*lines: str) -> MediaPlaylist:
    playlist = parse("\n".join(("#EXTM3U", "#EXT-X-TARGETDURATION:2", *lines)))
    assert isinstance(playlist, MediaPlaylist)
    return playlist


def multivariant(*lines: str) -> MultivariantPlaylist:
    playlist = parse("\n".join(("#EXTM3U", *lines)))
    assert isinstance(playlist, MultivariantPlaylist)
    return playlist


def refused(*lines: str) -> PlaylistError:
    with pytest.raises(PlaylistError) as caught:
        media(*lines)
    return caught.value


def stored(name: str) -> str:
    return (DATA / name).read_text()


def test_the_low_latency_playlist_of_a_real_ingest() -> None:
    playlist = parse(stored("mediamtx-1.20.1-lowLatency-video1_stream-1.m3u8"))
    assert isinstance(playlist, MediaPlaylist)
    assert playlist.target_duration_s == 4
    assert playlist.part_target_s == 0.5
    assert playlist.server_control == ServerControl(True, 1.25, None, 24.0)
    assert [s.msn for s in playlist.segments] == [
        *range(playlist.media_sequence, playlist.media_sequence + 7)
    ]
    assert all(s.map == playlist.segments[0].map for s in playlist.segments)
    assert playlist.segments[-1].parts[0].independent
    assert playlist.open_segment is not None
    assert playlist.open_segment.msn == playlist.segments[-1].msn + 1
    assert [hint.type for hint in playlist.preload_hints] == ["PART"]


def test_the_first_low_latency_playlist_begins_with_gaps() -> None:
    playlist = parse(stored("mediamtx-1.20.1-lowLatency-video1_stream-0.m3u8"))
    assert isinstance(playlist, MediaPlaylist)
    assert [(s.msn, s.gap, s.uri) for s in playlist.segments[:6]] == [
        (n, True, "gap.mp4") for n in range(1, 7)
    ]
    assert not playlist.segments[6].gap
    assert playlist.open_segment is None


def test_the_multivariant_playlist_of_a_real_ingest() -> None:
    playlist = parse(stored("mediamtx-1.20.1-lowLatency-index-0.m3u8"))
    assert isinstance(playlist, MultivariantPlaylist)
    assert (playlist.version, playlist.independent_segments) == (10, True)
    (variant,), (audio,) = playlist.variants, playlist.media
    assert variant.uri == "video1_stream.m3u8"
    assert attribute(variant.attributes, "AUDIO") == audio.group_id == "audio"
    assert (audio.type, audio.name, audio.uri) == ("AUDIO", "audio2", "audio2_stream.m3u8")


@pytest.mark.parametrize("path", sorted(DATA.glob("*.m3u8")), ids=lambda path: path.stem)
def test_every_stored_playlist_is_read(path: Path) -> None:
    playlist = parse(path.read_text())
    assert isinstance(playlist, MultivariantPlaylist) == ("-index-" in path.stem)


def test_the_stored_playlists_are_there() -> None:
    assert len(list(DATA.glob("*.m3u8"))) >= 10


def test_a_plain_transport_stream_playlist() -> None:
    playlist = media(
        "#EXT-X-VERSION:3",
        "#EXT-X-MEDIA-SEQUENCE:2680",
        "#EXT-X-DISCONTINUITY-SEQUENCE:4",
        "#EXT-X-ALLOW-CACHE:NO",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-23T15:52:14Z",
        "#EXTINF:2.1, first, of all ",
        "a.ts",
        "#EXT-X-DISCONTINUITY",
        "#EXTINF:2",
        "b.ts",
        "#EXT-X-ENDLIST",
    )
    assert playlist == MediaPlaylist(
        2,
        (
            Segment(2680, "a.ts", 2.1, program_date_time_s=1795449134.0, title="first, of all"),
            Segment(2681, "b.ts", 2.0, discontinuity=True),
        ),
        media_sequence=2680,
        discontinuity_sequence=4,
        version=3,
        independent_segments=True,
        ended=True,
        tags=("#EXT-X-ALLOW-CACHE:NO",),
    )


@pytest.mark.parametrize("kind", ["EVENT", "VOD"])
def test_the_playlist_type(kind: str) -> None:
    assert media(f"#EXT-X-PLAYLIST-TYPE:{kind}").playlist_type == kind


def test_a_map_and_keys_stay_in_force_until_replaced() -> None:
    key = '#EXT-X-KEY:METHOD=SAMPLE-AES,URI="k"'
    playlist = media(
        '#EXT-X-MAP:URI="clear"',
        key,
        "#EXTINF:2,",
        "a",
        '#EXT-X-MAP:URI="locked",BYTERANGE="100"',
        "#EXTINF:2,",
        "b",
        "#EXT-X-KEY:METHOD=NONE",
        "#EXTINF:2,",
        "c",
    )
    clear, locked = Map("clear"), Map("locked", ByteRange(100, 0), (key,))
    assert [(s.map, s.keys) for s in playlist.segments] == [(clear, (key,)), (locked, (key,)), (locked, ())]


def test_byte_ranges_continue_the_one_before_of_the_same_resource() -> None:
    playlist = media(
        '#EXT-X-MAP:URI="all.mp4",BYTERANGE="700@20"',
        "#EXTINF:2,",
        "#EXT-X-BYTERANGE:100@1000",
        "all.mp4",
        "#EXT-X-BYTERANGE:50",
        "#EXTINF:2,",
        "all.mp4",
        '#EXT-X-PART:DURATION=1,URI="p.mp4",BYTERANGE="10@0"',
        '#EXT-X-PART:DURATION=1,URI="p.mp4",BYTERANGE="5",INDEPENDENT=NO,GAP=YES',
    )
    first, second = playlist.segments
    assert first.map is not None
    assert first.map.byterange == ByteRange(700, 20)
    assert (first.byterange, second.byterange) == (ByteRange(100, 1000), ByteRange(50, 1100))
    assert playlist.open_segment is not None
    assert playlist.open_segment.parts == (
        Part("p.mp4", 1.0, byterange=ByteRange(10, 0)),
        Part("p.mp4", 1.0, gap=True, byterange=ByteRange(5, 10)),
    )


def test_a_byte_range_cannot_continue_another_resource_or_a_whole_one() -> None:
    assert (
        refused("#EXTINF:2,", "#EXT-X-BYTERANGE:5@0", "a", "#EXTINF:2,", "#EXT-X-BYTERANGE:5", "b").line_no
        == 8
    )
    assert refused("#EXTINF:2,", "a", "#EXTINF:2,", "#EXT-X-BYTERANGE:5", "a").line_no == 7
    assert refused('#EXT-X-PART:DURATION=1,URI="p",BYTERANGE="5"').line_no == 3


def test_hints_and_reports() -> None:
    playlist = media(
        '#EXT-X-PRELOAD-HINT:TYPE=MAP,URI="i",BYTERANGE-START=5,BYTERANGE-LENGTH=6',
        '#EXT-X-RENDITION-REPORT:URI="../a.m3u8",LAST-MSN=7',
        '#EXT-X-RENDITION-REPORT:URI="../b.m3u8",LAST-MSN=7,LAST-PART=3',
    )
    assert playlist.preload_hints == (PreloadHint("MAP", "i", 5, 6),)
    assert playlist.rendition_reports == (RenditionReport("../a.m3u8", 7), RenditionReport("../b.m3u8", 7, 3))
    assert playlist.open_segment is None


def test_what_follows_the_last_segment_is_the_open_one() -> None:
    playlist = media("#EXT-X-MEDIA-SEQUENCE:9", "#EXTINF:2,", "a", "#EXT-X-DISCONTINUITY", "#EXT-X-CUE-OUT:5")
    assert playlist.open_segment == Segment(10, "", 0.0, discontinuity=True, tags=("#EXT-X-CUE-OUT:5",))


def test_a_tag_that_changes_nothing_opens_no_segment() -> None:
    assert media("#EXTINF:2,", "a", "#EXT-X-KEY:METHOD=NONE").open_segment is None


def test_unknown_tags_belong_to_the_playlist_until_the_first_segment_begins() -> None:
    playlist = media(
        "#EXT-X-START:TIME-OFFSET=1", "#EXTINF:2,", "#EXT-X-CUE-OUT", "a", "#EXT-X-NEW:1", "# comment"
    )
    assert playlist.segments[0].tags == ("#EXT-X-CUE-OUT",)
    assert playlist.open_segment is None
    assert playlist.tags == ("#EXT-X-START:TIME-OFFSET=1", "#EXT-X-NEW:1")


def test_variables_are_replaced_and_their_definition_kept() -> None:
    define = '#EXT-X-DEFINE:NAME="d",VALUE="x/y"'
    playlist = media(define, '#EXT-X-MAP:URI="{$d}/i"', "#EXTINF:2,", "{$d}/a")
    assert playlist.tags == (define,)
    assert playlist.segments[0].uri == "x/y/a"
    assert playlist.segments[0].map == Map("x/y/i")


def test_other_tags_of_a_multivariant_playlist_are_kept() -> None:
    tags = (
        '#EXT-X-SESSION-DATA:DATA-ID="a",VALUE="b"',
        '#EXT-X-CONTENT-STEERING:SERVER-URI="s"',
        "#EXT-X-FOO",
    )
    playlist = multivariant(*tags, "#EXT-X-STREAM-INF:BANDWIDTH=1", "a.m3u8")
    assert playlist.tags == tags


@pytest.mark.parametrize(
    ("lines", "line_no"),
    [
        (("#EXT-X-STREAM-INF:BANDWIDTH=1",), 2),
        (("#EXT-X-STREAM-INF:BANDWIDTH=1", "#EXT-X-STREAM-INF:BANDWIDTH=2", "a"), 2),
        (("#EXT-X-STREAM-INF:BANDWIDTH=1", "a", "b"), 4),
        (("#EXT-X-STREAM-INF:BANDWIDTH", "a"), 2),
        (('#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a"',), 2),
        (('#EXT-X-MEDIA:GROUP-ID="a",NAME="b"',), 2),
        (("#EXT-X-VERSION:x", "#EXT-X-STREAM-INF:BANDWIDTH=1", "a"), 2),
        (("#EXT-X-TARGETDURATION:1", "#EXT-X-STREAM-INF:BANDWIDTH=1", "a"), 2),
    ],
)
def test_a_multivariant_playlist_that_cannot_be_read_is_refused(lines: tuple[str, ...], line_no: int) -> None:
    with pytest.raises(PlaylistError) as caught:
        multivariant(*lines)
    assert caught.value.line_no == line_no


@pytest.mark.parametrize(
    "line",
    [
        "#EXT-X-TARGETDURATION:2.5",
        "#EXT-X-TARGETDURATION:86401",
        "#EXT-X-VERSION",
        "#EXT-X-MEDIA-SEQUENCE:-1",
        "#EXT-X-DISCONTINUITY-SEQUENCE:x",
        "#EXT-X-PLAYLIST-TYPE:LIVE",
        "#EXT-X-PART-INF:",
        "#EXT-X-PART-INF:PART-TARGET=x",
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=1",
        "#EXT-X-SERVER-CONTROL:HOLD-BACK=x",
        "#EXTINF:x,",
        "#EXT-X-BYTERANGE:x",
        "#EXT-X-MAP:",
        '#EXT-X-MAP:URI="i",BYTERANGE="x"',
        "#EXT-X-PROGRAM-DATE-TIME:yesterday",
        "#EXT-X-KEY:METHOD=AES-128",
        '#EXT-X-PART:URI="p"',
        "#EXT-X-PART:DURATION=1",
        '#EXT-X-PART:DURATION=1,URI="p",INDEPENDENT=1',
        '#EXT-X-PRELOAD-HINT:URI="p"',
        "#EXT-X-PRELOAD-HINT:TYPE=PART",
        '#EXT-X-RENDITION-REPORT:URI="p"',
        "#EXT-X-RENDITION-REPORT:LAST-MSN=1",
        "#EXT-X-SKIP:SKIPPED-SEGMENTS=3",
        "a-uri-without-extinf",
        "#EXTINF:2,",
    ],
)
def test_a_known_tag_that_cannot_be_read_names_its_line(line: str) -> None:
    assert refused(line).line_no == 3


def test_the_sequence_number_stands_before_the_segments() -> None:
    assert refused("#EXTINF:2,", "a", "#EXT-X-MEDIA-SEQUENCE:1").line_no == 5


def test_a_text_without_target_duration_is_no_hls() -> None:
    with pytest.raises(PlaylistError, match="no HLS playlist"):
        parse("#EXTM3U\n#EXTINF:2,\na\n")


def test_counts_are_bounded() -> None:
    part = '#EXT-X-PART:DURATION=1,URI="p"'
    hint = '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p"'
    report = '#EXT-X-RENDITION-REPORT:URI="p",LAST-MSN=1'
    assert "segments" in refused(*["#EXTINF:2,", "a"] * (MAX_SEGMENTS + 1)).reason
    assert "parts" in refused(*[part] * (MAX_PARTS_PER_SEGMENT + 1)).reason
    assert "hints" in refused(*[hint] * (MAX_HINTS + 1)).reason
    assert "reports" in refused(*[report] * (MAX_REPORTS + 1)).reason
    with pytest.raises(PlaylistError, match="variants"):
        multivariant(*["#EXT-X-STREAM-INF:BANDWIDTH=1", "a"] * (MAX_VARIANTS + 1))
    with pytest.raises(PlaylistError, match="renditions"):
        multivariant(*['#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="b"'] * (MAX_RENDITIONS + 1))
