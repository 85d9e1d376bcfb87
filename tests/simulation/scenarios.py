"""Faults that were found before, each as a small program; docs/control-plane.md says what must hold."""

from __future__ import annotations

from tests.simulation.programs import Program, Step

S = Step


def _program(
    number: int, *steps: Step, length_s: float = 70.0, students: int = 20, capacity: int = 10
) -> Program:
    return Program(number, length_s, 3, students, 2, capacity, steps)


def _outage(at_s: float, *down_s: float) -> tuple[Step, ...]:
    names = ("origin", "master", "relay-1", "relay-2", "relay-3")
    return tuple(S(at_s, "crash", name, time_s) for name, time_s in zip(names, down_s, strict=True))


SCENARIOS: dict[str, Program] = {
    "relay-starts-while-nobody-publishes": _program(
        1,
        *(
            step
            for at_s in (14.0, 26.0, 38.0)
            for step in (
                S(at_s, "restart", "publisher:class-1", 5.0),
                S(at_s, "restart", "publisher:class-2", 5.7),
                S(at_s, "crash", "relay-3", 2.5),
            )
        ),
    ),
    "power-outage": _program(
        2, *_outage(20.0, 3.0, 1.0, 2.0, 4.0, 6.0), *_outage(40.0, 1.0, 6.0, 4.0, 2.0, 3.0), length_s=80.0
    ),
    "origin-dead-and-a-node-drains": _program(
        3,
        S(15.0, "crash", "origin", 30.0),
        S(22.0, "drain", "relay-1", 12.0),
        S(30.0, "crash", "relay-2", 1.0),
    ),
    "one-class-fails": _program(
        4, S(12.0, "fail", "origin:class-2", 40.0), S(20.0, "crash", "relay-3", 2.0), length_s=75.0
    ),
    "master-pauses": _program(5, S(15.0, "pause", "master", 20.0)),
    "dead-relay-on-a-loaded-master": _program(
        6, S(12.0, "overload", "master", 45.0), S(20.0, "crash", "relay-2", 35.0), capacity=12, length_s=75.0
    ),
    "revision-goes-back": _program(
        7,
        S(12.0, "kick", "student-3"),
        S(18.0, "lag", "", 0.0, 20),
        S(20.0, "drain", "relay-2", 8.0),
        S(24.0, "kick", "student-4"),
        S(30.0, "close", "class-2", 6.0),
    ),
    "last-relay-drains": _program(
        8,
        S(15.0, "drain", "relay-1", 50.0),
        S(16.0, "drain", "relay-2", 50.0),
        S(17.0, "drain", "relay-3", 50.0),
        students=8,
        length_s=75.0,
    ),  # fmt: skip
    "played-and-uncounted": _program(
        9,
        S(12.0, "cut-up", "line:relay-1", 14.0),
        S(34.0, "cut", "line:relay-2", 20.0),
        students=20,
        capacity=14,
        length_s=85.0,
    ),
    "all-lines-flap": _program(
        10, *(S(12.0 + 12.0 * n, "cut-all", "lines", 8.5) for n in range(4)), length_s=85.0
    ),
    "master-killed-while-a-class-joins": _program(
        11, S(14.0, "herd", "", 0.0, 60), S(14.5, "crash", "master", 4.0), students=6, capacity=24
    ),
    "two-processes-of-one-node": _program(12, S(12.0, "twin", "relay-1"), S(20.0, "pause", "relay-1", 9.0)),
    "master-clock-goes-back": _program(
        13,
        S(12.0, "clock", "master", 0.0, -3600),
        S(20.0, "herd", "", 0.0, 8),
        S(30.0, "crash", "master", 2.0),
    ),
}
