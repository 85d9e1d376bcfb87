"""One consistent picture of the database."""

from __future__ import annotations

from airclass.domain.classrooms import Classroom, ClassStatus
from airclass.domain.snapshot import Revocation, Snapshot
from airclass.domain.users import Role, User

MATH = Classroom("c2", "Math", "AAAAAAA")
ART = Classroom("c1", "Art", "BBBBBBB")
OVER = Classroom("c3", "Over", "CCCCCCC", status=ClassStatus.RETIRED)


def test_classes_are_found_by_code_until_they_end_and_people_by_name_in_any_case() -> None:
    view = Snapshot(1, {"u1": User("u1", "Ann", Role.TEACHER)}, {c.id: c for c in (MATH, ART, OVER)})
    assert view.by_code == {"AAAAAAA": MATH, "BBBBBBB": ART}
    assert view.by_name["ann"].id == "u1"
    assert view.open_classes() == [ART, MATH]


def test_an_account_is_found_however_its_name_was_typed_and_old_doubles_each_by_their_own() -> None:
    ann, double = User("u1", "Ann", Role.TEACHER), User("u2", "Аnn", Role.TEACHER)  # the second is Cyrillic
    view = Snapshot(1, {"u1": ann})
    assert [view.find_user(typed) for typed in (" ANN ", "ａｎｎ", "Аnn", "bob")] == [ann, ann, ann, None]
    view = Snapshot(1, {"u1": ann, "u2": double})
    assert [view.find_user(typed) for typed in ("ann", "Аnn")] == [ann, double]


def test_the_kicked_are_known_by_class() -> None:
    kicked = (Revocation("subject", subject, 1.0, "c1") for subject in ("s2", "s1"))
    rows = (*kicked, Revocation("session", "t", 1.0))
    assert Snapshot(1, revocations=rows).kicked == {"c1": ("s1", "s2")}


def test_an_empty_picture() -> None:
    view = Snapshot()
    assert (view.revision, view.by_code, view.by_name, view.open_classes()) == (-1, {}, {}, [])
    assert Revocation("token", "t", 1.0) == Revocation("token", "t", 1.0)
