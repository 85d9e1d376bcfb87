"""What must hold in every schedule, checked event by event; docs/control-plane.md publishes the same list.

The checker knows the truth only from the events: which faults run, who plays where. Times are in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# A silent node is noticed after 6 s at the next judgement; the last heartbeat may have been under way.
DETECTION_S = 7.5
# After its last fault: one hanging call (8 s), a pause between attempts (4 s), two heartbeats, a judgement.
BACK_S = 18.0
FIRST_HOLD_S = 5.0
MAX_HOLD_S = 120.0
FLAP_MEMORY_S = 300.0
PROBE_PAUSE_S = 5.0
# A fault of a node explains a move for so long after its end.
REASON_S = 20.0
# The master's orders take effect on a relay that could know of them within this time.
ORDERS_S = 1.0
# A promised seat that nobody takes ends by then, so it is not counted for longer.
PROMISE_S = 5.0
# A reservation on a full node lapses by then.
OVERBOOKED_S = 26.0
# From the first media until the master counts a student: a heartbeat, and one more that was lost.
COUNTED_S = 8.0
# Silence at the relay (three target durations), a heartbeat, a node that is offline, a reservation.
GHOST_S = 60.0
FROZEN_S = 12.0
AGREED_S = 20.0
# A relay that missed the closing and opening of a class may forget its numbers so long after a restore.
FORGOTTEN_S = 30.0
STARVED_S = 30.0
# Most nodes that fall within this time have lost the master's line: nobody's fall.
TOGETHER_S = 3.0
OVERLOAD_S = 2.0
DOWN = ("crash", "pause")
# Faults that keep a relay's reports from the master while it goes on.
LINE = ("unprobed", "slow", "pause")


class Violation(Exception):
    """An invariant is broken; the message says which one, when and how."""

    def __init__(self, rule: str, at_s: float, text: str) -> None:
        super().__init__(f"{rule}: at {at_s:.2f} s {text}")
        self.rule = rule
        self.at_s = at_s


@dataclass(slots=True)
class Disturbance:
    """Faults of one target: how many run, and when the last one ended."""

    running: int = 0
    ended_s: float = float("-inf")
    began_s: float = float("-inf")

    def quiet_for(self, now_s: float, time_s: float) -> bool:
        """Tell whether nothing was wrong for this long."""
        return not self.running and now_s - self.ended_s >= time_s


@dataclass(slots=True)
class NodeTruth:
    """What is known of one node."""

    capacity: int = 0
    disturbed: Disturbance = field(default_factory=Disturbance)
    down: Disturbance = field(default_factory=Disturbance)
    line: Disturbance = field(default_factory=Disturbance)
    unreachable_s: float = 0.0
    process: str = ""
    earlier: set[str] = field(default_factory=set)
    drained_s: float | None = None
    undrained_s: float = float("-inf")
    falls: list[float] = field(default_factory=list)
    status: str = ""
    over_since_s: float | None = None


@dataclass(slots=True)
class StudentTruth:
    """What is known of one student."""

    stream: str = ""
    node: str = ""  # where they get media
    since_s: float = 0.0
    last_s: float = float("-inf")
    promised: str = ""
    promised_s: float = float("-inf")
    out_s: float | None = None  # kicked
    left_s: float | None = None
    waits_s: float | None = None  # since when they want to watch and do not


@dataclass(slots=True)
class RelayListing:
    """What one life of a relay lists of one stream."""

    epoch: str
    msn: int
    discontinuity: int
    advanced_s: float


class Checker:
    """Takes in events in the order of time; raises Violation at the first that breaks an invariant."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeTruth] = {}
        self.students: dict[str, StudentTruth] = {}
        self._faults: dict[str, tuple[str, list[str], float]] = {}
        self._master = Disturbance()
        self._overload = Disturbance()
        self._media_s: dict[str, float] = {}
        self._closed: set[str] = set()
        self._restored_s = float("-inf")
        self._scripts = 0
        self._origins: dict[str, Disturbance] = {}
        self._offsets: dict[tuple[str, str], tuple[int, int]] = {}
        self._alone: set[tuple[str, str]] = set()
        self._listings: dict[tuple[str, str], RelayListing] = {}
        self._first: dict[tuple[str, str], int] = {}
        self._highest: dict[str, tuple[int, int, str]] = {}
        self._alone_s: dict[str, float] = {}
        self._retired: dict[str, float] = {}
        self._informed: dict[tuple[str, str], float] = {}
        self._written: dict[str, tuple[str, float]] = {}

    # -- what happens ---------------------------------------------------------------------

    def node(self, at_s: float, node: str, capacity: int) -> None:
        """A node belongs to the cluster."""
        self.nodes[node] = NodeTruth(capacity)

    def fault(self, at_s: float, name: str, kind: str, targets: list[str]) -> None:
        """A fault begins; its targets are nodes, students, `master`, `origin` or `origin:<stream>`."""
        self._faults[name] = kind, targets, at_s
        for disturbance in self._disturbed(kind, targets):
            disturbance.running += 1
            disturbance.began_s = at_s
        if kind == "crash":
            for key in [k for k in self._listings if k[0] in targets]:
                del self._listings[key]

    def fault_over(self, at_s: float, name: str) -> None:
        """A fault ends."""
        kind, targets, began_s = self._faults.pop(name)
        for disturbance in self._disturbed(kind, targets):
            disturbance.running -= 1
            disturbance.ended_s = at_s
        if kind == "unprobed":
            for target in targets:
                if target in self.nodes:
                    # The pauses between probes grow with the failures.
                    self.nodes[target].unreachable_s = 2 * (at_s - began_s) + PROBE_PAUSE_S

    def _disturbed(self, kind: str, targets: list[str]) -> list[Disturbance]:
        found = []
        for target in targets:
            truth = self.nodes.get(target)
            if truth is not None:
                found.append(truth.disturbed)
                if kind in DOWN:
                    found.append(truth.down)
                if kind in LINE:
                    found.append(truth.line)
            elif target == "master":
                found.append(self._overload if kind == "overload" else self._master)
            elif target.startswith("origin"):
                found.append(self._origins.setdefault(target, Disturbance()))
        return found

    def restored(self, at_s: float) -> None:
        """The database went back to a backup: what was written since is not acknowledged any more."""
        self._written.clear()
        self._retired.clear()
        self._restored_s = at_s
        for student in self.students.values():
            student.out_s = None
        for truth in self.nodes.values():
            truth.drained_s = None
            truth.undrained_s = at_s
        for stream in {stream for stream, _ in self._offsets}:
            self._alone_s[stream] = at_s
        # Relays forget a class that is closed: its numbers are known to nobody now.
        for place in [p for p in self._listings if p[1] in self._closed]:
            del self._listings[place]
        for key in [k for k in self._offsets if k[0] in self._closed]:
            del self._offsets[key]
        for stream in self._closed:
            self._highest.pop(stream, None)

    # -- numbers --------------------------------------------------------------------------

    def numbered(
        self, at_s: float, node: str, stream: str, epoch: str, offset: int, discontinuity: int, alone: bool
    ) -> None:
        """A relay takes the numbers of an epoch; `alone`: no master could be asked."""
        place = stream, epoch
        if alone:
            self._alone.add(place)
            self._alone_s[stream] = at_s
            return
        known = self._offsets.setdefault(place, (offset, discontinuity))
        if known != (offset, discontinuity) and place not in self._alone:
            raise Violation(
                "one-offset", at_s, f"epoch {epoch} of {stream} has {(offset, discontinuity)} on {node}, "
                f"and {known} before",
            )  # fmt: skip

    def listed(
        self,
        at_s: float,
        node: str,
        stream: str,
        epoch: str,
        msn: int,
        discontinuity: int,
        behind: bool = False,
    ) -> None:
        """A relay lists a new segment as its last one; `behind`: it goes on with an epoch that is over."""
        place = node, stream
        listing = self._listings.get(place)
        if listing is None:
            listing = self._listings[place] = RelayListing(epoch, -1, discontinuity, at_s)
        if stream in self._closed and at_s - self._restored_s < FORGOTTEN_S:
            listing.msn, listing.discontinuity = (
                min(listing.msn, msn),
                min(listing.discontinuity, discontinuity),
            )
        if msn < listing.msn or discontinuity < listing.discontinuity:
            raise Violation(
                "numbers-fall", at_s, f"{node} lists {msn} ({discontinuity}) of {stream} after {listing.msn} "
                f"({listing.discontinuity})",
            )  # fmt: skip
        if msn > listing.msn:
            listing.advanced_s = at_s
        highest = self._highest.get(stream)
        if epoch != listing.epoch or listing.msn < 0:
            begins = (stream, epoch) not in self._first
            self._first.setdefault((stream, epoch), msn)
            exempt = (
                at_s - self._alone_s.get(stream, float("-inf")) < AGREED_S or (stream, epoch) in self._alone
            )
            if begins and highest is not None and not exempt and not self._line_disturbed(at_s):
                if msn <= highest[0] or discontinuity <= highest[1]:
                    raise Violation(
                        "numbers-fall",
                        at_s,
                        f"epoch {epoch} of {stream} begins with {msn} ({discontinuity}) on {node}; "
                        f"viewers have seen {highest[0]} ({highest[1]})",
                    )
        listing.epoch, listing.msn, listing.discontinuity = epoch, msn, discontinuity
        if highest is None or msn > highest[0]:
            self._highest[stream] = msn, max(discontinuity, highest[1] if highest else 0), epoch

    def _line_disturbed(self, at_s: float) -> bool:
        """Tell whether some relay could not report its numbers a moment ago."""
        return any(not truth.line.quiet_for(at_s, DETECTION_S) for truth in self.nodes.values())

    def media(self, at_s: float, node: str, stream: str) -> None:
        """A relay is given new media by its origin."""
        self._media_s[stream] = at_s
        listing = self._listings.get((node, stream))
        if listing is None:
            self._listings[node, stream] = RelayListing("", -1, 0, at_s)
        elif at_s - listing.advanced_s > FROZEN_S:
            truth = self.nodes.get(node, NodeTruth())
            if truth.disturbed.quiet_for(at_s, FROZEN_S) and self._master.quiet_for(at_s, FROZEN_S):
                raise Violation(
                    "frozen", at_s, f"{node} gets media of {stream}, and lists nothing new since "
                    f"{listing.advanced_s:.1f} s (last: {listing.msn})",
                )  # fmt: skip

    def no_media(self, at_s: float, node: str, stream: str) -> None:
        """A relay's origin has no media now."""
        listing = self._listings.get((node, stream))
        if listing is not None:
            listing.advanced_s = at_s

    # -- students -------------------------------------------------------------------------

    def placed(self, at_s: float, student: str, stream: str, node: str, others: str = "") -> None:
        """The master names a node to a student as the first one to use.

        `others` is what the other nodes offer: `room`, or `full`, or nothing: none takes students.
        """
        if stream in self._retired:
            raise Violation("ended-stays-ended", at_s, f"{student} is let into {stream}")
        truth, who = self.nodes[node], self.students.setdefault(student, StudentTruth(stream))
        who.stream = stream
        plays_there = who.node == node and who.last_s >= at_s - DETECTION_S
        if not plays_there and others == "room":
            self._check_placement(at_s, student, node, truth)
        stays = who.node != node and who.promised == who.node and at_s - who.since_s > COUNTED_S
        if who.node and stays and at_s - who.last_s < 4.0:
            self._check_move(at_s, student, who.node, node)
        is_new = who.promised != node
        who.promised, who.promised_s, who.left_s = node, at_s, None
        if truth.capacity and is_new and others == "room":
            held = sum(self._holds_seat(s, node, at_s) for s in self.students.values())
            if held > truth.capacity + 1 and not plays_there and truth.disturbed.quiet_for(at_s, REASON_S):
                raise Violation(
                    "overbooked",
                    at_s,
                    f"{student} is sent to {node}, where {held - 1} of {truth.capacity} seats are taken, "
                    "while another node has room",
                )

    @staticmethod
    def _holds_seat(who: StudentTruth, node: str, at_s: float) -> bool:
        if who.left_s is not None or who.promised != node:
            return False
        return who.node == node or (not who.node and at_s - who.promised_s < PROMISE_S)

    def _check_placement(self, at_s: float, student: str, node: str, truth: NodeTruth) -> None:
        stalled_s = max(0.0, at_s - self._master.began_s) if self._master.running else 0.0
        if not self._master.quiet_for(at_s, DETECTION_S):
            stalled_s = max(stalled_s, self._master.ended_s - self._master.began_s) + DETECTION_S
        allowed_s = (
            DETECTION_S + stalled_s + (0.0 if self._overload.quiet_for(at_s, DETECTION_S) else OVERLOAD_S)
        )
        if truth.down.running and at_s - truth.down.began_s > allowed_s:
            raise Violation(
                "placed-on-dead", at_s, f"{student} is sent to {node}, down since {truth.down.began_s:.1f} s"
            )
        if truth.drained_s is not None and at_s - truth.drained_s > ORDERS_S:
            raise Violation(
                "placed-on-draining",
                at_s,
                f"{student} is sent to {node}, draining since {truth.drained_s:.1f} s",
            )

    def _check_move(self, at_s: float, student: str, old: str, new: str) -> None:
        truth = self.nodes[old]
        drained = truth.drained_s is not None or at_s - truth.undrained_s < REASON_S
        if truth.disturbed.quiet_for(at_s, REASON_S) and not drained:
            raise Violation("moved-without-reason", at_s, f"{student} plays on {old} and is sent to {new}")

    def plays(self, at_s: float, student: str, stream: str, node: str) -> None:
        """A student gets media from a node."""
        who = self.students.setdefault(student, StudentTruth(stream))
        if who.node != node or at_s - who.last_s > 6.0 or who.left_s is not None:
            who.node, who.since_s, who.stream = node, at_s, stream
        who.last_s, who.left_s, who.waits_s = at_s, None, at_s
        key = student if who.out_s is not None else stream if stream in self._retired else ""
        if key:
            informed_s = self._informed.get((key, node))
            if informed_s is not None and at_s - informed_s > ORDERS_S:
                rule = "kicked-is-refused" if who.out_s is not None else "ended-stays-ended"
                raise Violation(
                    rule, at_s, f"{node} serves {student}; it could know of the refusal at {informed_s:.2f} s"
                )

    def wants(self, at_s: float, student: str, stream: str) -> None:
        """A student opens the page of a class, to watch."""
        who = self.students.setdefault(student, StudentTruth(stream))
        who.stream, who.waits_s, who.left_s = stream, at_s, None

    def script(self, at_s: float, student: str) -> None:
        """A script joins and fetches no media: for a while it holds a seat, too."""
        self._scripts += 1

    def left(self, at_s: float, student: str) -> None:
        """A student closes the page."""
        who = self.students.get(student)
        if who is not None:
            who.waits_s = None
            who.left_s, who.node, who.promised = at_s, "", ""

    def kicked(self, at_s: float, student: str) -> None:
        """The master acknowledged that a student is taken out."""
        who = self.students.setdefault(student, StudentTruth())
        who.out_s = at_s

    def refused(self, at_s: float, stream: str) -> None:
        """A class was closed, or has a new code: its students are turned away and come back as they can."""
        self._closed.add(stream)
        for (_, listed), listing in self._listings.items():
            if listed == stream:
                listing.advanced_s = at_s
        for who in self.students.values():
            if who.stream == stream:
                who.node, who.promised, who.since_s = "", "", at_s
                who.waits_s = None if who.waits_s is None else at_s

    def retired(self, at_s: float, stream: str) -> None:
        """The master acknowledged that a class is over for good."""
        self._retired[stream] = at_s
        self.refused(at_s, stream)

    def could_know(self, at_s: float, node: str, what: str) -> None:
        """A relay could know of a refusal from now on: of a student, or of a class."""
        self._informed.setdefault((what, node), at_s)

    def lost_memory(self, at_s: float, node: str) -> None:
        """A relay starts without memory: it knows of no refusal until its first orders."""
        for key in [k for k in self._informed if k[1] == node]:
            del self._informed[key]

    # -- the master -----------------------------------------------------------------------

    def drained(self, at_s: float, node: str) -> None:
        """The master acknowledged that a node is to be emptied."""
        if self.nodes[node].drained_s is None:
            self.nodes[node].drained_s = at_s

    def undrained(self, at_s: float, node: str) -> None:
        """The master acknowledged that a node is used again."""
        self.nodes[node].drained_s, self.nodes[node].undrained_s = None, at_s

    def wrote(self, at_s: float, key: str, value: str) -> None:
        """The master acknowledged a write."""
        self._written[key] = value, at_s

    def reads(self, at_s: float, values: dict[str, str]) -> None:
        """What a running master believes of everything that was written."""
        for key, (value, wrote_s) in self._written.items():
            if values.get(key, "") != value and at_s - wrote_s > ORDERS_S:
                raise Violation(
                    "write-lost",
                    at_s,
                    f"{key} is {values.get(key)!r}; {value!r} was acknowledged at {wrote_s:.1f} s",
                )

    def judged(self, at_s: float, nodes: dict[str, list[object]]) -> None:
        """The master's view of its nodes: status, occupied seats, capacity."""
        if self._master.running:
            return
        room = any(
            status == "active" and occupied < capacity for status, occupied, capacity in nodes.values()
        )  # type: ignore[operator]
        for node, truth in self.nodes.items():
            status, occupied, capacity = nodes.get(node, ["unknown", 0, 0])
            works = status in ("active", "draining")
            if not works and truth.status in ("active", "draining") and self._master.quiet_for(at_s, 1.0):
                truth.falls.append(at_s)
            truth.status = str(status)
            if not works:
                recent = [f for f in truth.falls if at_s - f < FLAP_MEMORY_S and not self._fell_together(f)]
                hold_s = min(MAX_HOLD_S, FIRST_HOLD_S * 2.0 ** (len(recent) - 2)) if len(recent) > 1 else 0.0
                allowed_s = BACK_S + hold_s + truth.unreachable_s
                if truth.disturbed.quiet_for(at_s, allowed_s) and self._master.quiet_for(at_s, allowed_s):
                    shared = any(not d.quiet_for(at_s, allowed_s) for d in self._origins.values())
                    raise Violation(
                        "shared-fault-excludes" if shared else "healthy-is-back",
                        at_s,
                        f"{node} is {status}; nothing is wrong with it since {truth.disturbed.ended_s:.1f} s",
                    )
            over = works and room and occupied > capacity  # type: ignore[operator]
            if not over:
                truth.over_since_s = None
            elif truth.over_since_s is None:
                truth.over_since_s = at_s
            elif at_s - truth.over_since_s > OVERBOOKED_S:
                raise Violation(
                    "overbooked", at_s, f"{node} has {occupied} of {capacity} seats taken since "
                    f"{truth.over_since_s:.1f} s, while another node has room",
                )  # fmt: skip

    def _fell_together(self, fell_s: float) -> bool:
        count = sum(any(abs(f - fell_s) < TOGETHER_S for f in truth.falls) for truth in self.nodes.values())
        return count >= 2 and 2 * count > len(self.nodes)

    def beat(self, at_s: float, node: str, process: str) -> None:
        """The master takes a heartbeat of a process with this node's id."""
        truth = self.nodes[node]
        if process != truth.process:
            if process in truth.earlier:
                raise Violation(
                    "one-process", at_s, f"two processes beat as {node}: {process}, {truth.process}"
                )
            truth.earlier.add(truth.process)
            truth.process = process

    def _check_starved(self, at_s: float) -> None:
        """A student who wants to watch does so, unless something was wrong or there is no room."""
        quiet = self._master.quiet_for(at_s, STARVED_S) and self._overload.quiet_for(at_s, STARVED_S)
        if not quiet or not all(t.disturbed.quiet_for(at_s, STARVED_S) for t in self.nodes.values()):
            return
        watching = [s for s in self.students.values() if s.waits_s is not None]
        if len(watching) + self._scripts > sum(truth.capacity for truth in self.nodes.values()):
            return
        for student, who in self.students.items():
            if who.waits_s is None or at_s - who.waits_s < STARVED_S or at_s - who.last_s < STARVED_S:
                continue
            stream = who.stream
            is_open = self._written.get(f"class:{stream}", ("open", 0.0))[0].startswith("open")
            origin = self._origins.get(f"origin:{stream}", self._origins.get("origin"))
            live = at_s - self._media_s.get(stream, float("-inf")) < FROZEN_S
            if (
                who.out_s is None
                and is_open
                and live
                and (origin is None or origin.quiet_for(at_s, STARVED_S))
            ):
                raise Violation("starved", at_s, f"{student} wants to watch {stream} and gets no media")

    def counted(self, at_s: float, members: dict[str, list[str]], seats: dict[str, str]) -> None:
        """Whom the master counts: the members of each class, and each student's seat."""
        if not self._master.quiet_for(at_s, BACK_S):
            return
        self._check_starved(at_s)
        for student, who in self.students.items():
            if who.stream in self._retired or who.out_s is not None:
                continue
            if who.node and at_s - who.last_s < 3.0 and at_s - who.since_s > COUNTED_S:
                if not self.nodes[who.node].disturbed.quiet_for(at_s, BACK_S):
                    continue
                if student not in members.get(who.stream, ()):
                    raise Violation("counted-once", at_s, f"{student} plays on {who.node} and is not counted")
                if student not in seats:
                    raise Violation("counted-once", at_s, f"{student} plays on {who.node} and has no seat")
            elif (
                who.left_s is not None
                and at_s - who.left_s > GHOST_S
                and student in members.get(who.stream, ())
            ):
                raise Violation("counted-once", at_s, f"{student} left at {who.left_s:.1f} s and is counted")
        count = sum(map(len, members.values()))
        distinct = len({student for here in members.values() for student in here})
        if count != distinct:
            raise Violation("counted-once", at_s, f"{count - distinct} students are counted in two classes")
