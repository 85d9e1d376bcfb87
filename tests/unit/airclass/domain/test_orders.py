"""What each relay is told, from the whole picture."""

from __future__ import annotations

import msgspec

from airclass.domain.classrooms import Classroom, ClassStatus
from airclass.domain.cluster import Cluster, Student
from airclass.domain.orders import OrderComposer, SealedSecrets
from airclass.domain.snapshot import Revocation, Snapshot
from relay.base.cluster_protocol import PROTOCOL, EpochOffset, Orders, Registration

MATH = Classroom("c1", "Math", "AAAAAAA")
ART = Classroom("c2", "Art", "BBBBBBB")
SECRETS = SealedSecrets("bearer", ("key",))


class World:
    """A composer, a cluster with a node of this version and an old one, and classes that come and go."""

    def __init__(self) -> None:
        self.cluster = Cluster(1000.0, lambda _: None)
        self.orders_composer = OrderComposer(["http://o:1", "http://o:2"], 2.0)
        self.revision = 0
        for node_id, protocol in (("n1", PROTOCOL), ("old", 0)):
            url = f"http://10.0.0.5:{len(self.cluster.nodes.all) + 8080}"
            record = Registration(node_id, url, "", (), 10, 0, "3", 1.0, protocol=protocol)
            self.cluster.nodes.register(record, "10.0.0.5", 0.0)
        self.see(MATH, ART)

    def see(
        self,
        *classes: Classroom,
        drained: frozenset[str] = frozenset(),
        revocations: tuple[Revocation, ...] = (),
    ) -> None:
        self.revision += 1
        pairs = frozenset((r.kind, r.value) for r in revocations)
        view = Snapshot(self.revision, {}, {c.id: c for c in classes}, pairs, revocations, drained)
        self.cluster.see(view, 0.0)

    def orders(self, node_id: str = "n1", secrets: SealedSecrets = SECRETS, has_version: int = -1) -> Orders:
        node = self.cluster.nodes.all.get(node_id)
        return self.orders_composer.orders(self.cluster, node, secrets, has_version=has_version)

    def streams(self) -> dict[str, bool]:
        return {stream.stream: stream.ended for stream in self.orders().streams}


def test_open_classes_are_followed_from_every_origin() -> None:
    world = World()
    world.cluster.epochs.learn(EpochOffset("c1", "k", 5, 1))
    orders = world.orders()
    first = orders.streams[0]
    assert first.origins == ("http://o:1/live/c1/index.m3u8", "http://o:2/live/c1/index.m3u8")
    assert (first.bearer, first.ended, first.epochs) == (
        "bearer",
        False,
        (EpochOffset("c1", "k", 5, 1, order=1000),),
    )
    assert (orders.viewer_keys, orders.heartbeat_interval_s, orders.known) == (("key",), 2.0, True)


def test_a_class_that_ended_is_named_for_a_while_and_one_that_closed_too() -> None:
    world = World()
    world.see(Classroom("c1", "Math", "AAAAAAA", status=ClassStatus.ENDED), ART)
    assert world.streams() == {"c2": False, "c1": True}
    world.see(ART)  # deleted altogether
    assert world.streams() == {"c2": False, "c1": True}
    world.see(Classroom("c2", "Art", "BBBBBBB", status=ClassStatus.CLOSED))
    orders = world.orders()
    assert orders.closed == ("c1", "c2")
    assert world.streams() == {"c1": True}


def test_what_is_common_is_made_once_and_what_is_a_nodes_own_each_time() -> None:
    world = World()
    node = world.cluster.nodes.all["n1"]
    node.needs_full = False
    before = world.orders()
    node.warning = "unreachable"
    after = world.orders()
    assert after.streams is before.streams
    assert after.warning == "unreachable"
    other = world.orders(secrets=SealedSecrets("of another node"))
    assert [s.bearer for s in (*before.streams, *other.streams)] == ["bearer"] * 2 + ["of another node"] * 2
    world.see(MATH, ART, drained=frozenset(["n1"]))
    assert not world.orders().drain, "the last node keeps its students"
    node.drains_now = True
    assert world.orders().drain


def test_an_epoch_that_is_learned_reaches_relays_at_once() -> None:
    """They watch for another version of the orders."""
    world = World()
    before = world.cluster.version
    world.cluster.epochs.learn(EpochOffset("c1", "k", 5, 1))
    assert world.cluster.version > before


def test_a_relay_that_has_just_registered_is_told_how_far_the_numbers_are() -> None:
    world = World()
    world.orders()
    world.cluster.epochs.report("c1", 31, 2)
    first = world.orders().streams[0]
    assert (first.next_msn, first.next_discontinuity_seq) == (31, 2)


def test_who_is_not_known_has_to_register() -> None:
    world = World()
    orders = world.orders("nobody")
    assert (orders.known, orders.version, orders.streams) == (False, 0, ())


def test_a_node_that_has_the_newest_orders_is_told_only_what_is_its_own() -> None:
    world = World()
    first = world.orders()
    world.cluster.nodes.all["n1"].warning = "unreachable"
    again = world.orders(has_version=first.version)
    assert (again.version, again.known, again.warning) == (first.version, True, "unreachable")
    assert (again.streams, again.viewer_keys) == ((), ())
    world.see(MATH)
    assert [s.stream for s in world.orders(has_version=first.version).streams] == ["c1", "c2"]


def test_100000_tokens_are_revoked_by_a_number_and_orders_stay_small() -> None:
    world = World()
    for number in range(100_000):
        world.cluster.admit(Student(f"s{number}", "c1", "Kim", 1000.0, 9000.0), None, 0.0)
    world.see(Classroom("c1", "Math", "CCCCCCC", generation=1), ART)
    orders = world.orders()
    assert [(s.stream, s.min_generation) for s in orders.streams] == [("c1", 1), ("c2", 0)]
    for node_id in ("n1", "old"):
        assert len(msgspec.json.encode(world.orders(node_id))) < 2_000


def test_the_kicked_are_named_in_their_class_while_it_is_open() -> None:
    world = World()
    kicked = (Revocation("subject", "s2", 9e9, "c1"), Revocation("subject", "s1", 9e9, "c1"))
    others = (Revocation("subject", "s3", 9e9), Revocation("link", "l1", 9e9))
    world.see(MATH, ART, revocations=(*kicked, *others))
    orders = world.orders()
    assert [(s.stream, s.refused) for s in orders.streams] == [("c1", ("s1", "s2")), ("c2", ())]
    assert orders.revoked == ("s3",), "a kick from before classes were noted holds everywhere"
    assert world.orders("old").revoked == ("s1", "s2", "s3")
    world.see(Classroom("c1", "Math", "AAAAAAA", status=ClassStatus.CLOSED), ART, revocations=kicked)
    assert [s.refused for s in world.orders().streams] == [()]


def test_relays_are_told_which_streams_somebody_publishes() -> None:
    world = World()

    def publishing() -> dict[str, bool | None]:
        orders = world.orders()
        return {stream.stream: stream.publishing for stream in orders.streams}

    assert publishing() == {"c1": None, "c2": None}
    world.cluster.publishing_now({"c2"}, complete=True)
    assert publishing() == {"c1": False, "c2": True}
