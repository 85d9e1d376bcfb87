"""Real processes: a relay joins by the line that `airclass node add` prints, comes back, and is removed."""

from __future__ import annotations

import json
import shlex
import stat
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import trio

from tests.harness.cluster import AIRCLASS, ClusterHarness, school
from tests.harness.fake_http import FakeServer, ReceivedRequest, reply
from tests.harness.processes import ChildProcess, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WHOLE_S = 120.0


@asynccontextmanager
async def master_alone(folder: Path) -> AsyncIterator[ClusterHarness]:
    async def nobody_publishes(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(reply(b"", 404))

    origin = FakeServer(nobody_publishes)
    with trio.fail_after(WHOLE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: origin.run(sockets=True, task_status=task_status))
            async with school(SimpleNamespace(hls_url=origin.url), folder, relays=0) as it:  # type: ignore[arg-type]
                yield it
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def joining(it: ClusterHarness, join_url: str, folder: Path) -> AsyncIterator[ChildProcess]:
    """Run the printed command in a folder of its own, with no secret at all."""
    folder.mkdir(exist_ok=True)
    ready = folder / "relay.json"
    ready.unlink(missing_ok=True)
    env = {"RELAY_BIND": "127.0.0.1:0", "RELAY_ADMIN_BIND": "127.0.0.1:0", "DRAIN_S": "0"}
    env["DATA_DIR"] = str(folder / "data")
    command = (*AIRCLASS, "slave", "--join", join_url, "--", "--ready-file", str(ready))
    async with running(*command, folder=folder, env=env) as child:
        await child.ready(ready)
        yield child


async def until_status(it: ClusterHarness, wanted: dict[str, str]) -> None:
    while await it.node_statuses() != wanted:
        await trio.sleep(0.05)


async def test_a_relay_joins_by_a_printed_line_comes_back_and_is_removed(tmp_path: Path) -> None:
    async with master_alone(tmp_path) as it:
        added = json.loads(
            await it.command("node", "add", "slave-7", "--master", it.master_url, "--max", "40", "--json")
        )
        assert shlex.split(added["command"]) == ["airclass", "slave", "--join", added["join_url"]]
        assert added["join_url"].startswith(f"{it.master_url}#")
        folder = tmp_path / "relay"
        key_file = folder / "data" / "node.key"
        async with joining(it, added["join_url"], folder) as first:
            await until_status(it, {"slave-7": "active"})
            kept = key_file.read_text()
            assert kept.startswith("slave-7:")
            assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
            token = added["join_url"].partition("#")[2]
            for secret in (token, kept.strip().partition(":")[2]):
                assert secret not in first.output() + it.master.output()
        async with joining(it, added["join_url"], folder) as again:
            await until_status(it, {"slave-7": "active"})
            assert key_file.read_text() == kept, "the key is kept; the token is not used again"

            async with joining(it, added["join_url"], tmp_path / "thief") as thief:
                while "was used already" not in thief.output():
                    await trio.sleep(0.05)
            assert await it.node_statuses() == {"slave-7": "active"}

            listed = json.loads(await it.command("node", "list", "--json"))["nodes"]
            assert [(n["node_id"], n["state"], n["max_connections"]) for n in listed] == [
                ("slave-7", "joined", 40)
            ]
            removed = json.loads(await it.command("node", "remove", "slave-7", "--json"))
            assert removed == {"node_id": "slave-7", "state": "removed"}
            while "slave-7 was removed from this cluster" not in again.output():
                await trio.sleep(0.05)
            assert await it.node_statuses() == {}
