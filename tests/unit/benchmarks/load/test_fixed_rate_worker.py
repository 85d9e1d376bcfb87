"""Paced viewers against the exact origin: the pace is kept, the mix is right, failures are told.

Time is virtual, so that a busy machine, which answers late, changes no figure.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.load.fixed_rate_worker import FixedRateWorker, RateOrders
from benchmarks.load.load_engine import MAX_EVENTS, LoadClock, LoadEngine
from benchmarks.servers.origin import WINDOW, SizedOriginHandler, SizedOriginServer, playlist
from relay.core.playlist import MediaPlaylist, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

SEGMENT_BYTES = 20_000
LOOK_S = 0.000_01
ANSWER_S = 10.0


class StandingClock(LoadClock):
    """Stands while answers are on their way, and jumps to what is due next when none is.

    Each look at it takes LOOK_S; an answer that does not come for ANSWER_S real seconds lets it jump, too.
    """

    def __init__(self) -> None:
        self._now_s = 1_000_000_000.0

    def now_s(self) -> float:
        self._now_s += LOOK_S
        return self._now_s

    def wait(self, loop: LoadEngine, seconds: float) -> list[tuple[int, int]]:
        events = loop.poll.poll(ANSWER_S if loop.unanswered else 0, MAX_EVENTS)
        if not events:
            self._now_s += max(0.0, seconds)
        return events


@contextmanager
def origin() -> Iterator[str]:
    handler = type("H", (SizedOriginHandler,), {"segment": b"\x47" * SEGMENT_BYTES})
    with SizedOriginServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{served.server_port}/live/"
        finally:
            served.shutdown()
            thread.join()


def marched(capsys: pytest.CaptureFixture[str], url: str, *, playlists: float) -> dict[str, Any]:
    FixedRateWorker(RateOrders([url], 20, 100.0, playlists, ramp_s=0.2, seconds=0.5), StandingClock()).run()
    steady, done = map(json.loads, capsys.readouterr().out.splitlines())
    assert steady == {"event": "steady"}
    found: dict[str, Any] = done
    return found


def test_the_pace_and_the_mix(capsys: pytest.CaptureFixture[str]) -> None:
    with origin() as url:
        done = marched(capsys, url + "video.m3u8", playlists=0.5)
    assert done["failures"] == {}
    assert 48 <= done["requests"] <= 52
    assert done["elapsed_s"] == pytest.approx(0.5, abs=0.02)
    assert done["connections"] == 20
    assert 0 < done["segments"] < done["requests"]
    assert done["sizes"] == {"playlist": pytest.approx(1700, abs=150), "segment": SEGMENT_BYTES}
    assert done["time_ms"]["p50"] > 0
    assert 0 < done["client_busy"] < 1


@pytest.mark.parametrize(("playlists", "most_bytes"), [(0.0, 10**6), (1.0, 2000)])
def test_one_kind_alone(capsys: pytest.CaptureFixture[str], playlists: float, most_bytes: int) -> None:
    with origin() as url:
        done = marched(capsys, url + "video.m3u8", playlists=playlists)
    assert done["failures"] == {}
    assert (done["body_bytes"] > 30 * SEGMENT_BYTES) == (playlists == 0.0)
    assert done["body_bytes"] < most_bytes * done["requests"]


def test_failures_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    with origin() as url:
        missing = marched(capsys, url + "nothing.m3u8", playlists=1.0)
        unreadable = marched(capsys, url + "video1_0.ts", playlists=1.0)
        index = marched(capsys, url + "index.m3u8", playlists=1.0)
    assert missing["failures"].keys() == unreadable["failures"].keys() == {"playlist 404"}
    assert index["failures"] == {}


def test_the_origin_lists_a_sliding_window() -> None:
    listed = parse(playlist(1000))
    assert isinstance(listed, MediaPlaylist)
    assert [segment.msn for segment in listed.segments] == list(range(1001 - WINDOW, 1001))
    assert listed.segments[-1].program_date_time_s == 2000.0
    assert 1600 <= len(playlist(895_000_000)) <= 1800
