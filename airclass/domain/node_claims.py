"""What a node says of itself and of its streams, cut down to what can be true.

A node that was broken into speaks with a good signature. So its figures are bounded, its zone counts only
where an admin allows it, and the numbers that it reports for a stream stay near those that the cluster
knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from airclass.domain.epochs import MAX_KEY_CHARS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airclass.domain.node_keys import NodeRecord
    from relay.base.cluster_protocol import EpochOffset, EpochRequest, Registration

MAX_CLAIMED_CONNECTIONS = 20_000
MAX_ABS_NUMBER = 2**53
MAX_TARGET_DURATION_S = 3_600
MAX_PART_TARGET_S = 1_000.0
MAX_DISCONTINUITIES_AHEAD = 1_000
SEGMENTS_PER_S = 4  # more than any ingest makes
MAX_AHEAD_S = 3_600
MAX_AHEAD = MAX_AHEAD_S * SEGMENTS_PER_S
MAX_EPOCH = 31 * 86_400 * SEGMENTS_PER_S  # no origin runs for longer than a month without a restart


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


def is_sane_offset(epoch: EpochOffset) -> bool:
    """Whether a number line that a node remembers can be one at all."""
    numbers = (epoch.discontinuity_seq, epoch.target_duration_s)
    return (
        0 < len(epoch.key) <= MAX_KEY_CHARS
        and abs(epoch.offset) < MAX_ABS_NUMBER
        and all(0 <= n < MAX_ABS_NUMBER for n in numbers)
        and epoch.target_duration_s <= MAX_TARGET_DURATION_S
        and 0 <= epoch.part_target_s < MAX_PART_TARGET_S
    )


def is_sane_request(ask: EpochRequest) -> bool:
    """Whether a node's question for numbers can be one at all."""
    numbers = (ask.first_msn, ask.next_msn, ask.next_discontinuity_seq, ask.target_duration_s)
    return (
        0 < len(ask.key) <= MAX_KEY_CHARS
        and all(0 <= n < MAX_ABS_NUMBER for n in numbers)
        and ask.target_duration_s <= MAX_TARGET_DURATION_S
        and 0 <= ask.part_target_s < MAX_PART_TARGET_S
    )


def within_epoch(ask: EpochRequest, earlier: Sequence[EpochOffset]) -> EpochRequest:
    """Return the question with numbers that a month of segments since the newest number line can explain."""
    if not earlier:
        return ask
    highest = max(0, *(epoch.offset for epoch in earlier)) + MAX_EPOCH + ask.first_msn
    discontinuities = max(epoch.discontinuity_seq for epoch in earlier)
    return near(ask, highest - MAX_AHEAD, discontinuities)


def near(ask: EpochRequest, next_msn: int | None, next_discontinuity_seq: int | None) -> EpochRequest:
    """Return the question with numbers at most an hour of segments above what others report (None: nothing).

    A number only ever grows, so a false one would stay in the class for good.
    """
    if next_msn is None or next_discontinuity_seq is None:
        return ask
    return msgspec.structs.replace(
        ask,
        next_msn=min(ask.next_msn, next_msn + MAX_AHEAD),
        next_discontinuity_seq=min(
            ask.next_discontinuity_seq, next_discontinuity_seq + MAX_DISCONTINUITIES_AHEAD
        ),
    )
