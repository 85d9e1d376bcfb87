"""Accounts and what their names may hold."""

from __future__ import annotations

import pytest

from airclass.domain.users import MAX_USER_NAME_CHARS, Caller, Role, User, clean_name


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


def test_an_account_is_new_and_enabled_and_a_caller_is_what_their_role_says() -> None:
    user = User("u1", "ann", Role.TEACHER)
    assert (user.generation, user.disabled) == (0, False)
    assert Caller(user.role, user.id) == Caller(Role("teacher"), "u1")
