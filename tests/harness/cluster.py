"""A small school on this machine for end-to-end tests: one master, some relays, an ingest, a class."""

from __future__ import annotations

import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import trio

from tests.harness.ingests import SECRET
from tests.harness.processes import ChildProcess, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.harness.ingests import IngestHarness

LIVE_S = 30.0
POLL_S = 0.1
AIRCLASS = (sys.executable, "-m", "airclass.cli.app")


@dataclass
class ClusterHarness:
    """Its addresses and processes; `relays` by node id."""

    master_url: str
    classroom: dict[str, str]
    env: dict[str, str]
    folder: Path
    master: ChildProcess
    relays: dict[str, ChildProcess] = field(default_factory=dict)

    @property
    def student_url(self) -> str:
        """What the teacher shows to the class."""
        return f"{self.master_url}/join/{self.classroom['code']}"

    async def joined(self, name: str) -> dict[str, object]:
        """Join as a student without a browser, as soon as the class is live."""
        async with httpx.AsyncClient() as client:
            with trio.fail_after(LIVE_S):
                while True:
                    answer = await client.post(
                        f"{self.master_url}/api/join", json={"code": self.classroom["code"], "name": name}
                    )
                    if answer.status_code == 200 and answer.json()["live"]:
                        return dict(answer.json())
                    await trio.sleep(POLL_S)

    async def node_statuses(self) -> dict[str, str]:
        """Return each node's status as the operator sees it."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(
                f"{self.master_url}/cluster/nodes",
                headers={"Authorization": f"Bearer {await self.command('token', 'monitor')}"},
            )
            answer.raise_for_status()
            return {node["id"]: node["status"] for node in answer.json()["nodes"]}

    async def command(self, *arguments: str) -> str:
        """Run an airclass command against the school's database and return what it prints."""
        return await _command(self.env, *arguments)


async def _command(env: dict[str, str], *arguments: str) -> str:
    done = await trio.run_process([*AIRCLASS, *arguments], env=env, capture_stdout=True)
    return done.stdout.decode().strip()


@asynccontextmanager
async def school(ingest: IngestHarness, folder: Path, *, relays: int = 1) -> AsyncIterator[ClusterHarness]:
    """Run a master and relays on ports that the kernel chooses, with one open class."""
    data = folder / "data"
    data.mkdir()
    env = {
        "PATH": "/usr/bin:/bin",
        "JWT_SECRET_KEY": "a-key-for-tests-of-more-than-32-bytes",
        "CLUSTER_SECRET": "a-secret-for-tests-of-more-than-32-bytes",
        "HLS_CDN_SECRET": SECRET,
        "DATA_DIR": str(data),
        "INGEST_HLS_URL": ingest.hls_url,
        "MASTER_BIND": "127.0.0.1:0",
    }
    classroom = json.loads(await _command(env, "classroom", "add", "Physics", "--json"))
    async with AsyncExitStack() as stack:
        ready = folder / "master.json"
        master = await stack.enter_async_context(
            running(*AIRCLASS, "master", "--ready-file", ready, folder=folder, env=env)
        )
        master_url = (await master.ready(ready))["master_url"]
        it = ClusterHarness(master_url, classroom, env, folder, master)
        for number in range(1, relays + 1):
            it.relays[f"slave-{number}"] = await start_relay(it, f"slave-{number}", stack)
        with trio.fail_after(LIVE_S):
            while list((await it.node_statuses()).values()).count("active") < relays:
                await trio.sleep(POLL_S)
        yield it


async def start_relay(it: ClusterHarness, node_id: str, stack: AsyncExitStack) -> ChildProcess:
    """Start one relay of the school."""
    ready = it.folder / f"{node_id}.json"
    ready.unlink(missing_ok=True)
    env = {
        "MASTER_URL": it.master_url,
        "NODE_ID": node_id,
        "CLUSTER_SECRET": it.env["CLUSTER_SECRET"],
        "RELAY_BIND": "127.0.0.1:0",
        "RELAY_ADMIN_BIND": "127.0.0.1:0",
        "DRAIN_S": "0",
        "DATA_DIR": str(it.folder / "data"),
    }
    command = (sys.executable, "-m", "relay", "--ready-file", ready)
    child = await stack.enter_async_context(running(*command, folder=it.folder, env=env))
    await child.ready(ready)
    return child
