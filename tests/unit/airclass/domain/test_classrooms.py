"""Codes that can be read aloud, keys that are compared in constant time, and who manages what."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain.classrooms import (
    CODE_ALPHABET,
    CODE_CHARS,
    Classroom,
    ClassStatus,
    hash_key,
    key_matches,
    make_code,
    make_id,
    make_key,
    may_manage,
    on_roster,
    read_code,
)
from airclass.domain.snapshot import Snapshot
from airclass.domain.users import Caller, Role, User, clean_name

CLASS = Classroom(
    "c1", "Math", "ABCDEFG", owner_id="u1", co_teachers=frozenset({"u2"}), key_hash=hash_key("k")
)


def test_a_code_has_at_least_30_bits_and_no_look_alikes() -> None:
    assert len(set(CODE_ALPHABET)) == 32
    assert 5 * CODE_CHARS >= 30
    assert not set("01IO") & set(CODE_ALPHABET)


@given(st.binary(min_size=20, max_size=20))
def test_a_code_is_read_back_however_it_is_typed(entropy: bytes) -> None:
    code = make_code(entropy)
    assert len(code) == CODE_CHARS
    assert read_code(f" {code[:3].lower()}-{code[3:].lower()}\n") == code
    assert re.fullmatch(r"[a-z2-7]{32}", make_key(entropy)), "160 bits that survive a URL"
    assert re.fullmatch(r"c[a-z2-7]{9}", make_id(entropy[:8]))


def test_what_is_made_of_known_bytes() -> None:
    entropy = bytes(range(20))
    assert make_code(entropy) == CODE_ALPHABET[:CODE_CHARS]
    assert make_id(entropy[:8], "u") == "uaaaqeayea"
    assert make_key(entropy) == "aaaqeayeaudaocajbifqydiob4ibceqt"


def test_too_long_a_code_is_not_cut_to_a_right_one() -> None:
    assert read_code("ABCDEFG" * 2) != "ABCDEFG"


def test_key_wherever_it_was_put() -> None:
    assert key_matches(CLASS, ["", "x", "k"])
    assert not key_matches(CLASS, ["", "x"])
    assert not key_matches(Classroom("c", "n", "C"), ["", hash_key("")])


@pytest.mark.parametrize(
    ("caller", "may"),
    [
        (Caller(Role.ADMIN), True),
        (Caller(Role.TEACHER, "u1"), True),
        (Caller(Role.TEACHER, "u2"), True),
        (Caller(Role.TEACHER, "u3"), False),
        (Caller(Role.MONITOR, "u1"), False),
        (Caller(Role.STUDENT, "u1"), False),
    ],
)
def test_who_manages_a_class(caller: Caller, may: bool) -> None:
    assert may_manage(caller, CLASS) is may
    assert not may_manage(Caller(Role.TEACHER, ""), Classroom("c", "n", "C", owner_id=""))


def test_roster_compares_without_case() -> None:
    listed = Classroom("c", "n", "C", roster=frozenset({"kim"}))
    assert on_roster(listed, "KIM")
    assert not on_roster(listed, "Lee")
    assert on_roster(CLASS, "anyone")


@pytest.mark.parametrize(
    "typed",
    [
        "박지민",
        unicodedata.normalize("NFD", "박지민"),
        "박 지민",
        " 박지민\u3164",
        "\u115f박지민",
        "박지민\ufe0f",
    ],
)
def test_a_name_is_found_in_the_list_however_it_was_typed(typed: str) -> None:
    """Macs and some sheets decompose Hangul: the pupil was refused."""
    for listed in ("박지민", unicodedata.normalize("NFD", "박지민"), "박 지민"):
        classroom = replace(CLASS, roster=frozenset({listed, "kim min-ji"}))
        assert on_roster(classroom, typed)
        assert on_roster(classroom, "ＫＩＭ Min-Ji")
        assert not on_roster(classroom, "박지만")


def test_view_finds_classes_by_code_and_people_by_name() -> None:
    ended = Classroom("c2", "Old", "ZZZZZZZ", status=ClassStatus.ENDED)
    closed = Classroom("c0", "Later", "YYYYYYY", status=ClassStatus.CLOSED)
    view = Snapshot(1, {"u1": User("u1", "Kim", Role.TEACHER)}, {c.id: c for c in (CLASS, ended, closed)})
    assert view.by_code.keys() == {"ABCDEFG", "YYYYYYY"}
    assert view.by_name["kim"].id == "u1"
    assert view.open_classes() == [CLASS]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("  Kim  Min ", "Kim Min"),
        ("\x1b[31mred\n", "[31mred"),
        ("a\u202eb", "ab"),
        ("\0", ""),
        ("x" * 99, "x" * 64),
    ],
)
def test_names_are_fit_for_pages_terminals_and_logs(text: str, clean: str) -> None:
    assert clean_name(text) == clean
