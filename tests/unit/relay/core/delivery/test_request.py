"""Requests from bytes: one meaning or none."""

from __future__ import annotations

import pytest

from relay.base.errors import RequestError
from relay.core.delivery import request as rq
from relay.core.delivery.request import Directives, Request, RequestParser, byte_range, directives

CHROMIUM = (
    b"GET /t/a.b.c/class1/v0.m3u8?_HLS_msn=3&_HLS_part=1 HTTP/1.1\r\n"
    b"Host: relay.example:8080\r\nConnection: keep-alive\r\nUser-Agent: Mozilla/5.0\r\n"
    b"Accept: */*\r\nOrigin: http://master.example\r\nReferer: http://master.example/\r\n"
    b"Accept-Encoding: gzip, deflate\r\nAccept-Language: en\r\n\r\n"
)


def one(data: bytes) -> Request:
    buffer = bytearray(data)
    request = RequestParser().next(buffer)
    assert request is not None
    assert not buffer
    return request


def refused(data: bytes) -> int:
    with pytest.raises(RequestError) as caught:
        one(data)
    assert caught.value.close
    return caught.value.status


def with_lines(*lines: bytes) -> bytes:
    return b"GET /a HTTP/1.1\r\nHost: x\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def test_what_a_browser_sends() -> None:
    request = one(CHROMIUM)
    assert request.method == b"GET"
    assert request.target == b"/t/a.b.c/class1/v0.m3u8?_HLS_msn=3&_HLS_part=1"
    headers = request.headers
    assert headers.keep_alive
    assert headers.gzip
    assert headers.origin == b"http://master.example"
    assert (headers.range, headers.if_none_match, headers.bearer, headers.preflight) == (b"", b"", "", False)


def test_every_header_that_is_read() -> None:
    headers = one(
        with_lines(
            b"Range: bytes=1-2",
            b'If-None-Match: "a"',
            b"Authorization: bEARER  abc ",
            b"Access-Control-Request-Method: GET",
            b"Content-Length: 0",
        )
    ).headers
    assert headers.range == b"bytes=1-2"
    assert headers.if_none_match == b'"a"'
    assert headers.bearer == "abc"
    assert headers.preflight


def test_other_authorizations_are_no_bearer() -> None:
    assert one(with_lines(b"Authorization: Basic abc")).headers.bearer == ""


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
def test_methods(method: bytes) -> None:
    assert one(method + b" / HTTP/1.1\r\nHost: x\r\n\r\n").method == method


@pytest.mark.parametrize(
    ("lines", "keep"),
    [
        ((), True),
        ((b"Connection: close",), False),
        ((b"Connection: keep-alive, Close",), False),
        ((b"Connection: close", b"Connection: keep-alive"), False),
        ((b"Connection: keep-alive",), True),
    ],
)
def test_keep_alive(lines: tuple[bytes, ...], keep: bool) -> None:
    assert one(with_lines(*lines)).headers.keep_alive is keep


def test_http_1_0_is_answered_once() -> None:
    parser = RequestParser()
    for version, keep in ((b"0", False), (b"1", True)):
        buffer = bytearray(b"GET /a HTTP/1." + version + b"\r\nHost: x\r\nOrigin: o\r\n\r\n")
        request = parser.next(buffer)
        assert request is not None
        assert request.headers.keep_alive is keep
        assert request.headers.origin == b"o"


@pytest.mark.parametrize(
    ("value", "gzip"),
    [
        (b"gzip", True),
        (b"br, GZIP;q=0.5", True),
        (b"*", True),
        (b"br", False),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000", False),
        (b"gzip;q=0.001", True),
        (b"identity", False),
    ],
)
def test_gzip_only_where_it_is_wanted(value: bytes, gzip: bool) -> None:
    assert one(with_lines(b"Accept-Encoding: " + value)).headers.gzip is gzip


def test_two_lines_of_encodings_count_as_one() -> None:
    assert one(with_lines(b"Accept-Encoding: gzip", b"Accept-Encoding: br")).headers.gzip


def test_requests_come_out_in_order_and_the_rest_stays() -> None:
    buffer = bytearray(with_lines() + CHROMIUM + b"GET /tail HT")
    parser = RequestParser()
    first, second = parser.next(buffer), parser.next(buffer)
    assert first is not None
    assert second is not None
    assert (first.target, second.target) == (b"/a", CHROMIUM.split(b" ")[1])
    assert parser.next(buffer) is None
    assert buffer == b"GET /tail HT"


def test_empty_lines_before_a_request_are_ignored() -> None:
    assert one(b"\r\n\r\n" + with_lines()).target == b"/a"


def test_an_empty_line_alone_is_no_request() -> None:
    buffer = bytearray(b"\r\n")
    assert RequestParser().next(buffer) is None


def test_a_header_block_is_read_once() -> None:
    parser = RequestParser()
    found = [parser.next(bytearray(CHROMIUM)) for _ in range(2)]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].headers is found[1].headers


def test_the_memory_of_blocks_is_bounded() -> None:
    parser = RequestParser()
    first = parser.next(bytearray(with_lines(b"X: first")))
    for number in range(rq.MAX_BLOCKS):
        parser.next(bytearray(with_lines(b"X: %d" % number)))
    again = parser.next(bytearray(with_lines(b"X: first")))
    assert first is not None
    assert again is not None
    assert first.headers is not again.headers


def test_long_blocks_are_not_kept() -> None:
    parser, data = RequestParser(), with_lines(b"X: " + b"x" * rq.MAX_BLOCK_BYTES)
    first, again = parser.next(bytearray(data)), parser.next(bytearray(data))
    assert first is not None
    assert again is not None
    assert first.headers is not again.headers


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_the_largest_head_is_taken_however_its_end_is_cut(cut: int) -> None:
    data = with_lines(b"X: " + b"x" * (rq.MAX_HEAD_BYTES - 32))
    data = data[: len(data) - 4].ljust(rq.MAX_HEAD_BYTES, b"x") + b"\r\n\r\n"
    buffer = bytearray(data[:-cut])
    parser = RequestParser()
    assert parser.next(buffer) is None
    buffer += data[-cut:]
    assert parser.next(buffer) is not None


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_larger_head_is_refused(end: bytes) -> None:
    assert refused(b"GET / HTTP/1.1\r\nX: " + b"x" * 64_000 + end) == 431


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"POST / HTTP/1.1", 405),
        (b"PROPFIND / HTTP/1.0", 405),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 400),
        (b"GET  / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET relay.example/ HTTP/1.1", 400),
        (b"GET http://relay.example/ HTTP/1.1", 400),
        (b"get / HTTP/1.1", 400),
        (b"GET /\xc3\xa4 HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\tx HTTP/1.1", 400),
        (b"GET /a\rb HTTP/1.1", 400),
        (b"GET /", 400),
        (b"GET /" + b"x" * rq.MAX_TARGET_BYTES + b" HTTP/1.1", 414),
        (b"\x16\x03\x01\x02\x00\x01", 400),
    ],
)
def test_request_lines_that_are_refused(line: bytes, status: int) -> None:
    assert refused(line + b"\r\nHost: x\r\n\r\n") == status


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (b"", 400),
        (b"X: 1", 400),  # no Host
        (b"Host: x\r\nHost: y", 400),
        (b"Host: x\r\nX: 1\r\n folded", 400),
        (b"Host: x\r\nX: 1\r\n\tfolded", 400),
        (b" Host: x", 400),
        (b"Host: x\nX: 1", 400),
        (b"Host: x\rX: 1", 400),
        (b"Host: x\r\r\nX: 1", 400),
        (b"Host: x\r\nTransfer-Encoding : chunked", 400),
        (b"Host: x\r\nX\x00: 1", 400),
        (b"Host: x\r\nX: a\x00b", 400),
        (b"Host: x\r\nno colon", 400),
        (b"Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket", 400),
        (b"Host: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: %%", 400),
        (b"Host: x\r\nContent-Length: 5", 413),
        (b"Host: x\r\nTransfer-Encoding: chunked", 413),
        (b"Host: x\r\nContent-Length: 0\r\nContent-Length: 0", 400),
        (b"Host: x\r\nContent-Length: 0\r\nContent-Length: 5", 400),
        (b"Host: x\r\nContent-Length: -1", 400),
        (b"Host: x\r\nContent-Length: 0, 0", 400),
        (b"Host: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400),
        (b"Host: x\r\nRange: bytes=0-1\r\nRange: bytes=2-3", 400),
        (b"Host: x" + b"\r\nX: 1" * rq.MAX_HEADERS, 431),
    ],
)
def test_header_blocks_that_are_refused(block: bytes, status: int) -> None:
    head = b"GET / HTTP/1.1\r\n" + block + (b"\r\n\r\n" if block else b"\r\n")
    assert refused(head) == status


def test_length_and_chunks_together_are_refused() -> None:
    status = refused(with_lines(b"Content-Length: 5", b"Transfer-Encoding: chunked"))
    assert status in (400, 413)


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        (b"", Directives()),
        (b"token=1", Directives()),
        (b"_HLS_msn=7", Directives(7)),
        (b"x=1&_HLS_msn=7&_HLS_part=0", Directives(7, 0)),
        (b"_HLS_msn=7&_HLS_skip=YES", Directives(7)),
        (b"_HLS_skip=v2", Directives()),
    ],
)
def test_directives(query: bytes, wanted: Directives) -> None:
    assert directives(query) == wanted


@pytest.mark.parametrize(
    "query",
    [
        b"_HLS_part=1",
        b"_HLS_msn=",
        b"_HLS_msn=-1",
        b"_HLS_msn=1.5",
        b"_HLS_msn=1e3",
        b"_HLS_msn=1&_HLS_msn=1",
        b"_HLS_msn=1&_HLS_part=x",
        b"_HLS_msn=" + b"9" * 16,
        b"_HLS_msn=\xb2",
    ],
)
def test_directives_that_make_no_sense(query: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        directives(query)
    assert caught.value.status == 400
    assert not caught.value.close


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (b"bytes=0-0", (0, 1)),
        (b"bytes=0-99", (0, 100)),
        (b"bytes=0-100", (0, 100)),
        (b"bytes=10-", (10, 90)),
        (b"bytes=-10", (90, 10)),
        (b"bytes=-1000", (0, 100)),
        (b" bytes=99-99 ", (99, 1)),
        (b"bytes=-", None),
        (b"bytes=5-3", None),
        (b"bytes=0-1,5-6", None),
        (b"bytes=a-b", None),
        (b"items=0-1", None),
        (b"bytes=" + b"1" * 40 + b"-", None),
    ],
)
def test_byte_ranges(value: bytes, wanted: tuple[int, int] | None) -> None:
    assert byte_range(value, 100) == wanted


@pytest.mark.parametrize("value", [b"bytes=100-", b"bytes=200-300", b"bytes=-0"])
def test_byte_ranges_outside_the_object(value: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        byte_range(value, 100)
    assert caught.value.status == 416
