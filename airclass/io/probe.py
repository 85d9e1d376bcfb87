"""Probes relays: does the address that they claim answer, and does it lead where it may?

A name may lead elsewhere than when its node registered, so each probe resolves it, checks every address
and connects to a checked one.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from airclass.domain.node_url import check_address
from airclass.domain.routing import read_address
from airclass.io.http_client import CallFailed
from relay.base.errors import RequestError

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
            fault = ""
            try:
                public = await self._answers(node.public_url + "/", "NODE_PUBLIC_URL", node.peer)
            except RequestError as exc:
                public, fault = False, exc.reason
            try:
                path = node.admin_url + "/readyz"
                admin = bool(node.admin_url) and await self._answers(path, "the admin address", node.peer)
            except RequestError:
                admin = False
        before = node.warning
        node.warning = "" if public else fault or f"the master cannot reach NODE_PUBLIC_URL {node.public_url}"
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

    async def _answers(self, url: str, what: str, peer: str) -> bool:
        """Tell whether a server answers at one of the addresses; RequestError when one is not allowed."""
        try:
            with trio.fail_after(PROBE_S):
                for address in await _resolve(url, what, peer):
                    try:
                        await self._client.get(url, address=address)
                    except CallFailed:
                        continue
                    return True
        except (OSError, UnicodeError, trio.TooSlowError):
            pass
        return False


async def _resolve(url: str, what: str, peer: str) -> list[str]:
    """Return the addresses of a URL's host; RequestError when one of them must not be called."""
    host = urlsplit(url).hostname or ""
    found = await trio.socket.getaddrinfo(host, None, type=trio.socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    caller = "127.0.0.1" if _is_ours(peer) else peer
    for text in addresses:
        address = read_address(text)
        if address is not None:
            check_address(address, what, caller)
    return addresses


def _is_ours(peer: str) -> bool:
    """Tell whether an address is one of this machine's: Debian gives its name the address 127.0.1.1."""
    family = socket.AF_INET6 if ":" in peer else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((peer, 0))
        except OSError:
            return False
    return True
