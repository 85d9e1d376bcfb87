"""Many viewers in one process; run as a module, orders as JSON on stdin.

Prints one JSON line when all viewers have started and settled, so that the parent can begin to
count CPU, and one with everything at the end.
"""

from __future__ import annotations

import gzip
import json
import ssl
import sys
import time
from collections import Counter, OrderedDict
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from benchmarks.load.http_wire import WireResponse, request_bytes
from benchmarks.load.load_engine import LoadEngine, ViewerHost
from benchmarks.player.hlsjs_model import (
    LATE,
    ModelledViewer,
    ModelRequest,
    Page,
    PlayerSettings,
    RequestKind,
)
from benchmarks.player.listing import Listing
from relay.base.errors import PlaylistError
from relay.core.playlist import MultivariantPlaylist, parse

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PAGES = 512
MAX_REDIRECTS = 3
MAX_ARRIVALS = 200_000
MAX_PLAYLIST_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class WorkerOrders:
    """Who watches what and for how long; viewer n takes URL n, or the only one. Times in seconds."""

    urls: list[str]
    viewers: int
    ramp_s: float
    settle_s: float
    seconds: float
    latency_s: float | None = None
    max_rate: float = 1.1
    headers: dict[str, str] = field(default_factory=dict)


class PlaylistMemo:
    """Playlists read once per body, and when each was first seen: all viewers get the same bytes.

    `arrivals` are (track, date at the edge, time of arrival) of playlists that were waited for.
    """

    def __init__(self) -> None:
        self.spreads_s: list[float] = []
        self.arrivals: list[tuple[int, float, float]] = []
        self._pages: OrderedDict[bytes, tuple[float, Page]] = OrderedDict()

    def read(self, body: bytes) -> Page:
        """Return the page of a body, gzip or not; raises PlaylistError."""
        known = self._pages.get(body)
        if known is not None:
            return known[1]
        playlist = parse(_text(body))
        page = playlist if isinstance(playlist, MultivariantPlaylist) else Listing(playlist)
        self._pages[body] = (time.time(), page)
        if len(self._pages) > MAX_PAGES:
            self._pages.popitem(last=False)
        return page

    def note_arrival(self, get: ModelRequest, body: bytes, now_s: float) -> None:
        """Note when a viewer who was waiting for a new playlist got it."""
        known = self._pages.get(body)
        if known is None or get.asked_s >= known[0] or "_HLS_" not in get.url:
            return
        if len(self.spreads_s) < MAX_ARRIVALS:
            first_s, page = known
            self.spreads_s.append(max(0.0, now_s - first_s))
            date_s = page.edge_date_s if isinstance(page, Listing) else None
            if date_s is not None:
                self.arrivals.append((get.track, date_s, now_s))


def _text(body: bytes) -> str:
    try:
        plain = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        return plain[:MAX_PLAYLIST_BYTES].decode()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise PlaylistError(0, "the body is no text") from error


class WorkerViewer:
    """Joins one viewer to its connections."""

    def __init__(self, crowd: ViewerWorker, url: str, taste: PlayerSettings) -> None:
        self._crowd = crowd
        self.viewer = ModelledViewer(url, crowd.pages.read, taste)
        self._hosts: dict[str, ViewerHost] = {}
        self._due_s: float | None = None

    def start(self, now_s: float) -> None:
        """Begin to watch."""
        self._ask(self.viewer.start(now_s), now_s)

    def _ask(self, gets: Iterable[ModelRequest], now_s: float) -> None:
        for get in gets:
            self._crowd.asked[get.kind.value] += 1
            self._send(get, get.url, 0, now_s)
        due_s = self.viewer.due_s
        if due_s is not None and (self._due_s is None or due_s < self._due_s):
            self._due_s = due_s
            self._crowd.loop.at(due_s, self._tick)

    def _send(self, get: ModelRequest, url: str, redirects: int, now_s: float) -> None:
        def answered(answer: WireResponse, now_s: float) -> None:
            if answer.location and 300 <= answer.status < 400 and redirects < MAX_REDIRECTS:
                self._send(get, urljoin(url, answer.location), redirects + 1, now_s)
                return
            status = LATE if answer.late else answer.status if answer.done else 0
            at = get if redirects == 0 else replace(get, url=url)
            gets = self.viewer.answered(at, status, answer.body, now_s)
            if get.kind is RequestKind.PLAYLIST:
                self._crowd.pages.note_arrival(get, answer.body, now_s)
            self._ask(gets, now_s)

        self._host(url).get(
            request_bytes(url, self._crowd.orders.headers),
            answered,
            now_s,
            keep=get.kind not in (RequestKind.INIT, RequestKind.MEDIA),
            patience_s=get.patience_s,
        )

    def _host(self, url: str) -> ViewerHost:
        """Return this viewer's way to the server of a URL: six connections to each, as in a browser."""
        netloc = url.partition("://")[2].partition("/")[0]
        host = self._hosts.get(netloc)
        if host is None:
            host = self._hosts[netloc] = ViewerHost(self._crowd.loop, address=address(url))
        return host

    def _tick(self, now_s: float) -> None:
        self._due_s = None
        self._ask(self.viewer.tick(now_s), now_s)


class ViewerWorker:
    """All viewers of this process."""

    def __init__(self, orders: WorkerOrders) -> None:
        self.orders = orders
        self.pages = PlaylistMemo()
        self.asked: Counter[str] = Counter()
        first = orders.urls[0]
        self.loop = LoadEngine(address(first), tls_context() if first.startswith("https:") else None)
        taste = PlayerSettings(orders.latency_s, orders.max_rate)
        self._seats = [
            WorkerViewer(self, orders.urls[n % len(orders.urls)], taste) for n in range(orders.viewers)
        ]

    def run(self) -> None:
        """Start the viewers one after another, watch, report."""
        orders, began_s = self.orders, time.time()
        for n, seat in enumerate(self._seats):
            self.loop.at(began_s + orders.ramp_s * n / len(self._seats), seat.start)
        self.loop.run(began_s + orders.ramp_s + orders.settle_s)
        before, asked, steady_s = self._counted(), self.asked.copy(), time.time()
        say({"event": "steady"})
        self.loop.run(steady_s + orders.seconds)
        end_s = time.time()
        after = self._counted()
        facts = [seat.viewer.finish(end_s) for seat in self._seats]
        self.loop.close()
        say(
            {
                "event": "done",
                "elapsed_s": end_s - steady_s,
                **{name: after[name] - before[name] for name in after},
                "asked": dict(self.asked - asked),
                "spreads_s": self.pages.spreads_s,
                "arrivals": self.pages.arrivals,
                "viewers": [{**asdict(fact), "failures": dict(fact.failures)} for fact in facts],
            }
        )

    def _counted(self) -> dict[str, float]:
        loop = self.loop
        return {"requests": loop.requests, "body_bytes": loop.body_bytes, "busy_s": loop.busy_s}


def address(url: str) -> tuple[str, int]:
    """Return host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)


def tls_context() -> ssl.SSLContext:
    """Return a client's TLS settings for servers on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # loopback, with a certificate made a moment ago
    return context


def say(message: dict[str, object]) -> None:
    """Tell the parent something: one line of JSON."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    ViewerWorker(WorkerOrders(**json.loads(sys.stdin.readline()))).run()
