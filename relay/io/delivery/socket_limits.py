"""Which connections give way when a relay runs out of sockets.

A script can open sockets without asking for anything; a relay that only counts sockets then refuses all
new viewers. So when most sockets are taken, the network that has the most of them loses those it does not
use: first those on which no token was ever shown, then those above what one viewer needs, and, in favour
of another network, any idle one. A player whose idle connection was closed opens the next one.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from relay.base.network import network_of
from relay.io.delivery.connection import Connection, ConnectionState

if TYPE_CHECKING:
    from collections.abc import Iterator

CROWDED = 0.75
MAX_SHARE = 0.5  # of all sockets, for one network: above, its unused ones are closed for its own new ones
MAX_IDLE_PER_VIEWER = 8


class SocketLimits:
    """All connections of a relay by network, and room for one more."""

    def __init__(self, max_connections: int) -> None:
        self._max = max_connections
        self._count = 0
        self._networks: dict[str, dict[Connection, None]] = {}

    def add(self, connection: Connection) -> None:
        """Count a new connection."""
        self._networks.setdefault(network_of(connection.address), {})[connection] = None
        self._count += 1

    def remove(self, connection: Connection) -> None:
        """Count a connection no longer."""
        network = network_of(connection.address)
        del self._networks[network][connection]
        if not self._networks[network]:
            del self._networks[network]
        self._count -= 1

    @property
    def is_full(self) -> bool:
        """Tell whether there is no socket for one more."""
        return self._count >= self._max

    def begin(self) -> MakingRoom:
        """Return what makes room for the connections that are accepted in one go."""
        return MakingRoom(self)

    def crowded_network(self, network: str, largest: str) -> str:
        """Return the network that must give way to a new connection of `network`, if any."""
        if self._count + 1 > self._max * CROWDED:
            return largest
        return network if len(self._networks.get(network, ())) >= self._max * MAX_SHARE else ""

    def largest(self) -> str:
        """Return the network with the most connections."""
        return max(self._networks, key=lambda n: len(self._networks[n]), default="")

    def unused(self, network: str) -> Iterator[Connection]:
        """Yield the connections that a network does not need, oldest first, the least useful first."""
        idle = [c for c in self._networks.get(network, ()) if c.state is ConnectionState.IDLE]
        yield from (c for c in idle if c.viewer is None)
        seen: Counter[int] = Counter()
        for connection in reversed(idle):
            if connection.viewer is not None:
                seen[id(connection.viewer)] += 1
                if seen[id(connection.viewer)] > MAX_IDLE_PER_VIEWER:
                    yield connection

    def idle(self, network: str) -> Iterator[Connection]:
        """Yield all idle connections of a network, oldest first."""
        return (c for c in list(self._networks.get(network, ())) if c.state is ConnectionState.IDLE)


class MakingRoom:
    """Chooses what to close for new connections; looks at each network once, however many come."""

    def __init__(self, limits: SocketLimits) -> None:
        self._limits = limits
        self._largest = ""
        self._unused: dict[str, deque[Connection]] = {}
        self._idle: dict[str, deque[Connection]] = {}

    def victim(self, address: str) -> Connection | None:
        """Return the connection to close for a new one from this address, or None."""
        network = network_of(address)
        self._largest = self._largest or self._limits.largest()
        crowded = self._limits.crowded_network(network, self._largest)
        if not crowded:
            return None
        if crowded not in self._unused:
            self._unused[crowded] = deque(self._limits.unused(crowded))
        found = _next(self._unused[crowded])
        if found is not None or crowded == network:
            return found
        if crowded not in self._idle:
            self._idle[crowded] = deque(self._limits.idle(crowded))
        return _next(self._idle[crowded])


def _next(candidates: deque[Connection]) -> Connection | None:
    while candidates:
        connection = candidates.popleft()
        if connection.state is ConnectionState.IDLE:
            return connection
    return None
