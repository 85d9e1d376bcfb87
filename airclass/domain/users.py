"""Users, roles and what each role may do. Does not check passwords."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MAX_USER_NAME_CHARS = 64


class Role(StrEnum):
    """Who somebody is to the master; a student needs no account."""

    ADMIN = "admin"
    TEACHER = "teacher"
    MONITOR = "monitor"
    STUDENT = "student"


@dataclass(frozen=True, slots=True)
class User:
    """An account; `generation` grows when password or role change and ends older sessions."""

    id: str
    name: str
    role: Role
    password_hash: str = ""
    generation: int = 0
    disabled: bool = False
    created_at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request: an account, a service token (no user id) or a viewer."""

    role: Role
    user_id: str = ""
    name: str = ""
    token_id: str = ""
    expires_at_s: float = 0.0
    by_cookie: bool = False


def clean_name(text: str, max_chars: int = MAX_USER_NAME_CHARS) -> str:
    """Return a name fit for pages, terminals and logs: printable, single spaces, at most `max_chars`."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:max_chars].strip()
