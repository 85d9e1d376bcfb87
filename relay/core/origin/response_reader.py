"""HTTP/1.1 answers of an origin, from bytes: what may be believed, and when an answer is whole.

Every fault of the origin becomes an OriginError whose `kind` labels a counter. Does not send
requests, does not follow redirects.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httptools

from relay.base.errors import OriginError

if TYPE_CHECKING:
    from relay.core.playlist import ByteRange

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_INTERIM_ANSWERS = 4
# The text of an error is for a log line; a longer one is cut off together with its connection.
MAX_ERROR_BYTES = 64 * 1024
# Chunk sizes and their line ends: a body in chunks of one byte has five such bytes for each.
MAX_FRAMING_PER_BYTE = 8
_GOOD = (200, 206)
_NO_BODY = (204, 304)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(?:\d{1,18}|\*)")
_LENGTH = re.compile(r"\d{1,18}")


@dataclass(frozen=True, slots=True)
class OriginResponse:
    """A whole answer; header names are lower-case, `url` is where redirects ended."""

    status: int
    headers: dict[str, str]
    body: bytes
    url: str = ""


class ResponseReader:
    """Reads one answer to a GET; the body's bytes come out of `feed` as they arrive.

    With `byterange`, only those bytes come out and `status` is 206, even when the origin ignores
    Range and sends the whole (RFC 9110 §14.2). `max_bytes` bounds the body of a good answer.
    """

    def __init__(self, max_bytes: int, byterange: ByteRange | None = None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.done = False
        self.started = False
        self._max_bytes = max_bytes
        self._range = byterange
        self._skip_bytes = 0
        self._whole_sent = False
        self._head_read = False
        self._interim = 0
        self._keep_alive = False
        self._surplus = False
        self._fault: OriginError | None = None
        self._chunks: list[bytes] = []
        self._body_bytes = 0
        self._wire_bytes = 0
        self._raw_body_bytes = 0
        self._parser = httptools.HttpResponseParser(self)

    @property
    def good(self) -> bool:
        """Whether the body is what was asked for, not the text of an error."""
        return self.status in _GOOD

    @property
    def reusable(self) -> bool:
        """Whether another request may follow on the same connection."""
        return self.done and self._keep_alive and not self._surplus

    def feed(self, data: bytes | bytearray) -> list[bytes]:
        """Take bytes from the origin (none: its end) and return new pieces of the body.

        Raises OriginError: truncated, too_large, refused or protocol.
        """
        if not data:
            raise self._cut_short()
        self.started = True
        self._wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as exc:
            self._surplus = True
            self._fail(f"the origin's answer is not HTTP/1.1 ({type(exc).__name__})")
        framing_bytes = self._wire_bytes - self._raw_body_bytes
        if not self.done and framing_bytes > MAX_HEAD_BYTES + MAX_FRAMING_PER_BYTE * self._raw_body_bytes:
            self._fail("the origin's answer has more header than body")
        if self._fault is not None:
            raise self._fault
        chunks, self._chunks = self._chunks, []
        return chunks

    def _cut_short(self) -> OriginError:
        if self.started:
            return OriginError("the origin closed the connection within an answer", "truncated")
        return OriginError("the origin closed the connection without an answer", "truncated")

    def _fail(self, reason: str, kind: str = "protocol") -> None:
        if self._fault is None and not self.done:
            self._fault = OriginError(reason, kind)

    # -- called by httptools while it is fed ----------------------------------------------

    def on_message_begin(self) -> None:
        """Begin an answer; a second one was not asked for."""
        if self.done:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are of no use here."""
        if self.done or self._head_read:
            return
        if len(self.headers) < MAX_HEADERS:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text
        else:
            self._fail(f"the origin's answer has more than {MAX_HEADERS} headers")

    def on_headers_complete(self) -> None:
        """Decide whether the body can be taken, and how its end will be known."""
        if self.done:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            return
        self._head_read = True
        if self.good:
            self._check_head()
        elif self.status not in _NO_BODY and not self._framed():
            self._stop()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body, as far as it was asked for."""
        self._raw_body_bytes += len(body)
        if self.done or self._fault is not None:
            return
        if self._skip_bytes:
            skipped = min(self._skip_bytes, len(body))
            self._skip_bytes -= skipped
            body = body[skipped:]
        if self._range is not None and self.good:
            body = body[: self._range.length - self._body_bytes]
        self._body_bytes += len(body)
        if not self.good and self._body_bytes > MAX_ERROR_BYTES:
            self._stop()
        elif self.good and self._body_bytes > self._max_bytes:
            self._fail(f"the origin sent more than {self._max_bytes} bytes", "too_large")
        else:
            self._chunks.append(body)
            if self._whole_sent and self._range is not None and self._body_bytes == self._range.length:
                self._stop()

    def on_message_complete(self) -> None:
        """End the answer, or go on after an interim one (RFC 9110 §15.2)."""
        if self.done:
            return
        if self.status < 200:
            self._interim += 1
            self.headers = {}
            if self._interim > MAX_INTERIM_ANSWERS:
                self._fail("the origin sends nothing but interim answers")
        elif self._range is not None and self.good and self._body_bytes < self._range.length:
            self._fail("the origin's object ends before the byte range that was asked for", "truncated")
        elif self._fault is None:
            self._keep_alive = self._parser.should_keep_alive()
            self.done = True

    # -- rules ----------------------------------------------------------------------------

    def _check_head(self) -> None:
        coding = self.headers.get("content-encoding", "identity").lower()
        if coding != "identity":
            self._fail(f"the origin compresses what must come as it is ({coding[:20]})", "refused")
        elif not self._framed():
            # A body that ends with its connection looks the same whole or cut off.
            self._fail("the origin's answer has no length: it must send Content-Length or chunks")
        elif self._range is None:
            if self.status == 206:
                self._fail("the origin sent a part of what was asked for")
            elif int(self.headers.get("content-length", "0")) > self._max_bytes:
                self._fail(f"the origin's object is larger than {self._max_bytes} bytes", "too_large")
        else:
            self._check_range(self._range)

    def _check_range(self, asked: ByteRange) -> None:
        if asked.offset + asked.length > self._max_bytes and self.status == 200:
            self._fail("the origin sends a large object whole instead of the byte range", "too_large")
        elif self.status == 200:
            self.status, self._skip_bytes, self._whole_sent = 206, asked.offset, True
        else:
            sent = _CONTENT_RANGE.fullmatch(self.headers.get("content-range", ""))
            if sent is None or (int(sent[1]), int(sent[2])) != (
                asked.offset,
                asked.offset + asked.length - 1,
            ):
                self._fail("the origin sent another byte range than was asked for")

    def _framed(self) -> bool:
        """Tell whether the body's end can be known without the connection's end."""
        if "transfer-encoding" in self.headers:
            return self.headers["transfer-encoding"].lower() == "chunked"
        return _LENGTH.fullmatch(self.headers.get("content-length", "")) is not None

    def _stop(self) -> None:
        """Take the answer as it is and give the connection up."""
        self.done = self._surplus = True
