"""Attribute lists and the values in them (RFC 8216bis §4.2): text in, checked values out.

Knows the grammar of values and no tag. Every complaint is a PlaylistError with the line's number.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from relay.base.errors import PlaylistError

MAX_ATTRIBUTES = 64
MAX_INTEGER = 2**64 - 1
MAX_DURATION_S = 86_400.0
MAX_DATE_S = 253_402_300_799.0  # the last second of the year 9999
DURATION_DECIMALS = 5

Attributes = tuple[tuple[str, str], ...]

_ATTRIBUTE = re.compile(r'[ \t]*([A-Za-z0-9_-]+)=("[^"]*"|[^",]*)(?:,|$)')
_INTEGER = re.compile(r"[0-9]{1,20}")
_DECIMAL = re.compile(r"[0-9]{1,20}(\.[0-9]{0,20})?")
_BYTERANGE = re.compile(r"([0-9]{1,20})(?:@([0-9]{1,20}))?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]+)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def parse_attributes(text: str, line_no: int) -> Attributes:
    """Return the names and raw values of an attribute list, in order, each name once."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _ATTRIBUTE.match(text, at)
        if match is None:
            raise PlaylistError(line_no, f"the attribute list cannot be read from its character {at + 1} on")
        name, value = match[1], match[2].strip(" \t")
        if name in found:
            raise PlaylistError(line_no, f"the attribute {name} stands twice")
        if len(found) == MAX_ATTRIBUTES:
            raise PlaylistError(line_no, f"the tag has more than {MAX_ATTRIBUTES} attributes")
        found[name] = value
        at = match.end()
    return tuple(found.items())


def print_attributes(attributes: Attributes) -> str:
    """Return the attribute list as text; raises PlaylistError(0) for one that could not be read back."""
    text = ",".join(f"{name}={value}" for name, value in attributes)
    if parse_attributes(text, 0) != attributes:
        raise PlaylistError(0, "an attribute list holds names or values that cannot be written")
    return text


def attribute(attributes: Attributes, name: str) -> str | None:
    """Return the value of `name` without quotes, or None."""
    for known, value in attributes:
        if known == name:
            return value[1:-1] if value.startswith('"') else value
    return None


class TagAttributes:
    """The attributes of one tag, read as the types that the tag wants."""

    def __init__(self, text: str, line_no: int) -> None:
        self.attributes = parse_attributes(text, line_no)
        self._line_no = line_no

    def text(self, name: str) -> str:
        """Return an attribute that must be there and not be empty."""
        value = attribute(self.attributes, name)
        if not value:
            raise PlaylistError(self._line_no, f"the attribute {name} is missing or empty")
        return value

    def integer(self, name: str) -> int | None:
        """Return a decimal integer, or None when the attribute is absent."""
        value = attribute(self.attributes, name)
        return None if value is None else integer(value, self._line_no)

    def duration_s(self, name: str) -> float | None:
        """Return seconds, or None when the attribute is absent."""
        value = attribute(self.attributes, name)
        return None if value is None else duration_s(value, self._line_no)

    def byterange(self, name: str) -> tuple[int, int | None] | None:
        """Return length and offset (None: not given), or None when the attribute is absent."""
        value = attribute(self.attributes, name)
        return None if value is None else byterange(value, self._line_no)

    def yes(self, name: str) -> bool:
        """Return whether an enumerated YES/NO attribute says YES; absent means NO."""
        value = attribute(self.attributes, name)
        if value not in ("YES", "NO", None):
            raise PlaylistError(self._line_no, f"the attribute {name} must be YES or NO")
        return value == "YES"


def integer(text: str, line_no: int) -> int:
    """Read a decimal-integer (0 … 2**64 - 1)."""
    if not _INTEGER.fullmatch(text) or int(text) > MAX_INTEGER:
        raise PlaylistError(line_no, f"{text[:40]!r} is not a decimal integer")
    return int(text)


def duration_s(text: str, line_no: int) -> float:
    """Read seconds (0 … one day), kept to 10 µs as the writer prints them."""
    if not _DECIMAL.fullmatch(text) or float(text) > MAX_DURATION_S:
        raise PlaylistError(line_no, f"{text[:40]!r} is not a duration in seconds")
    return round(float(text), DURATION_DECIMALS)


def print_duration(seconds: float) -> str:
    """Return seconds with five decimals."""
    if not 0 <= seconds <= MAX_DURATION_S:
        raise PlaylistError(0, f"{seconds} is not a duration that can be written")
    return f"{seconds:.{DURATION_DECIMALS}f}"


def byterange(text: str, line_no: int) -> tuple[int, int | None]:
    """Read `<n>[@<o>]` as length and offset (None: not given)."""
    match = _BYTERANGE.fullmatch(text)
    if match is None:
        raise PlaylistError(line_no, f"{text[:40]!r} is not a byte range")
    length = integer(match[1], line_no)
    return length, None if match[2] is None else integer(match[2], line_no)


def date_s(text: str, line_no: int) -> float:
    """Read an ISO 8601 date with time as Unix seconds, kept to 1 ms; without a zone it is UTC."""
    try:
        date = datetime.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        date = None
    if date is None:
        raise PlaylistError(line_no, f"{text[:40]!r} is not a date with time")
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    seconds = round((date - _EPOCH) / _MILLISECOND) / 1000
    if not 0 <= seconds <= MAX_DATE_S:
        raise PlaylistError(line_no, f"{text[:40]!r} is before 1970 or after 9999")
    return seconds


def print_date(seconds: float) -> str:
    """Return Unix seconds as RFC 3339 with milliseconds and Z."""
    if not 0 <= seconds <= MAX_DATE_S:
        raise PlaylistError(0, f"{seconds} is not a date that can be written")
    date = _EPOCH + round(seconds * 1000) * _MILLISECOND
    return date.strftime("%Y-%m-%dT%H:%M:%S.") + f"{date.microsecond // 1000:03d}Z"
