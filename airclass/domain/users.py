"""Users, roles and what each role may do. Does not check passwords."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

MAX_USER_NAME_CHARS = 64
MAX_KEY_CHARS = 128
MAX_MARKS = 2


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
    """Return a name fit for pages, terminals and logs: composed, visible, single spaces, short.

    What no font shows is taken out, so that no two names look alike because of it; a letter keeps at most
    MAX_MARKS marks above and below, so that a name stays in its line.
    """
    kept: list[str] = []
    marks = 0
    for char in unicodedata.normalize("NFC", text):
        if _IGNORABLE.match(char):
            continue
        if unicodedata.category(char) in _MARKS:
            marks += 1
            if marks <= MAX_MARKS and kept and kept[-1] != " ":
                kept.append(char)
            continue
        marks = 0
        kept.append(char if char.isprintable() and char not in _BLANK else " ")
    composed = unicodedata.normalize("NFC", "".join(kept))
    return " ".join(composed.split())[:max_chars].strip()


@lru_cache(maxsize=8192)
def name_key(name: str) -> str:
    """Return what two names have in common that look alike: for comparing, not for showing.

    Case, width and ligatures do not count, and Cyrillic and Greek letters that look like Latin ones are
    the Latin ones.
    """
    plain = unicodedata.normalize("NFKC", clean_name(name)).casefold()
    return unicodedata.normalize("NFC", plain.translate(_LOOK_ALIKES))[:MAX_KEY_CHARS]


# Unicode's Default_Ignorable_Code_Point, among them Hangul fillers, joiners and variation selectors.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]"
)
_BLANK = "\u2800"  # braille without a dot: a symbol by its category, a space to the eye
_MARKS = ("Mn", "Me")
_LOOK_ALIKES = str.maketrans(
    "\u0430\u0432\u0435\u0455\u0456\u0458\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u04bb\u0501\u051b\u051d"
    "\u03b1\u03b2\u03b5\u03b6\u03b7\u03b9\u03ba\u03bc\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0131",
    "abesijkmhopctyxhdqwabezhikmvoptuxi",
)
