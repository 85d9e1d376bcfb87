"""A puller whose origins are fakes in memory, under a virtual clock."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from relay.core.counters import Counters, StreamFigures
from relay.core.playlist import MediaPlaylist, parse
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.stream.stream import Stream
from relay.io.origin.http_client import OriginClient, OriginLimits, OriginResponse
from relay.io.origin.puller import Puller
from tests.harness.builders import MemoryBody

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from relay.base.cluster_protocol import EpochOffset, EpochRequest
    from tests.harness.fake_http import FakeServer
    from tests.harness.fake_origin import HlsOrigin


LIMIT_S = 300.0  # of virtual time


class NotingOriginClient(OriginClient):
    """A client that notes the addresses of the objects that it has brought."""

    brought: list[str]

    async def get(self, url: str, **how: Any) -> OriginResponse:
        answer = await super().get(url, **how)
        if answer.status in (200, 206) and ".m3u8" not in url:
            self.brought.append(answer.url)
        return answer


class MemoryPuller(Puller):
    """A puller whose connections go to fakes in memory, by their host."""

    servers: dict[str, FakeServer]
    brought: list[str]

    def _upstream(self, url: str) -> OriginClient:
        async def connect(origin: object) -> trio.abc.Stream:
            return await self.servers[origin.host].connect()  # type: ignore[attr-defined]

        origin_client = NotingOriginClient(
            url, bearer=self._bearer, limits=self._limits, counters=self._counters, connect=connect
        )
        origin_client.brought = self.brought
        return origin_client


class PullerRig:
    """One stream, pulled from one or two origins in memory."""

    def __init__(self, servers: dict[str, FakeServer], path: str, bearer: str) -> None:
        self.stream = Stream("class1", self._body, budget=MemoryBudget(10**8))
        self.no_room = False
        self.figures = StreamFigures()
        self.counters = Counters()
        self.published: list[tuple[str, int]] = []
        self.asks: list[EpochRequest] = []
        self.puller = MemoryPuller(
            self.stream,
            tuple(f"http://{host}{path}" for host in servers),
            bearer=bearer,
            limits=OriginLimits(),
            publish=lambda _, window: self.published.append((window.rendition, window.version)),
            decide=self.decide,
            figures=self.figures,
            counters=self.counters.origin,
            wall=lambda: 1_790_000_000.0 + trio.current_time(),
        )
        self.puller.servers = servers
        self.puller.brought = []

    def _body(self) -> MemoryBody:
        if self.no_room:
            raise OSError(24, "Too many open files")
        return MemoryBody()

    async def decide(self, ask: EpochRequest) -> EpochOffset:
        self.asks.append(ask)
        await trio.sleep(0.05)
        return self.stream.timeline.decide_alone(ask)

    async def until(self, holds: Callable[[], object], within_s: float = 30.0) -> float:
        """Wait for a condition in virtual time; returns how long it took."""
        started_s = trio.current_time()
        with trio.fail_after(within_s):
            while not holds():
                await trio.sleep(0.02)
        return trio.current_time() - started_s

    @property
    def state(self) -> str:
        return self.stream.state(trio.current_time())

    def text(self, name: str = "v0") -> MediaPlaylist:
        listed = parse(self.stream.media_text(self.stream.windows[name]))
        assert isinstance(listed, MediaPlaylist)
        return listed


@asynccontextmanager
async def pulling(*origins: HlsOrigin, bearer: str = "", **servers: FakeServer) -> AsyncIterator[PullerRig]:
    by_host = {f"origin{n}": o.server for n, o in enumerate(origins)} | servers
    path = "/live/class1/index.m3u8" if origins else "/index.m3u8"
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            for server in by_host.values():
                await nursery.start(server.run)
            rig = PullerRig(by_host, path, bearer)
            nursery.start_soon(rig.puller.run)
            yield rig
            nursery.cancel_scope.cancel()


def objects(origin: HlsOrigin) -> list[str]:
    return [r.path for r in origin.server.requests if not r.path.endswith(".m3u8")]
