"""Which keys a node may sign with, and who may be given one.

A node's own key is the only one that speaks for it. CLUSTER_SECRET enrols nodes that nobody added by name,
and signs the calls of relays that are older than keys. Keys are opened and kept elsewhere (`io/keyring.py`,
`io/store.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.base.errors import ClusterError, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_NODE_KEYS = 2_000
JOIN_S = 24 * 3600.0
UNUSED_KEY_S = 30 * 86_400.0
NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What the database holds of one node; `key` and `join_key` are sealed, and empty when there is none.

    `added` says that an admin named the node (`airclass node add`): then `zone` and `max_connections` hold, 0
    and empty meaning no bound and no zone. A join token is spent once `join_used`; until `join_until_s` it
    still confirms the same key. A `removed` node stays in the table, so that it cannot enrol again.
    """

    node_id: str
    key: str = ""
    added: bool = False
    removed: bool = False
    zone: tuple[str, ...] = ()
    max_connections: int = 0
    created_at_s: float = 0.0
    join_id: str = ""
    join_key: str = ""
    join_until_s: float = 0.0
    join_used: bool = False

    @property
    def state(self) -> str:
        """The word that `airclass node list` shows: joined, waiting or removed."""
        if self.removed:
            return "removed"
        return "joined" if self.key else "waiting"


def signing_keys(
    record: NodeRecord | None,
    shared: bytes,
    unseal: Callable[[str], bytes],
    *,
    at_work: bool,
    registers: bool,
) -> tuple[bytes, ...]:
    """Return the keys with which a call of this node may be signed; ClusterError when there are none.

    `shared` (CLUSTER_SECRET) signs for a node without a key: a relay that is older than keys. Such a relay
    may also come back in the place of one that had enrolled by CLUSTER_SECRET (an upgrade that was undone),
    but only by registering while nobody is at work under its id.
    """
    if record is None:
        return (shared,)
    if record.removed:
        raise ClusterError(
            f"{record.node_id} was removed from this cluster: add it again by airclass node add",
            "node-removed",
        )
    if record.key:
        own = unseal(record.key)
        return (own, shared) if registers and not at_work and not record.added else (own,)
    if at_work:
        return (shared,)  # an older relay works as before until it joins
    raise ClusterError(f"{record.node_id} has not joined yet: use its join token", "not-joined")


def check_enrolment_by_secret(
    node_id: str, record: NodeRecord | None, *, same_key: bool, at_work: bool, settling: bool
) -> None:
    """Refuse (RequestError) to give a node a key because it knows CLUSTER_SECRET.

    Every relay of a small school knows it, so it never replaces a key that an admin gave or that is in use.
    While the master is `settling` after its start, it does not know yet who is at work.
    """
    if not NODE_ID.fullmatch(node_id):
        raise RequestError(400, "NODE_ID must be 1 to 63 letters, digits, dots, dashes or underscores.")
    if record is not None and record.removed:
        raise RequestError(
            403, f"{node_id} was removed from this cluster: add it again by airclass node add."
        )
    if record is not None and record.added:
        raise RequestError(403, f"{node_id} was added by name: join with a token of airclass node add.")
    if same_key:
        return
    if at_work:
        raise RequestError(409, f"Another node with the id {node_id} is at work: choose another NODE_ID.")
    if record is not None and settling:
        raise RequestError(503, "The master has just started: ask again.")


def check_enrolment_by_token(record: NodeRecord, wall_s: float, *, same_key: bool) -> None:
    """Refuse (RequestError) a join token that has ended or was used with another key."""
    how = f"make a new one by airclass node add {record.node_id}"
    if wall_s > record.join_until_s:
        raise RequestError(403, f"The join token of {record.node_id} has expired: {how}.")
    if record.join_used and not same_key:
        raise RequestError(403, f"The join token of {record.node_id} was used already: {how}.")


def spare(records: Mapping[str, NodeRecord], at_work: frozenset[str], wall_s: float) -> list[str]:
    """Return the nodes whose keys can go: enrolled by CLUSTER_SECRET, not at work, and old or too many."""
    idle = sorted(
        (r for r in records.values() if not (r.added or r.removed) and r.node_id not in at_work),
        key=lambda r: r.created_at_s,
    )
    too_many = max(0, len(records) - MAX_NODE_KEYS + 1)
    return [r.node_id for n, r in enumerate(idle) if n < too_many or r.created_at_s < wall_s - UNUSED_KEY_S]
