"""Which nodes take students while origins, relays and lines fail, in virtual time.

Every scenario runs with relays of this version, which report each stream, and with relays of the
version before, which report only `ready`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from airclass.domain.cluster_health import Member, code_of, is_line_cut
from airclass.domain.health import Health, NodeStatus, Reason, ReasonCode
from airclass.domain.nodes import Nodes
from relay.base.cluster_protocol import Heartbeat, Registration, StreamReport

BEAT_S = 2.0
TICK_S = 0.5
SEATS = 150
NOBODY = "nobody is publishing: the origin's index is not there (404)"
REFUSED = "the origin refuses the connection"
SILENT_ORIGIN = "the origin has not answered yet"


@dataclass
class Relay:
    """One relay; `failing` maps a stream to the kind of its origin's failure."""

    id: str
    next_beat_s: float
    streams: list[str]
    failing: dict[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    live: bool = True
    lag_s: float = 1.0
    draining: bool = False
    is_down: bool = False
    is_cut: bool = False
    since: dict[str, tuple[str, float]] = field(default_factory=dict)


class School:
    """A cluster of relays that beat every 2 s and a master that judges them twice a second."""

    def __init__(self, count: int, *, reports_streams: bool, streams: tuple[str, ...] = ("a",)) -> None:
        self.nodes = Nodes(lambda *_: None)
        self.reports_streams = reports_streams
        self.streams = streams
        self.now_s = 0.0
        self.drained: frozenset[str] = frozenset()
        self.relays: dict[str, Relay] = {}
        self.lowest = 0
        for n in range(count):
            self.start(f"n{n}")
        self.run(10.0)

    def start(self, node_id: str, **facts: object) -> Relay:
        """Start a relay, or start it again: it knows nothing of its origins yet."""
        number = len(self.relays) if node_id not in self.relays else int(node_id[1:])
        record = Registration(node_id, f"http://10.0.0.{number + 1}", "", (), SEATS, 0, "3", self.now_s)
        self.nodes.register(record, "10.0.0.9", self.now_s)
        relay = Relay(node_id, self.now_s + 0.1 * number, list(self.streams), **facts)  # type: ignore[arg-type]
        self.relays[node_id] = relay
        return relay

    def run(self, seconds: float) -> None:
        """Let time pass, and note the lowest capacity on the way."""
        until_s = self.now_s + seconds
        self.lowest = SEATS * len(self.relays)
        while self.now_s < until_s:
            for relay in self.relays.values():
                if relay.next_beat_s <= self.now_s and not relay.is_down:
                    relay.next_beat_s = self.now_s + BEAT_S
                    if not relay.is_cut:
                        self.beat(relay)
            self.nodes.judge(self.now_s, self.drained)
            self.lowest = min(self.lowest, self.capacity)
            self.now_s = round(self.now_s + TICK_S, 3)

    def fail(self, *node_ids: str, stream: str = "a", kind: str = "connect") -> None:
        """Break the lines of these relays to a stream's origin; all of them without names."""
        for node_id in node_ids or self.relays:
            self.relays[node_id].failing[stream] = kind
            self.relays[node_id].unknown.discard(stream)
            self.beat(self.relays[node_id])

    def heal(self, *node_ids: str, stream: str = "a") -> None:
        """Repair the lines to a stream's origin."""
        for node_id in node_ids or self.relays:
            self.relays[node_id].failing.pop(stream, None)
            self.beat(self.relays[node_id])

    def beat(self, relay: Relay) -> None:
        """Send what the relay would send now."""
        if relay.is_down or relay.is_cut:
            return
        problems = {s: relay.failing.get(s, "") for s in relay.streams}
        faults = {s: kind for s, kind in problems.items() if kind}
        beat = Heartbeat(
            relay.id,
            0,
            0,
            ready=not faults and not relay.draining,
            reason="; ".join(f"{s}: {REFUSED}" for s in faults),
            draining=relay.draining,
            version="3",
            orders_version=0,
            streams=tuple(self.report(relay, s, kind) for s, kind in problems.items()),
            fault=next(iter(faults.values()), ""),
        )
        assert self.nodes.beat(beat, self.now_s) is not None

    def report(self, relay: Relay, stream: str, kind: str) -> StreamReport:
        """Return what the relay says of one stream."""
        origin = "failed" if kind else "unknown" if stream in relay.unknown else "served"
        live = relay.live and origin == "served"
        state, lag_s = ("live", relay.lag_s) if live else ("waiting", -1.0)
        problem = {"failed": REFUSED, "unknown": SILENT_ORIGIN, "served": "" if live else NOBODY}[origin]
        if not self.reports_streams:
            return StreamReport(stream, state, 0, lag_s, problem)
        was, since_s = relay.since.get(stream, ("", 0.0))
        if was != origin:
            since_s = self.now_s
            relay.since[stream] = (origin, since_s)
        age_s = self.now_s - since_s
        return StreamReport(
            stream,
            state,
            0,
            lag_s,
            problem,
            origin=origin,
            origin_age_s=age_s,
            origin_quiet_s=0.0,
            fault=kind,
        )

    @property
    def capacity(self) -> int:
        """Seats on nodes that take students."""
        return sum(n.seats.capacity for n in self.nodes.all.values() if n.seats.takes_students)

    def status(self, node_id: str) -> NodeStatus:
        """Return a node's status."""
        return self.nodes.all[node_id].health.status


@pytest.fixture(params=[True, False], ids=["reports-streams", "ready-only"])
def new(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_relay_restarted_while_the_origin_is_dead_leaves_capacity_at_450(new: bool) -> None:
    school = School(3, reports_streams=new)
    school.fail()
    school.run(20.0)
    assert school.capacity == 450
    school.start("n2", unknown={"a"})
    school.run(1.0)
    school.fail("n2")
    school.run(60.0)
    assert (school.capacity, school.lowest) == (450, 450)


def test_draining_one_node_with_a_dead_origin_leaves_the_others(new: bool) -> None:
    school = School(3, reports_streams=new)
    school.fail()
    school.run(10.0)
    school.relays["n0"].draining = True
    school.drained = frozenset({"n0"})
    school.run(60.0)
    assert (school.capacity, school.lowest) == (300, 300)
    school.relays["n0"].draining = False
    school.drained = frozenset()
    school.run(10.0)
    assert school.capacity == 450


def test_one_class_with_a_broken_origin_takes_no_node_from_the_other_class(new: bool) -> None:
    school = School(3, reports_streams=new, streams=("a", "b"))
    school.fail(stream="b", kind="status")
    school.run(10.0)
    school.start("n2", unknown={"b"})
    school.run(1.0)
    school.fail("n2", stream="b", kind="status")
    school.run(60.0)
    assert (school.capacity, school.lowest) == (450, 450)


def test_a_crash_looping_origin_takes_no_node_out(new: bool) -> None:
    school = School(3, reports_streams=new)
    lowest = 450
    for n in range(20):
        school.fail()
        school.run(6.5)
        lowest = min(lowest, school.lowest)
        school.heal(f"n{n % 3}")  # one of them has seen it up
        school.run(0.5)
        lowest = min(lowest, school.lowest)
    assert lowest == 450


def test_a_relay_added_while_the_origin_is_dead_counts(new: bool) -> None:
    school = School(3, reports_streams=new)
    school.fail()
    school.run(10.0)
    school.start("n3", unknown={"a"})
    school.run(1.0)
    school.fail("n3")
    school.run(30.0)
    assert school.capacity == 600


def test_a_class_closed_and_opened_within_a_beat_takes_no_node_out(new: bool) -> None:
    school = School(3, reports_streams=new)
    school.fail()
    school.run(10.0)
    for relay in school.relays.values():
        relay.streams, relay.failing, relay.unknown = [], {}, {"a"}
        school.beat(relay)
    school.run(1.0)
    for relay in school.relays.values():
        relay.streams = ["a"]
        school.beat(relay)
    school.run(1.0)
    school.fail()
    school.run(30.0)
    assert (school.capacity, school.lowest) == (450, 450)


def test_a_dead_node_convicts_nobody(new: bool) -> None:
    school = School(2, reports_streams=new)
    school.fail("n0")
    school.run(7.0)
    assert school.status("n0") is NodeStatus.UNHEALTHY
    school.relays["n1"].is_down = True
    school.run(120.0)
    assert school.status("n0") is NodeStatus.ACTIVE
    assert school.status("n1") is NodeStatus.OFFLINE
    assert school.capacity == 150


def test_a_relay_that_fails_alone_is_out_within_7_s_and_back_when_all_fail(new: bool) -> None:
    school = School(3, reports_streams=new)
    school.fail("n0")
    school.run(4.0)
    assert school.status("n0") is NodeStatus.ACTIVE
    school.run(3.5)
    assert school.status("n0") is NodeStatus.UNHEALTHY
    school.fail()
    school.run(6.0)
    assert school.capacity == 450


def test_a_fault_in_one_class_keeps_the_node_for_the_others(new: bool) -> None:
    school = School(3, reports_streams=new, streams=("a", "b"))
    school.fail("n0", stream="b")
    school.run(10.0)
    assert (school.capacity, school.lowest) == (450, 450)
    assert school.nodes.avoided("a") == frozenset()
    assert school.nodes.avoided("b") == {"n0"}
    reason = school.nodes.all["n0"].health.reason
    assert (reason.code, reason.figures) == (ReasonCode.PARTLY, {"streams": 1})
    school.fail("n0", stream="a")
    school.run(7.0)
    assert school.status("n0") is NodeStatus.UNHEALTHY
    assert school.nodes.all["n0"].health.reason == Reason(f"a: {REFUSED}; b: {REFUSED}", ReasonCode.NO_INGEST)
    school.heal("n0", stream="b")
    school.run(10.0)
    assert school.status("n0") is NodeStatus.ACTIVE
    assert school.nodes.avoided("a") == {"n0"}


def test_a_node_that_alone_serves_a_class_stays_though_it_fails_all_the_others(new: bool) -> None:
    school = School(2, reports_streams=new, streams=("a", "b"))
    school.fail("n0", stream="a")
    school.fail("n1", stream="b")
    school.run(10.0)
    assert school.capacity == 300
    assert (school.nodes.avoided("a"), school.nodes.avoided("b")) == ({"n0"}, {"n1"})


def test_the_last_capacity_is_suspect_and_used(new: bool) -> None:
    school = School(3, reports_streams=new)
    school.fail("n0", "n1")
    school.run(8.0)
    assert school.capacity == 150, "n2 serves what they fail"
    school.nodes.all["n2"].health.probed(school.now_s, "cannot be reached", interval_s=30)
    school.run(0.5)
    assert (school.capacity, school.nodes.avoided("a")) == (300, frozenset())
    assert school.nodes.all["n0"].health.reason.code is ReasonCode.SUSPECT
    school.nodes.all["n2"].health.probed(school.now_s, "", interval_s=30)
    school.run(6.0)
    assert (school.capacity, school.nodes.avoided("a")) == (150, {"n0", "n1"})
    assert school.status("n2") is NodeStatus.ACTIVE


def test_a_node_whose_media_is_old_is_behind_when_others_go_on(new: bool) -> None:
    school = School(3, reports_streams=new, streams=("a", "b"))
    for step in range(7):
        school.relays["n0"].lag_s = 2.0 + 2.0 * step
        school.run(2.0)
    assert school.nodes.avoided("a") == frozenset(), "behind, but not yet for long enough"
    school.relays["n0"].lag_s = 20.0
    school.run(4.0)
    assert school.nodes.avoided("a") == school.nodes.avoided("b") == {"n0"}
    assert school.nodes.all["n0"].health.reason.code is ReasonCode.BEHIND
    assert school.status("n0") is NodeStatus.UNHEALTHY
    for relay in school.relays.values():
        relay.lag_s = 20.0
    school.run(4.0)
    assert school.capacity == 450, "the teacher's line is gone: nobody has newer media"
    for relay in ("n1", "n2"):
        school.relays[relay].lag_s = 0.5
    school.run(3.0)
    school.relays["n0"].lag_s = 0.5
    school.run(3.0)
    assert (school.capacity, school.lowest) == (450, 450), "n0 found the teacher 3 s later than the others"


def test_a_cut_of_the_masters_line_is_nobodys_flap(new: bool) -> None:
    school = School(3, reports_streams=new)
    dark = []
    for _ in range(6):
        for relay in school.relays.values():
            relay.is_cut = True
        school.run(8.5)
        for relay in school.relays.values():
            relay.is_cut = False
        began_s = school.now_s
        while school.capacity < 450:
            school.run(0.5)
        dark.append(school.now_s - began_s)
        school.run(3.0)
    assert max(dark) <= 2.5, "each is back with its first heartbeat"
    assert [n.health.flaps for n in school.nodes.all.values()] == [0, 0, 0]


def test_the_last_takers_are_never_watched(new: bool) -> None:
    school = School(2, reports_streams=new)
    school.drained = frozenset({"n1"})
    for _ in range(4):
        school.relays["n0"].is_cut = True
        school.run(8.5)
        school.relays["n0"].is_cut = False
        school.run(2.5)
        assert school.status("n0") is NodeStatus.ACTIVE
    assert school.nodes.all["n0"].health.flaps == 4
    school.drained = frozenset()
    school.run(0.5)
    assert school.status("n0") is NodeStatus.UNHEALTHY, "n1 takes students again: n0 is watched"
    assert school.nodes.all["n0"].health.reason.code is ReasonCode.WATCHED


def test_a_node_that_says_it_is_not_ready_for_anything_is_out() -> None:
    school = School(2, reports_streams=True)
    beat = Heartbeat("n0", 0, 0, False, "the disk is full", False, "3", 0)
    school.nodes.beat(beat, school.now_s)
    school.nodes.judge(school.now_s, frozenset())
    assert school.status("n0") is NodeStatus.UNHEALTHY
    assert school.nodes.all["n0"].health.reason == Reason("the disk is full", ReasonCode.NOT_READY)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("connect", ReasonCode.NO_INGEST),
        ("timeout", ReasonCode.SLOW_INGEST),
        ("truncated", ReasonCode.SLOW_INGEST),
        ("playlist", ReasonCode.BAD_INGEST),
        ("behind", ReasonCode.BEHIND),
        ("a kind of a newer relay", ReasonCode.BAD_INGEST),
        ("", ReasonCode.NOT_READY),
    ],
)
def test_what_a_relay_lacks_from_its_ingest_has_a_code(kind: str, code: ReasonCode) -> None:
    assert code_of(kind) is code


@pytest.mark.parametrize(
    ("silent_s", "cut"),
    [
        ((6.0, 4.5, 5.0), True),
        ((6.0, 4.5, 0.5), True),
        ((6.0, 1.0, 0.5), False),
        ((6.0,), False),  # one node that dies looks the same
        ((6.0, 30.0), False),  # the other one died long ago
        ((8.0, 6.0, 0.5, 0.5), False),
        ((), False),
    ],
)
def test_a_line_is_cut_when_most_nodes_fall_silent_together(silent_s: tuple[float, ...], cut: bool) -> None:
    members = [Member(str(n), Health(100.0 - s), 150, False) for n, s in enumerate(silent_s)]
    assert is_line_cut(members, 100.0) is cut
