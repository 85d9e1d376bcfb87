"""What a node says of itself, cut down to what an admin allows.

A node that was broken into speaks with a good signature. So its capacity is bounded, and its zone counts
only where an admin said so or trusts it. Numbers of streams are bounded in `epochs.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from airclass.domain.node_keys import NodeRecord
    from relay.base.cluster_protocol import Registration

MAX_CLAIMED_CONNECTIONS = 20_000


def bounded(claim: Registration, record: NodeRecord | None, *, trust_zone: bool) -> Registration:
    """Return the registration as it counts: an admin's word before the node's own.

    `trust_zone` is TRUST_NODE_ZONE: whether nodes that nobody added by name choose their zone themselves.
    """
    if record is not None and record.added:
        zone, limit = record.zone, record.max_connections or MAX_CLAIMED_CONNECTIONS
    else:
        zone, limit = claim.zone if trust_zone else (), MAX_CLAIMED_CONNECTIONS
    connections = min(max(claim.max_connections, 0), limit)
    return msgspec.structs.replace(claim, zone=zone, max_connections=connections)
