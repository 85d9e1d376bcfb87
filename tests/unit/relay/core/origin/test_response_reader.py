import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.base.errors import OriginError
from relay.core.origin import response_reader
from relay.core.origin.response_reader import ResponseReader
from relay.core.playlist import ByteRange
from tests.harness.fake_http import chunk, reply

KINDS = {"truncated", "too_large", "refused", "protocol"}


def read(data: bytes, *, size: int = 65536, max_bytes: int = 1000, byterange: ByteRange | None = None):
    reader, body = ResponseReader(max_bytes, byterange), b""
    for start in range(0, len(data), size):
        body += b"".join(reader.feed(data[start : start + size]))
    return reader, body


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_whole_answer_however_it_is_cut(size: int, chunked: bool) -> None:
    data = reply(b"hello", headers=[("X-Some", "a"), ("x-some", "b")], chunked=chunked)
    reader, body = read(data, size=size)
    assert (reader.status, body, reader.done, reader.reusable) == (200, b"hello", True, True)
    assert reader.headers["x-some"] == "a, b"


def test_the_end_of_the_connection_within_an_answer_is_a_truncation() -> None:
    for data in (b"", b"HTTP/1.1 20", reply(b"hello")[:-1], reply(b"hello", chunked=True)[:-5]):
        reader, _ = read(data)
        assert not reader.done
        with pytest.raises(OriginError) as caught:
            reader.feed(b"")
        assert caught.value.kind == "truncated"
        assert reader.started == bool(data)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (reply(b"x" * 1001), "too_large"),
        (reply(b"x", length=10**9), "too_large"),
        (reply(b"x" * 1001, chunked=True), "too_large"),
        (reply(b"x", headers=[("Content-Encoding", "gzip")]), "refused"),
        (b"HTTP/1.1 200 OK\r\n\r\nbody until close", "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nxyz", "protocol"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "protocol"),
        (b"\x16\x03\x01\x02\x00", "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 40_000, "protocol"),
        (b"HTTP/1.1 100 C\r\n\r\n" * 5, "protocol"),
        (reply(b"x", 206), "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: t\r\n" * 7000, "protocol"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"e" * 40_000, "protocol"),
    ],
)
def test_answers_that_are_not_believed(data: bytes, kind: str) -> None:
    for size in (1, 65536):
        with pytest.raises(OriginError) as caught:
            read(data, size=size)
        assert caught.value.kind == kind


def test_interim_answers_are_skipped() -> None:
    reader, body = read(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + reply(b"ok"))
    assert (reader.status, body, reader.headers) == (200, b"ok", {"content-length": "2"})


def test_no_body_where_none_can_be() -> None:
    reader, body = read(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (reader.status, body, reader.done, reader.reusable) == (204, b"", True, True)


def test_an_error_needs_no_length_and_its_text_is_cut() -> None:
    reader, body = read(b"HTTP/1.0 404 Not Found\r\n\r\nwhatever")
    assert (reader.status, body, reader.done, reader.reusable) == (404, b"", True, False)
    reader, body = read(reply(b"x" * (response_reader.MAX_ERROR_BYTES + 10_000), 500), size=1000)
    assert (reader.status, reader.done, reader.reusable) == (500, True, False)
    assert len(body) <= response_reader.MAX_ERROR_BYTES


def test_what_follows_an_answer_unasked_costs_the_connection() -> None:
    for more in (reply(b"again"), b"garbage", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"):
        reader, body = read(reply(b"ok") + more)
        assert (reader.status, body, reader.done, reader.reusable) == (200, b"ok", True, False)
        assert reader.headers == {"content-length": "2"}
    assert not read(reply(b"ok", headers=[("Connection", "close")]))[0].reusable


def test_a_byte_range_that_the_origin_honours() -> None:
    data = reply(b"cdef", 206, [("Content-Range", "bytes 2-5/10")])
    reader, body = read(data, byterange=ByteRange(4, 2))
    assert (reader.status, body, reader.reusable) == (206, b"cdef", True)
    for headers in ([], [("Content-Range", "bytes 0-3/10")], [("Content-Range", "pages 2-5/10")]):
        with pytest.raises(OriginError) as caught:
            read(reply(b"cdef", 206, headers), byterange=ByteRange(4, 2))
        assert caught.value.kind == "protocol"


@pytest.mark.parametrize("size", [1, 3, 65536])
def test_a_byte_range_out_of_an_object_sent_whole(size: int) -> None:
    data = reply(b"abcdefghij")
    reader, body = read(data, size=size, byterange=ByteRange(4, 2))
    assert (reader.status, body, reader.done, reader.reusable) == (206, b"cdef", True, False)
    reader, body = read(data, size=size, byterange=ByteRange(4, 6))
    assert (reader.status, body, reader.done) == (206, b"ghij", True)


def test_byte_ranges_that_cannot_be_had() -> None:
    with pytest.raises(OriginError) as caught:
        read(reply(b"abcdefghij"), byterange=ByteRange(4, 8))
    assert caught.value.kind == "truncated"
    with pytest.raises(OriginError) as caught:
        read(reply(b"abcdefghij"), byterange=ByteRange(4, 998))
    assert caught.value.kind == "too_large"
    assert read(reply(b"no", 416), byterange=ByteRange(4, 8))[1] == b"no"


GOOD = [
    reply(b"x" * 40, headers=[("Content-Type", "video/mp4")]),
    reply(b"x" * 40, chunked=True),
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunk(b"ab")
    + chunk(b"c")
    + b"0\r\nT: x\r\n\r\n",
    reply(b"cdef", 206, [("Content-Range", "bytes 2-5/10")]),
    b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
]


@given(st.sampled_from(GOOD), st.integers(0, 2**32), st.integers(1, 100), st.booleans())
def test_mutated_answers_end_in_an_answer_or_an_origin_error(
    data: bytes, seed: int, size: int, ranged: bool
) -> None:
    dice, bent = random.Random(seed), bytearray(data)
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(bent))
        match dice.randrange(4):
            case 0:
                bent[at] = dice.randrange(256)
            case 1:
                del bent[at : at + dice.randint(1, 8)]
            case 2:
                bent[at:at] = bent[: dice.randint(1, 30)]
            case _:
                bent[at:at] = dice.choice(
                    [b"\r\n", b"\n", b"0", b":", b"\x00", b"chunked", b"99999999999999999999"]
                )
        if not bent:
            return
    reader = ResponseReader(100, ByteRange(4, 2) if ranged else None)
    total, kind = 0, ""
    try:
        for start in range(0, len(bent), size):
            total += sum(map(len, reader.feed(bytes(bent[start : start + size]))))
        if not reader.done:
            reader.feed(b"")
    except OriginError as exc:
        kind = exc.kind
    assert kind in {"", *KINDS}
    assert total <= (100 if reader.good else response_reader.MAX_ERROR_BYTES)


def test_too_many_headers() -> None:
    many = [(f"H{n}", "v") for n in range(response_reader.MAX_HEADERS)]
    with pytest.raises(OriginError) as caught:
        read(reply(b"x", headers=many))
    assert "headers" in caught.value.reason
