"""The stage's playlist of two pathways, and what pages report to it."""

from __future__ import annotations

import json

import trio
from trio.testing import memory_stream_pair

from relay.core.playlist import MultivariantPlaylist, attribute, parse
from tests.conformance.page_server import PageServer, two_pathways
from tests.conformance.setups import media_names
from tests.conformance.verdict import Sample
from tests.harness.fake_http import ReceivedRequest

INDEX = """\
#EXTM3U
#EXT-X-VERSION:10
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio2",DEFAULT=YES,AUTOSELECT=YES,URI="a0.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=500000,CODECS="avc1.42c01e,mp4a.40.2",AUDIO="audio"
v0.m3u8
"""


def test_each_pathway_has_its_own_addresses_and_groups() -> None:
    addresses = {"B": "http://b.test/live/index.m3u8", "A": "http://a.test/live/index.m3u8"}
    playlist = parse(two_pathways(INDEX, addresses, "http://stage.test/steering"))
    assert isinstance(playlist, MultivariantPlaylist)
    assert [v.uri for v in playlist.variants] == ["http://b.test/live/v0.m3u8", "http://a.test/live/v0.m3u8"]
    assert [attribute(v.attributes, "PATHWAY-ID") for v in playlist.variants] == ["B", "A"]
    assert [attribute(v.attributes, "AUDIO") for v in playlist.variants] == ["B-audio", "A-audio"]
    assert [attribute(m.attributes, "GROUP-ID") for m in playlist.media] == ["B-audio", "A-audio"]
    assert [m.uri for m in playlist.media] == ["http://b.test/live/a0.m3u8", "http://a.test/live/a0.m3u8"]


def test_the_first_pathway_is_where_steering_begins() -> None:
    text = two_pathways(INDEX, {"B": "http://b.test/i.m3u8"}, "http://stage.test/steering")
    assert 'SERVER-URI="http://stage.test/steering",PATHWAY-ID="B"' in text


def test_names_of_media_are_read_without_hints_and_initialization() -> None:
    playlist = (
        '#EXT-X-MAP:URI="v0-aaaaaaaa-init.mp4"\nv0-d0c8e192-22.mp4\n'
        '#EXT-X-PART:DURATION=0.5,URI="v0-0badcafe-23.0.mp4"\n'
        '#EXT-X-PRELOAD-HINT:TYPE=PART,URI="v0-bbbbbbbb-23.1.mp4"\n'
    )
    assert media_names(playlist) == {"v0-d0c8e192-22.mp4", "v0-0badcafe-23.0.mp4"}


async def _post(stage: PageServer, body: dict[str, object]) -> dict[str, object]:
    ours, theirs = memory_stream_pair()
    await stage.answer(ReceivedRequest("POST", "/report", {}, 1, json.dumps(body).encode()), theirs)
    with trio.fail_after(1):
        answer = await ours.receive_some()
    return dict(json.loads(answer.partition(b"\r\n\r\n")[2]))


async def test_reports_are_kept_and_orders_are_given_once() -> None:
    stage = PageServer(priority=["A", "B"])
    body = {"samples": [[1.0, 0.5, 7, 320]], "errors": [[1.0, "levelLoadError"]], "pathway": "B"}
    assert await _post(stage, body) == {"priority": ["A", "B"]}
    assert await _post(stage, {**body, "errors": []}) == {"priority": None}
    assert stage.samples == [Sample(1.0, 0.5, 7, 320)] * 2
    assert (stage.errors, stage.pathway) == (["levelLoadError"], "B")


def test_a_new_page_begins_with_nothing() -> None:
    stage = PageServer(samples=[Sample(1, 1)], errors=["x"], pathway="A", priority=["A"])
    kept = stage.samples
    stage.clear()
    assert (stage.samples, stage.errors, stage.pathway, stage.priority) == ([], [], "", None)
    assert kept == [Sample(1, 1)]
