"""A relay's parts wired as `relay.app` does, without a process; and an origin with a fixed list."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from relay.config import RelaySettings
from relay.core.counters import Counters
from relay.core.delivery.delivery import Delivery
from relay.core.delivery.response import CorsHeaders
from relay.core.playlist import render
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.viewers.admission import Admission
from relay.core.viewers.registry import ViewerRegistry
from relay.io.cluster.agent import ClusterAgent
from relay.io.cluster.node_key import NodeIdentity
from relay.io.delivery.memfd import MemfdStore
from relay.io.delivery.reactor import Reactor
from relay.io.origin.stream_manager import StreamManager
from tests.harness.builders import playlist, segment
from tests.harness.fake_http import FakeServer, ReceivedRequest, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from relay.base.cluster_protocol import EpochOffset, EpochRequest

SECRET = "c" * 32
LIMIT_S = 20.0


class StillOrigin:
    """An origin that lists the same three segments for ever, over a real socket."""

    def __init__(self, prefix: str = "aaaaaaaaaaaa") -> None:
        self.prefix = prefix
        self.bearers: set[str] = set()
        self.server = FakeServer(self.handle)

    @property
    def url(self) -> str:
        return f"{self.server.url}/index.m3u8"

    async def handle(self, request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        self.bearers.add(request.headers.get("authorization", ""))
        if request.path.endswith(".m3u8"):
            names = [segment(n, uri=f"{self.prefix}_main_seg{n}.ts", init=None) for n in range(3)]
            await stream.send_all(reply(render(playlist(1, *names)).encode()))
        else:
            await stream.send_all(reply(request.path.encode()))


class RelayParts:
    """The parts of one relay."""

    def __init__(
        self, decide: Callable[[EpochRequest], Awaitable[EpochOffset]] | None = None, **settings: object
    ) -> None:
        self.settings = RelaySettings.model_validate({"node_id": "node1", "max_connections": 40, **settings})
        self.counters = Counters()
        self.bodies = MemfdStore()
        self.admission = Admission(ViewerRegistry(), max_viewers=self.settings.max_connections)
        self.delivery = Delivery(
            self.admission, CorsHeaders(("*",)), self.bodies.new, budget=MemoryBudget(10**7)
        )
        self.reactor = Reactor(self.delivery, self.counters, max_connections=100)
        self.streams = StreamManager(self.delivery, self.reactor, self.counters, decide=decide)
        self.node = ClusterAgent(
            self.settings,
            self.delivery,
            self.streams,
            self.reactor,
            self.counters,
            self.bodies,
            identity=NodeIdentity("node1", key=SECRET.encode()),
            relay_url="http://127.0.0.1:1",
            admin_url="http://127.0.0.1:2",
            wall=lambda: 1_790_000_000.0,
        )

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for a condition; the rig's deadline bounds it."""
        while not holds():
            await trio.sleep(0.005)

    def ready(self, name: str) -> bool:
        stream = self.delivery.streams.get(name)
        return stream is not None and stream.ready


@asynccontextmanager
async def running(rig: RelayParts, *origins: StillOrigin) -> AsyncIterator[RelayParts]:
    """Run a rig's reactor and streams, and some origins, for LIMIT_S at most."""
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            for origin in origins:
                await nursery.start(lambda o=origin, **k: o.server.run(sockets=True, **k))
            await nursery.start(rig.reactor.run)
            await nursery.start(rig.streams.run)
            yield rig
            nursery.cancel_scope.cancel()
