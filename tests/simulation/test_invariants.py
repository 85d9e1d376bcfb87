"""Each invariant is broken by a history of a few events, and kept by its harmless neighbour."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulation.invariants import Checker, Violation

Event = tuple[float, str, dict[str, Any]]


def rule_broken(*events: Event) -> str:
    """Return the rule that the events break, or nothing."""
    checker = Checker()
    checker.node(0.0, "n1", 2)
    checker.node(0.0, "n2", 2)
    try:
        for at_s, event, fields in events:
            getattr(checker, event)(at_s, **fields)
    except Violation as violation:
        return violation.rule
    return ""


def listed(at_s: float, msn: int, discontinuity: int = 0, node: str = "n1", epoch: str = "e") -> Event:
    fields = {"node": node, "stream": "c", "epoch": epoch, "msn": msn, "discontinuity": discontinuity}
    return at_s, "listed", fields


def numbered(offset: int, *, alone: bool = False) -> Event:
    fields = {"node": "n1", "stream": "c", "epoch": "e", "offset": offset, "discontinuity": 0}
    return 1.0, "numbered", {**fields, "alone": alone}


def fault(at_s: float, kind: str, *targets: str) -> Event:
    return at_s, "fault", {"name": kind, "kind": kind, "targets": list(targets)}


def over(at_s: float, kind: str) -> Event:
    return at_s, "fault_over", {"name": kind}


def plays(at_s: float, node: str = "n1", student: str = "s") -> Event:
    return at_s, "plays", {"student": student, "stream": "c", "node": node}


def placed(at_s: float, node: str, student: str = "s", others: str = "room") -> Event:
    return at_s, "placed", {"student": student, "stream": "c", "node": node, "others": others}


def judged(at_s: float, status: str, occupied: int = 0) -> Event:
    return at_s, "judged", {"nodes": {"n1": [status, occupied, 2], "n2": ["active", 0, 2]}}


def counted(at_s: float, *members: str, seats: tuple[str, ...] = ()) -> Event:
    return at_s, "counted", {"members": {"c": list(members)}, "seats": dict.fromkeys(seats, "n1")}


def test_an_epoch_has_one_offset() -> None:
    assert rule_broken(numbered(1), numbered(2)) == "one-offset"
    assert rule_broken(numbered(1), numbered(1)) == ""
    assert rule_broken(numbered(1, alone=True), numbered(2)) == ""


def test_numbers_of_a_relay_never_fall() -> None:
    assert rule_broken(listed(1, 5), listed(2, 4)) == "numbers-fall"
    assert rule_broken(listed(1, 5, 1), listed(2, 6, 0)) == "numbers-fall"
    assert rule_broken(listed(1, 5), listed(2, 6)) == ""


def test_an_epoch_begins_above_what_viewers_have_seen_anywhere() -> None:
    assert rule_broken(listed(1, 5), listed(2, 5, 1, "n2", "f")) == "numbers-fall"
    assert rule_broken(listed(1, 5), listed(2, 6, 1, "n2", "f")) == ""
    cut = fault(0, "unprobed", "n1")
    assert rule_broken(cut, listed(1, 5), listed(2, 5, 1, "n2", "f")) == ""


def test_a_picture_does_not_freeze() -> None:
    media = {"node": "n1", "stream": "c"}
    assert rule_broken(listed(1, 5), (9.0, "media", media)) == ""
    assert rule_broken(listed(1, 5), (14.0, "media", media)) == "frozen"
    assert rule_broken(listed(1, 5), (9.0, "no_media", media), (14.0, "media", media)) == ""


def test_nobody_is_placed_on_a_dead_node() -> None:
    assert rule_broken(fault(1, "crash", "n1"), placed(6, "n1")) == ""
    assert rule_broken(fault(1, "crash", "n1"), placed(9, "n1")) == "placed-on-dead"
    assert rule_broken(fault(1, "crash", "n1"), placed(9, "n1", others="")) == ""


def test_nobody_is_placed_on_a_draining_node() -> None:
    drained = (1.0, "drained", {"node": "n1"})
    undrained = (2.0, "undrained", {"node": "n1"})
    assert rule_broken(drained, placed(3, "n1")) == "placed-on-draining"
    assert rule_broken(drained, undrained, placed(3, "n1")) == ""


def test_nobody_is_promised_a_seat_that_others_have() -> None:
    two = [placed(1, "n1", "a"), plays(1, "n1", "a"), placed(1, "n1", "b"), plays(1, "n1", "b")]
    assert rule_broken(*two, placed(2, "n1", "d"), placed(2, "n1", "e")) == "overbooked"
    assert rule_broken(*two, placed(2, "n1", "d", "full"), placed(2, "n1", "e", "full")) == ""
    crowded = [judged(at_s, "active", 3) for at_s in (1.0, 20.0)]
    assert rule_broken(*crowded) == ""
    assert rule_broken(*crowded, judged(30.0, "active", 3)) == "overbooked"


def test_nobody_is_moved_without_a_reason() -> None:
    alone = [plays(float(at_s)) for at_s in range(20)]
    assert rule_broken(*alone, placed(20, "n2")) == ""  # not where the master had placed them
    watching = [placed(0, "n1"), *alone]
    assert rule_broken(*watching, placed(20, "n2")) == "moved-without-reason"
    assert rule_broken(*watching, fault(19.5, "slow", "n1"), placed(20, "n2")) == ""
    assert rule_broken(*watching, (19.5, "drained", {"node": "n1"}), placed(20, "n2")) == ""


@pytest.mark.parametrize("origin", [False, True])
def test_a_healthy_node_is_back_and_a_shared_fault_excludes_none(origin: bool) -> None:
    rule = "shared-fault-excludes" if origin else "healthy-is-back"
    begins = [fault(1, "fail", "origin:c")] if origin else []
    assert rule_broken(*begins, judged(30, "unhealthy")) == rule
    crash = [fault(10, "crash", "n1"), over(20, "crash")]
    assert rule_broken(*begins, *crash, judged(30, "unhealthy")) == ""


def test_falls_of_all_nodes_together_prolong_nothing() -> None:
    def both(at_s: float, status: str) -> Event:
        return at_s, "judged", {"nodes": {"n1": [status, 0, 2], "n2": [status, 0, 2]}}

    flaps: list[Event] = []
    for at_s in (10.0, 30.0, 50.0, 70.0):
        flaps += [both(at_s - 1, "active"), fault(at_s, "slow", "n1", "n2"), both(at_s + 7, "unhealthy")]
        flaps += [over(at_s + 8, "slow")]
    assert rule_broken(*flaps, both(90.0, "unhealthy")) == ""
    assert rule_broken(*flaps, both(97.0, "unhealthy")) == "healthy-is-back"


def test_a_kicked_student_is_refused_where_the_relay_could_know() -> None:
    kicked = (5.0, "kicked", {"student": "s"})
    knows = (6.0, "could_know", {"node": "n1", "what": "s"})
    assert rule_broken(plays(4), kicked, plays(9)) == ""
    assert rule_broken(plays(4), kicked, knows, plays(6.5)) == ""
    assert rule_broken(plays(4), kicked, knows, plays(7.5)) == "kicked-is-refused"
    forgets = (6.2, "lost_memory", {"node": "n1"})
    assert rule_broken(plays(4), kicked, knows, forgets, plays(7.5)) == ""


def test_an_ended_class_stays_ended() -> None:
    ended = (5.0, "retired", {"stream": "c"})
    assert rule_broken(ended, placed(6, "n1")) == "ended-stays-ended"
    knows = (6.0, "could_know", {"node": "n1", "what": "c"})
    assert rule_broken(plays(4), ended, knows, plays(8)) == "ended-stays-ended"
    assert rule_broken(plays(4), ended, (7.0, "restored", {}), placed(8, "n1")) == ""


def test_a_student_who_plays_is_counted_once() -> None:
    watching = [plays(float(at_s)) for at_s in range(30)]
    assert rule_broken(*watching, counted(30, "s", seats=("s",))) == ""
    assert rule_broken(*watching, counted(30, seats=("s",))) == "counted-once"
    assert rule_broken(*watching, counted(30, "s")) == "counted-once"
    gone = (31.0, "left", {"student": "s"})
    assert rule_broken(*watching, gone, counted(60, "s")) == ""
    assert rule_broken(*watching, gone, counted(99, "s")) == "counted-once"
    twice = (30.0, "counted", {"members": {"c": ["s"], "d": ["s"]}, "seats": {"s": "n1"}})
    assert rule_broken(twice) == "counted-once"


def test_a_student_who_wants_to_watch_does() -> None:
    wants = (40.0, "wants", {"student": "s", "stream": "c"})
    media = (70.0, "media", {"node": "n1", "stream": "c"})
    assert rule_broken(wants, media, counted(69)) == ""
    assert rule_broken(wants, media, counted(71)) == "starved"
    assert rule_broken(wants, counted(71)) == ""  # nobody publishes
    assert rule_broken(wants, fault(60, "slow", "n2"), media, counted(71)) == ""
    assert rule_broken(wants, (50.0, "left", {"student": "s"}), media, counted(71)) == ""


def test_an_acknowledged_write_is_kept() -> None:
    wrote = (1.0, "wrote", {"key": "drain:n1", "value": "yes"})
    assert rule_broken(wrote, (3.0, "reads", {"values": {"drain:n1": "yes"}})) == ""
    assert rule_broken(wrote, (3.0, "reads", {"values": {}})) == "write-lost"
    assert rule_broken(wrote, (2.0, "restored", {}), (3.0, "reads", {"values": {}})) == ""


def test_one_process_beats_under_an_id() -> None:
    def beat(process: str) -> Event:
        return 1.0, "beat", {"node": "n1", "process": process}

    assert rule_broken(beat("a"), beat("a"), beat("b"), beat("b")) == ""
    assert rule_broken(beat("a"), beat("b"), beat("a")) == "one-process"
