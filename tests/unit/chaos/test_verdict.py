"""What viewers' facts come to, and when a promise counts as kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.faults import DROPS_S, ROWS
from tests.chaos.verdict import Outcome, Promise, count, judge

FAULT_S = 1000.0


def viewer(*stalls: tuple[float, float], moved_s: float | None = None, plays: bool = True) -> dict[str, Any]:
    """Facts; stalls as (begin, length), seconds after the fault."""
    return {
        "startup_s": 0.3,
        "stalls": [{"at_s": FAULT_S + at_s, "lasted_s": lasted_s} for at_s, lasted_s in stalls],
        "moves": [] if moved_s is None else [{"at_s": FAULT_S + moved_s, "to": "b"}],
        "plays": plays,
        "failures": {"playlist 0": 1} if moved_s is not None else {},
    }


def outcome(*viewers: dict[str, Any]) -> Outcome:
    made = Outcome("row", "fault", "promise")
    count(made, viewers, FAULT_S)
    return made


def test_a_standstill_after_everybody_was_back_is_counted_apart() -> None:
    made = Outcome("row", "fault", "promise")
    count(made, [viewer((1, 2), (9, 1)), viewer((4, 3)), viewer((20, 1))], FAULT_S, 5.0)
    assert (made.stalled, made.back_s, made.later) == (3, 7.0, 2)


def test_who_stands_still_for_long_at_the_end_is_lost() -> None:
    assert outcome(viewer((10, 1), plays=False), viewer((10, 6), plays=False)).lost == 1


def test_stalls_before_the_fault_are_noise() -> None:
    made = outcome(viewer((-5, 1)), viewer((-1, 1.5)), viewer())
    assert (made.viewers, made.noise, made.stalled) == (3, 1, 1)
    assert (made.longest_s, made.back_s) == (1.5, 0.5)


def test_the_last_one_counts() -> None:
    back = {"at_s": FAULT_S + 9, "to": "a"}  # the way back is no move away from the fault
    first = viewer((1, 1), (6, 0.5), moved_s=0.1)
    first["moves"].append(back)
    made = outcome(first, viewer((2, 2), moved_s=3.0), viewer())
    assert (made.stalled, made.longest_s, made.back_s) == (2, 2.0, 6.5)
    assert made.stalls == [[1.0, 1.0], [2.0, 2.0], [6.0, 0.5]]
    assert (made.moved, made.moved_s, made.failures) == (2, 3.0, {"playlist 0": 2})


@pytest.mark.parametrize(
    ("made", "promise", "kept"),
    [
        (outcome(viewer()), Promise("x"), True),
        (outcome(viewer((1, 0.2))), Promise("x"), False),
        (outcome(viewer((1, 0.2))), Promise("x", stalls=True, back_s=5), True),
        (outcome(viewer((1, 4.5))), Promise("x", stalls=True, back_s=5), False),
        (outcome(viewer(plays=False)), Promise("x", stalls=True), False),
        (outcome({**viewer(), "startup_s": None}), Promise("x", stalls=True), False),
    ],
)
def test_promises(made: Outcome, promise: Promise, kept: bool) -> None:
    judge(made, promise)
    assert made.kept is kept


@pytest.mark.parametrize(("plays", "stalls_ms"), [(False, []), (True, [300])])
def test_the_browser_is_judged_as_well(plays: bool, stalls_ms: list[int]) -> None:
    made = outcome(viewer())
    made.browser_plays, made.browser_stalls_ms = plays, stalls_ms
    judge(made, Promise("x"))
    assert len(made.problems) == 1


def test_every_row_has_a_name_of_its_own_and_time_to_come_back() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) >= 12 + len(DROPS_S)
    for row in ROWS:
        assert row.promise.stalls or row.promise.back_s is None
        assert row.act_s + row.after_s >= (row.promise.back_s or 0.0) + 2
