"""Lessons: which one runs, when the first begins, and when an encoder may begin the next one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airclass.domain.classrooms import Classroom, ClassStatus
from airclass.domain.lessons import (
    AWAY_S,
    Lesson,
    encoder_may_begin,
    first_lessons,
    is_between_lessons,
    running_lesson,
)
from airclass.domain.snapshot import Snapshot

MATH = Classroom("c1", "Math", "AAAAAAA", starts_when_live=True)
ART = Classroom("c2", "Art", "BBBBBBB")
RUNS = Lesson("l1", "c1", 100.0)
ENDED = Lesson("l1", "c1", 100.0, 200.0)
FOREVER_S = float("inf")


def view(*lessons: Lesson, **classes: Classroom) -> Snapshot:
    return Snapshot(
        1, {}, {"c1": MATH, "c2": ART, **classes}, lessons={lesson.classroom_id: lesson for lesson in lessons}
    )


@pytest.mark.parametrize(
    ("lessons", "running", "between"), [((), None, False), ((RUNS,), RUNS, False), ((ENDED,), None, True)]
)
def test_a_class_waits_for_its_first_lesson_or_runs_one_or_is_between_two(
    lessons: tuple[Lesson, ...], running: Lesson | None, between: bool
) -> None:
    seen = view(*lessons)
    assert running_lesson(seen.lessons, "c1") == running
    assert is_between_lessons(seen.lessons, "c1") is between
    assert not is_between_lessons(seen.lessons, "c2")


@pytest.mark.parametrize(
    ("away_s", "since_end_s", "may"),
    [
        (FOREVER_S, AWAY_S, True),
        (AWAY_S, FOREVER_S, True),
        (FOREVER_S, AWAY_S - 0.1, False),
        (AWAY_S - 0.1, 86400.0, False),
    ],
)
def test_an_encoder_that_was_away_for_a_minute_begins_the_next_lesson(
    away_s: float, since_end_s: float, may: bool
) -> None:
    assert encoder_may_begin(MATH, ENDED, away_s, 200.0 + since_end_s) is may


def test_only_where_the_teacher_has_chosen_so_and_only_between_lessons() -> None:
    assert not encoder_may_begin(ART, replace(ENDED, classroom_id="c2"), FOREVER_S, 1e9)
    assert not encoder_may_begin(MATH, RUNS, FOREVER_S, 1e9)
    assert not encoder_may_begin(MATH, None, FOREVER_S, 1e9)


def begins(seen: Snapshot, live: list[str]) -> list[str]:
    return first_lessons(live, seen.classrooms, seen.lessons)


def test_the_first_lesson_of_an_open_class_begins_with_the_first_picture() -> None:
    closed = replace(ART, status=ClassStatus.CLOSED)
    assert begins(view(), ["c1", "gone"]) == ["c1"]
    assert begins(view(), []) == []
    assert begins(view(c2=closed), ["c2"]) == []
    assert begins(view(ENDED), ["c1"]) == []
