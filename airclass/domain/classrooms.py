"""Classrooms: their codes, keys and states, and who may manage or enter one.

Randomness comes in as bytes. Passwords are only compared elsewhere (`io/passwords.py`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from airclass.domain.users import Caller, Role, name_key

if TYPE_CHECKING:
    from collections.abc import Sequence

# 32 signs of 5 bits each; 0, 1, I and O are left out because they look like others.
CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
CODE_CHARS = 7  # 35 bits
ID_CHARS = 10
KEY_BYTES = 20  # 160 bits
MAX_CLASS_NAME_CHARS = 80
MAX_CAPACITY = 1_000_000
LANGUAGES = ("ko", "en")


class ClassStatus(StrEnum):
    """Whether students may enter: a closed class can be opened again, an ended one cannot."""

    OPEN = "open"
    CLOSED = "closed"
    ENDED = "ended"


class StreamState(StrEnum):
    """What the students of an open class see."""

    WAITING = "waiting"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Classroom:
    """One class; `generation` grows with every new code and ends the older viewer tokens."""

    id: str
    name: str
    code: str
    owner_id: str = ""
    status: ClassStatus = ClassStatus.OPEN
    password_hash: str = ""
    capacity: int = 0
    language: str = "ko"
    key_hash: str = ""
    key_shown: str = ""
    generation: int = 0
    created_at_s: float = 0.0
    co_teachers: frozenset[str] = frozenset()
    roster: frozenset[str] = frozenset()


def make_code(entropy: bytes) -> str:
    """Return a class code from at least CODE_CHARS random bytes."""
    return "".join(CODE_ALPHABET[b % 32] for b in entropy[:CODE_CHARS])


def read_code(typed: str) -> str:
    """Return a code as it is stored: what a student typed, without spaces, dashes and case."""
    return "".join(c for c in typed.upper() if c in CODE_ALPHABET)[: CODE_CHARS + 1]


def make_id(entropy: bytes, prefix: str = "c") -> str:
    """Return a URL-safe identifier from at least 6 random bytes."""
    return prefix + base64.b32encode(entropy).decode().lower().rstrip("=")[: ID_CHARS - 1]


def make_key(entropy: bytes) -> str:
    """Return a stream key from KEY_BYTES random bytes, in signs that survive URLs and typing."""
    return base64.b32encode(entropy[:KEY_BYTES]).decode().lower().rstrip("=")


def hash_key(key: str) -> str:
    """Return what is stored of a stream key; it has 160 random bits, so a plain hash is enough."""
    return hashlib.sha256(key.encode()).hexdigest()


def key_matches(classroom: Classroom, offered: Sequence[str]) -> bool:
    """Tell whether one of the offered strings is the class's key, in constant time."""
    found = [hmac.compare_digest(hash_key(text), classroom.key_hash) for text in offered if text]
    return bool(classroom.key_hash) and any(found)


def may_manage(caller: Caller, classroom: Classroom) -> bool:
    """Tell whether the caller may see and change a class: its teachers and admins."""
    if caller.role is Role.ADMIN:
        return True
    teaches = caller.user_id == classroom.owner_id or caller.user_id in classroom.co_teachers
    return caller.role is Role.TEACHER and bool(caller.user_id) and teaches


def on_roster(classroom: Classroom, name: str) -> bool:
    """Tell whether a name may enter: everybody unless the class has a list of names."""
    return not classroom.roster or roster_key(name) in _roster_keys(classroom.roster)


def roster_key(name: str) -> str:
    """Return what counts when a name is looked up in a list: not how it was typed, and no spaces."""
    return name_key(name).replace(" ", "")


@lru_cache(maxsize=1024)
def _roster_keys(roster: frozenset[str]) -> frozenset[str]:
    return frozenset(map(roster_key, roster))
