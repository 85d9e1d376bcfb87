"""What the teacher sees of the stream, from relays and from MediaMTX's API."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain.stream_info import IngestPath, gather, read_path
from relay.base.cluster_protocol import ReportedVariant

VIDEO = ReportedVariant(
    "v", "u", 'BANDWIDTH=581112,AVERAGE-BANDWIDTH=540200,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360,'
    "FRAME-RATE=30.000", True,
)  # fmt: skip
ITEM = {
    "name": "live/c1",
    "ready": True,
    "inboundBytes": 1000,
    "source": {"type": "rtmpConn", "id": "x"},
    "tracks2": [
        {"codec": "H264", "codecProps": {"width": 1280, "height": 720}},
        {"codec": "MPEG-4 Audio", "codecProps": {}},
    ],
}


def test_a_track_of_no_name_says_nothing() -> None:
    intake = read_path({**ITEM, "tracks2": [{"codec": "", "codecProps": {}}, {"codec": "Opus"}]}, None, 0.0)
    assert intake is not None
    assert (intake.video_codec, intake.audio_codec) == ("", "Opus")


def test_from_relays_alone() -> None:
    facts = gather([VIDEO], 2, None, is_publishing=True)
    assert facts is not None
    assert (facts.width, facts.height, facts.fps, facts.bitrate_bps) == (640, 360, 30.0, 540200)
    assert (facts.video_codec, facts.audio_codec, facts.keyframe_s, facts.advice) == ("H264", "AAC", 2.0, [])


def test_the_api_knows_better() -> None:
    first = read_path(ITEM, None, 10.0)
    assert first is not None
    assert first.bitrate_bps is None
    second = read_path({**ITEM, "inboundBytes": 501_000}, first, 12.0)
    assert second is not None
    assert (second.bitrate_bps, second.width, second.source) == (2_000_000.0, 1280, "rtmpConn")
    facts = gather([VIDEO], 10, second, is_publishing=True)
    assert facts is not None
    assert (facts.width, facts.height, facts.bitrate_bps) == (1280, 720, 2_000_000)
    assert facts.advice == ["A key frame comes every 10 s: set the key-frame interval to 2 in OBS."]


def test_counters_that_start_again_give_no_rate() -> None:
    later = IngestPath(0.0, 9_000_000)
    again = read_path(ITEM, later, 2.0)
    assert again is not None
    assert again.bitrate_bps is None


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"ready": False},
        {"ready": True, "inboundBytes": "x", "tracks2": None, "tracks": ["H264", "Opus"], "source": None},
        {"available": True, "bytesReceived": 5, "tracks2": ["x", {"codec": None}, {"codec": "VP9"}]},
    ],
)
def test_other_versions_and_odd_answers(item: dict[str, object]) -> None:
    intake = read_path(item, None, 0.0)
    assert (intake is None) == (not (item.get("ready") or item.get("available")))
    if intake is not None:
        assert gather([], 0, intake, is_publishing=True) is not None


def test_nothing_is_known() -> None:
    assert gather([], 2, None, is_publishing=False) is None


@given(st.text(max_size=200))
def test_any_attribute_text_is_survived(text: str) -> None:
    assert gather([ReportedVariant("v", "u", text, False)], 0, None, is_publishing=True) is not None
