"""Writing playlists: the exact text, and what is refused because it could not be read back."""

from __future__ import annotations

from dataclasses import replace
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
    Rendition,
    RenditionReport,
    Segment,
    ServerControl,
    Variant,
    parse,
    render,
)

DATA = Path(__file__).parents[4] / "data" / "playlists"

CONTINUED = """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-TARGETDURATION:1
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.60000
#EXT-X-PART-INF:PART-TARGET=0.20000
#EXT-X-MEDIA-SEQUENCE:21
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI="video1_init0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-23T15:33:02.882Z
#EXTINF:0.60000,
video1_s21.mp4
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="video1_init1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-23T15:33:08.858Z
#EXT-X-PART:DURATION=0.20000,URI="video1_p22_0.mp4",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.20000,URI="video1_p22_1.mp4"
#EXTINF:0.40000,
video1_s22.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-11-23T15:33:09.847Z
#EXT-X-PART:DURATION=0.20000,URI="video1_p23_0.mp4",INDEPENDENT=YES
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="video1_p23_1.mp4"
#EXT-X-RENDITION-REPORT:URI="audio2_stream.m3u8",LAST-MSN=23,LAST-PART=0
"""

MULTIVARIANT = """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-CONTENT-STEERING:SERVER-URI="s",PATHWAY-ID="A"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audA",NAME="audio2",URI="a.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=581112,CODECS="avc1.42c01e,mp4a.40.2",AUDIO="audA"
video1_stream.m3u8
"""

PLAIN = MediaPlaylist(2, (Segment(0, "a.ts", 2.0),))


def continued() -> MediaPlaylist:
    old, new = Map("video1_init0.mp4"), Map("video1_init1.mp4")
    return MediaPlaylist(
        target_duration_s=1,
        segments=(
            Segment(21, "video1_s21.mp4", 0.6, map=old, program_date_time_s=1795447982.882),
            Segment(
                22,
                "video1_s22.mp4",
                0.4,
                parts=(Part("video1_p22_0.mp4", 0.2, independent=True), Part("video1_p22_1.mp4", 0.2)),
                discontinuity=True,
                map=new,
                program_date_time_s=1795447988.858,
            ),
        ),
        media_sequence=21,
        part_target_s=0.2,
        server_control=ServerControl(can_block_reload=True, part_hold_back_s=0.6),
        open_segment=Segment(
            23,
            "",
            0.0,
            parts=(Part("video1_p23_0.mp4", 0.2, independent=True),),
            map=new,
            program_date_time_s=1795447989.847,
        ),
        preload_hints=(PreloadHint("PART", "video1_p23_1.mp4"),),
        rendition_reports=(RenditionReport("audio2_stream.m3u8", 23, 0),),
        version=10,
        independent_segments=True,
    )


def test_a_low_latency_playlist_that_continues_over_a_restart() -> None:
    assert render(continued()) == CONTINUED
    assert parse(CONTINUED) == continued()


def test_a_multivariant_playlist() -> None:
    playlist = MultivariantPlaylist(
        variants=(
            Variant(
                "video1_stream.m3u8",
                (("BANDWIDTH", "581112"), ("CODECS", '"avc1.42c01e,mp4a.40.2"'), ("AUDIO", '"audA"')),
            ),
        ),
        media=(
            Rendition((("TYPE", "AUDIO"), ("GROUP-ID", '"audA"'), ("NAME", '"audio2"'), ("URI", '"a.m3u8"'))),
        ),
        independent_segments=True,
        version=10,
        tags=('#EXT-X-CONTENT-STEERING:SERVER-URI="s",PATHWAY-ID="A"',),
    )
    assert render(playlist) == MULTIVARIANT
    assert parse(MULTIVARIANT) == playlist


def test_the_rarer_tags() -> None:
    key = '#EXT-X-KEY:METHOD=AES-128,URI="k",IV=0x1'
    playlist = MediaPlaylist(
        2,
        (
            Segment(
                7,
                "a.mp4",
                2.0,
                parts=(Part("p", 1.0, gap=True, byterange=ByteRange(5, 6)),),
                gap=True,
                map=Map("i", ByteRange(1, 2), (key,)),
                keys=(key,),
                byterange=ByteRange(3, 4),
                title="a, title",
                tags=("#EXT-X-CUE-OUT",),
            ),
            Segment(8, "b.mp4", 2.0, map=Map("i", ByteRange(1, 2), (key,))),
        ),
        media_sequence=7,
        server_control=ServerControl(False, 1.5, 6.0, 12.0),
        open_segment=Segment(
            9, "", 0.0, gap=True, map=Map("i", ByteRange(1, 2), (key,)), tags=("#EXT-X-CUE-IN",)
        ),
        preload_hints=(PreloadHint("PART", "q", 1, 2),),
        rendition_reports=(RenditionReport("r", 1),),
        ended=True,
        playlist_type="EVENT",
        tags=("#EXT-X-START:TIME-OFFSET=1",),
    )
    text = render(playlist)
    assert text.splitlines() == [
        "#EXTM3U",
        "#EXT-X-TARGETDURATION:2",
        "#EXT-X-SERVER-CONTROL:PART-HOLD-BACK=1.50000,HOLD-BACK=6.00000,CAN-SKIP-UNTIL=12.00000",
        "#EXT-X-MEDIA-SEQUENCE:7",
        "#EXT-X-DISCONTINUITY-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-START:TIME-OFFSET=1",
        key,
        '#EXT-X-MAP:URI="i",BYTERANGE="1@2"',
        '#EXT-X-PART:DURATION=1.00000,URI="p",BYTERANGE="5@6",GAP=YES',
        "#EXT-X-GAP",
        "#EXTINF:2.00000,a, title",
        "#EXT-X-BYTERANGE:3@4",
        "#EXT-X-CUE-OUT",
        "a.mp4",
        "#EXT-X-KEY:METHOD=NONE",
        "#EXTINF:2.00000,",
        "b.mp4",
        "#EXT-X-GAP",
        "#EXT-X-CUE-IN",
        '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="q",BYTERANGE-START=1,BYTERANGE-LENGTH=2',
        '#EXT-X-RENDITION-REPORT:URI="r",LAST-MSN=1',
        "#EXT-X-ENDLIST",
    ]
    assert parse(text) == playlist


def test_a_clear_map_is_printed_before_the_key() -> None:
    key = '#EXT-X-KEY:METHOD=AES-128,URI="k"'
    playlist = MediaPlaylist(2, (Segment(0, "a", 2.0, map=Map("clear"), keys=(key,)),))
    text = render(playlist)
    assert text.index("EXT-X-MAP") < text.index("EXT-X-KEY")
    assert parse(text) == playlist


@pytest.mark.parametrize("path", sorted(DATA.glob("*.m3u8")), ids=lambda path: path.stem)
def test_every_stored_playlist_is_written_and_read_back(path: Path) -> None:
    playlist = parse(path.read_text())
    assert parse(render(playlist)) == playlist


def _with(segment: Segment) -> MediaPlaylist:
    return replace(PLAIN, segments=(segment,))


@pytest.mark.parametrize(
    "playlist",
    [
        _with(Segment(0, "", 2.0)),
        _with(Segment(0, "a\nb", 2.0)),
        _with(Segment(0, "a\rb", 2.0)),
        _with(Segment(0, " a", 2.0)),
        _with(Segment(0, "#a", 2.0)),
        _with(Segment(0, "{$a}", 2.0)),
        _with(Segment(0, "a", 2.0, title="b\n#EXT-X-ENDLIST")),
        _with(Segment(0, "a", -1.0)),
        _with(Segment(1, "a", 2.0)),
        _with(Segment(0, "a", 2.0, map=Map('i"'))),
        _with(Segment(0, "a", 2.0, map=Map(""))),
        _with(Segment(0, "a", 2.0, parts=(Part('p",GAP=YES,X="', 1.0),))),
        _with(Segment(0, "a", 2.0, tags=("b",))),
        _with(Segment(0, "a", 2.0, tags=("#EXT-X-KEY:METHOD=NONE",))),
        _with(Segment(0, "a", 2.0, program_date_time_s=-1.0)),
        replace(PLAIN, segments=(Segment(0, "a", 2.0, map=Map("i")), Segment(1, "b", 2.0))),
        replace(PLAIN, open_segment=Segment(2, "", 0.0)),
        MultivariantPlaylist((Variant("#a", ()),)),
        MultivariantPlaylist((Variant("a", (("A", "1,2"),)),)),
    ],
)
def test_what_could_not_be_read_back_is_not_written(playlist: MediaPlaylist | MultivariantPlaylist) -> None:
    with pytest.raises(PlaylistError) as caught:
        render(playlist)
    assert caught.value.line_no == 0
