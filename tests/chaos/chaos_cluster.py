"""A school on this machine whose parts can be broken and mended: ingest, teacher, master, relays.

Real processes; every port is the kernel's at first and stays the same when a part comes back.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import trio

from tests.harness.ingests import SECRET, build_origin
from tests.harness.processes import ChildProcess, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

LIVE_S = 40.0
POLL_S = 0.1
JOINS_AT_ONCE = 20
AIRCLASS = (sys.executable, "-m", "airclass.cli.app")


@dataclass(frozen=True)
class ChaosPlan:
    """How a row's school differs: where it listens, what its processes are started with.

    `names`: the names by which relays look for ingest and master, instead of the address. `prefix`
    and `env` are for the relay of that number (from 1); `master_env` for the master.
    """

    relays: int = 3
    host: str = "127.0.0.1"
    names: tuple[str, str] | None = None
    prefix: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    relay_host: Mapping[int, str] = field(default_factory=dict)
    env: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    master_env: Mapping[str, str] = field(default_factory=dict)


class ChaosCluster:
    """The running school; each part may be killed and started again under its former address."""

    def __init__(self, folder: Path, plan: ChaosPlan, stack: AsyncExitStack) -> None:
        self.folder, self.plan, self._stack = folder, plan, stack
        self.data = folder / "data"
        self.relays: dict[str, ChildProcess] = {}
        self.admin_urls: dict[str, str] = {}
        self.classroom: dict[str, str] = {}
        self._rtmp = self._hls = self._master = f"{plan.host}:0"

    @property
    def master_url(self) -> str:
        """Where students and relays find the master."""
        return f"http://{self._master}"

    @property
    def student_url(self) -> str:
        """What the teacher shows to the class."""
        return f"{self.master_url}/join/{self.classroom['code']}"

    def named(self, address: str, which: int) -> str:
        """Return an address with the school's name for it, if it has names."""
        return f"{self.plan.names[which]}:{address.rpartition(':')[2]}" if self.plan.names else address

    @property
    def env(self) -> dict[str, str]:
        """What the master and the commands on its database are started with."""
        return {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "JWT_SECRET_KEY": "a-key-for-tests-of-more-than-32-bytes",
            "CLUSTER_SECRET": "a-secret-for-tests-of-more-than-32-bytes",
            "HLS_CDN_SECRET": SECRET,
            "DATA_DIR": str(self.data),
            "INGEST_HLS_URL": f"http://{self.named(self._hls, 0)}",
            "MASTER_BIND": self._master,
            **self.plan.master_env,
        }

    async def command(self, *words: str) -> str:
        """Run an airclass command as the operator would and return what it prints."""
        done = await trio.run_process([*AIRCLASS, *words], env=self.env, capture_stdout=True)
        return done.stdout.decode().strip()

    async def add_user(self, name: str, password: str) -> None:
        """Make a teacher's account."""
        words = ("user", "add", name, "--role", "teacher", "--password-stdin")
        await trio.run_process(
            [*AIRCLASS, *words], env=self.env, stdin=password.encode(), capture_stdout=True
        )

    async def start_ingest(self) -> None:
        """Start the ingest, under its former address if it had one."""
        ready = self.folder / "ingest.json"
        ready.unlink(missing_ok=True)
        origin = await trio.to_thread.run_sync(build_origin)
        command = (origin, "-rtmp", self._rtmp, "-hls", self._hls, "-variant", "lowLatency")
        self.ingest = await self._started(*command, "-ready-file", ready, env={"HLS_CDN_SECRET": SECRET})
        addresses = await self.ingest.ready(ready)
        self._rtmp, self._hls = (urlsplit(addresses[name]).netloc for name in ("rtmp_url", "hls_url"))

    async def start_master(self) -> None:
        """Start the master, under its former address if it had one; returns once it answers."""
        ready = self.folder / "master.json"
        ready.unlink(missing_ok=True)
        self.master = await self._started(*AIRCLASS, "master", "--ready-file", ready, env=self.env)
        self._master = urlsplit((await self.master.ready(ready))["master_url"]).netloc

    async def start_relay(self, number: int) -> None:
        """Start the relay slave-NUMBER and wait until it listens."""
        node_id, plan = f"slave-{number}", self.plan
        ready = self.folder / f"{node_id}.json"
        ready.unlink(missing_ok=True)
        host = plan.relay_host.get(number, plan.host)
        env = {
            "MASTER_URL": f"http://{self.named(self._master, 1)}",
            "NODE_ID": node_id,
            "CLUSTER_SECRET": self.env["CLUSTER_SECRET"],
            "RELAY_BIND": f"{host}:0",
            "RELAY_ADMIN_BIND": f"{host}:0",
            "DRAIN_S": "0",
            **plan.env.get(number, {}),
        }
        command = (sys.executable, "-m", "relay", "--ready-file", ready)
        child = await self._started(*plan.prefix.get(number, ()), *command, env=env)
        self.admin_urls[node_id] = (await child.ready(ready))["relay_admin_url"]
        self.relays[node_id] = child

    async def start_teacher(self, size: str = "320x180") -> None:
        """Publish a small lesson until `stop_teacher`; it tries again by itself, as OBS does."""
        to = f"rtmp://{self._rtmp}/live/{self.classroom['id']}"
        lesson = ("--to", to, "--size", size, "--fps", "15", "--bitrate-kbps", "200")
        self.teacher = await self._started(sys.executable, "-m", "airclass.ingest.teacher", *lesson)

    async def _started(self, *command: str | Path, env: Mapping[str, str] | None = None) -> ChildProcess:
        return await self._stack.enter_async_context(running(*command, folder=self.folder, env=env))

    async def joined(self, name: str) -> dict[str, object] | None:
        """Join as a student; None while there is no master, no seat or no picture."""
        entry = {"code": self.classroom["code"], "name": name}
        try:
            async with httpx.AsyncClient(timeout=5) as client:
                answer = await client.post(f"{self.master_url}/api/join", json=entry)
        except httpx.TransportError:
            return None
        return dict(answer.json()) if answer.status_code == 200 and answer.json()["live"] else None

    async def playback_urls(self, count: int) -> list[str]:
        """Let so many students join; returns each one's multivariant playlist at the master."""
        urls: dict[int, str] = {}
        limit = trio.CapacityLimiter(JOINS_AT_ONCE)

        async def enter(number: int) -> None:
            async with limit:
                while (seat := await self.joined(f"Viewer {number}")) is None:
                    await trio.sleep(POLL_S)
                urls[number] = str(seat["playback_url"])

        with trio.fail_after(LIVE_S):
            async with trio.open_nursery() as nursery:
                for number in range(count):
                    nursery.start_soon(enter, number)
        return [urls[number] for number in range(count)]

    async def statuses(self) -> dict[str, str]:
        """Return each node's status as the operator sees it; nothing while the master is away."""
        async with httpx.AsyncClient(timeout=5) as client:
            return {node["id"]: node["status"] for node in await self.nodes(client)}

    async def nodes(self, client: httpx.AsyncClient) -> list[dict[str, Any]]:
        """Return the nodes as the operator sees them; nothing while the master is away."""
        try:
            answer = await client.get(
                f"{self.master_url}/cluster/nodes", headers={"Authorization": f"Bearer {self._monitor}"}
            )
        except httpx.TransportError:
            return []
        return list(answer.json()["nodes"]) if answer.status_code == 200 else []

    async def until_active(self, count: int) -> float:
        """Wait until so many relays are active; returns the seconds that it took."""
        began_s = trio.current_time()
        with trio.fail_after(LIVE_S):
            while list((await self.statuses()).values()).count("active") < count:
                await trio.sleep(POLL_S)
        return trio.current_time() - began_s

    async def open(self) -> None:
        """Start everything."""
        self.data.mkdir(exist_ok=True)
        await self.start_ingest()
        self.classroom = json.loads(await self.command("classroom", "add", "Physics", "--json"))
        await self.start_master()
        self._monitor = await self.command("token", "monitor")
        for number in range(1, self.plan.relays + 1):
            await self.start_relay(number)
        await self.until_active(self.plan.relays)
        await self.start_teacher()


async def killed(child: ChildProcess, number: int = signal.SIGKILL) -> None:
    """Kill a process and wait until it is gone."""
    child.kill(number)
    await child.wait()


@asynccontextmanager
async def rig(folder: Path, plan: ChaosPlan) -> AsyncIterator[ChaosCluster]:
    """Run a school for the length of a block."""
    async with AsyncExitStack() as stack:
        it = ChaosCluster(folder, plan, stack)
        await it.open()
        yield it
