"""The state of the cluster: classes, nodes, seats, queues and viewers, and the rules between them.

One synchronous object; `notify` is called with a topic whenever something that others wait for
has changed: "orders", "nodes", "class:<id>" (who is in it), "state:<id>" (what it is),
"seat:<subject>".
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from airclass.domain.classrooms import Classroom, ClassStatus, StreamState, roster_key
from airclass.domain.epochs import Epochs
from airclass.domain.health import ON_PROBATION, WORKING, NodeStatus
from airclass.domain.nodes import Node, Nodes, StatusChange
from airclass.domain.routing import CROWDED_LOAD, RESERVED_S
from airclass.domain.snapshot import Snapshot
from airclass.domain.waiting_queue import WaitingQueue
from relay.base.tokens import token_generation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from airclass.domain.routing import Address
    from relay.base.cluster_protocol import ReportedRendition, ReportedVariant, ViewerReport

LEFT_KEEP_S = 60.0
SETTLE_S = 10.0  # after a restart: relays have registered and listed their viewers by then
JOINS_WAIT_S = 5.0  # after a restart: for so long nobody new is seated before the known nodes are back
# Of one class, in one tick: students in the queue who are asked to take a free seat.
CALLED_PER_TICK = 500
HISTORY_EVERY_S = 10.0
HISTORY_POINTS = 360
MAX_GUESTS = 200_000
MAX_OUTDATED_TOKENS = 10_000
_STATE_ORDER = (StreamState.LIVE, StreamState.RECONNECTING, StreamState.WAITING)
_BEGUN = (StreamState.LIVE, StreamState.RECONNECTING)


class Placement(StrEnum):
    """Where a student is: on a seat, in the queue of a class that has not begun, or turned away."""

    SEATED = "seated"
    QUEUED = "queued"
    CLUSTER_FULL = "cluster-full"
    CLASS_FULL = "class-full"
    PAUSED = "paused"  # let a seat lapse, see `routing`


@dataclass(slots=True)
class Student:
    """Somebody who entered a class; `joined_at_s` is Unix time, `until_s` when the token ends.

    `earlier`: they came in before this master was started.
    """

    subject: str
    classroom_id: str
    name: str
    joined_at_s: float
    until_s: float
    preview: bool = False
    token_id: str = ""
    earlier: bool = False


@dataclass(slots=True)
class ClassroomState:
    """What happens in one class beyond what the database says."""

    members: set[str] = field(default_factory=set)
    queue: WaitingQueue = field(default_factory=WaitingQueue)
    history: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=HISTORY_POINTS))


class Cluster:
    """Classes, nodes, seats and viewers, and the rules between them."""

    def __init__(self, wall_s: float, notify: Callable[[str], None], now_s: float = 0.0) -> None:
        self.view = Snapshot()
        self.nodes = Nodes(self._viewer_changed)
        self.epochs = Epochs(self._bump, first_order=int(wall_s))
        self.guests: dict[str, Student] = {}
        self.version = int(wall_s * 1000)  # above every version of an earlier master
        self._began_s = now_s
        self._expected_nodes: frozenset[str] = frozenset()
        self.began_wall_s = wall_s
        self.left: dict[str, float] = {}
        self.outdated_tokens: dict[str, None] = {}
        self.publishing: frozenset[str] = frozenset()
        self.publishing_complete = False
        self.load_history: deque[tuple[float, float]] = deque(maxlen=HISTORY_POINTS)
        self.student_history: deque[tuple[float, int]] = deque(maxlen=HISTORY_POINTS)
        self._ledgers: dict[str, ClassroomState] = {}
        self._states: dict[str, StreamState] = {}
        self._history_at_s = float("-inf")
        self._notify = notify

    def see(self, view: Snapshot, now_s: float) -> None:
        """Take in a new picture of the database and carry out what changed."""
        before, self.view = self.view, view
        if before.revision == view.revision:
            return
        for old in before.classrooms.values():
            new = view.classrooms.get(old.id)
            if new is None or (old.status is ClassStatus.OPEN and new.status is not ClassStatus.OPEN):
                self.left[old.id] = now_s + LEFT_KEEP_S
            if new is None or new.generation != old.generation or new.status is ClassStatus.ENDED:
                self._take_everybody_out(old.id)
            if new is None:
                self.epochs.forget(old.id)
                self._notify(f"state:{old.id}")
        for new in view.classrooms.values():
            if new != before.classrooms.get(new.id):
                if new.status is ClassStatus.OPEN:
                    self.left.pop(new.id, None)
                self._notify(f"state:{new.id}")
        for node_id, record in view.node_keys.items():
            if record.removed and node_id in self.nodes.all:
                self.expel(node_id, now_s)
        if view.revoked != before.revoked:
            for kind, value in view.revoked - before.revoked:
                if kind == "subject":
                    self._take_out(value)
        self._bump()
        self._notify("nodes")

    def publishing_now(self, streams: Iterable[str], *, complete: bool) -> None:
        """Take in which streams have a publisher; `complete` when all others are known to have none."""
        now = (frozenset(streams), complete)
        if now != (self.publishing, self.publishing_complete):
            self.publishing, self.publishing_complete = now
            self._bump()

    def has_publisher(self, stream: str) -> bool | None:
        """Tell whether somebody publishes a stream; None where no ingest can be asked."""
        return True if stream in self.publishing else False if self.publishing_complete else None

    def state(self, classroom: Classroom) -> StreamState:
        """Return what students of the class see now."""
        if classroom.status is ClassStatus.ENDED:
            return StreamState.ENDED
        return self._states.get(classroom.id, StreamState.WAITING)

    def knows_state(self, classroom_id: str) -> bool:
        """Tell whether the class's state is known: a relay has reported it, or nobody can be playing yet.

        A master that has just started knows nothing of pictures that were running before.
        """
        return classroom_id in self._states or not any(
            g.classroom_id == classroom_id and g.earlier for g in self.guests.values()
        )

    def ledger(self, classroom_id: str) -> ClassroomState:
        """Return the class's ledger."""
        return self._ledgers.setdefault(classroom_id, ClassroomState())

    def viewers(self, classroom_id: str) -> int:
        """Return how many students are in the class (seated or on their way)."""
        ledger = self._ledgers.get(classroom_id)
        return 0 if ledger is None else len(ledger.members)

    def admit(self, guest: Student, address: Address | None, now_s: float) -> Placement:
        """Give a student a seat, or a place in the queue of a class that has not begun.

        Renewals, sockets and steering come here too: a student keeps what they have.
        """
        ledger = self.ledger(guest.classroom_id)
        placement = self._place(guest, ledger, address, now_s)
        if placement in (Placement.SEATED, Placement.QUEUED):
            if guest.subject in self.guests or len(self.guests) < MAX_GUESTS:
                self.guests[guest.subject] = guest
            if not guest.preview and guest.subject not in ledger.members:
                ledger.members.add(guest.subject)
                self._notify(f"class:{guest.classroom_id}")
        return placement

    def has_begun(self, classroom_id: str) -> bool:
        """Tell whether the class has a picture, or had one a moment ago."""
        return self._states.get(classroom_id) in _BEGUN

    def recall(self, students: Iterable[tuple[Student, str]], nodes: Iterable[str]) -> None:
        """Take over from the master before this one: its students, their nodes, and the nodes it knew."""
        self._expected_nodes = frozenset(nodes)
        for student, node_id in students:
            self.guests[student.subject] = student
            if node_id:
                since_s = self._began_s + SETTLE_S - RESERVED_S
                self.nodes.seat_book.recall(student.subject, node_id, since_s)
                if not student.preview:
                    self.ledger(student.classroom_id).members.add(student.subject)

    def is_settling(self, now_s: float) -> bool:
        """Tell whether nodes that were known before a restart have not listed their viewers yet.

        Until then nobody new is seated: the first node to come back would take them all.
        """
        known = self.nodes.all
        return now_s < self._began_s + JOINS_WAIT_S and any(
            node_id not in known or known[node_id].needs_full for node_id in self._expected_nodes
        )

    def known_nodes(self, now_s: float) -> set[str]:
        """Return the nodes of the cluster; after a restart those too that are not back yet."""
        awaited = self._expected_nodes if now_s < self._began_s + SETTLE_S else frozenset()
        return {*self.nodes.all, *awaited}

    def roster_student(self, classroom: Classroom, name: str) -> Student | None:
        """Return the student who has the seat of this name, in a class with a list of names."""
        if not classroom.roster:
            return None
        here = (self.guests.get(subject) for subject in self.ledger(classroom.id).members)
        return next((s for s in here if s is not None and roster_key(s.name) == roster_key(name)), None)

    def is_valid(self, classroom: Classroom, subject: str, token_id: str) -> bool:
        """Tell whether a viewer's token still counts: not revoked, made with today's class code."""
        return (
            classroom.status is not ClassStatus.ENDED
            and token_generation(token_id) == classroom.generation
            and ("subject", subject) not in self.view.revoked
        )

    def is_unaccounted(self, subject: str, now_s: float) -> bool:
        """Tell whether a student may play at a node that has not listed its viewers since a restart.

        Without a seat they would be sent away from it, to the node that came back first.
        """
        if now_s >= self._began_s + SETTLE_S:
            return False
        seat_book = self.nodes.seat_book
        if subject in seat_book.seat_of:
            node = self.nodes.all.get(seat_book.seat_of[subject])
            return seat_book.is_recalled(subject) and (node is None or node.needs_full)
        guest = self.guests.get(subject)
        return guest is None or guest.earlier

    def stream_shape(
        self, classroom_id: str
    ) -> tuple[tuple[ReportedVariant, ...], tuple[ReportedRendition, ...]]:
        """Return variants and renditions as the relays that play the stream report them."""
        best: tuple[int, tuple[ReportedVariant, ...], tuple[ReportedRendition, ...]] = (-1, (), ())
        for node in self.nodes.all.values():
            report = node.streams.get(classroom_id)
            if report is not None and report.variants:
                rank = 2 * (node.health.status in WORKING) + (report.state == StreamState.LIVE)
                best = max(best, (rank, report.variants, report.renditions), key=lambda b: b[0])
        return best[1], best[2]

    def segment_s(self, classroom_id: str) -> float:
        """Return the length of the newest segments as relays see them, in seconds; 0.0: unknown."""
        reports = [node.streams.get(classroom_id) for node in self.nodes.all.values()]
        return max((r.segment_s for r in reports if r is not None), default=0.0)

    def heard(self, node: Node) -> None:
        """Draw conclusions from a node's newest report."""
        for report in node.streams.values():
            if report.stream in self.view.classrooms:
                self.epochs.report(report.stream, report.next_msn, report.next_discontinuity_seq)
        for stream in self._states.keys() | node.streams.keys():
            self._follow_state(stream)

    def expel(self, node_id: str, now_s: float) -> None:
        """Forget a node and give its students seats elsewhere."""
        node = self.nodes.all[node_id]
        node.seats.takes_students = False
        moved = self.nodes.seat_book.move(node_id, now_s)
        self.nodes.remove(node_id)
        for subject in moved:
            self._notify(f"seat:{subject}")
        self._notify("orders")
        self._notify("nodes")

    def pathways(self, subject: str, stream: str, address: Address | None = None) -> list[str]:
        """Return the nodes that a student of a class may use, the best first."""
        return self.nodes.seat_book.pathways(subject, address, avoid=self.nodes.avoided(stream))

    def tick(self, now_s: float, wall_s: float) -> list[StatusChange]:
        """Let time pass: judge nodes, free seats, move students; returns nodes' status changes."""
        changes = self.nodes.judge(now_s, self.view.drained)
        for change in changes:
            if change.after is NodeStatus.OFFLINE and self.nodes.all[change.node_id].health.draining:
                self.nodes.remove(change.node_id)  # it drained and stopped: it left in order
        self._move_students(now_s)
        self._order_drains()
        if changes:
            self._notify("nodes")
            # A node reports its streams before its first heartbeat makes it active.
            for stream in self._reported_streams():
                self._follow_state(stream)
        for subject in self.nodes.seat_book.expire(now_s, self._is_class_crowded):
            self._leave(subject)
        self._call_queues(now_s)
        self._prune(now_s)
        if now_s - self._history_at_s >= HISTORY_EVERY_S:
            self._history_at_s = now_s
            self._sample(wall_s)
        return changes

    def _move_students(self, now_s: float) -> None:
        """Give students a seat elsewhere whose node takes none any more, or fails their class.

        Repeated at every tick, since room may come later. A node that is back and still on probation keeps
        its students.
        """
        seat_book, occupied = self.nodes.seat_book, self._occupied_nodes()
        for node in self.nodes.all.values():
            health = node.health
            leaves = health.status is not NodeStatus.ACTIVE and health.reason.code not in ON_PROBATION
            if node.id not in occupied or not (leaves or self.nodes.is_avoided(node.id)):
                continue
            unfit: dict[str, frozenset[str]] = {}

            def unfit_for(
                subject: str, node: Node = node, unfit: dict[str, frozenset[str]] = unfit
            ) -> frozenset[str]:
                stream = self._stream_of(subject)
                if stream not in unfit:
                    unfit[stream] = self.nodes.unfit_for_move(stream, node.id, now_s)
                return unfit[stream]

            def moves(subject: str, node: Node = node, leaves: bool = leaves) -> bool:
                return leaves or node.id in self.nodes.avoided(self._stream_of(subject))

            for subject in seat_book.move(node.id, now_s, avoid=unfit_for, moves=moves):
                self._notify(f"seat:{subject}")

    def _occupied_nodes(self) -> set[str]:
        """Return the nodes on which somebody has a seat."""
        return set(self.nodes.seat_book.seat_of.values())

    def _stream_of(self, subject: str) -> str:
        guest = self.guests.get(subject)
        return guest.classroom_id if guest is not None else ""

    def _order_drains(self) -> None:
        """Order nodes to drain whose students all have a seat elsewhere, and only while others take students.

        A draining relay refuses playlists to everybody: it must not while somebody has nowhere to go.
        """
        occupied, changed = self._occupied_nodes(), False
        for node in self.nodes.all.values():
            drains = (
                node.id in self.view.drained
                and node.id not in occupied
                and not self.nodes.is_last_taker(node.id)
            )
            changed |= node.drains_now != drains
            node.drains_now = drains
        if changed:
            self._bump()

    def _bump(self) -> None:
        self.version += 1
        self._notify("orders")

    def _reported_streams(self) -> set[str]:
        return set(self._states).union(*(n.streams for n in self.nodes.all.values()))

    def _follow_state(self, stream: str) -> None:
        working = [n for n in self.nodes.all.values() if n.health.status in WORKING]
        reports = [n.streams[stream].state for n in working if stream in n.streams]
        if not working and any(stream in n.streams for n in self.nodes.all.values()):
            return  # no report is fresh: the master may be cut off while students play on
        state = next((s for s in _STATE_ORDER if s in reports), StreamState.WAITING)
        if self._states.get(stream) is not state:
            self._states[stream] = state
            self._notify(f"state:{stream}")
            self._notify("nodes")

    def _place(
        self, guest: Student, ledger: ClassroomState, address: Address | None, now_s: float
    ) -> Placement:
        subject, seat_book = guest.subject, self.nodes.seat_book
        if subject not in seat_book.seat_of:
            if not self.has_begun(guest.classroom_id):
                # A preview is no student: it takes no place, and its teacher asks again.
                entered = guest.preview or ledger.queue.enter(subject, now_s)
                return Placement.QUEUED if entered else Placement.CLASS_FULL
            if subject in ledger.queue:
                ledger.queue.enter(subject, now_s)
            if seat_book.pause_s(subject, now_s) > 0:
                return Placement.PAUSED
            if not guest.preview and self._is_class_full(guest.classroom_id):
                return Placement.CLASS_FULL
        avoid = self.nodes.avoided(guest.classroom_id)
        seat = seat_book.reserve(subject, address, now_s, avoid=avoid)
        if seat is None and subject not in seat_book.seat_of:
            return Placement.CLUSTER_FULL
        ledger.queue.leave(subject)
        return Placement.SEATED

    def _is_class_full(self, classroom_id: str, share: float = 1.0) -> bool:
        """Tell whether this share of the class's own seats is taken; the queue takes none."""
        classroom = self.view.classrooms.get(classroom_id)
        if classroom is None or not classroom.capacity:
            return False
        ledger = self.ledger(classroom_id)
        return len(ledger.members) - len(ledger.queue) >= share * classroom.capacity

    def _is_class_crowded(self, subject: str) -> bool:
        guest = self.guests.get(subject)
        return guest is not None and self._is_class_full(guest.classroom_id, CROWDED_LOAD)

    def _call_queues(self, now_s: float) -> None:
        """Drop places without a sign of life; ask the first of a class that has begun to take free seats.

        Seats are taken by the pages that answer, so that a place that nobody uses costs no seat.
        """
        called = min(CALLED_PER_TICK, 4 * self.nodes.seat_book.free_seats)
        for classroom_id, ledger in list(self._ledgers.items()):
            for subject in ledger.queue.expire(now_s):
                ledger.members.discard(subject)
                self._leave(subject)
            if ledger.queue and self.has_begun(classroom_id) and not self._is_class_full(classroom_id):
                for subject in islice(ledger.queue, called):
                    self._notify(f"seat:{subject}")

    def _viewer_changed(self, node: Node, report: ViewerReport, arrived: bool) -> None:
        if not arrived:
            queue = self.ledger(report.stream).queue
            if report.subject not in self.nodes.seat_book.seat_of and report.subject not in queue:
                self._leave(report.subject)
            return
        classroom = self.view.classrooms.get(report.stream)
        if classroom is None:
            return
        if not self.is_valid(classroom, report.subject, report.token_id):
            if node.protocol < 1:
                self._name_outdated([report.token_id])
            return
        if not report.has_media:
            return  # a playlist alone is no seat
        guest = self.guests.get(report.subject)
        if guest is None and len(self.guests) < MAX_GUESTS:
            guest = Student(report.subject, classroom.id, "", report.since_s, float("inf"))
            self.guests[report.subject] = guest
        self.ledger(classroom.id).queue.leave(report.subject)
        if guest is None or not guest.preview:
            self.ledger(classroom.id).members.add(report.subject)
        self._notify(f"class:{classroom.id}")
        self._notify(f"seat:{report.subject}")

    def _take_out(self, subject: str) -> None:
        self.nodes.dismiss(subject)
        self._leave(subject)

    def _leave(self, subject: str) -> None:
        self.nodes.seat_book.release(subject)
        guest = self.guests.get(subject)
        if guest is not None:
            self.ledger(guest.classroom_id).members.discard(subject)
            self.ledger(guest.classroom_id).queue.leave(subject)
            self._notify(f"class:{guest.classroom_id}")
            self._notify(f"seat:{subject}")

    def _take_everybody_out(self, classroom_id: str) -> None:
        for node in self.nodes.all.values():
            if node.protocol < 1:
                self._name_outdated([t for t, r in node.viewers.items() if r.stream == classroom_id])
        ledger = self._ledgers.get(classroom_id)
        if ledger is not None:
            for subject in list(ledger.members):
                self._take_out(subject)

    def _name_outdated(self, token_ids: list[str]) -> None:
        """Name tokens to relays that know no generations: the ones in use there, no others.

        When there are too many, the oldest are dropped: such a relay admits them again for one heartbeat.
        """
        fresh = [token_id for token_id in token_ids if token_id not in self.outdated_tokens]
        for token_id in fresh:
            self.outdated_tokens[token_id] = None
            if len(self.outdated_tokens) > MAX_OUTDATED_TOKENS:
                del self.outdated_tokens[next(iter(self.outdated_tokens))]
        if fresh:
            self._bump()

    def _prune(self, now_s: float) -> None:
        for name in [n for n, until_s in self.left.items() if until_s <= now_s]:
            del self.left[name]
        if self.outdated_tokens and all(node.protocol for node in self.nodes.all.values()):
            self.outdated_tokens.clear()

    def _sample(self, wall_s: float) -> None:
        at_s = round(wall_s)
        summary = self.nodes.summary()
        self.load_history.append((at_s, summary.average_load))
        self.student_history.append((at_s, summary.current_load))
        for classroom in self.view.open_classes():
            self.ledger(classroom.id).history.append((at_s, self.viewers(classroom.id)))
        here = self.nodes.seat_book.seat_of
        for subject in [s for s, g in self.guests.items() if g.until_s <= wall_s and s not in here]:
            del self.guests[subject]
