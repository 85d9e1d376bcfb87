"""Which key speaks for a node, and who is given one."""

from __future__ import annotations

import pytest

from airclass.domain import node_keys
from airclass.domain.node_keys import (
    NodeRecord,
    check_enrolment_by_secret,
    check_enrolment_by_token,
    signing_keys,
    spare,
)
from relay.base.errors import ClusterError, RequestError

SHARED = b"shared"


def keys(
    record: NodeRecord | None, *, at_work: bool = False, registers: bool = False
) -> tuple[bytes, ...] | str:
    try:
        return signing_keys(record, SHARED, str.encode, at_work=at_work, registers=registers)
    except ClusterError as exc:
        return exc.kind


def test_a_node_with_a_key_signs_with_it_alone() -> None:
    assert keys(None) == (SHARED,), "a relay that is older than keys"
    enrolled, added = NodeRecord("n", key="own"), NodeRecord("n", key="own", added=True)
    assert keys(enrolled) == keys(added) == (b"own",)
    assert keys(enrolled, registers=True) == (b"own", SHARED), "an upgrade that was undone"
    assert keys(enrolled, registers=True, at_work=True) == (b"own",)
    assert keys(added, registers=True) == (b"own",)


def test_a_node_that_was_removed_or_has_not_joined_signs_with_nothing() -> None:
    assert keys(NodeRecord("n", removed=True), at_work=True) == "node-removed"
    waiting = NodeRecord("n", added=True)
    assert keys(waiting, registers=True) == "not-joined"
    assert keys(waiting, at_work=True) == (SHARED,), "an older relay works until it joins"


def by_secret(
    record: NodeRecord | None,
    *,
    node_id: str = "n",
    same_key: bool = False,
    at_work: bool = False,
    settling: bool = False,
) -> int:
    try:
        check_enrolment_by_secret(node_id, record, same_key=same_key, at_work=at_work, settling=settling)
    except RequestError as exc:
        return exc.status
    return 200


def test_the_shared_secret_enrols_what_nobody_added_and_takes_nothing_that_is_in_use() -> None:
    assert by_secret(None) == 200
    assert by_secret(None, settling=True) == 200
    assert by_secret(None, at_work=True) == 409, "an older relay works under this id"
    assert by_secret(None, node_id="#n") == by_secret(None, node_id="a" * 64) == 400
    enrolled = NodeRecord("n", key="own")
    assert by_secret(enrolled) == 200, "it lost its key"
    assert by_secret(enrolled, at_work=True) == 409
    assert by_secret(enrolled, settling=True) == 503
    assert by_secret(enrolled, at_work=True, same_key=True) == 200, "the answer was lost"
    for same_key in (True, False):
        assert by_secret(NodeRecord("n", key="own", added=True), same_key=same_key) == 403
        assert by_secret(NodeRecord("n", removed=True), same_key=same_key) == 403


@pytest.mark.parametrize(
    ("used", "same_key", "wall_s", "word"),
    [
        (False, False, 100.0, ""),
        (True, True, 100.0, ""),
        (True, False, 100.0, "was used already"),
        (False, False, 101.0, "has expired"),
        (True, True, 101.0, "has expired"),
    ],
)
def test_a_join_token_is_good_once_and_for_a_while(
    used: bool, same_key: bool, wall_s: float, word: str
) -> None:
    record = NodeRecord("n", added=True, join_id="j", join_until_s=100.0, join_used=used)
    if not word:
        check_enrolment_by_token(record, wall_s, same_key=same_key)
        return
    with pytest.raises(RequestError, match=f"{word}: make a new one by airclass node add n") as caught:
        check_enrolment_by_token(record, wall_s, same_key=same_key)
    assert caught.value.status == 403


def test_keys_that_nobody_uses_go(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100 * 86_400.0
    records = {
        r.node_id: r
        for r in (
            NodeRecord("old", key="k", created_at_s=now_s - 31 * 86_400),
            NodeRecord("young", key="k", created_at_s=now_s - 86_400),
            NodeRecord("working", key="k"),
            NodeRecord("added", key="k", added=True),
            NodeRecord("removed", removed=True),
        )
    }
    assert spare(records, frozenset({"working"}), now_s) == ["old"]
    monkeypatch.setattr(node_keys, "MAX_NODE_KEYS", 4)
    assert spare(records, frozenset({"working"}), now_s) == ["old", "young"]


def test_the_state_of_a_node_is_one_word() -> None:
    states = [r.state for r in (NodeRecord("n"), NodeRecord("n", key="k"), NodeRecord("n", removed=True))]
    assert states == ["waiting", "joined", "removed"]
