"""What each relay is told, from the whole picture."""

from __future__ import annotations

from dataclasses import replace

from airclass.domain.classrooms import Classroom, ClassStatus
from airclass.domain.cluster import Cluster
from airclass.domain.orders import OrderComposer
from airclass.domain.snapshot import Revocation, Snapshot
from relay.base.cluster_protocol import EpochOffset, Registration

MATH = Classroom("c1", "Math", "AAAAAAA")
ART = Classroom("c2", "Art", "BBBBBBB")


class Office:
    """A desk, a cluster with one node, and classes that come and go."""

    def __init__(self) -> None:
        self.cluster = Cluster(1000.0, lambda _: None)
        self.orders_composer = OrderComposer(["http://o:1", "http://o:2"], "bearer", ["key"], 2.0)
        self.revision = 0
        record = Registration("n1", "http://10.0.0.5", "", (), 10, 0, "3", 1.0)
        self.cluster.nodes.register(record, "10.0.0.5", 0.0)
        self.see(MATH, ART)

    def see(self, *classes: Classroom, drained: frozenset[str] = frozenset(), revoked: str = "") -> None:
        self.revision += 1
        revocations = (Revocation("token", revoked, 9e9),) if revoked else ()
        pairs = frozenset((r.kind, r.value) for r in revocations)
        view = Snapshot(self.revision, {}, {c.id: c for c in classes}, pairs, revocations, drained)
        self.cluster.see(view, 0.0)

    def streams(self) -> dict[str, bool]:
        orders = self.orders_composer.orders(self.cluster, self.cluster.nodes.all["n1"])
        return {stream.stream: stream.ended for stream in orders.streams}


def test_open_classes_are_followed_from_every_origin() -> None:
    office = Office()
    office.cluster.epochs.learn(EpochOffset("c1", "k", 5, 1))
    orders = office.orders_composer.orders(office.cluster, office.cluster.nodes.all["n1"])
    first = orders.streams[0]
    assert first.origins == ("http://o:1/live/c1/index.m3u8", "http://o:2/live/c1/index.m3u8")
    assert (first.bearer, first.ended, first.epochs) == (
        "bearer",
        False,
        (EpochOffset("c1", "k", 5, 1, order=1000),),
    )
    assert (orders.viewer_keys, orders.heartbeat_interval_s, orders.known) == (("key",), 2.0, True)


def test_a_class_that_ended_is_named_for_a_while_and_one_that_closed_too() -> None:
    office = Office()
    office.see(Classroom("c1", "Math", "AAAAAAA", status=ClassStatus.ENDED), ART)
    assert office.streams() == {"c2": False, "c1": True}
    office.see(ART)  # deleted altogether
    assert office.streams() == {"c2": False, "c1": True}
    office.see(Classroom("c2", "Art", "BBBBBBB", status=ClassStatus.CLOSED))
    orders = office.orders_composer.orders(office.cluster, office.cluster.nodes.all["n1"])
    assert orders.closed == ("c1", "c2")
    assert office.streams() == {"c1": True}


def test_what_is_common_is_made_once_and_what_is_a_nodes_own_each_time() -> None:
    office = Office()
    node = office.cluster.nodes.all["n1"]
    node.needs_full = False
    before = office.orders_composer.orders(office.cluster, node)
    node.warning = "unreachable"
    after = office.orders_composer.orders(office.cluster, node)
    assert after.streams is before.streams
    assert after.warning == "unreachable"
    office.see(MATH, ART, drained=frozenset(["n1"]), revoked="t1")
    orders = office.orders_composer.orders(office.cluster, node)
    assert (orders.drain, orders.revoked) == (False, ("t1",)), "the last node keeps its students"
    node.drains_now = True
    assert office.orders_composer.orders(office.cluster, node).drain


def test_an_epoch_that_is_learned_reaches_relays_at_once() -> None:
    """They watch for another version of the orders."""
    office = Office()
    before = office.cluster.version
    office.cluster.epochs.learn(EpochOffset("c1", "k", 5, 1))
    assert office.cluster.version > before


def test_a_relay_that_has_just_registered_is_told_how_far_the_numbers_are() -> None:
    office = Office()
    node = office.cluster.nodes.all["n1"]
    office.orders_composer.orders(office.cluster, node)
    office.cluster.epochs.report("c1", 31, 2)
    first = office.orders_composer.orders(office.cluster, node).streams[0]
    assert (first.next_msn, first.next_discontinuity_seq) == (31, 2)


def test_who_is_not_known_has_to_register() -> None:
    office = Office()
    orders = office.orders_composer.orders(office.cluster, None)
    assert (orders.known, orders.version, orders.streams) == (False, 0, ())


def test_relays_are_told_which_streams_somebody_publishes() -> None:
    office = Office()

    def publishing() -> dict[str, bool | None]:
        orders = office.orders_composer.orders(office.cluster, office.cluster.nodes.all["n1"])
        return {stream.stream: stream.publishing for stream in orders.streams}

    assert publishing() == {"c1": None, "c2": None}
    office.cluster.publishing_now({"c2"}, complete=True)
    assert publishing() == {"c1": False, "c2": True}


def test_a_class_that_is_opened_again_comes_with_the_numbers_that_viewers_have_seen() -> None:
    office = Office()
    office.cluster.nodes.all["n1"].needs_full = False
    office.cluster.epochs.report("c1", 31, 2)
    office.see(replace(MATH, status=ClassStatus.CLOSED), ART)
    office.see(MATH, ART)
    first = office.orders_composer.orders(office.cluster, office.cluster.nodes.all["n1"]).streams[0]
    assert (first.stream, first.next_msn, first.next_discontinuity_seq) == ("c1", 31, 2)
