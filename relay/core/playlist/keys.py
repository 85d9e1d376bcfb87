"""EXT-X-KEY lines: which are in force, and what to print when that changes (RFC 8216bis §4.4.4.4).

Lines stay as the origin wrote them; nothing here decrypts.
"""

from __future__ import annotations

from urllib.parse import urljoin

from relay.core.playlist.attributes import TagAttributes, attribute, parse_attributes, print_attributes

KEY = "#EXT-X-KEY:"
NO_KEY = KEY + "METHOD=NONE"
_IDENTITY = "identity"


def keys_after(keys: tuple[str, ...], line: str, line_no: int) -> tuple[str, ...]:
    """Return the key lines in force after `line`, which replaces the one of its KEYFORMAT."""
    fields = TagAttributes(line.removeprefix(KEY), line_no)
    if fields.text("METHOD") == "NONE":
        return ()
    fields.text("URI")
    return (*(key for key in keys if _format(key) != _format(line)), line)


def key_lines(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[str, ...]:
    """Return the lines to print so that a reader with `before` in force has `after`."""
    if before == after:
        return ()
    left_over = {_format(key) for key in before} - {_format(key) for key in after}
    return (NO_KEY, *after) if left_over else after


def with_explicit_iv(line: str, msn: int) -> str:
    """Return an AES-128 key line with the IV that it implies at `msn`; other lines as they are.

    Without IV the media sequence number is the vector (§5.2), so whoever renumbers must write it.
    """
    attributes = parse_attributes(line.removeprefix(KEY), 0)
    implied = attribute(attributes, "METHOD") == "AES-128" and attribute(attributes, "IV") is None
    if not implied or _format(line) != _IDENTITY:
        return line
    return KEY + print_attributes((*attributes, ("IV", f"0x{msn:032x}")))


def with_absolute_uri(line: str, base_url: str) -> str:
    """Return a tag whose relative URI was made absolute: a key, say, stays with its own server."""
    tag, _, listed = line.partition(":")
    attributes = parse_attributes(listed, 0)
    uri = attribute(attributes, "URI")
    if uri is None or not base_url:
        return line
    absolute = (
        ("URI", f'"{urljoin(base_url, uri)}"') if name == "URI" else (name, value)
        for name, value in attributes
    )
    return f"{tag}:{print_attributes(tuple(absolute))}"


def _format(line: str) -> str:
    return attribute(parse_attributes(line.removeprefix(KEY), 0), "KEYFORMAT") or _IDENTITY
