"""Requests of real viewers, pieces to break them with, and requests that have stopped HTTP servers."""

from __future__ import annotations

import time

import jwt

KEY = b"k" * 64
WALL_S = time.time()
CLAIMS = {
    "iss": "airclass",
    "aud": "relay",
    "typ": "viewer",
    "sub": "s1",
    "jti": "t1",
    "iat": int(WALL_S) - 60,
    "exp": int(WALL_S) + 36_000,
    "classroom": "class1",
}
TOKEN = jwt.encode(CLAIMS, KEY, "HS256")


def head(line: str, *lines: str) -> bytes:
    return "\r\n".join([line, "Host: relay.example", *lines, "", ""]).encode("latin-1")


REAL = [
    head(f"GET /t/{TOKEN}/class1/index.m3u8 HTTP/1.1", "Connection: keep-alive", "Accept: */*"),
    head(
        f"GET /t/{TOKEN}/class1/v0.m3u8?_HLS_msn=1&_HLS_part=2&CMCD=bl%3D2300%2Csid%3D%22a%22 HTTP/1.1",
        "Accept-Encoding: gzip, deflate, br",
        "Origin: http://master.example",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    ),
    head(f"GET /t/{TOKEN}/class1/v0-00000000-0.mp4 HTTP/1.1", "Range: bytes=0-99", 'If-None-Match: W/"x"'),
    head(f"HEAD /t/{TOKEN}/class1/v0.m3u8 HTTP/1.0", "Connection: close"),
    head("OPTIONS /t/x/class1/v0.m3u8 HTTP/1.1", "Access-Control-Request-Method: GET"),
    head(f"GET /class1/index.m3u8?token={TOKEN} HTTP/1.1"),
    head("GET /class1/index.m3u8 HTTP/1.1", f"Authorization: Bearer {TOKEN}"),
    head("POST /t/x/class1/v0.m3u8 HTTP/1.1", "Content-Length: 3") + b"abc",
    head("GET /a HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 3") + b"3\r\nabc\r\n0\r\n\r\n",
    head(
        "GET /a HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"
    ),
    head("GET /a HTTP/1.1", "X: 1\r\n folded"),
    b"GET /a HTTP/1.1\nHost: x\n\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
]
PIECES = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b"?", b"&", b"=", b"%", b"/", b"..", b"\xff", b",",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: y\r\n", b"_HLS_msn=", b"_HLS_part=",
    b"99999999999999999999", b"-1", b"bytes=", b"HTTP/1.1", b"GET ", b"x" * 70_000, b"X: 1\r\n" * 100,
    b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n", b"CMCD=", b"token=", b"t", b"class1",
]  # fmt: skip


def mutate(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    for how, where, piece in changes:
        at = where % (len(data) + 1)
        if how == "insert":
            data = data[:at] + piece + data[at:]
        elif how == "delete":
            data = data[:at] + data[at + len(piece) :]
        elif how == "replace":
            data = data[:at] + piece + data[at + len(piece) :]
        else:
            data = data[:at] + data
    return data


_WEBSOCKET_KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
UPGRADE = (
    f"GET /ws/student HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{_WEBSOCKET_KEY}"
)
KILLERS = {
    "bytes after a WebSocket upgrade": f"{UPGRADE}\r\nGET / HTTP/1.1\r\n\r\n".encode(),
    "bad HTTP2-Settings": (
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n"
    ),
    "extension that is not ASCII": f"{UPGRADE}Sec-WebSocket-Extensions: \xff\r\n\r\n".encode("latin1"),
    "path that is not ASCII": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "query that is not UTF-8": b"GET /live/x/index.m3u8?token=%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
    "cookie that is not ASCII": b"GET /api/me HTTP/1.1\r\nHost: x\r\nCookie: airclass_session=\xff\r\n\r\n",
    "HTTP/2 preface and rubbish": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 40,
}
