"""Bytes from a viewer → a request that is safe to act on.

One browser sends the same header block with every request, so a block is parsed (by httptools)
once and then found by its bytes. The request line is checked each time, by a strict pattern.
Everything ambiguous is refused: what two servers could read differently is an attack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import httptools

from relay.base.errors import RequestError

MAX_HEAD_BYTES = 16 * 1024
MAX_TARGET_BYTES = 8 * 1024
MAX_HEADERS = 64
MAX_BLOCKS = 4096
MAX_BLOCK_BYTES = 4096
_LINE = re.compile(rb"(GET|HEAD|OPTIONS) (/[!-~]*) HTTP/1\.([01])\r\n")
_METHOD = re.compile(rb"[A-Z]{1,20} ")
_FOLD = re.compile(rb"\r\n[ \t]")
_REFUSED = re.compile(rb"q=0(\.0{0,3})?")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")


@dataclass(slots=True, eq=False)
class RequestHeaders:
    """What the relay reads of a header block."""

    keep_alive: bool = True
    gzip: bool = False
    origin: bytes = b""
    range: bytes = b""
    if_none_match: bytes = b""
    bearer: str = ""
    preflight: bool = False


@dataclass(slots=True, eq=False)
class Request:
    """One request: method, target as sent, headers."""

    method: bytes
    target: bytes
    headers: RequestHeaders


class RequestParser:
    """Finds requests in a connection's bytes; shared by all connections of a relay."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, RequestHeaders] = {}

    def next(self, buffer: bytearray) -> Request | None:
        """Take one request off the front of the buffer; None while its head is not complete.

        Raises RequestError (400, 405, 413, 414, 431, 505), always with `close`.
        """
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or end > MAX_HEAD_BYTES:
            if len(buffer) > MAX_HEAD_BYTES + 3:  # the end itself may be cut
                raise RequestError(431, "the request's head is too large", close=True)
            return None
        if end + 4 == len(buffer):  # nearly always
            head = bytes(buffer)
            buffer.clear()
        else:
            head = bytes(buffer[: end + 4])
            del buffer[: end + 4]
        match = _LINE.match(head)
        if match is None:
            raise _line_error(head.partition(b"\r\n")[0])
        if len(match[2]) > MAX_TARGET_BYTES:
            raise RequestError(414, "the address is too long", close=True)
        block = head[match.end() : -4]
        headers = self._blocks.get(block)
        if headers is None:
            headers = _parse_block(block)
            if len(block) <= MAX_BLOCK_BYTES:
                if len(self._blocks) >= MAX_BLOCKS:
                    del self._blocks[next(iter(self._blocks))]
                self._blocks[block] = headers
        if match[3] == b"0":
            headers = _without_keep_alive(headers)
        return Request(match[1], match[2], headers)


def _line_error(line: bytes) -> RequestError:
    if _METHOD.match(line) and line.endswith((b"HTTP/1.1", b"HTTP/1.0")):
        method = line.partition(b" ")[0]
        if method not in (b"GET", b"HEAD", b"OPTIONS"):
            return RequestError(405, "only GET and HEAD are answered here", close=True)
    if re.search(rb" HTTP/[2-9]", line):
        return RequestError(505, "only HTTP/1.1 is spoken here", close=True)
    return RequestError(400, "the request line cannot be read", close=True)


class _Collector:
    """httptools' callbacks: the header lines in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.lines.append((name.lower(), value))


def _parse_block(block: bytes) -> RequestHeaders:
    if _FOLD.search(b"\r\n" + block) or _BARE.search(block):
        raise RequestError(400, "a header line is folded or ends wrongly", close=True)
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(b"GET / HTTP/1.1\r\n" + block + (b"\r\n\r\n" if block else b"\r\n"))
    except httptools.HttpParserUpgrade:
        raise RequestError(400, "no upgrade is offered here", close=True) from None
    except httptools.HttpParserError:
        raise RequestError(400, "a header line cannot be read", close=True) from None
    if len(collector.lines) > MAX_HEADERS:
        raise RequestError(431, "too many header lines", close=True)
    return _read(collector.lines)


def _read(lines: list[tuple[bytes, bytes]]) -> RequestHeaders:
    headers = RequestHeaders()
    seen: set[bytes] = set()
    for name, value in lines:
        if name in (b"host", b"content-length", b"transfer-encoding", b"range") and name in seen:
            raise RequestError(400, "a header line stands twice", close=True)
        seen.add(name)
        if name == b"connection":
            tokens = [t.strip() for t in value.lower().split(b",")]
            headers.keep_alive = headers.keep_alive and b"close" not in tokens
        elif name == b"accept-encoding":
            headers.gzip = headers.gzip or any(_accepts_gzip(t) for t in value.lower().split(b","))
        elif name == b"origin":
            headers.origin = value[:512]
        elif name == b"range":
            headers.range = value[:128]
        elif name == b"if-none-match":
            headers.if_none_match = value[:256]
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            headers.bearer = value[7:].strip().decode("latin-1")
        elif name == b"access-control-request-method":
            headers.preflight = True
        elif name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0"):
            raise RequestError(413, "a request with a body is not answered here", close=True)
    if b"host" not in seen:
        raise RequestError(400, "the Host line is missing", close=True)
    return headers


def _accepts_gzip(token: bytes) -> bool:
    coding, _, quality = token.strip().partition(b";")
    return coding.strip() in (b"gzip", b"*") and not _REFUSED.fullmatch(quality.strip())


def _without_keep_alive(headers: RequestHeaders) -> RequestHeaders:
    copy = RequestHeaders()
    for name in RequestHeaders.__slots__:
        setattr(copy, name, getattr(headers, name))
    copy.keep_alive = False
    return copy


@dataclass(frozen=True, slots=True)
class Directives:
    """Delivery directives of a playlist request (RFC 8216bis §6.2.5); None: not given."""

    msn: int | None = None
    part: int | None = None


NO_DIRECTIVES = Directives()


def directives(query: bytes) -> Directives:
    """Read `_HLS_msn` and `_HLS_part`; RequestError 400 where they make no sense.

    `_HLS_skip` is not offered and so ignored (§6.2.5.1).
    """
    if b"_HLS_" not in query:
        return NO_DIRECTIVES
    found: dict[bytes, int] = {}
    for piece in query.split(b"&"):
        name, _, value = piece.partition(b"=")
        if name in (b"_HLS_msn", b"_HLS_part"):
            if not value.isdigit() or len(value) > 15 or name in found:
                raise RequestError(400, f"{name.decode()} is not a number")
            found[name] = int(value)
    msn, part = found.get(b"_HLS_msn"), found.get(b"_HLS_part")
    if part is not None and msn is None:
        raise RequestError(400, "_HLS_part needs _HLS_msn")
    return Directives(msn, part)


def byte_range(value: bytes, size_bytes: int) -> tuple[int, int] | None:
    """Return (offset, length) of a single range; None when the whole is to be sent (RFC 9110 §14).

    RequestError 416 when it lies outside.
    """
    match = re.fullmatch(rb"bytes=(\d{0,15})-(\d{0,15})", value.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        length = min(int(match[2]), size_bytes)
        if length == 0:
            raise RequestError(416, "the range lies outside the object")
        return size_bytes - length, length
    start = int(match[1])
    stop = min(int(match[2]), size_bytes - 1) if match[2] else size_bytes - 1
    if match[2] and int(match[2]) < start:
        return None
    if start >= size_bytes:
        raise RequestError(416, "the range lies outside the object")
    return start, stop - start + 1
