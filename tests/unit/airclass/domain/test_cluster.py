"""The whole picture: classes open and end, nodes fall, tokens die, and who waits is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from airclass.domain import cluster as module
from airclass.domain.classrooms import Classroom, ClassStatus, StreamState
from airclass.domain.cluster import Cluster, Placement, Student
from airclass.domain.epochs import LIVE_MARGIN
from airclass.domain.lessons import Lesson
from airclass.domain.node_keys import NodeRecord
from airclass.domain.orders import OrderComposer, SealedSecrets
from airclass.domain.snapshot import Revocation, Snapshot
from relay.base.cluster_protocol import (
    PROTOCOL,
    EpochOffset,
    Heartbeat,
    Orders,
    Registration,
    ReportedRendition,
    ReportedVariant,
    StreamReport,
    ViewerReport,
)

if TYPE_CHECKING:
    from airclass.domain.nodes import Node

MATH = Classroom("c1", "Math", "AAAAAAA")
ART = Classroom("c2", "Art", "BBBBBBB", capacity=1)
SECRETS = SealedSecrets("bearer", ("key",))


class World:
    """A cluster with nodes, in virtual time."""

    def __init__(self, nodes: int = 2, capacity: int = 2, protocol: int = PROTOCOL) -> None:
        self.told: list[str] = []
        self.cluster = Cluster(1000.0, self.told.append)
        self.orders_composer = OrderComposer(["http://o:1"], 2.0)
        self.now_s = 0.0
        self.revision = 0
        self.classes = {"c1": MATH, "c2": ART}
        self.revocations: list[Revocation] = []
        self.lessons: list[Lesson] = []
        self.protocol = protocol
        self.see()
        self.register(nodes, capacity)
        for n in range(nodes):
            self.beat(n, full=True)
        self.tick(0.0)

    def register(self, nodes: int, capacity: int) -> None:
        for n in range(nodes):
            self.register_one(n, capacity)

    def register_one(self, n: int, capacity: int) -> None:
        record = Registration(
            f"n{n}", f"http://10.0.0.{n + 1}", "", (), capacity, 0, "3", 1.0, protocol=self.protocol
        )
        self.cluster.nodes.register(record, "10.0.0.9", self.now_s)

    def see(self, **changes: Classroom) -> None:
        self.classes.update(changes)
        self.revision += 1
        pairs = frozenset((r.kind, r.value) for r in self.revocations)
        view = Snapshot(
            self.revision,
            {},
            dict(self.classes),
            pairs,
            tuple(self.revocations),
            lessons={lesson.classroom_id: lesson for lesson in self.lessons},
        )
        self.cluster.see(view, self.now_s)

    def beat(self, n: int, *viewers: ViewerReport, state: str = "live", **more: object) -> Node:
        shape = (
            ((ReportedVariant("v", "u", "X", True),), (ReportedRendition("a", "u", "Y"),))
            if state == "live"
            else ((), ())
        )
        reports = (StreamReport("c1", state, 0, 1.0, "", *shape),)
        beat = Heartbeat(f"n{n}", len(viewers), 0, True, "", False, "3", 0, reports, viewers)
        node = self.cluster.nodes.beat(msgspec.structs.replace(beat, **more), self.now_s)
        assert node is not None
        self.cluster.heard(node)
        return node

    def tick(self, by_s: float) -> list[str]:
        self.now_s += by_s
        return [str(c.after) for c in self.cluster.tick(self.now_s, 1000.0 + self.now_s)]

    def place(self, subject: str, stream: str = "c1", *, preview: bool = False) -> Placement:
        guest = Student(subject, stream, subject.upper(), 1000.0, 9000.0, preview, f"0-{subject}")
        return self.cluster.admit(guest, None, self.now_s)

    def join(self, subject: str, stream: str = "c1", *, preview: bool = False) -> str | None:
        self.place(subject, stream, preview=preview)
        return self.cluster.nodes.seat_book.seat_of.get(subject)

    def orders(self, node_id: str) -> Orders:
        return self.orders_composer.orders(self.cluster, self.cluster.nodes.all.get(node_id), SECRETS)


def watching(subject: str, token: str = "", stream: str = "c1") -> ViewerReport:
    return ViewerReport(stream, subject, token or f"0-{subject}", 1000.0, 0)


def test_joining_takes_a_seat_and_a_preview_is_not_counted() -> None:
    w = World()
    assert {w.join("a"), w.join("b")} == {"n0", "n1"}
    assert w.join("p1", preview=True) is not None
    assert w.cluster.viewers("c1") == 2
    assert w.cluster.viewers("c2") == 0
    assert "class:c1" in w.told


def test_the_length_of_segments_is_the_longest_that_a_relay_sees() -> None:
    w = World()
    assert w.cluster.segment_s("c9") == 0.0
    for n, segment_s in enumerate((2.0, 4.0)):
        w.beat(n, streams=(StreamReport("c1", "live", 0, 1.0, segment_s=segment_s),))
    assert w.cluster.segment_s("c1") == 4.0


def test_what_relays_have_shown_bounds_the_numbers_of_known_classes() -> None:
    w = World()
    shown = (StreamReport("c1", "live", 0, 1.0, next_msn=31, next_discontinuity_seq=2),)
    w.beat(0, streams=(*shown, StreamReport("c9", "live", 0, 1.0, next_msn=7)))
    numbers = w.cluster.epochs.numbers("c1")
    assert (numbers.next_msn, numbers.next_discontinuity_seq) == (31, 2)
    assert w.cluster.epochs.numbers("c9").next_msn == 0


def test_a_closed_class_keeps_the_numbers_that_relays_listed_since_their_last_report() -> None:
    w = World(nodes=1)
    w.beat(0, streams=(StreamReport("c1", "live", 0, 1.0, next_msn=31, next_discontinuity_seq=2),))
    w.see(c1=replace(MATH, status=ClassStatus.CLOSED))
    w.beat(0, streams=())  # the relay has forgotten the stream
    numbers = w.cluster.epochs.numbers("c1")
    assert (numbers.next_msn, numbers.next_discontinuity_seq) == (31 + LIVE_MARGIN, 2)


def test_a_teacher_who_previews_is_seen_and_not_counted() -> None:
    w = World()
    node = w.join("p1", preview=True)
    w.beat(int(str(node)[1:]), watching("p1"), full=True)
    assert "p1" not in w.cluster.ledger("c1").members


def test_one_who_leaves_a_relay_for_another_keeps_the_seat() -> None:
    w = World()
    w.join("a")
    w.beat(0, watching("a"), full=True)
    w.beat(1, watching("a"), full=True)
    w.beat(0, full=True)
    assert w.cluster.viewers("c1") == 1


def test_viewers_with_tokens_of_another_code_do_not_count_and_orders_do_not_grow() -> None:
    """A broken relay may make up as many viewers as it likes: they are neither counted nor named."""
    w = World()
    before = w.cluster.version
    w.beat(0, *(watching(f"x{n}", f"9-{n}") for n in range(1000)), full=True)
    assert (w.cluster.viewers("c1"), w.cluster.version) == (0, before)
    assert w.cluster.outdated_tokens == {}
    w.beat(0, full=True)
    assert w.cluster.viewers("c1") == 0


def test_a_class_that_ends_before_anybody_came_leaves_nothing() -> None:
    w = World()
    music = Classroom("c3", "Music", "CCCCCCC")
    w.see(c3=music)
    w.see(c3=replace(music, status=ClassStatus.RETIRED))
    assert (w.cluster.outdated_tokens, w.cluster.viewers("c3")) == ({}, 0)


def test_full_means_waiting() -> None:
    w = World(nodes=1, capacity=1)
    assert w.join("a") == "n0"
    assert w.join("b") is None
    assert len(w.cluster.nodes.seat_book.turned_away) == 1
    w.tick(70.0)
    assert w.cluster.nodes.seat_book.turned_away == {}


def test_a_student_who_never_comes_loses_the_seat() -> None:
    w = World()
    w.join("a")
    for _ in range(11):
        w.beat(0)
        w.beat(1)
        w.tick(2.0)
    assert w.cluster.viewers("c1") == 0
    assert w.place("a") is Placement.PAUSED


def test_before_a_class_begins_its_students_hold_no_seat() -> None:
    w = World(nodes=1, capacity=4)
    w.beat(0, state="waiting", full=True)
    for n in range(10):
        assert w.place(f"s{n}") is Placement.QUEUED
    assert w.cluster.nodes.seat_book.seat_of == {}
    assert w.cluster.viewers("c1") == 10
    assert w.place("p1", preview=True) is Placement.QUEUED
    w.tick(0.5)
    assert "seat:s0" not in w.told, "nobody is called before it begins"
    w.beat(0)
    w.tick(0.5)
    assert {f"seat:s{n}" for n in range(10)} <= set(w.told)
    assert [w.place(f"s{n}") for n in range(5)] == [Placement.SEATED] * 4 + [Placement.CLUSTER_FULL]
    assert w.cluster.viewers("c1") == 10
    w.tick(40.0)
    assert w.cluster.viewers("c1") == 0, "no page asked for a seat or played"


def test_450_students_are_seated_evenly_when_their_class_begins() -> None:
    w = World(nodes=3, capacity=150)
    for n in range(3):
        w.beat(n, state="waiting", full=True)
    for n in range(450):
        assert w.place(f"s{n}") is Placement.QUEUED
    w.beat(0)
    called = []
    while len(called) < 450:
        w.told.clear()
        w.tick(0.5)
        fresh = [topic.removeprefix("seat:") for topic in w.told if topic.startswith("seat:")]
        assert 0 < len(fresh) <= module.CALLED_PER_TICK
        called += fresh
        assert {w.place(s) for s in fresh} == {Placement.SEATED}
    assert [n.seats.occupied for n in w.cluster.nodes.all.values()] == [150, 150, 150]


def test_the_queue_is_for_those_who_are_still_there() -> None:
    w = World()
    w.beat(0, state="waiting")
    w.beat(1, state="waiting")
    w.place("a")
    w.place("b")
    for _ in range(16):
        w.tick(2.0)
        w.place("a")
    assert w.cluster.viewers("c1") == 1
    assert list(w.cluster.ledger("c1").queue) == ["a"]
    w.revocations.append(Revocation("subject", "a", 9000.0))
    w.see()
    assert len(w.cluster.ledger("c1").queue) == 0


def test_a_full_queue_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airclass.domain.waiting_queue.MAX_WAITING", 1)
    w = World()
    assert w.place("x", "c2") is Placement.QUEUED
    assert w.place("y", "c2") is Placement.CLASS_FULL


def test_a_class_has_its_own_seats_and_its_queue_takes_none() -> None:
    w = World(nodes=1, capacity=10)
    art = StreamReport("c2", "live", 0, 1.0)
    assert [w.place(s, "c2") for s in "ab"] == [Placement.QUEUED] * 2
    w.beat(0, streams=(art,), full=True)
    assert [w.place(s, "c2") for s in "ab"] == [Placement.SEATED, Placement.CLASS_FULL]
    assert w.place("p1", "c2", preview=True) is Placement.SEATED
    w.told.clear()
    w.tick(4.9)
    assert "seat:b" not in w.told, "there is no seat to take"
    w.tick(0.2)
    assert w.place("b", "c2") is Placement.SEATED, "the seat that was not used was short"


def test_who_stops_playing_when_the_teacher_leaves_waits_again() -> None:
    w = World()
    w.join("a")
    w.beat(0, watching("a"), full=True)
    w.beat(0, watching("a"), state="waiting")
    w.beat(1, state="waiting")
    assert w.place("a") is Placement.SEATED
    w.beat(0, state="waiting", gone=("0-a",))
    assert w.cluster.viewers("c1") == 0
    assert w.place("a") is Placement.QUEUED
    w.beat(1, msgspec.structs.replace(watching("a"), has_media=False), state="waiting")
    w.beat(1, state="waiting", gone=("0-a",))
    assert "a" in w.cluster.ledger("c1").queue, "a stray request of their player ends no place"


def test_playlists_alone_make_nobody_a_student_of_the_class() -> None:
    w = World()
    only_asks = msgspec.structs.replace(watching("a"), has_media=False)
    w.beat(0, only_asks, full=True)
    assert w.cluster.viewers("c1") == 0
    w.beat(0, watching("a"))
    assert w.cluster.viewers("c1") == 1


def test_one_name_of_a_list_has_one_seat() -> None:
    w = World()
    w.see(c1=replace(MATH, roster=frozenset({"a"})))
    assert w.cluster.roster_student(w.classes["c1"], "a") is None
    w.join("a")
    found = w.cluster.roster_student(w.classes["c1"], "a")
    assert found is not None
    assert found.subject == "a"
    assert w.cluster.roster_student(MATH, "a") is None, "without a list a name means nothing"


def test_after_a_restart_seats_count_before_their_nodes_are_back() -> None:
    """Of 450 joins 222 were answered; then the master was killed. No node is promised more than it has."""
    w = World(nodes=0)
    lost = [(Student(f"s{n}", "c1", "", 900.0, 9000.0, earlier=True), f"n{n % 3}") for n in range(222)]
    preview = (Student("p1", "c1", "", 900.0, 9000.0, preview=True, earlier=True), "n0")
    waited = (Student("late", "c1", "", 900.0, 9000.0, earlier=True), "")
    w.cluster.recall([*lost, preview, waited], ["n0", "n1", "n2"])
    assert w.cluster.viewers("c1") == 222
    assert w.cluster.is_settling(0.0)
    assert w.cluster.known_nodes(0.0) == {"n0", "n1", "n2"}
    w.register(3, 150)
    for n in range(3):
        assert w.cluster.is_settling(1.0)
        assert w.cluster.is_unaccounted(f"s{n}", 1.0)
        w.beat(n, full=True)
    assert not w.cluster.is_settling(1.0)
    assert not w.cluster.is_unaccounted("s0", 1.0)
    w.tick(1.0)
    placed = [w.place(f"x{n}") for n in range(450 - 223)]
    assert placed == [Placement.SEATED] * (450 - 223)
    assert [n.seats.occupied for n in w.cluster.nodes.all.values()] == [150, 150, 150]
    assert w.place("one more") is Placement.CLUSTER_FULL


def test_after_a_restart_a_node_that_stays_away_holds_joins_up_for_five_seconds() -> None:
    w = World(nodes=1)
    w.cluster.recall([], ["n0", "n9"])
    assert w.cluster.is_settling(module.JOINS_WAIT_S - 0.1)
    assert not w.cluster.is_settling(module.JOINS_WAIT_S)
    assert w.cluster.known_nodes(module.SETTLE_S) == {"n0"}


def test_a_pause_of_the_master_moves_nobody() -> None:
    """The master stands still for 20 s, then its three nodes register again one by one."""
    w = World(nodes=3, capacity=20)
    for n in range(30):
        w.join(f"s{n}")
    seats = dict(w.cluster.nodes.seat_book.seat_of)
    here = [[s for s, node in seats.items() if node == f"n{n}"] for n in range(3)]
    for n in range(3):
        w.beat(n, *[watching(s) for s in here[n]], full=True)
    w.now_s = 20.5
    assert w.cluster.nodes.excuse_stall(20.0, w.now_s)
    w.tick(0.0)
    for n in (1, 0, 2):
        w.tick(1.0)
        w.register_one(n, 20)
        assert w.cluster.nodes.seat_book.seat_of == seats
        for s in seats:
            assert w.place(s) is Placement.SEATED
            assert w.cluster.nodes.seat_book.pathways(s)[0] == seats[s]
        w.beat(n, *[watching(s) for s in here[n]], full=True)
        w.tick(0.0)
    assert w.cluster.nodes.seat_book.seat_of == seats
    assert [n.students for n in w.cluster.nodes.all.values()] == [10, 10, 10]


def test_a_heartbeat_after_a_pause_waits_with_its_judgement_for_the_other_heartbeats() -> None:
    w = World()
    assert not w.cluster.is_judged_late(w.now_s)
    w.now_s += module.LATE_S + 0.1
    assert w.cluster.is_judged_late(w.now_s)
    w.tick(0.0)
    assert not w.cluster.is_judged_late(w.now_s)


def test_reports_confirm_and_free_seats() -> None:
    w = World()
    w.join("a")
    w.beat(0, watching("a"), full=True)
    w.tick(100.0)
    assert w.cluster.viewers("c1") == 0, "its node has been silent for too long"
    w.beat(0, watching("a"), full=True)
    assert w.cluster.viewers("c1") == 1
    w.beat(0, full=True)
    assert w.cluster.viewers("c1") == 0


def test_a_viewer_from_before_a_restart_is_taken_in() -> None:
    w = World()
    w.beat(0, watching("old"), full=True)
    assert w.cluster.viewers("c1") == 1
    assert w.cluster.guests["old"].name == ""


def test_whoever_played_before_a_restart_is_left_alone_until_the_relays_have_reported() -> None:
    w = World()
    lost = Student("old", "c1", "OLD", 900.0, 9000.0, earlier=True)
    w.cluster.recall([(lost, "")], [])
    assert w.cluster.is_unaccounted("old", 1.0)
    assert w.cluster.is_unaccounted("nameless", 1.0), "a name that was not written down in time"
    assert not w.cluster.is_unaccounted("old", module.SETTLE_S), (
        "all relays have spoken, whatever the clock says"
    )
    w.join("new")
    w.cluster.nodes.seat_book.release("new")
    assert not w.cluster.is_unaccounted("new", 1.0), "it came to this master, and left"
    w.beat(1, watching("old"), full=True)
    assert not w.cluster.is_unaccounted("old", 1.0)
    assert w.cluster.nodes.seat_book.pathways("old")[0] == "n1"


def test_viewers_of_unknown_classes_do_not_count() -> None:
    w = World()
    w.beat(0, watching("x", stream="c9"), full=True)
    assert w.cluster.viewers("c9") == 0


def test_a_fallen_node_sends_its_students_to_the_others() -> None:
    w = World(capacity=5)
    for s in "abcd":
        w.join(s)
    w.beat(0, *[watching(s) for s, n in w.cluster.nodes.seat_book.seat_of.items() if n == "n0"], full=True)
    w.beat(1, *[watching(s) for s, n in w.cluster.nodes.seat_book.seat_of.items() if n == "n1"], full=True)
    on_first = [s for s, n in w.cluster.nodes.seat_book.seat_of.items() if n == "n0"]
    w.told.clear()
    w.now_s = 4.0
    w.beat(1)
    assert w.tick(2.5) == ["unhealthy"]
    assert set(w.cluster.nodes.seat_book.seat_of.values()) == {"n1"}
    assert {f"seat:{s}" for s in on_first} <= set(w.told)
    assert w.cluster.viewers("c1") == 4


def test_state_of_a_stream_is_the_best_that_working_nodes_see() -> None:
    w = World()
    w.beat(0, state="waiting")
    w.beat(1, state="waiting")
    assert w.cluster.state(MATH) is StreamState.WAITING
    w.beat(0, state="reconnecting")
    assert w.cluster.state(MATH) is StreamState.RECONNECTING
    w.beat(1, state="live")
    assert w.cluster.state(MATH) is StreamState.LIVE
    assert "state:c1" in w.told
    assert w.cluster.stream_shape("c1")[0][0].id == "v"
    assert w.cluster.stream_shape("c9") == ((), ())
    w.now_s = 5.0
    w.beat(0, state="reconnecting")
    w.tick(2.0)
    assert w.cluster.state(MATH) is StreamState.RECONNECTING, "the one that saw it has fallen silent"
    assert w.cluster.state(replace(MATH, status=ClassStatus.RETIRED)) is StreamState.ENDED


def test_a_new_code_ends_the_old_tokens_known_and_unknown() -> None:
    w = World()
    w.join("a")
    w.see(c1=replace(MATH, code="CCCCCCC", generation=1))
    assert w.cluster.viewers("c1") == 0
    assert not w.cluster.is_valid(w.classes["c1"], "a", "0-a")
    assert [(s.stream, s.min_generation) for s in w.orders("n0").streams] == [("c1", 1), ("c2", 0)]
    version = w.cluster.version
    w.beat(0, watching("b"), watching("c", "1-c"), full=True)
    assert (w.cluster.version, w.cluster.viewers("c1")) == (version, 1)
    assert w.orders("n0").revoked == ()


def test_a_relay_that_knows_no_generations_is_told_the_tokens_that_it_reports() -> None:
    w = World(protocol=0)
    w.beat(0, watching("a"), watching("d", "0-d", "c2"), full=True)
    w.see(c1=replace(MATH, code="CCCCCCC", generation=1))
    assert w.orders("n0").revoked == ("0-a",)
    version = w.cluster.version
    w.beat(1, watching("b"), watching("c", "1-c"), full=True)
    assert w.cluster.version == version + 1
    w.beat(0, watching("b"), full=True)
    assert w.cluster.version == version + 1, "a token is named once, however often it is reported"
    assert w.orders("n0").revoked == ("0-a", "0-b")
    for n in (0, 1):
        record = Registration(f"n{n}", f"http://10.0.0.{n + 1}", "", (), 2, 0, "4", 2.0, protocol=PROTOCOL)
        w.cluster.nodes.register(record, "10.0.0.9", w.now_s)
    w.tick(0.5)
    assert w.cluster.outdated_tokens == {}, "every relay has been upgraded"


def test_the_tokens_that_old_relays_are_told_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_OUTDATED_TOKENS", 3)
    w = World(protocol=0)
    w.beat(0, *(watching(f"x{n}", f"9-{n}") for n in range(5)), full=True)
    assert list(w.cluster.outdated_tokens) == ["9-2", "9-3", "9-4"]


def test_kicked_subjects_lose_seat_and_token() -> None:
    w = World()
    w.join("a")
    w.revocations.append(Revocation("subject", "a", 9000.0, "c1"))
    w.see()
    assert w.cluster.viewers("c1") == 0
    assert not w.cluster.is_valid(MATH, "a", "0-a")
    assert w.cluster.is_valid(MATH, "b", "0-b")
    assert not w.cluster.is_valid(replace(MATH, status=ClassStatus.RETIRED), "b", "0-b")
    assert [s.refused for s in w.orders("n0").streams] == [("a",), ()]


def test_a_removed_node_is_forgotten_at_once_and_its_students_go_elsewhere() -> None:
    w = World()
    w.beat(0, watching("a"), full=True)
    removed = {"n0": NodeRecord("n0", removed=True), "n9": NodeRecord("n9", removed=True)}
    view = replace(w.cluster.view, revision=99, node_keys=removed)
    w.told.clear()
    w.cluster.see(view, w.now_s)
    assert w.cluster.nodes.all.keys() == {"n1"}
    assert w.cluster.nodes.seat_book.seat_of == {"a": "n1"}
    assert {"seat:a", "orders", "nodes"} <= set(w.told)


def test_whoever_is_taken_out_is_counted_nowhere_from_then_on() -> None:
    w = World(capacity=5)
    w.beat(0, watching("a"), watching("b"), full=True)
    w.beat(1, watching("a", "0-a2"), watching("c"), full=True)
    w.revocations.append(Revocation("subject", "a", 9000.0))
    w.see()
    assert [n.students for n in w.cluster.nodes.all.values()] == [1, 1]
    assert w.cluster.nodes.summary().current_load == 2
    assert w.cluster.viewers("c1") == 2
    w.beat(0, connections=1, gone=("0-a",))
    assert w.cluster.nodes.all["n0"].students == 1
    w.see(c1=replace(MATH, code="CCCCCCC", generation=1))
    assert [n.students for n in w.cluster.nodes.all.values()] == [0, 0]
    assert w.cluster.viewers("c1") == 0


def test_seeing_the_same_picture_changes_nothing() -> None:
    w = World()
    version = w.cluster.version
    w.cluster.see(w.cluster.view, 1.0)
    assert w.cluster.version == version


@pytest.mark.parametrize("status", [ClassStatus.CLOSED, ClassStatus.RETIRED])
def test_leaving_classes_are_named_for_a_while(status: ClassStatus) -> None:
    w = World()
    w.see(c1=replace(MATH, status=status))
    orders = w.orders("n0")
    assert orders.closed == ("c1",)
    assert {s.stream: s.ended for s in orders.streams} == (
        {"c2": False, "c1": True} if status is ClassStatus.RETIRED else {"c2": False}
    )
    w.tick(module.LEFT_KEEP_S + 1)
    w.see()
    assert w.orders("n0").closed == ()


def test_the_tabs_of_one_device_are_found_in_their_class() -> None:
    w = World()
    people = (("a", "c1", "d1"), ("b", "c1", "d1"), ("c", "c2", "d1"), ("d", "c1", ""))
    for subject, stream, device_hash in people:
        guest = Student(subject, stream, "", 1.0, 9e9, False, f"0-{subject}", device_hash=device_hash)
        w.cluster.admit(guest, None, w.now_s)
    assert [g.subject for g in w.cluster.guests_with(w.cluster.guests["a"])] == ["a", "b"]


def streams_ordered_ended(w: World) -> dict[str, bool]:
    return {s.stream: s.ended for s in w.orders("n0").streams}


def test_between_lessons_the_class_stays_open_and_relays_end_the_stream() -> None:
    w = World()
    w.join("a")
    w.beat(0, state="live")
    assert w.cluster.live_streams() == ["c1"]
    lesson = Lesson("l1", "c1", 100.0)
    w.lessons = [lesson]
    w.see()
    assert (w.cluster.state(MATH), streams_ordered_ended(w)["c1"]) == (StreamState.LIVE, False)
    w.told.clear()
    w.lessons = [replace(lesson, ended_at_s=200.0)]
    w.see()
    assert {"state:c1", "orders"} <= set(w.told)
    assert w.cluster.state(MATH) is StreamState.BETWEEN_LESSONS
    assert streams_ordered_ended(w) == {"c1": True, "c2": False}
    assert w.cluster.is_valid(MATH, "a", "0-a"), "students keep their tokens"
    assert w.cluster.viewers("c1") == 1
    w.lessons = [Lesson("l2", "c1", 300.0)]
    w.see()
    assert (w.cluster.state(MATH), streams_ordered_ended(w)["c1"]) == (StreamState.WAITING, False)
    assert w.cluster.state(replace(MATH, status=ClassStatus.RETIRED)) is StreamState.ENDED


def test_a_lesson_counts_before_the_database_has_it() -> None:
    w = World()
    w.lessons = [Lesson("l1", "c1", 100.0, 200.0)]
    w.see()
    begun = Lesson("l2", "c1", 300.0)
    version = w.cluster.version
    w.cluster.begin_lesson(begun)
    assert w.cluster.version == version + 1
    assert w.cluster.view.lessons["c1"] == begun
    w.see(c2=replace(ART, name="Arts"))
    assert w.cluster.view.lessons["c1"] == begun, "a write of something else does not take it back"
    w.lessons = [begun]
    w.see()
    w.lessons = [replace(begun, ended_at_s=400.0)]
    w.see()
    assert w.cluster.state(MATH) is StreamState.BETWEEN_LESSONS


def test_the_lesson_that_another_master_wrote_first_counts() -> None:
    w = World()
    w.cluster.begin_lesson(Lesson("l1", "c1", 300.0))
    w.cluster.drop_lesson(Lesson("l1", "c1", 300.0))
    w.see()
    assert w.cluster.view.lessons == {}
    w.cluster.begin_lesson(Lesson("l2", "c1", 300.0))
    w.lessons = [Lesson("l3", "c1", 299.0)]
    w.see()
    assert w.cluster.view.lessons["c1"].id == "l3"
    w.cluster.begin_lesson(Lesson("l4", "c2", 300.0))
    del w.classes["c2"]
    w.see()
    assert w.cluster.view.lessons.keys() == {"c1"}


def test_a_class_that_opens_again_is_ordered_again() -> None:
    w = World()
    w.see(c1=replace(MATH, status=ClassStatus.CLOSED))
    w.see(c1=MATH)
    orders = w.orders("n0")
    assert orders.closed == ()
    assert [s.stream for s in orders.streams] == ["c1", "c2"]


def test_a_deleted_class_is_gone_with_its_numbers() -> None:
    w = World()
    w.join("a")
    w.cluster.epochs.learn(EpochOffset("c1", "k", 0, 0))
    del w.classes["c1"]
    w.see()
    assert w.cluster.epochs.of("c1") == ()
    assert w.cluster.left.keys() == {"c1"}
    assert [s.ended for s in w.orders("n0").streams] == [
        False,
        True,
    ]


def test_orders_are_complete_and_made_once_per_version() -> None:
    w = World()
    w.cluster.epochs.learn(EpochOffset("c1", "k", 5, 1))
    node = w.cluster.nodes.all["n0"]
    node.warning = "unreachable"
    orders = w.orders("n0")
    assert orders.version == w.cluster.version
    assert orders.viewer_keys == ("key",)
    assert (orders.warning, orders.drain, orders.resync, orders.known) == ("unreachable", False, False, True)
    assert orders.streams[0].origins == ("http://o:1/live/c1/index.m3u8",)
    assert orders.streams[0].epochs == (EpochOffset("c1", "k", 5, 1, order=1000),)
    assert orders.streams[0].bearer == "bearer"
    assert w.orders("n0").streams is orders.streams
    assert not w.orders("nobody").known


def drain(w: World, *node_ids: str) -> None:
    view = w.cluster.view
    view = Snapshot(view.revision + 1, view.users, view.classrooms, drained=frozenset(node_ids))
    w.cluster.see(view, w.now_s)


def is_ordered_to_drain(w: World, node_id: str) -> bool:
    return w.orders(node_id).drain


def test_draining_is_ordered_once_everybody_has_a_seat_elsewhere() -> None:
    w = World(capacity=3)
    w.beat(0, watching("a"), watching("b"), full=True)
    w.beat(1, watching("c"), watching("d"), full=True)
    drain(w, "n0")
    version = w.cluster.version
    w.tick(0.5)
    seats = w.cluster.nodes.seat_book.seat_of
    assert sorted(seats.values()) == ["n0", "n1", "n1", "n1"], "n1 has room for one of the two"
    assert not is_ordered_to_drain(w, "n0"), "the other one would have nowhere to go"
    assert w.cluster.version == version
    w.beat(1, watching("c"), full=True)
    w.tick(0.5)
    assert set(seats.values()) == {"n1"}
    assert is_ordered_to_drain(w, "n0")
    assert not is_ordered_to_drain(w, "n1")
    assert w.cluster.version == version + 1, "connected relays hear of it at once"


def test_the_last_node_is_not_ordered_to_drain() -> None:
    w = World()
    w.beat(0, watching("a"), full=True)
    drain(w, "n0", "n1")
    w.tick(0.5)
    assert [n.health.status for n in w.cluster.nodes.all.values()] == ["draining", "draining"]
    assert [n.health.reason.code for n in w.cluster.nodes.all.values()] == ["keeping", "keeping"]
    assert not is_ordered_to_drain(w, "n0")
    assert not is_ordered_to_drain(w, "n1")
    assert w.join("b") is None
    drain(w, "n0")
    w.tick(0.5)
    assert is_ordered_to_drain(w, "n0"), "n1 takes students again"
    drain(w, "n0", "n1")
    w.tick(0.5)
    assert not is_ordered_to_drain(w, "n0")


def failing(stream: str = "c1") -> StreamReport:
    return StreamReport(stream, "waiting", 0, -1.0, "refused", origin="failed", fault="connect")


def serving(stream: str = "c1") -> StreamReport:
    return StreamReport(stream, "live", 0, 1.0, origin="served")


def beats(w: World, seconds: float, first: tuple[StreamReport, ...], *others: StreamReport) -> None:
    """Let n0 report `first` and the others `others`, each with the viewers that it has."""
    for _ in range(int(seconds)):
        for n, node in enumerate(w.cluster.nodes.all.values()):
            viewers = tuple(node.viewers.values())
            w.beat(n, *viewers, full=True, streams=others if n else first)
        w.tick(1.0)


def test_a_fault_in_one_class_moves_the_students_of_that_class_only() -> None:
    w = World(nodes=3, capacity=10)
    w.see(c2=replace(ART, capacity=0))
    w.beat(0, watching("a1"), watching("a2"), watching("b", stream="c2"), full=True)
    beats(w, 2, (serving(), serving("c2")), serving(), serving("c2"))
    w.told.clear()
    beats(w, 8, (failing(), serving("c2")), serving(), serving("c2"))
    seats = w.cluster.nodes.seat_book.seat_of
    assert seats["b"] == "n0"
    assert sorted((seats["a1"], seats["a2"])) == ["n1", "n2"]
    assert {"seat:a1", "seat:a2"} <= set(w.told)
    assert "seat:b" not in w.told
    assert w.cluster.pathways("a1", "c1")[0] == seats["a1"]
    assert "n0" not in w.cluster.pathways("a1", "c1")
    assert w.cluster.pathways("b", "c2")[0] == "n0"
    assert w.join("a3") in ("n1", "n2")
    assert w.join("b2", stream="c2") is not None
    assert w.cluster.nodes.summary().total_capacity == 30


def test_students_of_a_draining_node_do_not_move_to_one_that_fails_their_class() -> None:
    w = World(nodes=2, capacity=10)
    w.beat(0, watching("a"), full=True)
    drain(w, "n0")
    beats(w, 10, (serving(),), failing())
    assert w.cluster.nodes.seat_book.seat_of == {"a": "n0"}, "n1 cannot play the class"
    assert not is_ordered_to_drain(w, "n0")
    beats(w, 1, (serving(),), serving())
    assert w.cluster.nodes.seat_book.seat_of == {"a": "n1"}
    assert is_ordered_to_drain(w, "n0")


def test_nobody_moves_and_no_state_changes_while_all_nodes_are_silent() -> None:
    w = World(nodes=3, capacity=10)
    beats(w, 1, (serving(),), serving())
    w.beat(0, watching("a"), full=True, streams=(serving(),))
    assert w.cluster.state(MATH) is StreamState.LIVE
    w.now_s += 0.7
    w.beat(1, full=True, streams=(serving(),))
    w.now_s += 0.7
    w.beat(2, full=True, streams=(serving(),))
    w.told.clear()
    for _ in range(20):
        w.tick(0.5)
    assert [n.health.status for n in w.cluster.nodes.all.values()] == ["unhealthy"] * 3
    assert w.cluster.nodes.seat_book.seat_of == {"a": "n0"}
    assert w.cluster.state(MATH) is StreamState.LIVE, "students may play on: nothing newer is known"
    assert not {"seat:a", "state:c1"} & set(w.told)
    w.beat(1, full=True, streams=(StreamReport("c1", "reconnecting", 0, 9.0),))
    w.tick(0.0)
    w.beat(1, full=True, streams=(StreamReport("c1", "reconnecting", 0, 9.0),))
    assert w.cluster.state(MATH) is StreamState.RECONNECTING


def test_two_of_three_nodes_that_die_together_lose_their_students_to_the_third() -> None:
    w = World(nodes=3, capacity=10)
    w.beat(0, watching("a"), full=True)
    w.beat(1, watching("b"), full=True)
    for _ in range(7):
        w.beat(2, full=True)
        w.tick(1.0)
    assert w.cluster.nodes.seat_book.seat_of == {"a": "n2", "b": "n2"}


def test_a_new_master_does_not_know_the_state_of_a_class_that_was_running() -> None:
    w = World(nodes=0)
    w.cluster.guests["new"] = Student("new", "c1", "NEW", 1000.5, 9000.0)
    assert w.cluster.knows_state("c1"), "nobody can be playing yet"
    w.cluster.guests["old"] = Student("old", "c1", "OLD", 900.0, 9000.0, earlier=True)
    assert not w.cluster.knows_state("c1")
    assert w.cluster.knows_state("c2")
    record = Registration("n0", "http://10.0.0.1", "", (), 2, 0, "3", 1.0)
    w.cluster.nodes.register(record, "10.0.0.9", 0.0)
    w.beat(0)
    w.tick(0.5)
    assert w.cluster.knows_state("c1")


def test_history_grows_and_old_guests_go() -> None:
    w = World()
    w.join("a")
    w.tick(11.0)
    assert w.cluster.ledger("c1").history[-1] == (1011.0, 1)
    assert w.cluster.load_history
    assert len(w.cluster.student_history) == len(w.cluster.load_history)
    w.tick(9000.0)
    assert w.cluster.guests == {}


def test_a_student_whose_token_is_not_known_keeps_their_seat() -> None:
    w = World()
    nameless = Student("a", "c1", "", 1000.0, 9000.0)
    assert w.cluster.admit(nameless, None, 0.0) is Placement.SEATED


def test_the_number_of_guests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GUESTS", 1)
    w = World()
    w.join("a")
    assert w.join("b") is not None
    w.beat(0, watching("z"), full=True)
    assert w.cluster.guests.keys() == {"a"}


def test_a_node_that_drained_and_stopped_is_forgotten_and_one_that_died_is_not() -> None:
    w = World()
    w.beat(0, draining=True)
    w.beat(1)
    for _ in range(32):
        w.tick(1.0)
    assert list(w.cluster.nodes.all) == ["n1"]
    assert w.cluster.nodes.all["n1"].health.status == "offline"


def test_the_longest_segment_that_a_relay_reports_is_the_streams() -> None:
    w = World()
    assert w.cluster.segment_s("c9") == 0.0
    for n, segment_s in ((0, 2.0), (1, 10.0)):
        w.beat(n, streams=(StreamReport("c1", "live", 0, 1.0, segment_s=segment_s),))
    assert w.cluster.segment_s("c1") == 10.0


def test_more_guests_than_are_remembered_still_get_seats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_GUESTS", 1)
    w = World()
    assert w.join("a") is not None
    assert w.join("b") is not None
    w.beat(0, watching("c"), full=True)
    assert w.cluster.guests.keys() == {"a"}
    assert w.cluster.viewers("c1") == 3


def test_a_preview_that_a_relay_reports_is_not_counted() -> None:
    w = World()
    w.join("p1", preview=True)
    w.beat(0, watching("p1"), full=True)
    assert w.cluster.viewers("c1") == 0


def test_nobody_known_leaves_nothing_behind() -> None:
    w = World()
    w.revocations.append(Revocation("subject", "nobody", 9000.0))
    w.see()
    fresh = Classroom("c3", "Music", "CCCCCCC")
    w.see(c3=fresh)
    w.see(c3=replace(fresh, generation=1))  # nobody ever entered it
    assert w.cluster.guests == {}
    assert w.cluster.outdated_tokens == {}


def test_whoever_plays_elsewhere_has_not_left_the_class() -> None:
    w = World()
    w.join("a")
    w.beat(0, watching("a"), full=True)
    w.beat(1, watching("a", token="0-a2"), full=True)  # the player jumped with a renewed token
    w.beat(0, full=True)
    assert w.cluster.viewers("c1") == 1
    assert w.cluster.nodes.seat_book.seat_of == {"a": "n1"}


def test_who_publishes_is_news_for_the_relays_once() -> None:
    told: list[str] = []
    cluster = Cluster(1000.0, told.append)
    assert cluster.has_publisher("c1") is None, "no ingest was asked yet"
    cluster.publishing_now({"c1"}, complete=True)
    assert (cluster.has_publisher("c1"), cluster.has_publisher("c2")) == (True, False)
    version = cluster.version
    cluster.publishing_now({"c1"}, complete=True)
    assert (cluster.version, told) == (version, ["orders"])
    cluster.publishing_now((), complete=False)
    assert cluster.has_publisher("c1") is None
    assert cluster.version == version + 1


def test_a_session_that_ends_takes_no_student_out() -> None:
    w = World()
    w.beat(0, watching("a"), full=True)
    w.revocations.append(Revocation("session", "x", 9000.0))
    w.see()
    assert w.cluster.nodes.seat_book.seat_of == {"a": "n0"}
