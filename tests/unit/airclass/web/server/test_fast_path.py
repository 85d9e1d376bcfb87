"""What is answered in front of Quart is answered as behind it: whole or in pieces, refused or slow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import trio

from airclass.web.app import ROUTES
from airclass.web.http import policy
from airclass.web.server.fast_path import HOT
from tests.harness.master_in_process import running_master

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.harness.master_in_process import InProcessMaster


async def exchange(control: InProcessMaster, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send pieces of a request, each on its own; returns status, headers and body."""
    async with await trio.open_tcp_stream("127.0.0.1", int(control.url.rpartition(":")[2])) as stream:
        with trio.fail_after(5):
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(0.02)  # so that it is a packet of its own
            answer = b""
            while data := await stream.receive_some(65536):
                answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, _, v in (x.partition(": ") for x in lines)}, body


def head(path: str, *lines: str) -> bytes:
    kind = "Content-Type: application/json"
    return "\r\n".join(
        [f"POST {path} HTTP/1.1", "Host: x", "Connection: close", kind, *lines, "", ""]
    ).encode()


def test_every_hot_path_is_a_route() -> None:
    assert {route.path for route in ROUTES} >= HOT


async def test_pieces_chunks_and_wholes_are_answered_alike(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node()
        body = json.dumps({"code": made["code"], "name": "Kim"}).encode()
        length = f"Content-Length: {len(body)}"
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:9], body[9:])) + b"0\r\n\r\n"
        for pieces in (
            [head("/api/join", length) + body],
            [head("/api/join", length), body],
            [head("/api/join", length) + body[:5], body[5:9], body[9:]],
            [head("/api/join", "Transfer-Encoding: chunked") + chunks],
            [
                head("/api/join", "Transfer-Encoding: chunked"),
                *(chunks[n : n + 1] for n in range(20)),
                chunks[20:],
            ],
        ):
            status, headers, answer = await exchange(control, *pieces)
            assert status == 200
            assert json.loads(answer)["classroom"]["id"] == made["id"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert len(headers["x-request-id"]) == 16
        text = (await control.call("GET", "/metrics", None, control.monitor)).text
        assert 'airclass_http_requests_total{endpoint="/api/join",method="POST",status="200"} 5.0' in text


async def test_requests_behind_each_other_are_answered_in_order(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        asks = b"".join(
            head("/api/join", f"Content-Length: {len(body)}").replace(b"Connection: close\r\n", b"") + body
            for body in (b'{"code": "A", "name": "x"}', b"{")
        )
        last = head("/hooks/mediamtx/auth", "Content-Length: 20") + b'{"action": "read"}  '
        async with await trio.open_tcp_stream("127.0.0.1", int(control.url.rpartition(":")[2])) as stream:
            await stream.send_all(asks + last)
            answer = b""
            with trio.fail_after(5):
                while data := await stream.receive_some(65536):
                    answer += data
        statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [404, 400, 401]


async def test_a_body_that_never_ends_in_time_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "BODY_S", 0.2)
    async with running_master(tmp_path) as control:
        status, _, answer = await exchange(control, head("/api/join", "Content-Length: 30"), b'{"code"')
        assert status == 408
        assert json.loads(answer)["detail"]


async def test_a_bug_is_an_answer_and_a_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node()
        monkeypatch.setattr(control.services.cluster.nodes, "seat_book", None)
        answer = await control.join(made["code"])
        assert answer.status_code == 500
        assert answer.json()["detail"]
        assert "request.failed path=/api/join" in caplog.text
        monkeypatch.undo()
