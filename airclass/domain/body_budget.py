"""How much memory request bodies may take while they arrive: in all, and for each network.

Part of the room is kept for networks from which a relay has called with a good signature, so that
strangers who send large bodies slowly do not keep the relays' heartbeats out.
"""

from __future__ import annotations

from collections import OrderedDict

from relay.base.network import network_of

MAX_BYTES = 64 * 1024 * 1024
KEPT_FOR_RELAYS_BYTES = 24 * 1024 * 1024
MAX_BYTES_PER_NETWORK = 12 * 1024 * 1024  # three of the largest bodies
MAX_RELAY_NETWORKS = 1000


class BodyBudget:
    """Counts the bytes of bodies that are arriving now; sizes are what a body may take at most."""

    def __init__(self) -> None:
        self.bytes_in_flight = 0
        self._by_network: dict[str, int] = {}
        self._relays: OrderedDict[str, None] = OrderedDict()

    def take(self, address: str, size_bytes: int) -> bool:
        """Reserve room for a body; False when there is none, and then nothing is reserved."""
        network = network_of(address)
        here = self._by_network.get(network, 0) + size_bytes
        in_all = self.bytes_in_flight + size_bytes
        if network in self._relays:
            fits = in_all <= MAX_BYTES
        else:
            fits = here <= MAX_BYTES_PER_NETWORK and in_all <= MAX_BYTES - KEPT_FOR_RELAYS_BYTES
        if fits and size_bytes:
            self.bytes_in_flight, self._by_network[network] = in_all, here
        return fits

    def give_back(self, address: str, size_bytes: int) -> None:
        """Return what `take` has reserved."""
        if not size_bytes:
            return
        network = network_of(address)
        self.bytes_in_flight -= size_bytes
        self._by_network[network] -= size_bytes
        if not self._by_network[network]:
            del self._by_network[network]

    def trust(self, address: str) -> None:
        """Note that a relay has called from this address with a good signature."""
        network = network_of(address)
        self._relays[network] = None
        self._relays.move_to_end(network)
        while len(self._relays) > MAX_RELAY_NETWORKS:
            self._relays.popitem(last=False)
