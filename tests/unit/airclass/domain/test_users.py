"""Accounts and what their names may hold."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain.users import MAX_KEY_CHARS, MAX_USER_NAME_CHARS, Caller, Role, User, clean_name, name_key


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Kim   Minji ", "Kim Minji"),
        ("김민지", "김민지"),
        ("a\x1b[31mb\r\nc\x00", "a [31mb c"),
        ("\u202eevil", "evil"),
        ("x" * 100, "x" * MAX_USER_NAME_CHARS),
        ("a" * (MAX_USER_NAME_CHARS - 1) + " b", "a" * (MAX_USER_NAME_CHARS - 1)),
        ("", ""),
    ],
)
def test_names_are_printable_and_short(typed: str, kept: str) -> None:
    assert clean_name(typed) == kept


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("\u3164", ""),
        ("\u115f\u1160", ""),
        ("\u2800\u2800", ""),
        ("\u200b\u2060\ufeff", ""),
        ("\u0301", ""),
        ("선생님\ufe0f", "선생님"),
        ("선\u200d생님", "선생님"),
        ("선생님\U000e0041", "선생님"),
        (unicodedata.normalize("NFD", "박지민"), "박지민"),
        ("e\u0301", "é"),
        ("e\u200b\u0301", "é"),
        ("z" + "\u0335\u0336\u0337\u0338" * 10, "z\u0335\u0336"),
        ("a \u0301b", "a b"),
        ("Trần Thị Ngọc", "Trần Thị Ngọc"),
        ("น้ำ", "น้ำ"),
    ],
)
def test_what_cannot_be_seen_is_taken_out(typed: str, kept: str) -> None:
    """A name that looks empty, or like the teacher's, is what such characters are typed for."""
    assert clean_name(typed) == kept


@pytest.mark.parametrize(
    "double",
    ["Admin", "аdmin", "ａｄｍｉｎ", "adm\u0131n", "admin\u3164", "\u0391dmin", "ad\u00admin", " ADMIN "],
)
def test_names_that_look_alike_have_one_key(double: str) -> None:
    assert name_key(double) == name_key("admin")


def test_different_names_have_different_keys() -> None:
    names = ["admin", "admin1", "adm1n", "김민지", "김민자", "Kim Lee", "KimLee", "é", "e"]
    assert len({name_key(name) for name in names}) == len(names)
    assert len(name_key("\ufdfa" * 64)) == MAX_KEY_CHARS


@given(st.text(max_size=80))
def test_cleaning_again_changes_nothing(typed: str) -> None:
    once = clean_name(typed)
    assert clean_name(once) == once
    assert len(once) <= MAX_USER_NAME_CHARS
    assert name_key(once) == name_key(typed)


def test_an_account_is_new_and_enabled_and_a_caller_is_what_their_role_says() -> None:
    user = User("u1", "ann", Role.TEACHER)
    assert (user.generation, user.disabled) == (0, False)
    assert Caller(user.role, user.id) == Caller(Role("teacher"), "u1")
