"""Answers as bytes: made once, sent to many.

A response's head lacks what differs between connections (CORS, `Connection`) and the `Date`; the
reactor appends those lines. Decides headers; sends nothing.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from relay.core.viewers.registry import PLAYING_BYTES

if TYPE_CHECKING:
    from relay.base.errors import RequestError
    from relay.core.stream.media import Body, Media

PLAYLIST_TYPE = b"application/vnd.apple.mpegurl"
MEDIA_TYPES = {
    "ts": b"video/mp2t",
    "m2ts": b"video/mp2t",
    "mpegts": b"video/mp2t",
    "mp4": b"video/mp4",
    "m4s": b"video/mp4",
    "m4v": b"video/mp4",
    "cmfv": b"video/mp4",
    "m4a": b"audio/mp4",
    "cmfa": b"audio/mp4",
    "aac": b"audio/aac",
    "mp3": b"audio/mpeg",
    "ac3": b"audio/ac3",
    "ec3": b"audio/eac3",
    "vtt": b"text/vtt",
    "webvtt": b"text/vtt",
}
# Names carry the epoch and the number: what they stand for never changes.
MEDIA_CACHE = b"public, max-age=3600, immutable"
# The same blocking URL may be answered unchanged at the hold limit, so no playlist may be stored.
PLAYLIST_CACHE = b"no-cache"
GZIP_LEVEL = 6
MIN_GZIP_BYTES = 256
PREFLIGHT_MAX_AGE_S = 86_400
RETRY_AFTER_S = 1


@dataclass(slots=True, eq=False)
class Response:
    """One response: `head` up to the connection's own lines, then `text`, or a piece of `body`.

    `media_bytes` is what it counts as delivered media: a whole segment or part is enough for a viewer to
    play, an initialization section is nothing.
    """

    status: int
    kind: str
    head: bytes
    text: bytes = b""
    body: Body | None = None
    offset: int = 0
    size_bytes: int = 0
    close: bool = False
    media_bytes: int = 0


def _head(status: int, *lines: bytes) -> bytes:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n".encode() + b"".join(
        line + b"\r\n" for line in lines
    )


def text_response(
    status: int, kind: str, text: bytes, content_type: bytes, *lines: bytes, close: bool = False
) -> Response:
    """Return a response whose body is held in memory."""
    length = b"Content-Length: %d" % len(text)
    head = _head(status, b"Content-Type: " + content_type, length, *lines)
    return Response(status, kind, head, text, size_bytes=len(text), close=close)


def etag(text: str) -> bytes:
    """Return the quoted tag of a playlist's text: equal after a restart, equal on all relays."""
    return f'"{hashlib.blake2s(text.encode(), digest_size=8).hexdigest()}"'.encode()


def playlist_responses(text: str) -> tuple[Response, Response]:
    """Return one version of a playlist as it is and compressed (once, for all viewers)."""
    plain = text.encode()
    lines = _playlist_lines(etag(text))
    as_is = text_response(200, "playlist", plain, PLAYLIST_TYPE, *lines)
    if len(plain) < MIN_GZIP_BYTES:
        return as_is, as_is
    packed = gzip.compress(plain, GZIP_LEVEL, mtime=0)
    return as_is, text_response(200, "playlist", packed, PLAYLIST_TYPE, b"Content-Encoding: gzip", *lines)


def not_modified(tag: bytes) -> Response:
    """Return 304: the player has this version of the playlist."""
    return Response(304, "playlist", _head(304, *_playlist_lines(tag)))


def _playlist_lines(tag: bytes) -> tuple[bytes, ...]:
    # weak: the compressed form has the same tag (RFC 9110 §8.8.3)
    return b"Cache-Control: " + PLAYLIST_CACHE, b"Vary: Accept-Encoding", b"ETag: W/" + tag


def media_response(media: Media, kind: str, *, is_init: bool = False) -> Response:
    """Return 200 with a whole object."""
    head = _head(
        200,
        b"Content-Type: " + MEDIA_TYPES.get(media.extension, b"application/octet-stream"),
        b"Content-Length: %d" % media.size_bytes,
        b"Cache-Control: " + MEDIA_CACHE,
        b"Accept-Ranges: bytes",
    )
    return Response(
        200,
        kind,
        head,
        body=media.body,
        offset=media.offset,
        size_bytes=media.size_bytes,
        media_bytes=0 if is_init else max(PLAYING_BYTES, media.size_bytes),
    )


class MediaResponses:
    """The response of each object that is kept, made for its first viewer and dropped with the object."""

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[Media, Response] = WeakKeyDictionary()

    def get(self, media: Media, kind: str, *, is_init: bool = False) -> Response:
        """Return the response for an object."""
        made = self._made.get(media)
        if made is None:
            made = self._made[media] = media_response(media, kind, is_init=is_init)
        return made


def range_response(media: Media, kind: str, start: int, length: int) -> Response:
    """Return 206 with `length` bytes from `start` on (RFC 9110 §15.3.7)."""
    head = _head(
        206,
        b"Content-Type: " + MEDIA_TYPES.get(media.extension, b"application/octet-stream"),
        b"Content-Length: %d" % length,
        b"Content-Range: bytes %d-%d/%d" % (start, start + length - 1, media.size_bytes),
        b"Cache-Control: " + MEDIA_CACHE,
        b"Accept-Ranges: bytes",
    )
    return Response(
        206,
        kind,
        head,
        body=media.body,
        offset=media.offset + start,
        size_bytes=length,
        media_bytes=length,
    )


def error_response(error: RequestError) -> Response:
    """Return an error with its sentence; 503 says when to come back."""
    lines = [b"Cache-Control: no-store"]
    if error.status == 503:
        lines.append(b"Retry-After: %d" % RETRY_AFTER_S)
    if error.status == 405:
        lines.append(b"Allow: GET, HEAD, OPTIONS")
    text = (error.reason + "\n").encode()
    return text_response(
        error.status, "refused", text, b"text/plain; charset=utf-8", *lines, close=error.close
    )


def redirect(location: bytes) -> Response:
    """Return 302 to the path form of an address; the token moves from query or header to the path."""
    return text_response(
        302, "redirect", b"", b"text/plain", b"Location: " + location, b"Cache-Control: no-store"
    )


def preflight() -> Response:
    """Return the answer to a CORS preflight."""
    head = _head(
        204,
        b"Access-Control-Allow-Methods: GET, HEAD",
        b"Access-Control-Allow-Headers: Authorization, Range, CMCD-Object, CMCD-Request, CMCD-Session, "
        b"CMCD-Status",
        b"Access-Control-Max-Age: %d" % PREFLIGHT_MAX_AGE_S,
    )
    return Response(204, "preflight", head)


class CorsHeaders:
    """Which web pages may read our answers: any (`*`), or the listed origins."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        if "*" in origins:
            self._others, self._lines = _allow(b"*"), dict[bytes, bytes]()
        else:
            self._others = b"Vary: Origin\r\n"
            self._lines = {o: _allow(o) + self._others for o in map(str.encode, origins)}

    def lines(self, origin: bytes) -> bytes:
        """Return the header lines for a request from `origin` (empty: no web page asked)."""
        return self._lines.get(origin, self._others)


def _allow(origin: bytes) -> bytes:
    allowed = origin + b"\r\n"
    return (
        b"Access-Control-Allow-Origin: "
        + allowed
        + b"Access-Control-Expose-Headers: Retry-After\r\nTiming-Allow-Origin: "
        + allowed
    )
