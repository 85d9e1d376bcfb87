"""The multivariant playlist and the steering manifest, in the form that hls.js was seen to play."""

from __future__ import annotations

from airclass.domain.steering import Pathway, manifest, multivariant
from relay.base.cluster_protocol import ReportedRendition, ReportedVariant

PATHS = [Pathway(n, f"http://{n}.example/t/tok{n}/live/") for n in ("a", "b")]
VIDEO = ReportedVariant("v", "video1_stream.m3u8", 'BANDWIDTH=581112,CODECS="avc1.42c01e,mp4a.40.2"', True)
AUDIO = ReportedRendition("a", "audio2_stream.m3u8", 'TYPE=AUDIO,NAME="audio2",AUTOSELECT=YES,DEFAULT=YES')


def test_each_pathway_has_its_own_group() -> None:
    text = multivariant(PATHS, [VIDEO], [AUDIO], "http://m.example/steering/c1?token=t")
    assert text == (
        "#EXTM3U\n"
        "#EXT-X-VERSION:10\n"
        "#EXT-X-INDEPENDENT-SEGMENTS\n"
        '#EXT-X-CONTENT-STEERING:SERVER-URI="http://m.example/steering/c1?token=t",PATHWAY-ID="a"\n'
        '#EXT-X-MEDIA:TYPE=AUDIO,NAME="audio2",AUTOSELECT=YES,DEFAULT=YES,GROUP-ID="audio-a",'
        'STABLE-RENDITION-ID="a",URI="http://a.example/t/toka/live/audio2_stream.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=581112,CODECS="avc1.42c01e,mp4a.40.2",AUDIO="audio-a",'
        'STABLE-VARIANT-ID="v",PATHWAY-ID="a"\n'
        "http://a.example/t/toka/live/video1_stream.m3u8\n"
        '#EXT-X-MEDIA:TYPE=AUDIO,NAME="audio2",AUTOSELECT=YES,DEFAULT=YES,GROUP-ID="audio-b",'
        'STABLE-RENDITION-ID="a",URI="http://b.example/t/tokb/live/audio2_stream.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=581112,CODECS="avc1.42c01e,mp4a.40.2",AUDIO="audio-b",'
        'STABLE-VARIANT-ID="v",PATHWAY-ID="b"\n'
        "http://b.example/t/tokb/live/video1_stream.m3u8\n"
    )


def test_a_muxed_stream_has_no_group() -> None:
    muxed = ReportedVariant("v", "main_stream.m3u8", "BANDWIDTH=1", False)
    assert "AUDIO" not in multivariant(PATHS, [muxed], [], "s")


def test_manifest_names_the_priority() -> None:
    assert manifest(["b", "a"], "u") == {
        "VERSION": 1,
        "TTL": 5,
        "RELOAD-URI": "u",
        "PATHWAY-PRIORITY": ["b", "a"],
    }
    assert PATHS[0].url == "http://a.example/t/toka/live/index.m3u8"
