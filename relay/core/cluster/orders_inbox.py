"""Which of the master's answers a relay carries out, and what its next heartbeat has to contain.

Answers of heartbeats and watches overtake each other: an older one must not undo a newer one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.base.cluster_protocol import Orders

MIN_HEARTBEAT_INTERVAL_S = 0.2
MAX_HEARTBEAT_INTERVAL_S = 30.0


class OrdersInbox:
    """The orders of one registration. `version` is that of the newest ones that were carried out."""

    def __init__(self) -> None:
        self.version = -1
        self.interval_s = MAX_HEARTBEAT_INTERVAL_S
        self._full = True

    def registered(self) -> None:
        """Begin with a new registration: the master knows no viewer, and its versions may begin again."""
        self.version, self._full = -1, True

    def take(self, orders: Orders) -> bool:
        """Note an answer; returns whether its orders are to be carried out."""
        interval_s = orders.heartbeat_interval_s if math.isfinite(orders.heartbeat_interval_s) else 0.0
        self.interval_s = min(max(interval_s, MIN_HEARTBEAT_INTERVAL_S), MAX_HEARTBEAT_INTERVAL_S)
        self._full = self._full or orders.resync
        return orders.version > self.version

    def carried_out(self, orders: Orders) -> None:
        """Note that orders are in force."""
        self.version = orders.version

    def next_is_full(self) -> bool:
        """Return whether the next heartbeat lists every viewer, and expect it to be sent."""
        full, self._full = self._full, False
        return full
