"""Playlist text cut into numbered lines, limits checked and variables replaced (RFC 8216bis §4.1-4.3).

Knows EXTM3U, comments and EXT-X-DEFINE; what other tags mean is decided elsewhere.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from relay.base.errors import PlaylistError
from relay.core.playlist.attributes import TagAttributes, attribute

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TEXT_CHARS = 1_000_000
MAX_LINES = 20_000  # five hours of segments with two tags each; more would hold the relay up
MAX_LINE_CHARS = 16_384
MAX_VARIABLES = 100

DEFINE = "#EXT-X-DEFINE"
CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")  # §4.1, but a tab in a title is harmless
VARIABLE = re.compile(r"\{\$([A-Za-z0-9_-]+)\}")
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_BLANKS = " \t\r"


class PlaylistLine(NamedTuple):
    """One line that says something: a tag with its value, or a URI (then `tag` is "")."""

    no: int
    text: str
    tag: str
    value: str


def read_lines(text: str) -> Iterator[PlaylistLine]:
    """Yield the lines after EXTM3U that are neither blank nor comments; raises PlaylistError.

    A byte order mark, CR LF and blanks around a line are tolerated. References to variables are
    replaced everywhere but in titles, which may hold any text.
    """
    if len(text) > MAX_TEXT_CHARS:
        raise PlaylistError(0, f"the playlist is longer than {MAX_TEXT_CHARS} characters")
    if text.count("\n") > MAX_LINES:
        raise PlaylistError(0, f"the playlist has more than {MAX_LINES} lines")
    first, *rest = text.removeprefix("\ufeff").split("\n")
    if first.strip(_BLANKS) != "#EXTM3U":
        raise PlaylistError(1, "this is not a playlist: it does not begin with #EXTM3U")
    variables: dict[str, str] = {}
    grown_chars = 0
    for no, raw in enumerate(rest, 2):
        line = raw.strip(_BLANKS)
        if not line or (line.startswith("#") and not line.startswith("#EXT")):
            continue
        if len(line) > MAX_LINE_CHARS:
            raise PlaylistError(no, f"the line is longer than {MAX_LINE_CHARS} characters")
        if CONTROLS.search(line):
            raise PlaylistError(no, "the line holds a control character")
        if line.startswith(DEFINE + ":"):
            _define(variables, line, no)
        elif "{$" in line and not line.startswith("#EXTINF:"):
            shorter = len(line)
            line = _replaced(variables, line, no)
            grown_chars += len(line) - shorter
            if grown_chars > MAX_TEXT_CHARS:
                raise PlaylistError(no, "its variables make the playlist too long")
        yield _cut(no, line)


def _cut(no: int, line: str) -> PlaylistLine:
    if not line.startswith("#"):
        return PlaylistLine(no, line, "", line)
    tag, _, value = line.partition(":")
    return PlaylistLine(no, line, tag, value)


def _define(variables: dict[str, str], line: str, no: int) -> None:
    fields = TagAttributes(line.removeprefix(DEFINE + ":"), no)
    for kind in ("IMPORT", "QUERYPARAM"):
        if attribute(fields.attributes, kind) is not None:
            raise PlaylistError(no, f"EXT-X-DEFINE with {kind} is not supported: use NAME and VALUE")
    name, value = fields.text("NAME"), attribute(fields.attributes, "VALUE")
    if value is None or not _NAME.fullmatch(name) or "{$" in value:
        raise PlaylistError(no, "EXT-X-DEFINE needs a NAME of letters, digits, - and _, and a plain VALUE")
    if name in variables or len(variables) == MAX_VARIABLES:
        raise PlaylistError(no, f"the variable {name} is defined twice, or is one too many")
    variables[name] = value


def _replaced(variables: dict[str, str], line: str, no: int) -> str:
    def value(reference: re.Match[str]) -> str:
        if reference[1] not in variables:
            raise PlaylistError(no, f"the variable {reference[1][:40]} is not defined above this line")
        return variables[reference[1]]

    line = VARIABLE.sub(value, line)
    # A reference that only appears after replacing would be replaced again by the next reader.
    if len(line) > MAX_LINE_CHARS or VARIABLE.search(line):
        raise PlaylistError(no, "the line is too long, or holds references, after replacing its variables")
    return line
