"""Programs: who takes part, which faults and acts happen when. A seed makes one, shrinking a short one."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_S = 60.0
CALM_S = 20.0  # the last faults end so long before the end


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens: a fault of `time_s`, or an act of a person."""

    at_s: float
    kind: str
    target: str = ""
    time_s: float = 0.0
    value: float = 0.0

    def __str__(self) -> str:
        lasts = f" for {self.time_s:.1f} s" if self.time_s else ""
        value = f" ({self.value:g})" if self.value else ""
        return f"{self.at_s:6.2f} s  {self.kind} {self.target}{lasts}{value}"


@dataclass(frozen=True, slots=True)
class Program:
    """One schedule, complete: the same program always runs the same way."""

    seed: int
    length_s: float
    relays: int
    students: int
    streams: int
    capacity: int
    steps: tuple[Step, ...]

    def text(self) -> str:
        """Return the program as JSON."""
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        head = (
            f"seed {self.seed}: {self.length_s:.0f} s, {self.relays} relays of {self.capacity} seats, "
            f"{self.students} students, {self.streams} classes"
        )
        return "\n".join([head, *(str(step) for step in self.steps)])


def read(text: str) -> Program:
    """Read a program that `text` wrote."""
    fields: dict[str, Any] = json.loads(text)
    steps = tuple(Step(**step) for step in fields.pop("steps"))
    return Program(steps=steps, **fields)


# Kinds of faults with their targets and longest time.
_FAULTS: tuple[tuple[str, str, float], ...] = (
    ("crash", "relay", 12.0),
    ("crash", "relay", 12.0),
    ("pause", "relay", 15.0),
    ("crash", "master", 8.0),
    ("pause", "master", 20.0),
    ("overload", "master", 15.0),
    ("lose-disk", "master", 5.0),
    ("cut", "line", 12.0),
    ("cut-up", "line", 12.0),
    ("cut-down", "line", 12.0),
    ("lossy", "line", 15.0),
    ("slow", "line", 15.0),
    ("duplicates", "line", 15.0),
    ("cut-all", "lines", 9.0),
    ("cut", "pull", 12.0),
    ("clock", "relay", 0.0),
    ("clock", "master", 0.0),
    ("crash", "origin", 10.0),
    ("pause", "origin", 10.0),
    ("fail", "origin", 15.0),
    ("restart", "publisher", 4.0),
    ("restart", "publisher", 4.0),
    ("restart", "publisher", 4.0),
)
_ACTS = ("drain", "kick", "rotate", "close", "retire", "leave", "leave", "scripts", "forget", "backup")


def generate(seed: int) -> Program:
    """Return the program of a seed: at least three faults, and the acts of people."""
    random = Random(seed)
    relays, streams, students = random.randint(3, 4), random.randint(2, 3), random.randint(20, 26)
    capacity = -(-students // relays) + random.randint(0, 6)
    faults_end_s = MIN_S - CALM_S
    steps = []
    for _ in range(random.randint(3, 6)):
        kind, target, longest_s = random.choice(_FAULTS)
        time_s = round(random.uniform(0.2, longest_s), 2) if longest_s else 0.0
        at_s = round(random.uniform(4.0, max(5.0, faults_end_s - time_s)), 2)
        steps.append(Step(at_s, kind, _name(random, target, relays, streams), time_s, _value(random, kind)))
        if target == "relay" and kind == "crash" and random.random() < 0.3:
            # A publisher that comes back while a relay has just been restarted.
            stream = _name(random, "publisher", relays, streams)
            steps.append(Step(round(at_s + time_s * random.random(), 2), "restart", stream, time_s))
    for _ in range(random.randint(1, 4)):
        kind = random.choice(_ACTS)
        at_s = round(random.uniform(4.0, faults_end_s), 2)
        if kind == "drain":
            steps.append(
                Step(at_s, kind, f"relay-{random.randint(1, relays)}", round(random.uniform(2, 15), 2))
            )
        elif kind in ("kick", "leave", "forget"):
            steps.append(
                Step(at_s, kind, f"student-{random.randint(1, students)}", round(random.uniform(1, 9), 2))
            )
        elif kind == "close":
            steps.append(
                Step(at_s, kind, f"class-{random.randint(1, streams)}", round(random.uniform(1, 9), 2))
            )
        elif kind == "scripts":
            steps.append(Step(at_s, kind, "class-1", 0.0, random.randint(2, 8)))
        else:
            steps.append(Step(at_s, kind, f"class-{random.randint(1, streams)}"))
    length_s = MIN_S + round(random.uniform(0, 5.0), 1)
    return Program(seed, length_s, relays, students, streams, capacity, tuple(sorted(steps, key=_time)))


def _time(step: Step) -> float:
    return step.at_s


def _name(random: Random, target: str, relays: int, streams: int) -> str:
    if target in ("relay", "line", "pull"):
        prefix = "" if target == "relay" else f"{target}:"
        return f"{prefix}relay-{random.randint(1, relays)}"
    if target in ("publisher", "origin") and (target == "publisher" or streams):
        stream = f"class-{random.randint(1, streams)}"
        return f"publisher:{stream}" if target == "publisher" else f"origin:{stream}"
    return target


def _value(random: Random, kind: str) -> float:
    if kind == "clock":
        return float(random.choice((-3600, -60, -5, 5, 60, 3600)))
    if kind == "lossy":
        return round(random.uniform(0.05, 0.5), 2)
    if kind == "slow":
        return round(random.uniform(0.2, 3.0), 2)
    return 0.0


def shorter(program: Program) -> Iterator[Program]:
    """Yield programs that are a little shorter, the shortest first."""
    count = len(program.steps)
    size = count // 2
    while size:
        for start in range(0, count, size):
            yield replace(program, steps=program.steps[:start] + program.steps[start + size :])
        size //= 2
    for students in {program.students // 2, program.students - 1} - {0}:
        yield replace(program, students=students)
    for relays in range(1, program.relays):
        if not any(step.target.endswith(f"relay-{program.relays}") for step in program.steps):
            yield replace(program, relays=max(relays, program.relays - 1))
            break
    if program.streams > 1 and not any(s.target.endswith(f"class-{program.streams}") for s in program.steps):
        yield replace(program, streams=program.streams - 1)
    for index, step in enumerate(program.steps):
        if step.time_s > 1.0:
            changed = replace(step, time_s=round(step.time_s / 2, 2))
            yield replace(program, steps=(*program.steps[:index], changed, *program.steps[index + 1 :]))
        if step.at_s != round(step.at_s):
            changed = replace(step, at_s=float(round(step.at_s)))
            yield replace(program, steps=(*program.steps[:index], changed, *program.steps[index + 1 :]))
