"""Runs a program: makes the actors, lets faults begin and end, and stops at the first broken invariant."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from airclass.domain.classrooms import Classroom
from tests.simulation import adapters
from tests.simulation.actors import MasterActor, OriginActor, RelayActor, StudentActor
from tests.simulation.disk import Disk
from tests.simulation.history import History
from tests.simulation.invariants import Violation
from tests.simulation.network import LinkFault, Network
from tests.simulation.scheduler import Scheduler

if TYPE_CHECKING:
    from tests.simulation.programs import Program, Step

CUT = LinkFault(cut=True)
OVERLOAD_S = 0.45  # stopped for so long, then at work for as long
PUBLISHED_S = 0.5
JOIN_S = 6.0
_METHODS = {"backup": "backup-step"}


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What a program led to; `events` is the history when it was kept."""

    program: Program
    violation: Violation | None
    events: list[dict[str, Any]] | None


class World:
    """The actors of one program, and what connects them."""

    def __init__(self, program: Program, *, keep: bool = False) -> None:
        self.program = program
        self.keeps = keep
        self.random = Random(program.seed)
        self.scheduler = Scheduler()
        self.network = Network(self.scheduler, self.random)
        self.history = History(keep=keep)
        self.told: list[tuple[int, str]] = []
        self._faults = 0
        streams = [f"class-{n}" for n in range(1, program.streams + 1)]
        disk = Disk()
        for stream in streams:
            disk.classrooms[stream] = Classroom(stream, stream, stream.upper())
        self._backup = disk.backup()
        self.origin = OriginActor(self, streams)
        self.relays = {
            f"relay-{n}": RelayActor(self, f"relay-{n}", program.capacity)
            for n in range(1, program.relays + 1)
        }
        self.students: dict[str, StudentActor] = {}
        self.master = MasterActor(self, disk)
        for name in self.relays:
            self.emit("node", node=name, capacity=program.capacity)
        self.master.start()
        self.origin.start()
        for relay in self.relays.values():
            self.scheduler.after(0.3 * self.random.random(), relay.start)
        for stream in streams:
            self.scheduler.after(PUBLISHED_S + self.random.random(), self.origin.publish, stream)
        for number in range(1, program.students + 1):
            student = StudentActor(self, f"student-{number}", streams[number % len(streams)])
            self.students[student.name] = student
            self.scheduler.after(2.0 + JOIN_S * self.random.random(), student.enter)
        for step in program.steps:
            self.scheduler.at(step.at_s, self._do, step)

    def emit(self, event: str, **fields: Any) -> None:
        """Note an event in the history."""
        self.history.now_s = self.scheduler.now_s
        self.history.emit(event, **fields)

    # -- faults and acts ----------------------------------------------------------------------

    def _do(self, step: Step) -> None:
        if self.keeps:
            self.emit("step", text=str(step))
        getattr(self, "_" + _METHODS.get(step.kind, step.kind).replace("-", "_"))(step)

    def _fault(self, kind: str, targets: list[str], time_s: float) -> None:
        self._faults += 1
        name = f"{kind} {self._faults}"
        self.emit("fault", name=name, kind=kind, targets=targets)
        self.scheduler.after(time_s, lambda: self.emit("fault_over", name=name))

    def _actor(self, name: str) -> Any:
        if name == "master":
            return self.master
        return self.origin if name.startswith("origin") else self.relays.get(name)

    def _crash(self, step: Step) -> None:
        actor = self._actor(step.target)
        if actor is None or not actor.up:
            return
        targets = ["origin"] if actor is self.origin else [actor.name]
        # the fault is over when the actor is at work again, which takes a moment
        self._fault("crash", targets, step.time_s)
        actor.crash()
        self.scheduler.after(step.time_s, self._start, actor)

    def _start(self, actor: Any) -> None:
        if actor.up:
            return
        actor.start()
        if actor is self.origin:
            for stream in sorted(self.master.disk.classrooms):
                self.scheduler.after(PUBLISHED_S + self.random.random(), self.origin.publish, stream)

    def _lose_disk(self, step: Step) -> None:
        """The master's machine is lost; another one starts with the last backup."""
        if not self.master.up:
            return
        self._fault("crash", ["master"], step.time_s)
        self.master.crash()
        self.master.disk = self._backup.backup()
        self.emit("restored")
        self.told.clear()
        self.scheduler.after(step.time_s, self._start, self.master)

    def _backup_step(self, step: Step) -> None:
        self._backup = self.master.disk.backup()

    def _pause(self, step: Step) -> None:
        actor = self._actor(step.target)
        if actor is None:
            return
        targets = ["origin"] if actor is self.origin else [actor.name]
        self._fault("pause", targets, step.time_s)
        actor.pause()
        self.scheduler.after(step.time_s, actor.resume)

    def _overload(self, step: Step) -> None:
        self._fault("overload", ["master"], step.time_s)
        at_s = 0.0
        while at_s < step.time_s:
            self.scheduler.after(at_s, self.master.pause)
            self.scheduler.after(at_s + OVERLOAD_S, self.master.resume)
            at_s += 2 * OVERLOAD_S

    def _trouble(self, pairs: list[tuple[str, str]], trouble: LinkFault, time_s: float) -> None:
        for pair in pairs:
            self.network.add(*pair, trouble)
            self.scheduler.after(time_s, self.network.remove, *pair, trouble)

    def _line(self, step: Step) -> tuple[str, str]:
        where, _, relay = step.target.partition(":")
        return relay, "master" if where == "line" else "origin"

    def _cut(self, step: Step) -> None:
        relay, other = self._line(step)
        self._fault("cut" if other == "origin" else "unprobed", [relay], step.time_s)
        self._trouble([(relay, other), (other, relay)], CUT, step.time_s)

    def _cut_up(self, step: Step) -> None:
        relay, other = self._line(step)
        self._fault("unprobed", [relay], step.time_s)
        self._trouble([(relay, other)], CUT, step.time_s)

    def _cut_down(self, step: Step) -> None:
        relay, other = self._line(step)
        self._fault("unprobed", [relay], step.time_s)
        self._trouble([(other, relay)], CUT, step.time_s)

    def _cut_all(self, step: Step) -> None:
        """The master's own line is cut."""
        self._fault("unprobed", sorted(self.relays), step.time_s)
        for relay in self.relays:
            self._trouble([(relay, "master"), ("master", relay)], CUT, step.time_s)

    def _lossy(self, step: Step) -> None:
        relay, other = self._line(step)
        self._fault("unprobed", [relay], step.time_s)
        self._trouble([(relay, other), (other, relay)], LinkFault(loss=step.value), step.time_s)

    def _slow(self, step: Step) -> None:
        relay, other = self._line(step)
        self._fault("slow", [relay], step.time_s)
        self._trouble([(relay, other), (other, relay)], LinkFault(extra_s=step.value), step.time_s)

    def _duplicates(self, step: Step) -> None:
        relay, other = self._line(step)
        self._fault("slow", [relay], step.time_s)
        self._trouble([(relay, other), (other, relay)], LinkFault(duplicates=0.5, extra_s=0.3), step.time_s)

    def _clock(self, step: Step) -> None:
        actor = self._actor(step.target)
        if actor is not None:
            actor.clock.offset_s += step.value
            self._fault("clock", [actor.name], 0.0)

    def _fail(self, step: Step) -> None:
        stream = step.target.removeprefix("origin:")
        self._fault("fail", [step.target], step.time_s)
        self.origin.failing.add(stream)
        self.scheduler.after(step.time_s, self.origin.failing.discard, stream)

    def _restart(self, step: Step) -> None:
        stream = step.target.removeprefix("publisher:")
        self.origin.unpublish(stream)
        self.scheduler.after(step.time_s, self.origin.publish, stream)

    def _lag(self, step: Step) -> None:
        """The database fails over to a replica whose revision is lower; its rows are the same."""
        self.master.disk.revision -= int(step.value)

    def _twin(self, step: Step) -> None:
        """Another process is started with the id of a relay."""
        twin = RelayActor(self, "twin", self.program.capacity, step.target)
        self.relays["twin"] = twin
        twin.start()

    # -- people -------------------------------------------------------------------------------

    def _drain(self, step: Step) -> None:
        if step.target in self.relays and self.master.serves:
            self.master.set_drained(step.target, drained=True)
            self.scheduler.after(step.time_s, self._undrain, step.target)

    def _undrain(self, node: str) -> None:
        if not self.master.serves:
            self.scheduler.after(1.0, self._undrain, node)
        elif node in self.master.disk.drained:
            self.master.set_drained(node, drained=False)

    def _kick(self, step: Step) -> None:
        if step.target in self.students and self.master.serves:
            self.master.kick(step.target)

    def _rotate(self, step: Step) -> None:
        classroom = self.master.disk.classrooms.get(step.target)
        if classroom is not None and self.master.serves:
            self.master.set_class(step.target, generation=classroom.generation + 1)

    def _close(self, step: Step) -> None:
        if self._set_status(step.target, adapters.CLOSED):
            self.scheduler.after(step.time_s, self._reopen, step.target)

    def _reopen(self, stream: str) -> None:
        if self.master.serves and self.master.disk.classrooms[stream].status is adapters.CLOSED:
            self._set_status(stream, adapters.OPEN)

    def _retire(self, step: Step) -> None:
        self._set_status(step.target, adapters.RETIRED)

    def _set_status(self, stream: str, status: Any) -> bool:
        classroom = self.master.disk.classrooms.get(stream)
        if classroom is None or not self.master.serves or classroom.status is adapters.RETIRED:
            return False
        self.master.set_class(stream, status=status)
        return True

    def _leave(self, step: Step) -> None:
        self._go(step, forget=False)

    def _forget(self, step: Step) -> None:
        self._go(step, forget=True)

    def _go(self, step: Step, *, forget: bool) -> None:
        student = self.students.get(step.target)
        if student is not None:
            student.leave(forget=forget)
            self.scheduler.after(step.time_s, student.enter)

    def _herd(self, step: Step) -> None:
        """Many students join within a second."""
        streams = sorted(self.master.disk.classrooms)
        for number in range(int(step.value)):
            student = StudentActor(self, f"student-{len(self.students) + 1}", streams[number % len(streams)])
            self.students[student.name] = student
            self.scheduler.after(self.random.random(), student.enter)

    def _scripts(self, step: Step) -> None:
        for _ in range(int(step.value)):
            script = StudentActor(self, f"script-{len(self.students)}", step.target, script=True)
            self.students[script.name] = script
            self.scheduler.after(self.random.random(), script.enter)


def run(program: Program, *, keep: bool = False) -> RunOutcome:
    """Run a program to its end, or to the first broken invariant."""
    violation = None
    with adapters.stand_ins():
        world = World(program, keep=keep)
        try:
            world.scheduler.run(program.length_s)
        except Violation as found:
            violation = found
    return RunOutcome(program, violation, world.history.events)
