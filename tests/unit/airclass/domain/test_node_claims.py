"""What a node says is cut down to what can be true."""

from __future__ import annotations

import msgspec
import pytest

from airclass.domain.node_claims import MAX_CLAIMED_CONNECTIONS, bounded
from airclass.domain.node_keys import NodeRecord
from relay.base.cluster_protocol import Registration

ZONE = ("10.1.0.0/16",)
CLAIM = Registration("n", "http://n", "", ("127.0.0.1/32",), 10**9, 0, "1", 1.0)


def test_an_admins_zone_and_bound_hold_for_a_node_that_was_added() -> None:
    added = NodeRecord("n", added=True, zone=ZONE, max_connections=200)
    for trust_zone in (True, False):
        counts = bounded(CLAIM, added, trust_zone=trust_zone)
        assert (counts.zone, counts.max_connections) == (ZONE, 200)
    free = bounded(CLAIM, NodeRecord("n", added=True), trust_zone=True)
    assert (free.zone, free.max_connections) == ((), MAX_CLAIMED_CONNECTIONS)


@pytest.mark.parametrize("record", [None, NodeRecord("n", key="k")])
def test_a_node_that_nobody_added_chooses_its_zone_where_that_is_trusted(record: NodeRecord | None) -> None:
    assert bounded(CLAIM, record, trust_zone=True).zone == CLAIM.zone
    assert bounded(CLAIM, record, trust_zone=False).zone == ()
    assert bounded(CLAIM, record, trust_zone=True).max_connections == MAX_CLAIMED_CONNECTIONS
    negative = msgspec.structs.replace(CLAIM, max_connections=-5)
    assert bounded(negative, record, trust_zone=True).max_connections == 0
