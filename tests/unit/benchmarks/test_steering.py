"""Pathways: where a viewer begins, when it moves, and what it leaves alone for a while."""

from __future__ import annotations

import json

import pytest

from benchmarks.steering import PENALTY_S, TTL_S, Pathways
from relay.base.errors import PlaylistError
from relay.core.playlist import MultivariantPlaylist, parse

TEXT = """#EXTM3U
#EXT-X-CONTENT-STEERING:SERVER-URI="/steering/c?token=t",PATHWAY-ID="b"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-a",NAME="x",DEFAULT=YES,URI="http://a/t/audio.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio-b",NAME="x",DEFAULT=YES,URI="http://b/t/audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="audio-a",PATHWAY-ID="a"
http://a/t/video.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="audio-b",PATHWAY-ID="b"
http://b/t/video.m3u8
"""
URL = "http://master/live/c/index.m3u8"


def pathways(text: str = TEXT) -> Pathways:
    page = parse(text)
    assert isinstance(page, MultivariantPlaylist)
    return Pathways.of(page, URL)


def manifest(*names: str, **more: object) -> bytes:
    return json.dumps({"VERSION": 1, "TTL": 5, "PATHWAY-PRIORITY": names, **more}).encode()


def test_each_pathway_has_its_picture_and_its_audio_and_the_named_one_is_first() -> None:
    paths = pathways()
    assert paths.urls == {
        "a": ["http://a/t/video.m3u8", "http://a/t/audio.m3u8"],
        "b": ["http://b/t/video.m3u8", "http://b/t/audio.m3u8"],
    }
    assert (paths.current, paths.server_url) == ("b", "http://master/steering/c?token=t")


def test_the_manifest_moves_to_its_first_known_pathway() -> None:
    paths = pathways()
    assert paths.steer(manifest("new", "a", "b"), 0.0) == "a"
    assert paths.ttl_s == 5.0
    assert paths.steer(manifest("a", "b"), 5.0) is None
    assert paths.steer(manifest("b", "a", **{"RELOAD-URI": "/next"}), 10.0) == "b"
    assert paths.reload_url("http://master/steering/c") == "http://master/next"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"PATHWAY-PRIORITY": 1}', b"\xff"])
def test_a_manifest_that_cannot_be_read_changes_nothing(body: bytes) -> None:
    paths = pathways()
    assert paths.steer(body, 0.0) is None
    assert (paths.current, paths.ttl_s, paths.reload_url(URL)) == ("b", TTL_S, URL)


def test_a_failed_pathway_is_left_alone_for_a_while() -> None:
    paths = pathways()
    assert paths.leave(0.0) == "a"
    assert paths.steer(manifest("b", "a"), PENALTY_S - 1) is None
    assert paths.steer(manifest("b", "a"), PENALTY_S) == "b"


def test_with_every_pathway_failed_one_stays() -> None:
    paths = pathways()
    paths.leave(0.0)
    assert paths.leave(1.0) is None
    assert paths.current == "a"


def test_a_relay_s_own_playlist_is_one_nameless_pathway() -> None:
    paths = pathways("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo.m3u8\n")
    assert paths.urls == {"": ["http://master/live/c/video.m3u8"]}
    assert (paths.server_url, paths.leave(0.0)) == ("", None)


def test_without_a_variant_there_is_nothing_to_play() -> None:
    with pytest.raises(PlaylistError):
        Pathways.of(MultivariantPlaylist(), URL)
