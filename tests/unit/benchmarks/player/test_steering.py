"""Relays and the way between them: who is played from, and what a failing one costs the picture."""

from __future__ import annotations

import json

import pytest

from benchmarks.player.hlsjs_model import LATE, ModelledViewer, ModelRequest, Page, RequestKind
from benchmarks.player.listing import Listing
from benchmarks.player.steering import PENALTY_S, Pathways, read_manifest
from relay.base.errors import PlaylistError
from relay.core.playlist import MediaPlaylist, MultivariantPlaylist, Part, Segment, ServerControl, parse

T0 = 1_800_000_000.0
MASTER = "http://master/live/class/index.m3u8?token=x"
INDEX = """#EXTM3U
#EXT-X-CONTENT-STEERING:SERVER-URI="/steering/class?token=x",PATHWAY-ID="a"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="ga",NAME="s",URI="http://a/t/x/class/audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="ga",PATHWAY-ID="a"
http://a/t/x/class/video.m3u8
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="gb",NAME="s",URI="http://b/t/x/class/audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="gb",PATHWAY-ID="b"
http://b/t/x/class/video.m3u8
"""
MUXED = "\n".join(
    line.replace(',AUDIO="ga"', "").replace(',AUDIO="gb"', "")
    for line in INDEX.splitlines()
    if "EXT-X-MEDIA:" not in line
)


def multivariant(text: str = INDEX) -> MultivariantPlaylist:
    page = parse(text)
    assert isinstance(page, MultivariantPlaylist)
    return page


def listing(last: int) -> Listing:
    """Three segments of 2 s up to `last`, and a part of the next one."""
    segments = tuple(Segment(msn, f"s{msn}.mp4", 2.0) for msn in range(last - 2, last + 1))
    control = ServerControl(True, 1.5)
    opened = Segment(last + 1, "", 0.0, (Part(f"p{last + 1}.0.mp4", 0.5, independent=True),))
    return Listing(
        MediaPlaylist(2, segments, last - 2, part_target_s=0.5, server_control=control, open_segment=opened)
    )


def read(body: bytes) -> Page:
    kind, _, number = body.decode().partition(" ")
    return listing(int(number)) if kind == "list" else multivariant({"index": INDEX, "muxed": MUXED}[kind])


def playing(index: bytes = b"index") -> tuple[ModelledViewer, list[ModelRequest]]:
    """A viewer that has one version of each playlist; returns it with everything it asked for since."""
    viewer = ModelledViewer(MASTER, read)
    (first,) = viewer.start(T0)
    asked = viewer.answered(first, 200, index, T0)
    later = [get for get in asked if get.kind is RequestKind.STEERING]
    for get in asked:
        if get.kind is RequestKind.PLAYLIST:
            later += viewer.answered(get, 200, b"list 10", T0)
    return viewer, later


def pick(gets: list[ModelRequest], kind: RequestKind, track: int = 0) -> ModelRequest:
    return next(get for get in gets if get.kind is kind and get.track == track)


def urls(gets: list[ModelRequest]) -> list[str]:
    return [get.url for get in gets]


def test_every_relay_is_found_with_its_renditions() -> None:
    paths = Pathways(multivariant(), MASTER)
    assert paths.urls["b"] == ("http://b/t/x/class/video.m3u8", "http://b/t/x/class/audio.m3u8")
    assert paths.current == "a"
    assert paths.steering_url == "http://master/steering/class?token=x"


def test_without_pathways_there_is_one_place() -> None:
    paths = Pathways(multivariant("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n"), "http://a/x/i.m3u8")
    assert (paths.urls, paths.current) == ({".": ("http://a/x/v.m3u8",)}, ".")
    assert paths.steering_url is None


def test_what_failed_is_left_alone_for_a_while() -> None:
    paths = Pathways(multivariant(), MASTER)
    assert paths.failed(T0)
    assert paths.current == "b"
    assert not paths.prefer(["a", "b"], T0 + PENALTY_S - 1)
    assert paths.prefer(["a", "b"], T0 + PENALTY_S)
    assert paths.current == "a"


def test_when_all_have_failed_the_slate_is_wiped() -> None:
    paths = Pathways(multivariant(), MASTER)
    assert paths.failed(T0)
    assert not paths.failed(T0)
    assert paths.current == "a"
    assert paths.prefer(["b"], T0)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"PATHWAY-PRIORITY": ["a"], "TTL": "x"}'])
def test_a_manifest_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(PlaylistError):
        read_manifest(body, MASTER)


def test_a_refusing_relay_is_left_at_once_for_both_renditions() -> None:
    viewer, asked = playing()
    moved = viewer.answered(pick(asked, RequestKind.PLAYLIST, 1), 0, b"", T0 + 0.2)
    assert urls(moved) == ["http://b/t/x/class/video.m3u8", "http://b/t/x/class/audio.m3u8"]
    assert [move.to for move in viewer.playback.facts.moves] == ["b"]


def test_what_the_old_relay_still_answers_is_not_heard() -> None:
    viewer, asked = playing()
    media = pick(asked, RequestKind.MEDIA)
    viewer.answered(pick(asked, RequestKind.PLAYLIST), 410, b"", T0 + 0.2)
    assert viewer.answered(media, 200, b"", T0 + 0.3) == []
    assert viewer.answered(pick(asked, RequestKind.PLAYLIST, 1), 410, b"", T0 + 0.3) == []
    assert len(viewer.playback.facts.moves) == 1


def test_the_next_relay_may_be_a_little_behind_but_not_count_anew() -> None:
    viewer, asked = playing()
    moved = viewer.answered(pick(asked, RequestKind.PLAYLIST, 1), 404, b"", T0)
    assert viewer.answered(moved[0], 200, b"list 9", T0) != []
    assert viewer.answered(moved[1], 200, b"list 3", T0) == []
    assert viewer.playback.facts.failures["playlist: line 0: the media sequence went back"] == 1


def test_nothing_is_loaded_again_after_a_move() -> None:
    viewer, asked = playing()
    before_s = viewer.playback.forward_s
    for get in asked:
        if get.kind is RequestKind.MEDIA:
            viewer.answered(get, 200, b"", T0)
    loaded_s = viewer.playback.forward_s
    assert loaded_s > before_s
    moved = viewer.answered(pick(asked, RequestKind.PLAYLIST, 1), 0, b"", T0)
    after = viewer.answered(moved[0], 200, b"list 10", T0)
    assert viewer.playback.forward_s == loaded_s
    assert all(get.url.startswith("http://b/") for get in after)


def test_a_silent_relay_is_noticed_by_patience() -> None:
    viewer, asked = playing()
    blocked = pick(asked, RequestKind.PLAYLIST, 1)
    assert blocked.patience_s == pytest.approx(1.6)  # 0.8 target durations
    moved = viewer.answered(blocked, LATE, b"", T0 + 1.6)
    assert [get.url[:9] for get in moved] == ["http://b/"] * 2
    assert viewer.playback.facts.failures == {"playlist late": 1}


def test_a_rendition_alone_is_tried_three_times_where_that_may_help() -> None:
    viewer, asked = playing(b"muxed")
    get = pick(asked, RequestKind.PLAYLIST)
    for _ in range(2):
        assert viewer.answered(get, 503, b"", T0) == []
        get = pick(viewer.tick(T0 + 0.5), RequestKind.PLAYLIST)
    assert urls(viewer.answered(get, 503, b"", T0)) == ["http://b/t/x/class/video.m3u8"]
    viewer, asked = playing(b"muxed")
    assert len(viewer.answered(pick(asked, RequestKind.PLAYLIST), 404, b"", T0)) == 1


def test_the_steering_server_is_followed_and_asked_again() -> None:
    viewer, asked = playing()
    steering = pick(asked, RequestKind.STEERING)
    body = json.dumps({"VERSION": 1, "TTL": 5, "RELOAD-URI": "/again", "PATHWAY-PRIORITY": ["b", "a"]})
    moved = viewer.answered(steering, 200, body.encode(), T0)
    assert [get.url[:9] for get in moved] == ["http://b/"] * 2
    (again,) = viewer.tick(T0 + 5)
    assert again.url == "http://master/again"
    assert viewer.answered(again, 503, b"", T0 + 5) == []
    assert [get.kind for get in viewer.tick(T0 + 10)] == [RequestKind.STEERING]


def test_when_every_relay_fails_the_viewer_goes_on_trying() -> None:
    viewer, asked = playing()
    moved = viewer.answered(pick(asked, RequestKind.PLAYLIST, 1), 0, b"", T0)
    assert viewer.answered(moved[1], 0, b"", T0) == []
    assert viewer.playback.facts.failures["every pathway failed"] == 1
    assert urls(viewer.tick(T0 + 0.5)) == ["http://a/t/x/class/video.m3u8", "http://a/t/x/class/audio.m3u8"]
