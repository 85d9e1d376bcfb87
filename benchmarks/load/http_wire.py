"""HTTP/1.1 answers as a load generator needs them: cheap, and every byte accounted for. No I/O.

Reads heads with Content-Length by hand and leaves chunked bodies, rare here, to httptools. Decides
how many bytes of a body are still to come, so that the shell may throw them away unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD_BYTES = 16_384
_HEADERS = (  # what a browser sends with each request, about 400 bytes
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0\r\n"
    "Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n"
    "Origin: http://class.example\r\nReferer: http://class.example/join/DEMO\r\n"
    "Sec-Fetch-Dest: empty\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: cross-site\r\n"
)


class WireError(Exception):
    """The server's answer is no HTTP that this client reads."""


def request_bytes(url: str, more: Mapping[str, str] | None = None) -> bytes:
    """Return a GET as Chrome would send it."""
    host, _, target = url.partition("://")[2].partition("/")
    extra = "".join(f"{name}: {value}\r\n" for name, value in more.items()) if more else ""
    return f"GET /{target} HTTP/1.1\r\nHost: {host}\r\n{_HEADERS}{extra}\r\n".encode()


class _Chunked:
    """Collects a chunked answer through httptools."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body = bytearray()
        self.done = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.done = True


class WireResponse:
    """One answer being read; `keep` says whether the body is wanted or only counted."""

    def __init__(self, *, keep: bool) -> None:
        self.status = 0
        self.body = b""
        self.done = False
        self.closes = False
        self.late = False  # it never came within the asker's patience
        self.location = ""
        self.body_bytes = 0
        self.unread_bytes = 0  # of the body; 0 while the head is read or the body is chunked
        self._keep = keep
        self._buffer = bytearray()
        self._chunked: _Chunked | None = None

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take received bytes; raises WireError when they are not an answer."""
        if self._chunked is not None:
            self._feed_chunked(data)
        elif self.status:
            if self._keep:
                self._buffer += data
            self.skip(len(data))
        else:
            self._buffer += data
            self._head()

    def skip(self, count: int) -> None:
        """Count bytes of the body that were received and thrown away."""
        self.unread_bytes -= count
        if self.unread_bytes < 0:
            raise WireError("the server sent more than Content-Length says")
        if self.unread_bytes == 0:
            self.done = True
            self.body = bytes(self._buffer)

    def _head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise WireError("the head of the answer is too long")
            return
        head = bytes(self._buffer[: end + 2]).lower()
        if not head.startswith(b"http/1.1 ") or not head[9:12].isdigit():
            raise WireError("the answer does not begin with HTTP/1.1 and a status")
        self.status = int(head[9:12])
        self.closes = b"\r\nconnection: close\r\n" in head
        at = head.find(b"\r\nlocation: ")
        if at >= 0:
            self.location = bytes(self._buffer[at + 12 : head.index(b"\r\n", at + 12)]).decode("latin-1")
        if b"\r\ntransfer-encoding: chunked\r\n" in head:
            whole, self._buffer, self._chunked = bytes(self._buffer), bytearray(), _Chunked()
            self._feed_chunked(whole)
            return
        self.body_bytes = self.unread_bytes = _content_length(head, self.status)
        rest = self._buffer[end + 4 :]
        self._buffer = bytearray()
        if rest or not self.unread_bytes:
            self.feed(rest)

    def _feed_chunked(self, data: bytes | bytearray | memoryview) -> None:
        chunked = self._chunked
        if chunked is None:
            raise WireError("the answer is not chunked")
        try:
            chunked.parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise WireError("the chunked body cannot be read") from error
        self.body_bytes = len(chunked.body)
        if chunked.done:
            self.done = True
            self.body = bytes(chunked.body) if self._keep else b""


def _content_length(head: bytes, status: int) -> int:
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        if status in (204, 304):
            return 0
        raise WireError("the answer has neither Content-Length nor chunks")
    value = head[at + 17 : head.index(b"\r\n", at + 17)].strip()
    if not value.isdigit():
        raise WireError("Content-Length is not a number")
    return int(value)
