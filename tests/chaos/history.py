"""Writes what real processes do in the history format of the simulation, so that one checker judges both.

Events: what each relay lists, the master's view of its nodes, the row's fault (`tests.simulation.history`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import trio

from relay.core import playlist as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.chaos.chaos_cluster import ChaosCluster

LOOK_S = 0.5
CALL_S = 2.0
STUDENT = "History"


@dataclass(frozen=True)
class RowDisturbance:
    """What a row's fault disturbs; `victim` stands for the row's relay. `ends`: the act puts it right."""

    kind: str
    targets: tuple[str, ...]
    ends: bool = True


NOTHING = RowDisturbance("", ())
DISTURBANCES: dict[str, RowDisturbance] = {
    "relay-killed": RowDisturbance("crash", ("victim",), ends=False),
    "relay-hung": RowDisturbance("pause", ("victim",)),
    "relay-cut": RowDisturbance("unprobed", ("victim",), ends=False),
    "relay-drained": RowDisturbance("drain", ("victim",), ends=False),
    "ingest-hung": RowDisturbance("pause", ("origin",)),
    "ingest-killed": RowDisturbance("crash", ("origin",)),
    "master-killed": RowDisturbance("crash", ("master",)),
    "master-and-relay": RowDisturbance("crash", ("master", "victim"), ends=False),
    "clock-jumps": RowDisturbance("clock", ("master", "victim")),
    "disk-full": RowDisturbance("disk", ("master",), ends=False),
    "dns-dead": RowDisturbance("crash", ("master",)),
    "webhook-down": RowDisturbance("crash", ("victim",), ends=False),
}


def disturbance(row: str) -> RowDisturbance:
    """Return what a row disturbs; a publisher that drops disturbs nobody."""
    return DISTURBANCES.get(row, NOTHING)


class HistoryWriter:
    """Looks at a running school and appends what it sees to a file, one event a line."""

    def __init__(self, it: ChaosCluster, file: Path, now_s: Callable[[], float] = trio.current_time) -> None:
        self._cluster = it
        self._file = file
        self._now_s = now_s
        self._began_s = now_s()
        self._paths: dict[str, str] = {}
        self._known: set[str] = set()

    def write(self, event: str, **fields: Any) -> None:
        """Append an event."""
        at_s = round(self._now_s() - self._began_s, 3)
        with self._file.open("a") as file:
            file.write(json.dumps({"at_s": at_s, "event": event, **fields}) + "\n")

    def begin(self, row: str, victim: str) -> None:
        """Note that the row's fault begins."""
        found = disturbance(row)
        if found.kind == "drain":
            self.write("drained", node=victim)
        elif found.kind:
            targets = [victim if target == "victim" else target for target in found.targets]
            self.write("fault", name=row, kind=found.kind, targets=targets)

    def end(self, row: str) -> None:
        """Note that the act is over."""
        if disturbance(row).ends and disturbance(row).kind:
            self.write("fault_over", name=row)

    async def run(self) -> None:
        """Look at relays and master until cancelled."""
        async with httpx.AsyncClient(timeout=CALL_S) as client, trio.open_nursery() as nursery:
            while not self._paths:
                await self._join()
                await trio.sleep(LOOK_S)
            for node in self._paths:
                nursery.start_soon(self._watch_relay, client, node)
            while True:
                await self._watch_master(client)
                await trio.sleep(LOOK_S)

    async def _join(self) -> None:
        seat: Mapping[str, Any] = await self._cluster.joined(STUDENT) or {}
        folders = {path["id"]: path["url"].rpartition("/")[0] for path in seat.get("pathways", ())}
        self._paths = {node: f"{folder}/v0.m3u8" for node, folder in folders.items()}

    async def _watch_relay(self, client: httpx.AsyncClient, node: str) -> None:
        stream, last = self._cluster.classroom["id"], ("", -1, -1)
        while True:
            text = await _text(client, self._paths[node])
            seen = listing(text)
            if seen is not None and seen != last and node in self._known:
                last = seen
                epoch, msn, discontinuity = seen
                self.write(
                    "listed", node=node, stream=stream, epoch=epoch, msn=msn, discontinuity=discontinuity
                )
            await trio.sleep(LOOK_S)

    async def _watch_master(self, client: httpx.AsyncClient) -> None:
        nodes = await self._cluster.nodes(client)
        for node in nodes:
            if node["id"] not in self._known:
                self._known.add(node["id"])
                self.write("node", node=node["id"], capacity=node["capacity"])
        if nodes:
            found = {n["id"]: [n["status"], n["connections"], n["capacity"]] for n in nodes}
            self.write("judged", nodes=found)


async def _text(client: httpx.AsyncClient, url: str) -> str:
    try:
        answer = await client.get(url)
    except httpx.HTTPError:
        return ""
    return answer.text if answer.status_code == 200 else ""


def listing(text: str) -> tuple[str, int, int] | None:
    """Return epoch, media sequence and discontinuity number of the last segment that a playlist lists."""
    try:
        found = pl.parse(text)
    except pl.PlaylistError:
        return None
    if not isinstance(found, pl.MediaPlaylist) or not found.segments:
        return None
    last = found.segments[-1]
    discontinuity = found.discontinuity_sequence + sum(s.discontinuity for s in found.segments)
    return last.uri.split("-")[1], last.msn, discontinuity
