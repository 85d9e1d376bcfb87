"""Relays register, beat and vanish; what they claim is checked, what they report is counted."""

from __future__ import annotations

import msgspec
import pytest

from airclass.domain import nodes as module
from airclass.domain.health import NodeStatus
from airclass.domain.nodes import Node, Nodes, check_url
from relay.base.cluster_protocol import Heartbeat, Registration, StreamReport, ViewerReport
from relay.base.errors import RequestError

RECORD = Registration(
    "n1", "http://10.0.0.5:8080/", "http://10.0.0.5:8081", ("10.0.0.0/8",), 150, 0, "3.0", 1.0
)
BEAT = Heartbeat("n1", 0, 0, True, "", False, "3.0", 0)


def viewer(token: str, subject: str = "", stream: str = "c1") -> ViewerReport:
    return ViewerReport(stream, subject or f"s-{token}", token, 0.0, 0)


class Seen(list[tuple[str, bool]]):
    def __call__(self, node: Node, report: ViewerReport, arrived: bool) -> None:
        self.append((report.token_id, arrived))


def started() -> tuple[Nodes, Seen]:
    seen = Seen()
    nodes = Nodes(seen)
    nodes.register(RECORD, "10.0.0.5", 0.0)
    return nodes, seen


def beat(nodes: Nodes, now_s: float, **changes: object) -> Node:
    node = nodes.beat(msgspec.structs.replace(BEAT, **changes), now_s)
    assert node is not None
    return node


def test_a_node_becomes_active_and_offline_and_is_forgotten() -> None:
    nodes, seen = started()
    assert nodes.beat(msgspec.structs.replace(BEAT, node_id="n2"), 0.0) is None
    beat(
        nodes,
        0.1,
        connections=1,
        viewers=(viewer("t1"),),
        full=True,
        streams=(StreamReport("c1", "live", 1, 1.5),),
    )
    (change,) = nodes.judge(0.1, frozenset())
    assert (change.node_id, change.before, change.after) == ("n1", NodeStatus.UNHEALTHY, NodeStatus.ACTIVE)
    assert nodes.all["n1"].public_url == "http://10.0.0.5:8080"
    assert nodes.all["n1"].lag_s == 1.5
    assert list(nodes.reports("c1")) == ["n1"]
    assert nodes.reports("c2") == {}
    assert nodes.summary().current_load == 1
    assert [c.after for c in nodes.judge(7.0, frozenset())] == [NodeStatus.UNHEALTHY]
    assert [c.after for c in nodes.judge(31.0, frozenset())] == [NodeStatus.OFFLINE]
    assert seen == [("t1", True), ("t1", False)]
    assert nodes.summary().current_load == 0
    nodes.remove("n1")
    nodes.remove("n1")
    assert nodes.all == {}


def test_viewers_are_counted_by_difference_and_by_full_list() -> None:
    nodes, seen = started()
    node = beat(nodes, 0.1, connections=2, viewers=(viewer("t1"), viewer("t2")), full=True)
    assert not node.needs_full
    beat(nodes, 2.0, connections=2, viewers=(viewer("t3"),), gone=("t1", "unknown"))
    assert node.site.present == {"s-t2", "s-t3"}
    beat(nodes, 4.0, connections=1, viewers=(viewer("t4"),), full=True)
    assert node.site.present == {"s-t4"}
    assert sorted(seen) == sorted(
        [("t1", True), ("t2", True), ("t3", True), ("t1", False), ("t2", False), ("t3", False), ("t4", True)]
    )


def test_a_renewed_token_is_the_same_student() -> None:
    nodes, seen = started()
    node = beat(nodes, 0.1, connections=1, viewers=(viewer("t1", "kim"),), full=True)
    beat(nodes, 2.0, connections=2, viewers=(viewer("t2", "kim"),))
    beat(nodes, 4.0, connections=1, gone=("t1",))
    assert node.site.present == {"kim"}
    beat(nodes, 6.0, connections=0, gone=("t2",))
    assert node.site.present == set()
    assert ("t1", False) not in seen


def test_whoever_is_dismissed_is_counted_no_more_and_the_relay_may_say_so_again() -> None:
    nodes, seen = started()
    node = beat(nodes, 0.1, connections=2, viewers=(viewer("t1"), viewer("t2")), full=True)
    nodes.dismiss("s-t1")
    nodes.dismiss("nobody")
    assert (node.students, node.site.present, seen[-1]) == (1, {"s-t2"}, ("t1", False))
    beat(nodes, 2.0, connections=1, gone=("t1",))
    assert (node.students, node.miscounts) == (1, 0)


def test_counts_that_stay_apart_make_the_master_ask_for_everything() -> None:
    nodes, _ = started()
    node = beat(nodes, 0.1, connections=1, viewers=(viewer("t1"),), full=True)
    for n in range(module.MISCOUNTS_BEFORE_RESYNC):
        assert not node.needs_full
        beat(nodes, 2.0 + n, connections=5)
    assert node.needs_full
    beat(nodes, 9.0, connections=1, viewers=(viewer("t1"),), full=True)
    assert not node.needs_full


def test_a_restarted_relay_starts_with_nobody() -> None:
    nodes, _ = started()
    beat(nodes, 0.1, connections=1, viewers=(viewer("t1"),), full=True)
    nodes.judge(0.1, frozenset())
    again = nodes.register(msgspec.structs.replace(RECORD, started_at_s=2.0), "10.0.0.5", 1.0)
    assert again.needs_full
    assert again.site.present == set()
    assert nodes.judge(1.0, frozenset()) == []


def test_a_second_machine_with_the_same_name_is_refused_while_the_first_is_at_work() -> None:
    nodes, _ = started()
    beat(nodes, 0.1)
    twin = msgspec.structs.replace(RECORD, public_url="http://10.0.0.6:8080", started_at_s=9.0)
    with pytest.raises(RequestError, match="another NODE_ID") as caught:
        nodes.register(twin, "10.0.0.6", 1.0)
    assert caught.value.status == 409
    nodes.register(twin, "10.0.0.6", 20.0)


def test_draining_nodes_and_the_ingests_fault() -> None:
    nodes, _ = started()
    beat(nodes, 0.1, ready=False, reason="no origin")
    assert [c.after for c in nodes.judge(0.1, frozenset({"n1"}))] == [NodeStatus.DRAINING]
    nodes.register(msgspec.structs.replace(RECORD, node_id="n2"), "10.0.0.5", 1.0)
    for now_s in (2.0, 4.0, 6.0, 8.0):
        beat(nodes, now_s, ready=False, reason="no origin")
        beat(nodes, now_s, node_id="n2")
        nodes.judge(now_s, frozenset())
    assert nodes.all["n1"].health.status is NodeStatus.UNHEALTHY
    assert nodes.all["n2"].health.status is NodeStatus.ACTIVE


def test_a_busy_master_does_not_hold_it_against_the_nodes() -> None:
    nodes, _ = started()
    beat(nodes, 0.1)
    nodes.pardon(20.0)
    assert [c.after for c in nodes.judge(25.0, frozenset())] == [NodeStatus.ACTIVE]


@pytest.mark.parametrize(
    "changes",
    [
        {"node_id": ""},
        {"node_id": "-x"},
        {"node_id": "a b"},
        {"node_id": "x" * 64},
        {"node_id": "../x"},
        {"zone": ("everywhere",)},
        {"zone": ("10.0.0.0/8",) * 65},
        {"public_url": "file:///etc/passwd"},
        {"public_url": "http://user@host:80"},
        {"public_url": "http://169.254.169.254/latest"},
        {"public_url": "http://127.0.0.1:8080"},
        {"public_url": "http://[::1]:8080"},
        {"public_url": "http://0.0.0.0:80"},
        {"public_url": "http://224.0.0.1:80"},
        {"public_url": "http://host:99999"},
        {"public_url": "http://host/?x=1"},
        {"public_url": 'http://host/"><script>'},
        {"public_url": "http://host\\evil"},
        {"public_url": "http://h/" + "x" * 300},
        {"admin_url": "ftp://host"},
        {"public_url": "http://[::1"},
        {"admin_url": "http://[::1"},
    ],
)
def test_claims_that_cannot_be_true_are_refused(changes: dict[str, object]) -> None:
    nodes = Nodes(Seen())
    with pytest.raises(RequestError) as caught:
        nodes.register(msgspec.structs.replace(RECORD, **changes), "10.0.0.5", 0.0)
    assert caught.value.status == 400
    assert nodes.all == {}


def test_loopback_is_fine_for_a_neighbour() -> None:
    check_url("http://127.0.0.1:8080", "x", "::ffff:127.0.0.1")
    check_url("http://relay.school.example", "x", "10.0.0.5")


@pytest.mark.parametrize(("peer", "kept"), [("10.0.0.5", ""), ("127.0.0.1", "http://127.0.0.1:8081")])
def test_a_relays_own_port_on_loopback_is_for_neighbours_alone(peer: str, kept: str) -> None:
    nodes = Nodes(Seen())
    record = msgspec.structs.replace(RECORD, admin_url="http://127.0.0.1:8081")
    assert nodes.register(record, peer, 0.0).admin_url == kept


def test_the_number_of_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, _ = started()
    monkeypatch.setattr(module, "MAX_NODES", 1)
    with pytest.raises(RequestError, match="already has 1 nodes"):
        nodes.register(msgspec.structs.replace(RECORD, node_id="n2"), "10.0.0.5", 0.0)


def test_absurd_figures_are_cut() -> None:
    nodes = Nodes(Seen())
    nodes.register(msgspec.structs.replace(RECORD, max_connections=-5, max_egress_bps=-1), "10.0.0.5", 0.0)
    node = beat(nodes, 0.1, connections=-3, egress_bps=-3)
    assert (node.site.capacity, node.site.connections, node.site.egress_bps) == (0, 0, 0)
    assert node.lag_s is None


def test_an_admin_address_that_is_none_is_refused_with_a_sentence() -> None:
    nodes, _ = started()
    with pytest.raises(RequestError) as caught:
        nodes.register(msgspec.structs.replace(RECORD, admin_url="http://[::1"), "10.0.0.5", 1.0)
    assert "admin address" in caught.value.reason


def test_whoever_moved_from_a_fallen_node_is_counted_once() -> None:
    nodes, seen = started()
    fallen = beat(nodes, 0.0, connections=2, viewers=(viewer("t1"), viewer("t2")), full=True)
    other = msgspec.structs.replace(RECORD, node_id="n2", public_url="http://10.0.0.6:8080")
    nodes.register(other, "10.0.0.6", 0.0)
    beat(nodes, 0.0, node_id="n2", full=True)
    nodes.judge(0.0, frozenset())
    beat(nodes, 1.0, node_id="n2", connections=1, viewers=(viewer("t2"),))
    assert nodes.students == 3, "both are at work: each counts its own"
    beat(nodes, 7.0, node_id="n2", connections=1)
    nodes.judge(7.0, frozenset())
    assert fallen.health.status is NodeStatus.UNHEALTHY
    beat(nodes, 8.0, node_id="n2", connections=2, viewers=(viewer("t1"),))
    assert (fallen.site.connections, nodes.students) == (1, 3)
    assert "t1" not in fallen.viewers
    assert nodes.seating.seat_of["s-t1"] == "n2"
    assert ("t1", False) in seen


def test_a_preview_takes_room_and_is_no_student() -> None:
    nodes, _ = started()
    node = beat(nodes, 1.0, connections=2, viewers=(viewer("t1"), viewer("t2", "pu1.c1")), full=True)
    assert (node.site.connections, nodes.students) == (2, 1)
    beat(nodes, 2.0, connections=1, gone=("t2",))
    assert nodes.students == 1
    beat(nodes, 3.0, connections=0, full=True)
    assert (nodes.students, node.previews) == (0, 0)
