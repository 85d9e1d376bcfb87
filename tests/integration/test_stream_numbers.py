"""Real processes: numbers go on whichever relay asks first, and after the power was off for all of them."""

from __future__ import annotations

import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import trio

from relay.core.playlist import MediaPlaylist, MultivariantPlaylist, parse
from tests.harness.cluster import AIRCLASS, ClusterHarness, school, start_relay
from tests.harness.fake_origin import HlsOrigin
from tests.harness.ingests import SECRET, IngestHarness
from tests.harness.processes import ChildProcess, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WHOLE_S = 180.0
POLL_S = 0.1
ENOUGH = 3  # segments of a session


@dataclass
class RelayView:
    """What viewers of one relay have seen; AssertionError when a number falls."""

    url: str
    newest: int = -1
    discontinuity: int = -1
    numbers: dict[str, int] = field(default_factory=dict)  # by segment name

    def take(self, listed: MediaPlaylist) -> None:
        newest = listed.media_sequence + len(listed.segments) - 1
        assert newest >= self.newest, "the media sequence fell"
        assert listed.discontinuity_sequence >= self.discontinuity, "the discontinuity sequence fell"
        self.newest, self.discontinuity = newest, listed.discontinuity_sequence
        self.numbers |= {s.uri: s.msn for s in listed.segments if not s.gap}

    def of(self, tags: set[str]) -> dict[str, int]:
        """Return the segments of some epochs."""
        return {uri: msn for uri, msn in self.numbers.items() if _tag(uri) in tags}


class Viewers:
    """One student's token, at every relay."""

    def __init__(self, path: str, client: httpx.AsyncClient) -> None:
        self.path = path
        self.client = client
        self.at: dict[str, RelayView] = {}

    def watch(self, node_id: str, url: str) -> None:
        self.at[node_id] = RelayView(url)

    @property
    def tags(self) -> set[str]:
        """The epochs that anybody has seen."""
        return {_tag(uri) for view in self.at.values() for uri in view.numbers}

    @property
    def highest(self) -> int:
        return max(view.newest for view in self.at.values())

    async def see(self, node_id: str) -> None:
        """Load the playlist of one relay; nothing is listed before its first media."""
        view = self.at[node_id]
        try:
            index = parse((await self._get(f"{view.url}{self.path}index.m3u8")).text)
            assert isinstance(index, MultivariantPlaylist)
            answer = await self._get(f"{view.url}{self.path}{index.variants[0].uri}")
        except httpx.HTTPError:
            return
        listed = parse(answer.text)
        assert isinstance(listed, MediaPlaylist)
        view.take(listed)

    async def _get(self, url: str) -> httpx.Response:
        answer = await self.client.get(url)
        answer.raise_for_status()
        return answer

    async def until(self, *node_ids: str, old: set[str]) -> set[str]:
        """Watch until these relays list enough of a new epoch, the same one; returns its tag."""
        while True:
            for node_id in node_ids:
                await self.see(node_id)
            fresh = [{t for t in self.tags - old if len(self.at[n].of({t})) >= ENOUGH} for n in node_ids]
            common = set.intersection(*fresh)
            if common:
                return common
            await trio.sleep(POLL_S)


def _tag(uri: str) -> str:
    return uri.split("-")[1]


@asynccontextmanager
async def playing(tmp_path: Path, relays: int) -> AsyncIterator[tuple[ClusterHarness, HlsOrigin, Viewers]]:
    """Run a cluster with an origin of this process, and a student who has joined."""
    origin = HlsOrigin(segment_s=(1.0,), part_s=0.25, secret=SECRET)
    with trio.fail_after(WHOLE_S):
        async with trio.open_nursery() as nursery, httpx.AsyncClient(timeout=3) as client:
            await nursery.start(lambda task_status: origin.server.run(sockets=True, task_status=task_status))
            ingest = IngestHarness("origin", "", origin.server.url, None)  # type: ignore[arg-type]
            async with school(ingest, tmp_path, relays=relays) as it:
                origin.path = f"/live/{it.classroom['id']}/"
                origin.publish("aaaaaaaaaaaa")
                joined = await it.joined("Kim")
                address = urlsplit(joined["pathways"][0]["url"])  # type: ignore[index]
                viewers = Viewers(address.path.rpartition("/")[0] + "/", client)
                for node_id in it.relays:
                    viewers.watch(node_id, relay_url(it, node_id))
                yield it, origin, viewers
            nursery.cancel_scope.cancel()


def relay_url(it: ClusterHarness, node_id: str) -> str:
    """Return where a relay serves viewers now."""
    ready = httpx.Response(200, content=(it.folder / f"{node_id}.json").read_bytes())
    return str(ready.json()["relay_url"])


async def active(it: ClusterHarness, node_id: str) -> None:
    """Wait until the master uses a relay."""
    while (await it.node_statuses()).get(node_id) != "active":
        await trio.sleep(POLL_S)


async def test_a_relay_that_starts_while_nobody_publishes_does_not_freeze_the_others(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, playing(tmp_path, relays=3) as (it, origin, viewers):
        nodes = tuple(it.relays)
        first = await viewers.until(*nodes, old=set())
        # a second epoch, so that discontinuities too could fall
        origin.publish("bbbbbbbbbbbb")
        second = await viewers.until(*nodes, old=first)

        await it.relays["slave-3"].stop()
        origin.unpublish()
        it.relays["slave-3"] = await start_relay(it, "slave-3", stack)
        viewers.watch("slave-3", relay_url(it, "slave-3"))
        await active(it, "slave-3")
        shown = viewers.highest

        for node_id in ("slave-1", "slave-2"):
            it.relays[node_id].kill(signal.SIGSTOP)  # they ask late
        try:
            origin.publish("cccccccccccc")
            third = await viewers.until("slave-3", old=first | second)
        finally:
            for node_id in ("slave-1", "slave-2"):
                it.relays[node_id].kill(signal.SIGCONT)
        assert min(viewers.at["slave-3"].of(third).values()) > shown

        assert await viewers.until(*nodes, old=first | second) == third
        numbers = [viewers.at[node_id].of(third) for node_id in nodes]
        both = numbers[0].keys() & numbers[1].keys() & numbers[2].keys()
        assert both, "names are the same on all relays"
        assert all(numbers[0][uri] == numbers[1][uri] == numbers[2][uri] for uri in both)


async def test_after_a_power_outage_of_everything_the_numbers_of_a_class_go_on(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack, playing(tmp_path, relays=2) as (it, origin, viewers):
        nodes = tuple(it.relays)
        first = await viewers.until(*nodes, old=set())
        origin.publish("bbbbbbbbbbbb")
        second = await viewers.until(*nodes, old=first)
        while viewers.highest < 20:  # more than the master has just written
            await viewers.see("slave-1")
            await trio.sleep(POLL_S)
        shown = viewers.highest
        discontinuity = max(view.discontinuity for view in viewers.at.values())

        for child in (*it.relays.values(), it.master):
            child.kill(signal.SIGKILL)
            await child.wait()
        origin.unpublish()
        it.master = await start_master(it, stack)
        for node_id in nodes:
            it.relays[node_id] = await start_relay(it, node_id, stack)
            viewers.watch(node_id, relay_url(it, node_id))
        origin.publish("cccccccccccc")
        third = await viewers.until(*nodes, old=first | second)
        for node_id in nodes:
            assert min(viewers.at[node_id].of(third).values()) > shown
            assert viewers.at[node_id].discontinuity > discontinuity


async def start_master(it: ClusterHarness, stack: AsyncExitStack) -> ChildProcess:
    """Start the master once more, with its database."""
    ready = it.folder / "master-again.json"
    master = await stack.enter_async_context(
        running(*AIRCLASS, "master", "--ready-file", ready, folder=it.folder, env=it.env)
    )
    it.master_url = (await master.ready(ready))["master_url"]
    return master
