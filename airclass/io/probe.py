"""Knocks at the relays' doors: is the address they claim one that answers?"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import trio

from airclass.io.http_client import CallFailed

if TYPE_CHECKING:
    from airclass.domain.nodes import Node, Nodes
    from airclass.io.clock import Clock
    from airclass.io.http_client import HttpClient

log = logging.getLogger(__name__)

PROBE_S = 4.0
LOOK_EVERY_S = 1.0
MAX_PROBES = 16


class Prober:
    """Probes nodes when they register and every `interval_s` afterwards."""

    def __init__(self, client: HttpClient, clock: Clock, interval_s: float) -> None:
        self._client = client
        self._clock = clock
        self._interval_s = interval_s
        self._limiter = trio.CapacityLimiter(MAX_PROBES)

    async def probe(self, node: Node) -> None:
        """Try a node's addresses and write down what was found."""
        async with self._limiter:
            public = await self._answers(node.public_url + "/")
            admin = bool(node.admin_url) and await self._answers(node.admin_url + "/readyz")
        before = node.warning
        node.warning = "" if public else f"the master cannot reach NODE_PUBLIC_URL {node.public_url}"
        # Behind NAT the master may reach only one of the two; a node is out when neither answers.
        problem = "" if public or admin else f"cannot be reached at {node.public_url}"
        node.health.probed(self._clock.now_s(), problem, interval_s=self._interval_s)
        if node.warning != before:
            if node.warning:
                log.warning("node.unreachable node=%s reason=%s", node.id, node.warning)
            else:
                log.info("node.reachable node=%s", node.id)

    async def run(self, nodes: Nodes) -> None:
        """Probe whoever is due, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                now_s = self._clock.now_s()
                for node in nodes.all.values():
                    if node.health.next_probe_s <= now_s:
                        node.health.next_probe_s = now_s + self._interval_s
                        nursery.start_soon(self.probe, node)
                await trio.sleep(LOOK_EVERY_S)

    async def _answers(self, url: str) -> bool:
        try:
            with trio.fail_after(PROBE_S):
                await self._client.get(url)
        except (CallFailed, trio.TooSlowError):
            return False
        return True
