"""What is answered in front of Quart is answered as behind it: whole or in pieces, refused or slow."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import trio
from argon2 import PasswordHasher

from airclass.web.app import ROUTES
from airclass.web.http import policy
from airclass.web.server.fast_path import HOT
from tests.harness.master_in_process import CHEAP_PASSWORD, running_master

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


class HeldHasher(PasswordHasher):
    """Checks no password until it is released."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.released = threading.Event()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        assert self.released.wait(10)
        return super().verify(hash, password)


async def test_joins_and_sign_ins_do_not_wait_for_guesses_of_a_class_password(tmp_path: Path) -> None:
    """Guessing one class's password from many addresses used to stall the joins of all classes."""
    async with running_master(tmp_path, TRUSTED_PROXIES="127.0.0.0/8") as control:
        locked, other = await control.classroom(password="open sesame"), await control.classroom()
        await control.teacher("Lee")
        await control.node()
        hasher = HeldHasher()
        statuses: list[int] = []

        async def guess(n: int) -> None:
            body = {"code": locked["code"], "name": "x", "password": f"guess {n}"}
            headers = {"X-Forwarded-For": f"192.0.2.{n}"}
            statuses.append((await control.call("POST", "/api/join", body, headers)).status_code)

        usual = control.services.passwords._hasher
        async with trio.open_nursery() as nursery:
            control.services.passwords._hasher = hasher
            try:
                for n in range(40):
                    nursery.start_soon(guess, n)
                await control.until(lambda: len(statuses) == 36, "what finds no place is refused")
                assert statuses == [429] * 36
                assert (await control.join(other["code"])).status_code == 200
                answer = await control.join(locked["code"], "Kim", password="open sesame")
                assert answer.status_code == 200, "it was remembered when the teacher set it"
                control.services.passwords._hasher = usual
                login = {"username": "Lee", "password": CHEAP_PASSWORD}
                assert (await control.call("POST", "/api/login", login)).status_code == 200
                assert len(statuses) == 36, "four are still being checked"
            finally:
                hasher.released.set()
        assert sorted(statuses) == [403] * 4 + [429] * 36
