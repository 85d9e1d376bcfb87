"""Rubbish, slowness and floods: the master goes on, its memory stays flat, everyone else is served."""

from __future__ import annotations

import os
import random
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.harness.hostile_requests import KILLERS
from tests.harness.processes import ChildProcess, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FUZZ_S = float(os.environ.get("FUZZ_SECONDS", "30"))  # by hand, longer
WARM_REQUESTS = 1_000
FUZZERS = 8
GROWTH = 1.05
IDLE = 2000
SEED = 7
SECRETS = {"JWT_SECRET_KEY": "j" * 40, "CLUSTER_SECRET": "c" * 40}
SEEDS = [
    *KILLERS.values(),
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n"
    b'{"code":"ABC","name":"Kim"}',
    b"POST /hooks/mediamtx/auth HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 39\r\n\r\n{"action":"publish","path":"live/abcde"}',
    b"POST /cluster/watch HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /live/x/index.m3u8?token=abc HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\n\r\n",
    b"OPTIONS /api/join HTTP/1.1\r\nHost: x\r\nOrigin: a\r\nAccess-Control-Request-Method: POST\r\n\r\n",
    b"GET /assets/..%2f..%2fconfig.py HTTP/1.1\r\nHost: x\r\n\r\n",
]


@asynccontextmanager
async def master(folder: Path) -> AsyncIterator[tuple[ChildProcess, str]]:
    """Run a master as a process."""
    ready = folder / "ready.json"
    args = ("-m", "airclass.cli.app", "master", "--bind", "127.0.0.1:0", "--ready-file", ready)
    env = {**SECRETS, "DATA_DIR": str(folder / "data"), "LOG_LEVEL": "error"}
    async with running(sys.executable, *args, folder=folder, env=env) as child:
        yield child, (await child.ready(ready))["master_url"]


_CHUNKED = b"POST /api/join HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
_SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: y\r\n\r\n"


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


def rss_kb(pid: int) -> int:
    line = next(x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1])


async def healthy(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        assert (await http.get(f"{url}/healthz")).status_code == 200


def mutate(dice: random.Random, seed: bytes) -> bytes:
    """Return a request with a few bytes changed, removed, repeated or swapped with another's."""
    data = bytearray(seed)
    for _ in range(dice.randint(1, 6)):
        place = dice.randrange(len(data) + 1)
        kind = dice.randrange(5)
        if kind == 0 and place < len(data):
            data[place] = dice.randrange(256)
        elif kind == 1:
            del data[place : place + dice.randint(1, 8)]
        elif kind == 2:
            data[place:place] = bytes(dice.randrange(256) for _ in range(dice.randint(1, 8)))
        elif kind == 3:
            data[place:place] = data[place : place + dice.randint(1, 40)] * dice.randint(1, 5)
        else:
            other = dice.choice(SEEDS)
            data[place:] = other[dice.randrange(len(other)) :]
    return bytes(data)


async def send(url: str, data: bytes, wait_s: float = 0.05) -> None:
    """Send bytes on a connection of their own and read a little of what comes."""
    try:
        stream = await trio.open_tcp_stream("127.0.0.1", port(url))
    except OSError:
        return
    async with stream:
        with trio.move_on_after(wait_s):
            try:
                await stream.send_all(data)
                while await stream.receive_some(65536):
                    pass
            except trio.BrokenResourceError:
                pass


async def test_no_mutated_request_stops_the_master_or_makes_it_grow(tmp_path: Path) -> None:
    with trio.fail_after(FUZZ_S + 60):
        async with master(tmp_path) as (child, url):
            sent, warm = 0, trio.Event()

            async def fuzz(number: int) -> None:
                nonlocal sent
                dice = random.Random(SEED + number)
                while True:
                    await send(url, mutate(dice, dice.choice(SEEDS)))
                    sent += 1
                    if sent == WARM_REQUESTS:
                        warm.set()

            async with trio.open_nursery() as nursery:
                for n in range(FUZZERS):
                    nursery.start_soon(fuzz, n)
                await warm.wait()
                before_kb = rss_kb(child.pid)
                await trio.sleep(FUZZ_S)
                grown = rss_kb(child.pid) / before_kb
                nursery.cancel_scope.cancel()
            await healthy(url)
            assert child.returncode is None
            assert sent > 2 * WARM_REQUESTS
            assert grown < GROWTH


@pytest.mark.parametrize(
    ("head", "codes"),
    [
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 65536 + b"\r\n\r\n", (400, 431)),
        (
            b"POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            (400,),
        ),
        (b"POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", (400,)),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n X: folded\r\n\r\n", (400,)),
        (b"GET /healthz HTTP/1.1\r\n\r\n", (400,)),
        (b"GET /healthz\r\n\r\n", (400,)),
        (b"GET /healthz HTTP/1.1\nHost: x\n\n", (400,)),
        (b"GET /healthz HTTP/1.1\r\nHost: x\nX: y\r\n\r\n", (400,)),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", (400,)),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", (413,)),
        (_CHUNKED + b"Content-Length: 5\r\n\r\n0\r\n\r\n" + _SMUGGLED, (400,)),
        (_CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _SMUGGLED, (501,)),
        (_CHUNKED + b"\r\nzz\r\nhello\r\n0\r\n\r\n", (400,)),
        (_CHUNKED + b"\r\n5\r\nhelloXX0\r\n\r\n" + _SMUGGLED, (400,)),
    ],
)
async def test_odd_heads_are_refused(tmp_path: Path, head: bytes, codes: tuple[int, ...]) -> None:
    with trio.fail_after(40):
        async with master(tmp_path) as (_, url):
            stream = await trio.open_tcp_stream("127.0.0.1", port(url))
            async with stream:
                await stream.send_all(head)
                answer = b""
                with trio.move_on_after(5):
                    while b"\r\n" not in answer:
                        data = await stream.receive_some(4096)
                        if not data:
                            break
                        answer += data
                with trio.move_on_after(0.2):
                    while data := await stream.receive_some(4096):
                        answer += data
            assert int(answer.split()[1]) in codes
            assert answer.count(b"HTTP/1.1 ") == 1, "what was smuggled in is answered"
            await healthy(url)


async def test_slow_and_endless_senders_are_let_go_while_others_are_served(tmp_path: Path) -> None:
    """A head that never ends, a body byte by byte, a body without end, and idle connections."""
    gone: list[str] = []

    async def trickle(url: str, name: str, head: bytes, drop: bytes, pause_s: float) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", port(url))
        async with stream:
            try:
                await stream.send_all(head)
                while True:
                    await stream.send_all(drop)
                    with trio.move_on_after(pause_s):
                        while await stream.receive_some(4096):
                            pass
                        break
            except trio.BrokenResourceError:
                pass
        gone.append(name)

    chunked = b"POST /api/join HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    length = b"POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
    with trio.fail_after(60):
        async with master(tmp_path) as (_, url), trio.open_nursery() as nursery:
            nursery.start_soon(trickle, url, "head", b"GET / HTTP/1.1\r\n", b"X: y\r\n", 1.0)
            nursery.start_soon(trickle, url, "body", length, b"x", 1.0)
            nursery.start_soon(trickle, url, "endless", chunked, b"400\r\n" + b"x" * 1024 + b"\r\n", 0.001)
            idle = [await trio.open_tcp_stream("127.0.0.1", port(url)) for _ in range(IDLE)]
            for _ in range(10):
                await healthy(url)
            for stream in idle:
                await trio.aclose_forcefully(stream)
    assert sorted(gone) == ["body", "endless", "head"]
