"""What a node says is cut down to what can be true."""

from __future__ import annotations

import msgspec
import pytest

from airclass.domain.node_claims import (
    MAX_AHEAD,
    MAX_CLAIMED_CONNECTIONS,
    MAX_DISCONTINUITIES_AHEAD,
    MAX_EPOCH,
    bounded,
    is_sane_offset,
    is_sane_request,
    near,
    within_epoch,
)
from airclass.domain.node_keys import NodeRecord
from relay.base.cluster_protocol import EpochOffset, EpochRequest, Registration

ZONE = ("10.1.0.0/16",)
CLAIM = Registration("n", "http://n", "", ("127.0.0.1/32",), 10**9, 0, "1", 1.0)
OFFSET = EpochOffset("c1", "k", 5, 1, 2, 0.5)
ASK = EpochRequest("c1", "k", 3, 10, 1, 2, 0.5)


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


@pytest.mark.parametrize(
    "change",
    [
        {"key": ""},
        {"key": "k" * 129},
        {"offset": 2**62},
        {"offset": -(2**62)},
        {"discontinuity_seq": -1},
        {"target_duration_s": -5},
        {"target_duration_s": 4000},
        {"part_target_s": -1.0},
        {"part_target_s": float("nan")},
        {"part_target_s": 1e9},
    ],
)
def test_number_lines_that_cannot_be(change: dict[str, object]) -> None:
    assert is_sane_offset(OFFSET)
    assert is_sane_offset(msgspec.structs.replace(OFFSET, offset=-7)), "an origin may begin above zero"
    assert not is_sane_offset(msgspec.structs.replace(OFFSET, **change))


@pytest.mark.parametrize(
    "change",
    [
        {"key": ""},
        {"first_msn": -1},
        {"next_msn": 2**53},
        {"next_discontinuity_seq": -1},
        {"target_duration_s": 4000},
        {"part_target_s": float("inf")},
    ],
)
def test_questions_that_cannot_be(change: dict[str, object]) -> None:
    assert is_sane_request(ASK)
    assert not is_sane_request(msgspec.structs.replace(ASK, **change))


def test_numbers_stay_near_those_that_others_report() -> None:
    absurd = msgspec.structs.replace(ASK, next_msn=2**53 - 1, next_discontinuity_seq=2**40)
    cut = near(absurd, 100, 3)
    assert (cut.next_msn, cut.next_discontinuity_seq) == (100 + MAX_AHEAD, 3 + MAX_DISCONTINUITIES_AHEAD)
    assert near(ASK, 100, 3) == ASK
    assert near(absurd, None, None) == absurd, "nobody else has reported anything"
    assert near(absurd, 100, None) == absurd


def test_numbers_stay_within_what_a_month_since_the_last_epoch_explains() -> None:
    absurd = msgspec.structs.replace(ASK, first_msn=0, next_msn=2**53 - 1)
    assert within_epoch(absurd, ()) == absurd
    assert within_epoch(absurd, (OFFSET,)).next_msn == OFFSET.offset + MAX_EPOCH
    assert within_epoch(ASK, (OFFSET,)) == ASK
    late = msgspec.structs.replace(ASK, first_msn=2_000_000_000, next_msn=2_000_000_100)
    assert within_epoch(late, (OFFSET,)) == late, "an origin that counts from a date"
