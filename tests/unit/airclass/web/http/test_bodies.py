"""No body is read before its head was looked at, and all that arrive share one budget."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
import trio

from airclass.domain import body_budget
from airclass.web.http.route import CLUSTER_BYTES, SHORT_CALL_BYTES
from relay.base.signing import sign
from tests.harness.master_in_process import SECRET, running_master

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.master_in_process import InProcessMaster

MIB = 1024 * 1024


def head(path: str, length: int, *lines: str) -> bytes:
    first = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {length}"]
    return "\r\n".join([*first, *lines, "", ""]).encode()


def signature(path: str, body: bytes = b"", **changed: str) -> list[str]:
    nonce = os.urandom(12).hex()
    headers = sign(SECRET.encode(), "slave-1", "POST", path, body, wall_s=time.time(), nonce=nonce)
    return [f"{name}: {value}" for name, value in {**headers, **changed}.items()]


async def opened(control: InProcessMaster, sent: bytes) -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", int(control.url.rpartition(":")[2]))
    await stream.send_all(sent)
    return stream


async def answer_of(stream: trio.SocketStream) -> bytes:
    answer = b""
    with trio.fail_after(5):
        while data := await stream.receive_some(65536):
            answer += data
    return answer


@pytest.mark.parametrize(
    "path", ["/cluster/heartbeat", "/cluster/register", "/cluster/watch", "/cluster/epoch"]
)
async def test_a_call_without_a_signature_is_refused_and_its_body_is_not_waited_for(
    tmp_path: Path, path: str
) -> None:
    async with running_master(tmp_path) as control:
        async with await opened(control, head(path, CLUSTER_BYTES) + b"x" * 1000) as stream:
            answer = await answer_of(stream)
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"bad-signature" in answer


async def test_a_call_is_refused_by_its_signature_headers_alone(tmp_path: Path) -> None:
    path, old = "/cluster/heartbeat", f"{time.time() - 100:.3f}"
    async with running_master(tmp_path) as control:
        for lines, reason in (
            (signature(path)[:3], b"not signed"),
            (signature(path, **{"X-Airclass-Nonce": "n" * 200}), b"not signed"),
            (signature(path, **{"X-Airclass-Time": old}), b"clocks"),
            (signature(path, **{"X-Airclass-Time": "nan"}), b"clocks"),
            (signature(path, **{"X-Airclass-Time": "soon"}), b"time cannot be read"),
        ):
            async with await opened(control, head(path, CLUSTER_BYTES, *lines) + b"x" * 1000) as stream:
                answer = await answer_of(stream)
            assert answer.startswith(b"HTTP/1.1 401 "), reason
            assert reason in answer


async def test_a_hundred_large_bodies_without_a_signature_take_no_memory(tmp_path: Path) -> None:
    """Each used to be kept, 4 MiB at a time, until its sender was too slow."""
    async with running_master(tmp_path) as control:
        for _ in range(100):
            stream = await opened(control, head("/cluster/heartbeat", CLUSTER_BYTES) + b"x" * 1000)
            async with stream:
                assert (await answer_of(stream)).startswith(b"HTTP/1.1 401 ")
            assert control.services.bodies.bytes_in_flight == 0


async def test_large_bodies_of_one_address_share_a_part_of_the_budget(tmp_path: Path) -> None:
    path = "/cluster/heartbeat"
    async with running_master(tmp_path) as control:
        bodies = control.services.bodies
        streams = [
            await opened(control, head(path, CLUSTER_BYTES, *signature(path)) + b"x") for _ in range(3)
        ]
        await control.until(lambda: bodies.bytes_in_flight == body_budget.MAX_BYTES_PER_NETWORK)
        async with await opened(control, head(path, CLUSTER_BYTES, *signature(path)) + b"x") as refused:
            answer = await answer_of(refused)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer.lower()
        assert (await control.call("GET", "/healthz")).status_code == 200
        for stream in streams:
            await stream.aclose()
        await control.until(lambda: bodies.bytes_in_flight == 0, "nothing stays reserved")


async def test_a_relay_that_has_called_before_has_room_while_strangers_fill_theirs(tmp_path: Path) -> None:
    async with running_master(tmp_path, TRUSTED_PROXIES="127.0.0.0/8") as control:
        bodies, path = control.services.bodies, "/cluster/heartbeat"
        relay = await control.node()
        limit = body_budget.MAX_BYTES - body_budget.KEPT_FOR_RELAYS_BYTES
        streams = []
        for n in range(limit // CLUSTER_BYTES):
            lines = [*signature(path), f"X-Forwarded-For: 192.0.2.{n}"]
            streams.append(await opened(control, head(path, CLUSTER_BYTES, *lines) + b"x"))
        await control.until(lambda: bodies.bytes_in_flight == limit)
        assert (await control.join("AAAAAAA")).status_code == 404, "small bodies of the proxy's own network"
        await relay.beat(full=True)
        for stream in streams:
            await stream.aclose()


async def test_short_calls_and_chunks_are_bounded_by_their_route(tmp_path: Path) -> None:
    path = "/cluster/watch"
    async with running_master(tmp_path) as control:
        long = head(path, SHORT_CALL_BYTES + 1, *signature(path))
        async with await opened(control, long + b"x") as stream:
            assert (await answer_of(stream)).startswith(b"HTTP/1.1 413 ")
        chunked = "\r\n".join(
            [f"POST {path} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *signature(path), "", ""]
        ).encode()
        async with await opened(control, chunked) as stream:
            await control.until(lambda: control.services.bodies.bytes_in_flight == SHORT_CALL_BYTES)
            with trio.move_on_after(5):
                try:
                    while True:
                        await stream.send_all(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                except trio.BrokenResourceError:
                    pass
        await control.until(lambda: control.services.bodies.bytes_in_flight == 0)


async def test_slow_small_bodies_of_joins_are_counted_too(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        async with await opened(control, head("/api/join", 30_000, "Content-Type: application/json") + b"{"):
            await control.until(lambda: control.services.bodies.bytes_in_flight == 30_000)
        await control.until(lambda: control.services.bodies.bytes_in_flight == 0)
