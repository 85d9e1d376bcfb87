"""Thousands of keep-alive viewers that ask at a fixed rate; run as a module, orders as JSON on stdin.

Simpler than a player on purpose: each has one connection and asks in turn for its playlist and for
the newest segment that any playlist listed. The pace is fixed, so servers are compared by what the
same work costs them, not by how fast they can be driven.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from benchmarks.load.http_wire import WireResponse, request_bytes
from benchmarks.load.load_engine import LoadClock, LoadEngine, ViewerHost
from benchmarks.load.viewer_worker import PlaylistMemo, say, tls_context
from benchmarks.player.listing import Listing
from benchmarks.reports import report
from relay.base.errors import PlaylistError

MAX_TIMES = 500_000


@dataclass(frozen=True, slots=True)
class RateOrders:
    """Viewer n asks URL n (or the only one), a media playlist; `playlists` is their share of requests."""

    urls: list[str]
    viewers: int
    requests_per_s: float
    playlists: float
    ramp_s: float
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)


class FixedRateViewer:
    """One viewer: a request, its answer, and the next request one period after the last."""

    def __init__(self, march: FixedRateWorker, url: str) -> None:
        self._march = march
        self._url = url
        self._folder = url.rpartition("/")[0] + "/"
        self._host = ViewerHost(march.loop, most=1)
        self._playlist = request_bytes(url, march.pace.headers)
        self._asked_s = 0.0
        self._due_s = 0.0
        self._segment_turn = False

    def ask(self, now_s: float) -> None:
        """Send the request that is due."""
        march = self._march
        self._asked_s = now_s
        self._due_s = max(self._due_s, now_s - march.period_s) + march.period_s
        # The first request is a playlist for all, so that the ramp tells what the segments are.
        self._segment_turn = now_s >= march.steady_s and march.random.random() >= march.pace.playlists
        if self._segment_turn:
            data = request_bytes(self._folder + march.newest, march.pace.headers)
        else:
            data = self._playlist
        self._host.get(data, self._answered, now_s, keep=not self._segment_turn)

    def _answered(self, answer: WireResponse, now_s: float) -> None:
        march = self._march
        if answer.done and answer.status == 200:
            if len(march.times_s) < MAX_TIMES:
                march.times_s.append(now_s - self._asked_s)
            if not self._segment_turn:
                march.listed(answer.body)
        else:
            march.failures[f"{'segment' if self._segment_turn else 'playlist'} {answer.status}"] += 1
        march.segments += self._segment_turn
        march.sizes["segment" if self._segment_turn else "playlist"] = answer.body_bytes
        march.loop.at(max(now_s, self._due_s), self.ask)


class FixedRateWorker:
    """All viewers of this process."""

    def __init__(self, pace: RateOrders, clock: LoadClock | None = None) -> None:
        self.pace = pace
        self.period_s = pace.viewers / pace.requests_per_s
        self.newest = ""
        self.segments = 0
        self.times_s: list[float] = []
        self.failures: Counter[str] = Counter()
        self.sizes: dict[str, int] = {}
        self.random = random.Random(1)  # the same order for every server
        self.steady_s = 0.0
        self._pages = PlaylistMemo()
        parts = urlsplit(pace.urls[0])
        tls = tls_context() if parts.scheme == "https" else None
        self.loop = LoadEngine((parts.hostname or "", parts.port or 0), tls, clock=clock)
        self._viewers = [FixedRateViewer(self, pace.urls[n % len(pace.urls)]) for n in range(pace.viewers)]

    def listed(self, body: bytes) -> None:
        """Learn the newest segment from a playlist."""
        try:
            page = self._pages.read(body)
        except PlaylistError:
            self.failures["playlist unreadable"] += 1
            return
        if isinstance(page, Listing) and page.pieces:
            self.newest = page.pieces[-1].uri

    def run(self) -> None:
        """Connect everyone, then measure."""
        pace, clock = self.pace, self.loop.clock
        began_s = clock.now_s()
        self.steady_s = began_s + pace.ramp_s + self.period_s
        for n, viewer in enumerate(self._viewers):
            self.loop.at(began_s + pace.ramp_s * n / len(self._viewers), viewer.ask)
        self.loop.run(self.steady_s)
        self.times_s.clear()
        self.segments = 0
        before, busy_s, body_bytes = self.loop.requests, self.loop.busy_s, self.loop.body_bytes
        began_s = clock.now_s()
        say({"event": "steady"})
        self.loop.run(began_s + pace.seconds)
        elapsed_s = clock.now_s() - began_s
        say(
            {
                "event": "done",
                "elapsed_s": elapsed_s,
                "requests": self.loop.requests - before,
                "body_bytes": self.loop.body_bytes - body_bytes,
                "client_busy": (self.loop.busy_s - busy_s) / elapsed_s,
                "segments": self.segments,
                "connections": len(self.loop.connections),
                "sizes": self.sizes,
                "failures": dict(self.failures),
                "time_ms": report.spread_ms(self.times_s),
            }
        )
        self.loop.close()


if __name__ == "__main__":
    FixedRateWorker(RateOrders(**json.loads(sys.stdin.readline()))).run()
