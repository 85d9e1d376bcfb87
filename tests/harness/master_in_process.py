"""A real master inside the test's own process, on a port of the kernel's choice, with a client."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import trio

from airclass import master
from airclass.config import MasterSettings, load_master
from airclass.domain.tokens import TokenKind
from airclass.domain.users import Role, User
from airclass.io.store import AuditEvent
from tests.harness.fake_relay import FakeRelay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from airclass.web.services import Services

SECRET = "c" * 40
WHOLE_S = 60.0
START_S = 10.0
STOP_S = 8.0
POLL_S = 0.02
CHEAP_PASSWORD = "correct horse"


@dataclass
class InProcessMaster:
    """The running master, and shortcuts to it."""

    url: str
    services: Services
    client: httpx.AsyncClient
    nursery: trio.Nursery
    admin: dict[str, str] = field(default_factory=dict)
    monitor: dict[str, str] = field(default_factory=dict)
    relays: list[FakeRelay] = field(default_factory=list)

    def relay(self, node_id: str = "slave-1", **more: Any) -> FakeRelay:
        """Return a relay that is not registered yet, behind an address where nobody answers."""
        return FakeRelay(self.url, SECRET, self.client, node_id, **more)

    async def node(self, node_id: str = "slave-1", **more: Any) -> FakeRelay:
        """Return a relay at work, with a door that the master can knock at."""
        serve = partial(trio.serve_tcp, _door, 0, host="127.0.0.1")
        (listener,) = await self.nursery.start(serve)
        address = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        relay = self.relay(node_id, **{"public_url": address, **more})
        await relay.register()
        await relay.beat(full=True)
        self.nursery.start_soon(relay.run)
        self.relays.append(relay)
        return relay

    async def begin(self, made: dict[str, Any]) -> dict[str, Any]:
        """Give a class a picture on every relay, so that its students get seats; returns the class."""
        for relay in self.relays:
            relay.states[made["id"]] = "live"
            await relay.beat()  # brings the order to follow the stream
            await relay.beat()
        await self.until(lambda: self.services.cluster.has_begun(made["id"]), "the class has begun")
        return made

    async def call(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Make one request."""
        with trio.fail_after(START_S):
            return await self.client.request(method, self.url + path, json=body, headers=headers)

    async def classroom(self, **more: Any) -> dict[str, Any]:
        """Make a class as admin."""
        answer = await self.call("POST", "/api/classrooms", {"name": "Math", **more}, self.admin)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def join(self, code: str, name: str = "Kim", **more: Any) -> httpx.Response:
        """Try to enter a class."""
        return await self.call("POST", "/api/join", {"code": code, "name": name, **more})

    async def teacher(self, name: str = "Lee", role: Role = Role.TEACHER) -> dict[str, str]:
        """Make an account and return headers of its session."""
        services = self.services
        user = User("u" + name.lower()[:8], name, role, await services.passwords.hash(CHEAP_PASSWORD))
        await services.store.add_user(user, AuditEvent(0, "test", "user.add", name))
        await services.reload()
        token = services.tokens.mint(
            TokenKind.SESSION,
            subject=user.id,
            token_id=services.token_id(),
            wall_s=services.clock.wall_s(),
            life_s=3600,
            extra=str(user.generation),
        )
        return {"Authorization": f"Bearer {token}"}

    async def until(self, condition: Any, what: str = "condition") -> None:
        """Wait until something becomes true."""
        with trio.move_on_after(START_S):
            while not condition():
                await trio.sleep(POLL_S)
            return
        raise AssertionError(f"not within {START_S} s: {what}")


def settings(folder: Path, **more: str) -> MasterSettings:
    """Return settings for a master in a folder."""
    environ = {
        "JWT_SECRET_KEY": "j" * 40,
        "CLUSTER_SECRET": SECRET,
        "DATA_DIR": str(folder / "data"),
        "MASTER_BIND": "127.0.0.1:0",
        "HLS_CDN_SECRET": "cdn-secret",
        **more,
    }
    return load_master(environ)


@asynccontextmanager
async def running_master(
    folder: Path, *, within_s: float = WHOLE_S, **more: str
) -> AsyncIterator[InProcessMaster]:
    """Run a master for the length of a block."""
    stop = trio.Event()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
    with trio.fail_after(within_s):
        async with httpx.AsyncClient(limits=limits, trust_env=False, timeout=30) as client:
            async with trio.open_nursery() as nursery, trio.open_nursery() as relays:
                run = partial(master.run, settings(folder, **more), stop=stop)
                with trio.fail_after(START_S):
                    running: master.Running = await nursery.start(run)
                control = InProcessMaster(running.url, running.services, client, relays)
                control.admin = _bearer(running.services, TokenKind.ADMIN)
                control.monitor = _bearer(running.services, TokenKind.MONITOR)
                try:
                    yield control
                finally:
                    relays.cancel_scope.cancel()
                    stop.set()
                    with trio.CancelScope(shield=True, deadline=trio.current_time() + STOP_S):
                        await client.aclose()


async def _door(stream: trio.SocketStream) -> None:
    async with stream:
        with trio.move_on_after(START_S):
            await stream.receive_some(4096)
            await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def _bearer(services: Services, kind: TokenKind) -> dict[str, str]:
    token = services.tokens.mint(
        kind, subject="test", token_id="0" * 24, wall_s=services.clock.wall_s(), life_s=3600
    )
    return {"Authorization": f"Bearer {token}"}
