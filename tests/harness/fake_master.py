"""A master for a relay's control port: checks signatures, answers from fields, over memory."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import msgspec
import trio

from relay.base.cluster_protocol import (
    WATCH_S,
    Enrolled,
    Enrolment,
    EpochOffset,
    EpochRequest,
    Heartbeat,
    Orders,
    OrdersPoll,
    Registration,
)
from relay.base.errors import ClusterError
from relay.base.signing import HEADER_NODE, HEADER_NONCE, Verifier, read_call, sign_answer, unseal
from tests.harness.fake_http import reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.harness.fake_http import ReceivedRequest

PIECE_BYTES = 64 * 1024
_RECORDS = {
    "enrol": Enrolment,
    "register": Registration,
    "heartbeat": Heartbeat,
    "watch": OrdersPoll,
    "epoch": EpochRequest,
}


@dataclass
class FakeMaster(httpx.AsyncBaseTransport):
    """Answers with `orders`; `fault` replaces the answer, `calls` keeps (time, verb, record)."""

    secret: bytes  # every node's key; a node that enrols keeps its own
    keys: dict[str, bytes] = field(default_factory=dict)
    signs: bool = True
    orders: Orders = field(default_factory=lambda: Orders(1))
    bases: dict[str, EpochOffset] = field(default_factory=dict)
    fault: httpx.Response | Exception | None = None
    only_fault: str = ""
    calls: list[tuple[float, str, msgspec.Struct]] = field(default_factory=list)
    watched_at_once: bool = False
    down: bool = False

    def __post_init__(self) -> None:
        self._verifier = Verifier()
        self._changed = trio.Event()

    def set(self, orders: Orders) -> None:
        """Give new orders and wake who watches."""
        self.orders = orders
        self._changed.set()
        self._changed = trio.Event()

    def seen(self, verb: str) -> list[msgspec.Struct]:
        """Return the records of one call, in order."""
        return [record for _, name, record in self.calls if name == verb]

    async def answer(self, request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        """Answer over a FakeServer's connection; close it while `down`."""
        if self.down:
            await stream.aclose()
            return
        asked = httpx.Request(
            "POST", f"http://master{request.target}", headers=request.headers, content=request.body
        )
        response = await self.handle_async_request(asked)
        await stream.send_all(reply(await response.aread(), response.status_code, response.headers.items()))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        verb = request.url.path.rpartition("/")[2]
        record = msgspec.json.decode(body, type=_RECORDS[verb])
        self.calls.append((trio.current_time(), verb, record))
        if self.fault is not None and verb.startswith(self.only_fault):
            if isinstance(self.fault, Exception):
                raise self.fault
            return self._answer(request, self.fault.status_code, self.fault.content)
        try:
            call = read_call(request.headers, wall_s=time.time())
            keys = (self.keys.get(call.node, self.secret), self.secret)
            self._verifier.verify(
                call, keys[verb == "enrol" :], "POST", request.url.path, body, wall_s=time.time()
            )
        except ClusterError as exc:
            problem = {"detail": exc.reason, "type": f"urn:airclass:problem:{exc.kind}"}
            return _response(401, msgspec.json.encode(problem))
        if isinstance(record, Enrolment):
            answer = self._answer(request, 200, msgspec.json.encode(Enrolled(record.node_id)))
            self.keys[record.node_id] = unseal(self.secret, record.key)
            return answer
        if isinstance(record, EpochRequest):
            base = self.bases.get(record.key)
            return self._answer(request, 200, msgspec.json.encode(base)) if base else _response(503, b"")
        if isinstance(record, OrdersPoll) and record.orders_version == self.orders.version:
            with trio.move_on_after(0 if self.watched_at_once else WATCH_S):
                await self._changed.wait()
        return self._answer(request, 200, msgspec.json.encode(self.orders))

    def _answer(self, request: httpx.Request, status: int, body: bytes) -> httpx.Response:
        node, nonce = request.headers[HEADER_NODE], request.headers[HEADER_NONCE]
        key = self.keys.get(node, self.secret)
        signed = sign_answer(key, node, request.url.path, nonce, body) if self.signs else {}
        return _response(status, body, signed)


def _response(status: int, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
    return httpx.Response(status, headers=headers, stream=_Pieces(body))


class _Pieces(httpx.AsyncByteStream):
    """A body in pieces, each of them a checkpoint, as from a socket."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), PIECE_BYTES):
            await trio.lowlevel.checkpoint()
            yield self._body[start : start + PIECE_BYTES]
