"""Lessons: the runs of a classroom, and when an encoder may begin the next one.

A class that has never been live waits for its first lesson, which begins with the first picture. After a
lesson the class is between lessons: its encoder is refused until the teacher starts the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airclass.domain.classrooms import ClassStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airclass.domain.classrooms import Classroom

# An encoder that is still trying after a lesson's end belongs to that lesson. It has to stop trying for this
# time before it may begin the next one.
AWAY_S = 60.0


@dataclass(frozen=True, slots=True)
class Lesson:
    """One lesson of a class; times are Unix time, and `ended_at_s` is None while it runs."""

    id: str
    classroom_id: str
    started_at_s: float
    ended_at_s: float | None = None

    @property
    def runs(self) -> bool:
        """Whether the lesson has not ended yet."""
        return self.ended_at_s is None


def running_lesson(lessons: Mapping[str, Lesson], classroom_id: str) -> Lesson | None:
    """Return the class's lesson that runs now; `lessons` holds each class's newest one."""
    lesson = lessons.get(classroom_id)
    return lesson if lesson is not None and lesson.runs else None


def is_between_lessons(lessons: Mapping[str, Lesson], classroom_id: str) -> bool:
    """Tell whether a lesson of the class has ended and the next one has not begun."""
    lesson = lessons.get(classroom_id)
    return lesson is not None and not lesson.runs


def encoder_may_begin(classroom: Classroom, lesson: Lesson | None, away_s: float, wall_s: float) -> bool:
    """Tell whether an encoder begins the next lesson by publishing.

    `lesson` is the class's newest one, `away_s` how long its encoder has not tried to publish.
    """
    if not classroom.starts_when_live or lesson is None or lesson.ended_at_s is None:
        return False
    return min(away_s, wall_s - lesson.ended_at_s) >= AWAY_S


def first_lessons(
    live: Iterable[str], classrooms: Mapping[str, Classroom], lessons: Mapping[str, Lesson]
) -> list[str]:
    """Return the open classes among the live ones that have had no lesson: the first one begins."""
    classes = (classrooms.get(classroom_id) for classroom_id in live)
    return [c.id for c in classes if c is not None and c.status is ClassStatus.OPEN and c.id not in lessons]
