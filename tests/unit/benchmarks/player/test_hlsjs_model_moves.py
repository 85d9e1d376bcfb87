"""A viewer of a cluster: it goes where the steering manifest says, and away from a relay that fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.player.hlsjs_model import MEDIA_RETRIES, ModelRequest, Page, RequestKind
from relay.core.playlist import MultivariantPlaylist, parse
from tests.harness.modelled_playback import ModelOrigin, ModelPlayback

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = """#EXTM3U
#EXT-X-CONTENT-STEERING:SERVER-URI="http://master/steering",PATHWAY-ID="a"
#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID="a"
http://a/t/video.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID="b"
http://b/t/video.m3u8
"""


class Cluster(ModelOrigin):
    """Two relays of the same stream."""

    def read(self, body: bytes) -> Page:
        page = parse(TEXT) if body == b"index" else super().read(body)
        assert not isinstance(page, MultivariantPlaylist) or page.variants
        return page  # type: ignore[return-value]


class Moving(ModelPlayback):
    """`fails` tells which requests get 410; the manifest names `first` first."""

    def __init__(self, fails: Callable[[ModelRequest], bool] = lambda get: False, first: str = "a") -> None:
        self.fails, self.first, self.steering = fails, first, 200
        super().__init__(Cluster(audio=False))

    def _answer(self, get: ModelRequest) -> tuple[int, bytes]:
        if get.kind is RequestKind.STEERING:
            names = sorted("ab", key=lambda name: name != self.first)
            return self.steering, json.dumps({"TTL": 5, "PATHWAY-PRIORITY": names}).encode()
        return (410, b"") if self.fails(get) else super()._answer(get)

    def media(self) -> list[str]:
        return [url.rpartition("/")[2] for url in self.log if "/p" in url]


def test_a_viewer_follows_the_manifest_and_fetches_nothing_twice() -> None:
    play = Moving()
    play.run(7)
    play.first = "b"
    play.run(13)
    facts = play.viewer.finish(play.now_s)
    assert (len(facts.moves), facts.stalls, dict(facts.failures)) == (1, [], {})
    assert {url.split("/")[2] for url in play.log[-8:]} <= {"b", "master"}
    assert len(play.media()) == len(set(play.media())) > 30


def test_a_relay_that_closes_is_left_at_once() -> None:
    play = Moving()
    play.run(6)
    play.fails = lambda get: get.url.startswith("http://a/")
    play.run(14)
    facts = play.viewer.finish(play.now_s)
    assert (len(facts.moves), facts.stalls) == (1, [])
    assert 1 <= facts.failures.total() <= 2
    assert {url.split("/")[2] for url in play.log[-8:]} <= {"b", "master"}


def test_a_part_is_asked_for_again_before_its_relay_is_given_up() -> None:
    """As our page does: a part may be late at one relay, and the playlist tells sooner of a dead one."""
    play = Moving()
    play.run(6)
    failed: list[ModelRequest] = []

    def fails(get: ModelRequest) -> bool:
        if get.kind is RequestKind.MEDIA and get.url.startswith("http://a/"):
            failed.append(get)
            return True
        return False

    play.fails = fails
    play.run(14)
    facts = play.viewer.finish(play.now_s)
    assert (len(facts.moves), facts.failures["media 410"]) == (1, MEDIA_RETRIES + 1)
    assert len(failed) == MEDIA_RETRIES + 1
    assert {url.split("/")[2] for url in play.log[-8:]} <= {"b", "master"}
    assert facts.plays


@pytest.mark.parametrize("status", [503, 0])
def test_a_silent_master_changes_nothing(status: int) -> None:
    play = Moving()
    play.steering = status
    play.run(20)
    facts = play.viewer.finish(play.now_s)
    assert (len(facts.moves), facts.stalls) == (0, [])
    assert set(facts.failures) == {f"steering {status}"}
