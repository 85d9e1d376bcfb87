"""Relays register, beat and vanish; what they claim is checked, what they report is counted."""

from __future__ import annotations

import msgspec
import pytest

from airclass.domain import nodes as module
from airclass.domain.health import NodeStatus, Reason, ReasonCode
from airclass.domain.nodes import Node, Nodes, StreamFact
from airclass.domain.stream_health import ServiceState
from relay.base.cluster_protocol import Heartbeat, Registration, StreamReport, ViewerReport
from relay.base.errors import RequestError

RECORD = Registration(
    "n1", "http://10.0.0.5:8080/", "http://10.0.0.5:8081", ("10.0.0.0/8",), 150, 0, "3.0", 1.0
)
SECOND = msgspec.structs.replace(RECORD, node_id="n2", public_url="http://10.0.0.7:8080")
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
    assert node.seats.present.keys() == {"s-t2", "s-t3"}
    beat(nodes, 4.0, connections=1, viewers=(viewer("t4"),), full=True)
    assert node.seats.present.keys() == {"s-t4"}
    assert sorted(seen) == sorted(
        [("t1", True), ("t2", True), ("t3", True), ("t1", False), ("t2", False), ("t3", False), ("t4", True)]
    )


def test_a_renewed_token_is_the_same_student() -> None:
    nodes, seen = started()
    node = beat(nodes, 0.1, connections=1, viewers=(viewer("t1", "kim"),), full=True)
    beat(nodes, 2.0, connections=2, viewers=(viewer("t2", "kim"),))
    beat(nodes, 4.0, connections=1, gone=("t1",))
    assert node.seats.present.keys() == {"kim"}
    beat(nodes, 6.0, connections=0, gone=("t2",))
    assert node.seats.present == {}
    assert ("t1", False) not in seen


def test_whoever_is_dismissed_is_counted_no_more_and_the_relay_may_say_so_again() -> None:
    nodes, seen = started()
    node = beat(nodes, 0.1, connections=2, viewers=(viewer("t1"), viewer("t2")), full=True)
    nodes.dismiss("s-t1")
    nodes.dismiss("nobody")
    assert (node.students, list(node.seats.present), seen[-1]) == (1, ["s-t2"], ("t1", False))
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
    assert again.seats.present == {}
    assert nodes.judge(1.0, frozenset()) == []


def test_a_second_machine_with_the_same_name_is_refused_while_the_first_is_at_work() -> None:
    nodes, _ = started()
    beat(nodes, 0.1)
    twin = msgspec.structs.replace(RECORD, public_url="http://10.0.0.6:8080", started_at_s=9.0)
    with pytest.raises(RequestError, match="its own NODE_ID") as caught:
        nodes.register(twin, "10.0.0.6", 1.0)
    assert caught.value.status == 409
    nodes.register(twin, "10.0.0.6", 20.0)


def two() -> Nodes:
    """Two nodes at work."""
    nodes, _ = started()
    nodes.register(SECOND, "10.0.0.5", 0.0)
    for node_id in ("n1", "n2"):
        beat(nodes, 0.1, node_id=node_id, streams=(report(),))
    nodes.judge(0.1, frozenset())
    return nodes


def report(stream: str = "c1", origin: str = "served", **more: object) -> StreamReport:
    problem = "refused" if origin == "failed" else ""
    return StreamReport(stream, "live", 0, 1.0, problem, origin=origin, **more)  # type: ignore[arg-type]


def test_two_processes_with_one_id_do_not_take_turns() -> None:
    """The second one takes over after a hang of the first, which is told so then."""
    nodes = Nodes(Seen())
    first = msgspec.structs.replace(RECORD, incarnation="one")
    second = msgspec.structs.replace(
        RECORD, incarnation="two", public_url="http://10.0.0.6:8080", started_at_s=9.0
    )
    nodes.register(first, "10.0.0.5", 0.0)
    beat(nodes, 0.1, incarnation="one", connections=1, viewers=(viewer("t1"),), full=True)
    for now_s, of_second in ((1.0, RequestError), (8.0, None)):
        if of_second is not None:
            with pytest.raises(of_second):
                nodes.beat(msgspec.structs.replace(BEAT, incarnation="two"), now_s)
        else:
            assert nodes.beat(msgspec.structs.replace(BEAT, incarnation="two"), now_s) is None
    assert nodes.register(second, "10.0.0.6", 8.0).viewers == {}
    beat(nodes, 8.1, incarnation="two", full=True)
    with pytest.raises(RequestError, match="Another process") as caught:
        nodes.beat(msgspec.structs.replace(BEAT, incarnation="one"), 9.0)
    assert caught.value.status == 409
    with pytest.raises(RequestError):
        nodes.register(first, "10.0.0.5", 9.0)
    assert nodes.known("n1", "two", 9.0) is nodes.all["n1"]


def test_of_two_processes_behind_one_address_the_newer_one_stays() -> None:
    nodes = Nodes(Seen())
    first = msgspec.structs.replace(RECORD, incarnation="one", started_at_s=1.0)
    second = msgspec.structs.replace(RECORD, incarnation="two", started_at_s=2.0)
    nodes.register(first, "10.0.0.5", 0.0)
    beat(nodes, 0.1, incarnation="one")
    nodes.register(second, "10.0.0.5", 1.0)
    beat(nodes, 1.1, incarnation="two")
    with pytest.raises(RequestError):
        nodes.register(first, "10.0.0.5", 2.0)


@pytest.mark.parametrize("url", ["http://10.0.0.5:8080", "http://10.0.0.5:8080/", "HTTP://10.0.0.5:8080"])
def test_two_ids_under_one_address_are_refused(url: str) -> None:
    nodes, _ = started()
    beat(nodes, 0.1)
    other = msgspec.structs.replace(RECORD, node_id="n2", public_url=url)
    with pytest.raises(RequestError, match="the address of n1") as caught:
        nodes.register(other, "10.0.0.5", 1.0)
    assert caught.value.status == 409
    assert nodes.summary().total_capacity == 0
    nodes.register(other, "10.0.0.5", 20.0)


def test_a_node_that_registers_and_never_beats_does_not_stay_active() -> None:
    nodes, _ = started()
    beat(nodes, 0.1)
    nodes.judge(0.1, frozenset())
    for number in range(1, 10):
        now_s = 2.0 * number
        again = msgspec.structs.replace(RECORD, started_at_s=1.0 + number)
        nodes.register(again, "10.0.0.5", now_s)
        nodes.judge(now_s, frozenset())
        assert (nodes.all["n1"].health.status is NodeStatus.ACTIVE) == (now_s < 8.0)


def test_a_relay_that_registers_again_keeps_its_viewers_until_it_lists_them() -> None:
    nodes, seen = started()
    reports = (viewer("t1"), viewer("t2"), viewer("p1", "pu1.c1"))
    beat(nodes, 0.1, connections=3, viewers=reports, full=True, streams=(StreamReport("c1", "live", 3, 1.0),))
    node = nodes.register(RECORD, "10.0.0.5", 20.0)
    assert node.needs_full
    assert node.students == 2
    assert nodes.seat_book.seat_of == {"s-t1": "n1", "s-t2": "n1", "pu1.c1": "n1"}
    assert node.streams.keys() == {"c1"}
    beat(nodes, 20.1, connections=2, viewers=(viewer("t1"), viewer("t3")), full=True)
    assert nodes.seat_book.seat_of == {"s-t1": "n1", "s-t3": "n1"}
    assert seen == [
        ("t1", True), ("t2", True), ("p1", True), ("t2", False), ("p1", False), ("t3", True)
    ]  # fmt: skip


def test_a_playlist_alone_takes_no_seat_and_media_does() -> None:
    nodes, seen = started()
    only_asked = msgspec.structs.replace(viewer("t1"), has_media=False)
    node = beat(nodes, 0.1, connections=1, viewers=(only_asked,), full=True)
    assert (node.students, node.seats.occupied, nodes.seat_book.seat_of) == (0, 0, {})
    nodes.dismiss("nobody")
    beat(nodes, 2.0, connections=1, viewers=(viewer("t1"),))
    assert (node.students, node.seats.occupied, nodes.seat_book.seat_of) == (1, 1, {"s-t1": "n1"})
    assert seen == [("t1", True), ("t1", True)]
    beat(nodes, 4.0, connections=1, viewers=(only_asked,))
    nodes.dismiss("s-t1")
    assert (node.students, node.previews, nodes.seat_book.seat_of) == (0, 0, {})


def test_a_relay_with_viewers_of_which_the_master_knows_none_is_asked_for_its_list() -> None:
    nodes, _ = started()
    node = beat(nodes, 0.1, full=True)
    for n in range(module.MISCOUNTS_BEFORE_RESYNC):
        assert not node.needs_full
        beat(nodes, 2.0 + n, connections=8)
    assert node.needs_full


def test_a_node_that_others_outdo_is_out_and_its_facts_say_why() -> None:
    nodes = two()
    for now_s in (2.0, 4.0, 6.0, 8.0):
        beat(nodes, now_s, ready=False, streams=(report(origin="failed", fault="connect"),))
        beat(nodes, now_s, node_id="n2", streams=(report(), report("c2", "unknown", origin_age_s=3.0)))
        nodes.judge(now_s, frozenset())
    n1, n2 = nodes.all["n1"], nodes.all["n2"]
    assert (n1.health.status, n2.health.status) == (NodeStatus.UNHEALTHY, NodeStatus.ACTIVE)
    assert nodes.stream_facts(n1, 8.0) == [
        StreamFact("c1", ServiceState.FAILED, 6.0, "refused", ReasonCode.NO_INGEST, avoided=True)
    ]
    assert nodes.stream_facts(n2, 8.0) == [
        StreamFact("c1", ServiceState.SERVED, 7.9, "", ReasonCode.NOTHING, avoided=False),
        StreamFact("c2", ServiceState.UNKNOWN, 6.0, "", ReasonCode.NOTHING, avoided=False),
    ]
    assert nodes.stream_facts(n1, 20.0) == [
        StreamFact("c1", ServiceState.UNKNOWN, 12.0, "refused", ReasonCode.NOTHING, avoided=True)
    ]
    assert (nodes.is_avoided("n1"), nodes.is_avoided("n2")) == (True, False)
    nodes.judge(20.0, frozenset())
    assert nodes.avoided("c1") == frozenset(), "both are silent"


def test_a_failure_that_nobody_outdoes_has_a_code_and_no_consequence() -> None:
    nodes = two()
    for node_id in ("n1", "n2"):
        beat(nodes, 2.0, node_id=node_id, streams=(report(origin="failed", fault="timeout"),))
    nodes.judge(7.0, frozenset())
    (fact,) = nodes.stream_facts(nodes.all["n1"], 7.0)
    assert (fact.state, fact.code, fact.avoided) == (ServiceState.FAILED, ReasonCode.SLOW_INGEST, False)


def test_a_node_behind_the_others_is_shown_as_failed() -> None:
    nodes = two()
    for now_s in (2.0, 4.0, 6.0, 8.0, 10.0, 12.0):
        beat(nodes, now_s, streams=(msgspec.structs.replace(report(), lag_s=20.0),))
        beat(nodes, now_s, node_id="n2", streams=(report(),))
        nodes.judge(now_s, frozenset())
    (fact,) = nodes.stream_facts(nodes.all["n1"], 12.0)
    assert (fact.state, fact.code) == (ServiceState.FAILED, ReasonCode.BEHIND)


def test_nobody_moves_to_a_node_that_fails_or_is_late() -> None:
    nodes = two()
    beat(nodes, 2.0, streams=(report(),))
    assert nodes.unfit_for_move("c1", "n1", 2.5) == frozenset()
    assert nodes.unfit_for_move("c1", "n1", 3.5) == {"n2"}, "its heartbeat is overdue"
    beat(nodes, 4.0, node_id="n2", streams=(report(origin="failed"),))
    assert nodes.unfit_for_move("c1", "n1", 4.0) == {"n2"}, "n1 serves what n2 fails"
    assert nodes.unfit_for_move("c2", "n1", 4.0) == frozenset()
    assert nodes.unfit_for_move("c1", "n2", 4.0) == frozenset(), "n2 itself fails it"
    beat(nodes, 4.5, node_id="n2", streams=())
    assert nodes.unfit_for_move("c1", "n1", 4.5) == frozenset(), "it may be about to follow it"


def test_the_last_node_that_takes_students() -> None:
    nodes = two()
    assert not nodes.is_last_taker("n1")
    nodes.judge(0.2, frozenset({"n2"}))
    assert nodes.is_last_taker("n1")
    beat(nodes, 29.0, node_id="n2")
    nodes.judge(31.0, frozenset({"n2"}))
    assert nodes.all["n1"].health.status is NodeStatus.OFFLINE
    assert not nodes.is_last_taker("n1"), "it takes none in any case"
    assert nodes.is_last_taker("n2")


def test_a_relay_that_is_not_ready_for_anything_says_why() -> None:
    nodes, _ = started()
    for reason, text in (("no keys", "no keys"), ("", "says that it is not ready")):
        beat(nodes, 1.0, ready=False, reason=reason)
        nodes.judge(1.0, frozenset())
        assert nodes.all["n1"].health.reason == Reason(text, ReasonCode.NOT_READY)


def test_a_master_that_stood_still_does_not_take_it_for_silence() -> None:
    nodes, _ = started()
    beat(nodes, 0.1)
    beat(nodes, 0.2, streams=(report(origin="failed", origin_age_s=0.2),))
    assert nodes.excuse_stall(20.0, 20.0)
    assert [c.after for c in nodes.judge(25.0, frozenset())] == [NodeStatus.ACTIVE]
    health = nodes.all["n1"].stream_health["c1"]
    assert (health.heard_s, health.since_s) == (20.2, 0.0)
    assert not nodes.excuse_stall(20.0, 45.0), "not twice in a short time"
    assert nodes.excuse_stall(20.0, 55.0)


def test_under_steady_load_a_dead_node_is_noticed_within_its_time() -> None:
    """The judge of a loaded master is late each time: 0.25 s here, which excuses nothing."""
    nodes, _ = started()
    beat(nodes, 0.0)
    nodes.judge(0.0, frozenset())
    noticed_s = None
    for turn in range(1, 800):
        now_s = turn * 0.75
        nodes.excuse_stall(0.25, now_s)
        if nodes.judge(now_s, frozenset()) and noticed_s is None:
            noticed_s = now_s
    assert noticed_s == 6.0


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


@pytest.mark.parametrize(("peer", "kept"), [("10.0.0.5", ""), ("127.0.0.1", "http://127.0.0.1:8081")])
def test_a_relays_own_port_on_loopback_is_for_neighbours_alone(peer: str, kept: str) -> None:
    nodes = Nodes(Seen())
    record = msgspec.structs.replace(RECORD, admin_url="http://127.0.0.1:8081")
    assert nodes.register(record, peer, 0.0).admin_url == kept


def test_the_number_of_nodes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, _ = started()
    monkeypatch.setattr(module, "MAX_NODES", 1)
    with pytest.raises(RequestError, match="already has 1 nodes"):
        nodes.register(SECOND, "10.0.0.5", 0.0)


def test_absurd_figures_are_cut() -> None:
    nodes = Nodes(Seen())
    nodes.register(msgspec.structs.replace(RECORD, max_connections=-5, max_egress_bps=-1), "10.0.0.5", 0.0)
    node = beat(nodes, 0.1, connections=-3, egress_bps=-3)
    assert (node.seats.capacity, node.seats.connections, node.seats.egress_bps) == (0, 0, 0)
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
    assert (fallen.seats.connections, nodes.students) == (1, 3)
    assert "t1" not in fallen.viewers
    assert nodes.seat_book.seat_of["s-t1"] == "n2"
    assert ("t1", False) in seen


def test_a_preview_takes_room_and_is_no_student() -> None:
    nodes, _ = started()
    node = beat(nodes, 1.0, connections=2, viewers=(viewer("t1"), viewer("t2", "pu1.c1")), full=True)
    assert (node.seats.connections, nodes.students) == (2, 1)
    beat(nodes, 2.0, connections=1, gone=("t2",))
    assert nodes.students == 1
    beat(nodes, 3.0, connections=0, full=True)
    assert (nodes.students, node.previews) == (0, 0)
