"""A relay process for tests: `python -m relay` on ports of the kernel's choice."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import trio
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.processes import ChildProcess, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

PREFIX = "airclass_relay_"
POLL_S = 0.05


@dataclass(frozen=True)
class RelayProcess:
    """A running relay: `url` for viewers, `admin` for /readyz and /metrics."""

    url: str
    admin: str
    child: ChildProcess
    client: httpx.AsyncClient

    async def get(self, path: str) -> httpx.Response:
        """Ask as a viewer would; `path` begins with a slash."""
        return await self.client.get(self.url + path)

    async def reasons(self) -> list[str]:
        """Return why the relay is not ready; nothing when it is."""
        answer = (await self.client.get(f"{self.admin}/readyz")).json()
        return list(answer["reasons"])

    async def metric(self, name: str, **labels: str) -> float:
        """Return one sample, without the prefix in its name; 0.0 when it is absent."""
        text = (await self.client.get(f"{self.admin}/metrics")).text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.removeprefix(PREFIX) == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until an async condition holds; the deadline is the caller's."""
        while not await condition():
            assert self.child.returncode is None, self.child.output()
            await trio.sleep(POLL_S)

    async def until_live(self) -> None:
        """Wait until the relay says that it is ready."""

        async def ready() -> bool:
            return not await self.reasons()

        await self.until(ready)


@asynccontextmanager
async def relay_running(
    *arguments: str, folder: Path, env: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> AsyncIterator[RelayProcess]:
    """Run a relay for the length of a block; `prefix` is a command that starts it (ip netns exec …)."""
    ready_file = folder / "relay.json"
    ready_file.unlink(missing_ok=True)
    ports = () if "--port" in arguments else ("--host", "127.0.0.1", "--port", "0")
    admin = () if "--admin-port" in arguments else ("--admin-port", "0")
    args = (*prefix, sys.executable, "-m", "relay", *arguments, *ports, *admin, "--ready-file", ready_file)
    at_once = {"DRAIN_S": "0"}  # a test's viewers need no time to move on
    async with (
        running(*args, folder=folder, env={**at_once, **(env or {})}) as child,
        httpx.AsyncClient(timeout=10) as client,
    ):
        addresses = await child.ready(ready_file)
        yield RelayProcess(addresses["relay_url"], addresses["relay_admin_url"], child, client)
