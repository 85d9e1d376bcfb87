"""A master as a process of its own with relays that only say they are there, for what is measured of it."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec
import trio

from benchmarks.servers.certificate import self_signed
from relay.base.cluster_protocol import Heartbeat, Orders, Registration, StreamReport, ViewerReport
from relay.base.errors import StartError
from relay.base.signing import sign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

READY_S = 20.0
ANSWER_S = 30.0
POLL_S = 0.05
BEAT_S = 2.0
GOOD_BEATS = 2
MAX_READ_BYTES = 65536
SECRETS = {"JWT_SECRET_KEY": "j" * 40, "CLUSTER_SECRET": "c" * 40}


@dataclass(frozen=True, slots=True)
class MasterResponse:
    """What came back; `status` is 0 when nothing whole did."""

    status: int
    body: bytes


@dataclass
class MasterProcess:
    """The running master."""

    pid: int
    port: int
    code: str
    stream: str
    stream_key: str
    tls: ssl.SSLContext | None = None
    nodes: list[str] = field(default_factory=list)
    watching: dict[str, list[ViewerReport]] = field(default_factory=dict)

    def watch(self, node_id: str, token: str) -> None:
        """Have a node report that the student of this token gets media."""
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==="))
        report = ViewerReport(self.stream, claims["sub"], claims["jti"], claims["iat"], 0)
        self.watching.setdefault(node_id, []).append(report)

    async def connect(self, source: str = "127.0.0.1") -> trio.abc.Stream:
        """Open a connection from a loopback address."""
        peer = trio.socket.socket()
        try:
            await peer.bind((source, 0))
            await peer.connect(("127.0.0.1", self.port))
        except BaseException:
            peer.close()
            raise
        plain = trio.SocketStream(peer)
        return plain if self.tls is None else trio.SSLStream(plain, self.tls, https_compatible=True)

    async def post(
        self, path: str, body: bytes, source: str = "127.0.0.1", headers: str = ""
    ) -> MasterResponse:
        """Make one POST on a connection of its own from a loopback address."""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{headers}\r\n"
        )
        with trio.move_on_after(ANSWER_S):
            try:
                async with await self.connect(source) as peer:
                    await peer.send_all(head.encode() + body)
                    return await _answer(peer)
            except (OSError, trio.BrokenResourceError):
                pass
        return MasterResponse(0, b"")


async def _answer(peer: trio.abc.Stream) -> MasterResponse:
    data = b""
    while data_now := await peer.receive_some(MAX_READ_BYTES):
        data += data_now
        head, end, body = data.partition(b"\r\n\r\n")
        if not end:
            continue
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        if len(body) >= length:
            return MasterResponse(int(head.split(b" ", 2)[1]), body)
    return MasterResponse(0, data)


@asynccontextmanager
async def master_running(nodes: int, capacity: int, *, tls: bool = False) -> AsyncIterator[MasterProcess]:
    """Run a master with an open class and so many nodes, ready to take students."""
    with TemporaryDirectory(prefix="airclass-bench-") as folder:
        environ = {**SECRETS, "DATA_DIR": f"{folder}/data", "LOG_LEVEL": "error", "PATH": os.defpath}
        trusted = None
        if tls:
            certificate, key = self_signed(Path(folder))
            environ |= {"TLS_CERT": str(certificate), "TLS_KEY": str(key)}
            trusted = ssl.create_default_context(cafile=certificate)
        program = [sys.executable, "-m", "airclass.cli.app"]
        made = await trio.run_process(
            [*program, "classroom", "add", "Math", "--json"], env=environ, capture_stdout=True
        )
        room = json.loads(made.stdout)
        ready = trio.Path(folder, "ready.json")
        args = [*program, "master", "--bind", "127.0.0.1:0", "--ready-file", str(ready)]
        async with trio.open_nursery() as nursery:
            process = await nursery.start(_child, args, environ)
            with trio.move_on_after(READY_S):
                while not await ready.exists():  # noqa: ASYNC110  another process makes it
                    await trio.sleep(POLL_S)
            if not await ready.exists():
                raise StartError(f"The master was not ready within {READY_S:.0f} s.")
            url = json.loads(await ready.read_text())["master_url"]
            port = int(url.rpartition(":")[2])
            master = MasterProcess(process.pid, port, room["code"], room["id"], room["stream_key"], trusted)
            for number in range(nodes):
                await nursery.start(_node, master, f"node-{number:02}", capacity)
            try:
                yield master
            finally:
                nursery.cancel_scope.cancel()


async def _child(
    args: list[str],
    environ: dict[str, str],
    *,
    task_status: trio.TaskStatus[trio.Process] = trio.TASK_STATUS_IGNORED,
) -> None:
    call = partial(trio.run_process, args, env=environ, check=False, stderr=subprocess.DEVNULL)
    await call(task_status=task_status)


async def _node(
    master: MasterProcess,
    node_id: str,
    capacity: int,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Register, and send heartbeats as a relay does; started once it takes students."""
    async with trio.open_nursery() as nursery:
        (door,) = await nursery.start(partial(trio.serve_tcp, _door, 0, host="127.0.0.1"))
        address = f"http://127.0.0.1:{door.socket.getsockname()[1]}"
        await _call(
            master,
            node_id,
            "register",
            Registration(node_id, address, "", (), capacity, 0, "bench", time.time()),
        )
        orders = Orders(0)
        for _ in range(GOOD_BEATS):
            orders = await _call(master, node_id, "heartbeat", _beat(master, node_id, orders))
        master.nodes.append(node_id)
        task_status.started()
        while True:
            await trio.sleep(BEAT_S)
            orders = await _call(master, node_id, "heartbeat", _beat(master, node_id, orders))


def _beat(master: MasterProcess, node_id: str, orders: Orders) -> Heartbeat:
    """Return a heartbeat: every ordered stream is live, and the students who came watch."""
    streams = tuple(StreamReport(order.stream, "live", 0, 1.0) for order in orders.streams)
    viewers = tuple(master.watching.get(node_id, ()))
    return Heartbeat(node_id, len(viewers), 0, True, "", False, "bench", 0, streams, viewers, full=True)


async def _call(master: MasterProcess, node_id: str, verb: str, record: Registration | Heartbeat) -> Orders:
    path, body = f"/cluster/{verb}", msgspec.json.encode(record)
    secret = SECRETS["CLUSTER_SECRET"].encode()
    signed = sign(secret, node_id, "POST", path, body, wall_s=time.time(), nonce=os.urandom(12).hex())
    headers = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
    answer = await master.post(path, body, headers=headers)
    if answer.status != 200:
        raise StartError(f"The master answered {answer.status} to {path}: {answer.body[:200]!r}")
    return msgspec.json.decode(answer.body, type=Orders)


async def _door(stream: trio.SocketStream) -> None:
    """Answer the master's knock."""
    async with stream:
        await stream.receive_some(MAX_READ_BYTES)
        await stream.send_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
