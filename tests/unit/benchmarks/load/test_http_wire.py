"""Answers on the wire: every length counted, what is no HTTP refused."""

from __future__ import annotations

import pytest

from benchmarks.load.http_wire import MAX_HEAD_BYTES, WireError, WireResponse, request_bytes

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
EMPTY = b"HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length:0\r\n\r\n"


def fed(data: bytes, *, keep: bool = True, step: int = 0) -> WireResponse:
    answer = WireResponse(keep=keep)
    for at in range(0, len(data), step or len(data)):
        assert not answer.done
        answer.feed(data[at : at + (step or len(data))])
    return answer


@pytest.mark.parametrize("step", [0, 1, 7])
@pytest.mark.parametrize("data", [PLAIN, CHUNKED])
def test_an_answer_is_read_however_it_is_cut(data: bytes, step: int) -> None:
    answer = fed(data, step=step)
    assert (answer.done, answer.status, answer.body, answer.body_bytes) == (True, 200, b"hello", 5)
    assert not answer.closes


@pytest.mark.parametrize("data", [PLAIN, CHUNKED])
def test_a_body_that_nobody_wants_is_only_counted(data: bytes) -> None:
    answer = fed(data, keep=False, step=3)
    assert (answer.done, answer.body, answer.body_bytes) == (True, b"", 5)


def test_the_rest_of_a_body_may_be_thrown_away_unread() -> None:
    answer = fed(PLAIN[:-3], keep=False)
    assert (answer.done, answer.unread_bytes) == (False, 3)
    answer.skip(3)
    assert answer.done


def test_status_closing_and_place() -> None:
    answer = fed(EMPTY)
    assert (answer.done, answer.status, answer.closes) == (True, 503, True)
    moved = fed(b"HTTP/1.1 302 Found\r\nLocation: /T/x\r\nContent-Length: 0\r\n\r\n")
    assert (moved.location, moved.done) == ("/T/x", True)
    assert fed(b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n").done


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        PLAIN + b"more",
        b"a" * (MAX_HEAD_BYTES + 1),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        fed(data)


def test_a_request_looks_like_a_browser_s() -> None:
    data = request_bytes("http://a.example:81/t/x/index.m3u8?_HLS_msn=1", {"Authorization": "Bearer x"})
    assert data.startswith(b"GET /t/x/index.m3u8?_HLS_msn=1 HTTP/1.1\r\nHost: a.example:81\r\nUser-Agent: ")
    assert data.endswith(b"\r\nAuthorization: Bearer x\r\n\r\n")
    assert request_bytes("http://a.example").startswith(b"GET / HTTP/1.1\r\nHost: a.example\r\n")
