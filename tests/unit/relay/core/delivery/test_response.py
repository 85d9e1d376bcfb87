"""Answers as bytes, and who may read them."""

from __future__ import annotations

import gzip

import pytest

from relay.base.errors import RequestError
from relay.core.delivery.response import (
    CorsHeaders,
    MediaResponses,
    error_response,
    etag,
    not_modified,
    playlist_responses,
    preflight,
    range_response,
    redirect,
)
from relay.core.stream.media import Media
from tests.harness.builders import MemoryBody


def media(size: int = 100, extension: str = "mp4") -> Media:
    body = MemoryBody()
    body.append(b"before")
    return Media(body, body.append(b"x" * size), size, extension)


def test_a_playlist_is_packed_once_and_says_what_it_is() -> None:
    text = "#EXTM3U\n" + "#EXTINF:4,\nsegment.ts\n" * 50
    plain, packed = playlist_responses(text)
    assert plain.head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\n")
    assert plain.text == text.encode()
    assert b"Content-Encoding" not in plain.head
    assert gzip.decompress(packed.text) == plain.text
    assert b"Content-Encoding: gzip\r\n" in packed.head
    for response in (plain, packed):
        assert b"Content-Length: %d\r\n" % len(response.text) in response.head
        assert b"Cache-Control: no-cache\r\nVary: Accept-Encoding\r\nETag: W/" in response.head
        assert b"Age:" not in response.head
        assert (response.status, response.kind, response.size_bytes) == (200, "playlist", len(response.text))


def test_the_same_text_gives_the_same_bytes() -> None:
    text = "#EXTM3U\n" * 100
    first, second = playlist_responses(text), playlist_responses(text)
    assert [r.text for r in first] == [r.text for r in second]
    assert [r.head for r in first] == [r.head for r in second]


def test_a_short_playlist_is_not_packed() -> None:
    plain, packed = playlist_responses("#EXTM3U\n")
    assert plain is packed


def test_another_text_has_another_etag() -> None:
    assert etag("a") == etag("a") != etag("b")


def test_not_modified_has_no_body() -> None:
    response = not_modified(b'"x"')
    assert response.head.startswith(b"HTTP/1.1 304 Not Modified\r\n")
    assert b'ETag: W/"x"\r\n' in response.head
    assert (response.text, response.body, response.size_bytes) == (b"", None, 0)


@pytest.mark.parametrize(
    ("extension", "content_type"),
    [
        ("mp4", b"video/mp4"),
        ("ts", b"video/mp2t"),
        ("m4a", b"audio/mp4"),
        ("bin", b"application/octet-stream"),
    ],
)
def test_an_object_is_described_once(extension: str, content_type: bytes) -> None:
    one = media(extension=extension)
    made = MediaResponses()
    response = made.get(one, "segment")
    assert made.get(one, "segment") is response
    assert b"Content-Type: " + content_type + b"\r\nContent-Length: 100\r\n" in response.head
    assert b"Cache-Control: public, max-age=3600, immutable\r\n" in response.head
    assert b"Accept-Ranges: bytes\r\n" in response.head
    assert (response.body, response.offset, response.size_bytes) == (one.body, 6, 100)


def test_a_range_counts_from_the_object_not_from_its_body() -> None:
    response = range_response(media(), "segment", 10, 5)
    assert response.status == 206
    assert b"Content-Range: bytes 10-14/100\r\nContent" not in response.head
    assert b"Content-Length: 5\r\nContent-Range: bytes 10-14/100\r\n" in response.head
    assert (response.offset, response.size_bytes) == (16, 5)


def test_an_error_is_a_sentence_that_nobody_stores() -> None:
    response = error_response(RequestError(404, "no such object"))
    assert response.text == b"no such object\n"
    assert b"Cache-Control: no-store\r\n" in response.head
    assert b"Retry-After" not in response.head
    assert b"Allow" not in response.head
    assert not response.close


def test_unavailable_says_when_to_come_back() -> None:
    assert b"Retry-After: 1\r\n" in error_response(RequestError(503, "full")).head


def test_a_wrong_method_is_told_the_right_ones() -> None:
    response = error_response(RequestError(405, "no", close=True))
    assert b"Allow: GET, HEAD, OPTIONS\r\n" in response.head
    assert response.close


def test_a_redirect_is_not_stored() -> None:
    response = redirect(b"/t/x/class1/index.m3u8")
    assert response.status == 302
    assert b"Location: /t/x/class1/index.m3u8\r\nCache-Control: no-store\r\n" in response.head


def test_a_preflight_allows_what_players_send() -> None:
    head = preflight().head
    assert head.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"Access-Control-Allow-Methods: GET, HEAD\r\n" in head
    assert b"Authorization, Range, CMCD-Object" in head
    assert b"Credentials" not in head


def test_any_page_may_read_where_any_is_allowed() -> None:
    cors = CorsHeaders(("*",))
    for origin in (b"http://a.example", b""):
        lines = cors.lines(origin)
        assert b"Access-Control-Allow-Origin: *\r\n" in lines
        assert b"Timing-Allow-Origin: *\r\n" in lines
        assert b"Vary" not in lines


def test_a_listed_page_may_read_and_no_other() -> None:
    cors = CorsHeaders(("http://a.example", "http://b.example"))
    lines = cors.lines(b"http://b.example")
    assert b"Access-Control-Allow-Origin: http://b.example\r\n" in lines
    assert b"Vary: Origin\r\n" in lines
    for origin in (b"http://c.example", b"", b"null"):
        assert cors.lines(origin) == b"Vary: Origin\r\n"
