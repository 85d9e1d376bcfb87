"""The relay's side of the cluster: enrols, registers, sends heartbeats, waits for orders, asks for epochs.

A master that is down is normal: it is tried for ever, and nothing that viewers see depends on it.
Only answers that the master signed for the very call are believed; a refusal is not signed, and costs the
relay nothing but another try. What orders mean is decided by the `Agent`; what goes over the wire is in
`relay.base.cluster_protocol`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import secrets
import ssl
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import trio

from relay.base import logs
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
from relay.base.errors import AirclassError, ClusterError
from relay.base.signing import check_answer, seal, sign
from relay.core.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from relay.io.cluster.node_key import NodeIdentity

log = logging.getLogger(__name__)

CONNECT_S = 3.0
REGISTER_S = 8.0  # the master tries our address before it answers
HEARTBEAT_S = 5.0
WATCH_SPARE_S = 5.0
# A returning teacher waits for this: the relay numbers alone when the master is silent.
EPOCH_S = 1.5
EPOCH_PAUSE_S = 0.25
GOODBYE_S = 1.0
# Joins must work 5 s after a master is back, so no relay may sleep longer.
RETRY_FIRST_S = 0.5
RETRY_MAX_S = 4.0
MIN_HEARTBEAT_INTERVAL_S = 0.2
MAX_HEARTBEAT_INTERVAL_S = 30.0
# A master that answers a watch at once, with nothing new, is not asked in a tight loop.
MIN_WATCH_S = 1.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_REFUSAL_BYTES = 8 * 1024
MAX_REASON_CHARS = 300
# After these words of a refusal another call with the same key is useless.
KEY_REFUSED = frozenset({"bad-signature", "node-removed", "not-joined", "key-lost"})
MAX_CALLS = 16
CLOSE_S = 1.0
# Below the master's 5 s, so that a connection is never used while it is being closed.
KEEP_ALIVE_S = 4.0

R = TypeVar("R", Orders, EpochOffset, Enrolled)
S = TypeVar("S", Registration, Heartbeat)


class Agent(Protocol):
    """What the relay tells the master, and what it does with the answer."""

    def registration(self) -> Registration:
        """Return who this relay is."""

    async def heartbeat(self, *, full: bool) -> Heartbeat:
        """Return its state; all viewers when `full`, else what changed since the last call."""

    def obey(self, orders: Orders) -> None:
        """Carry out orders that are new; raises AirclassError when it cannot."""


class _Busy(ClusterError):
    """The master asks to be asked again."""


class _Refusal(msgspec.Struct):
    """What is read of a refusal (RFC 9457): a sentence, and a type that ends in a word."""

    detail: str = ""
    type: str = ""


class MasterClient:
    """One relay's calls to its master."""

    def __init__(
        self,
        master_url: str,
        identity: NodeIdentity,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.connected = False
        self._url = master_url.rstrip("/")
        self._base_path = urlsplit(self._url).path
        self._incarnation = secrets.token_hex(8)  # tells this process from another one with the same id
        self._identity = identity
        self._must_enrol = not identity.key
        self._wall = wall
        self._chance = chance
        self._reason = ""
        self._warning = ""
        self._version = -1
        self._interval_s = MAX_HEARTBEAT_INTERVAL_S
        self._full = True
        self._news = trio.Event()
        self._calls = trio.CapacityLimiter(MAX_CALLS)
        # httpx 0.28 leaks the slots of a bounded pool when calls are cancelled: bounded by _calls.
        self._client = httpx.AsyncClient(
            transport=transport,
            verify=ssl.create_default_context(),
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_S),
            timeout=httpx.Timeout(None, connect=CONNECT_S),
            headers={"Content-Type": "application/json", "Accept-Encoding": "identity"},
            trust_env=False,
        )

    async def run(
        self, node: Agent, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Stay in touch with the master until cancelled; starts at once, master or not."""
        task_status.started()
        backoff = Backoff(RETRY_FIRST_S, RETRY_MAX_S)
        try:
            while True:
                reason = "the master does not know this relay any more"
                try:
                    if self._must_enrol:
                        await self._enrol()
                    record = self._identified(node.registration())
                    orders = await self._call("register", record, Orders, REGISTER_S)
                    self._version, self._full = -1, True
                    self._take(node, orders)
                    self._found()
                    backoff.worked()
                    await self._stay(node)
                except* AirclassError as group:
                    error = _first(group)
                    reason = error.reason
                    if isinstance(error, ClusterError) and error.kind in KEY_REFUSED:
                        self._must_enrol = self._must_enrol or self._identity.can_enrol
                self._lost(reason)
                await trio.sleep(backoff.failed(self._chance()))
        finally:
            self.connected = False
            with trio.move_on_after(CLOSE_S, shield=True):
                await self._client.aclose()

    def beat_now(self) -> None:
        """Send the next heartbeat soon: something changed that students wait for."""
        self._news.set()

    async def goodbye(self, node: Agent) -> None:
        """Say a last time how this relay stands, so that a master knows it left in order."""
        if self.connected:
            with trio.move_on_after(GOODBYE_S), contextlib.suppress(ClusterError):
                beat = self._identified(await node.heartbeat(full=False))
                await self._call("heartbeat", beat, Orders, GOODBYE_S)

    async def epoch(self, ask: EpochRequest) -> EpochOffset:
        """Return the numbers of a new origin session; raises ClusterError after at most EPOCH_S."""
        try:
            with trio.fail_after(EPOCH_S):
                while True:
                    try:
                        return await self._call("epoch", ask, EpochOffset, EPOCH_S)
                    except _Busy:
                        await trio.sleep(EPOCH_PAUSE_S)
        except trio.TooSlowError:
            raise ClusterError("the master did not number the new origin session in time") from None

    async def _enrol(self) -> None:
        """Have the master keep the key that this relay offers, and use it from then on."""
        identity = self._identity
        signer, secret = identity.entitlement
        record = Enrolment(seal(secret, identity.offered), identity.node_id)
        answer = await self._call("enrol", record, Enrolled, REGISTER_S, sign_as=(signer, secret))
        await trio.to_thread.run_sync(identity.keep, answer.node_id)
        self._must_enrol = False
        log.info("node.enrolled node=%s file=%s", identity.node_id, identity.file)

    # -- while connected ------------------------------------------------------------------

    async def _stay(self, node: Agent) -> None:
        """Beat and watch until the master is lost (ClusterError) or has forgotten us (returns)."""
        async with trio.open_nursery() as nursery:

            async def until_unknown(loop: Callable[[Agent], Awaitable[None]]) -> None:
                await loop(node)
                nursery.cancel_scope.cancel()

            nursery.start_soon(until_unknown, self._beat)
            nursery.start_soon(until_unknown, self._watch)

    async def _beat(self, node: Agent) -> None:
        """Send heartbeats at the master's interval; returns when it does not know us."""
        due_s = trio.current_time()
        while True:
            full, self._full = self._full, False
            beat = self._identified(await node.heartbeat(full=full))
            orders = await self._call("heartbeat", beat, Orders, HEARTBEAT_S)
            if not self._take(node, orders):
                return
            now_s = trio.current_time()
            due_s = min(max(due_s + self._interval_s, now_s), now_s + self._interval_s)
            with trio.move_on_at(due_s):
                await trio.sleep(MIN_HEARTBEAT_INTERVAL_S)
                await self._news.wait()
            self._news = trio.Event()

    async def _watch(self, node: Agent) -> None:
        """Wait for new orders, again and again; returns when the master does not know us."""
        while True:
            asked_s, before = trio.current_time(), self._version
            watch = OrdersPoll(self._identity.node_id, before, self._incarnation)
            orders = await self._call("watch", watch, Orders, WATCH_S + WATCH_SPARE_S)
            if not self._take(node, orders):
                return
            if self._version == before:
                await trio.sleep_until(asked_s + MIN_WATCH_S)

    def _take(self, node: Agent, orders: Orders) -> bool:
        """Pass new orders on; False when the master does not know this relay."""
        if not orders.known:
            return False
        interval_s = orders.heartbeat_interval_s if math.isfinite(orders.heartbeat_interval_s) else 0.0
        self._interval_s = min(max(interval_s, MIN_HEARTBEAT_INTERVAL_S), MAX_HEARTBEAT_INTERVAL_S)
        self._full = self._full or orders.resync
        if orders.warning != self._warning:
            self._warning = orders.warning
            if orders.warning:
                log.warning("master.warned text=%r", orders.warning)
        # Answers of heartbeat and watch overtake each other: an older one must not undo a newer.
        if orders.version > self._version:
            with logs.serving(orders.cause):
                node.obey(orders)
            self._version = orders.version
        return True

    def _identified(self, record: S) -> S:
        return msgspec.structs.replace(record, incarnation=self._incarnation)

    def _found(self) -> None:
        if not self.connected:
            log.info("master.connected url=%s node=%s", self._url, self._identity.node_id)
        self.connected, self._reason = True, ""

    def _lost(self, reason: str) -> None:
        if self.connected or reason != self._reason:
            log.warning("master.lost url=%s reason=%s", self._url, reason)
        self.connected, self._reason = False, reason

    # -- one call -------------------------------------------------------------------------

    async def _call(
        self,
        verb: str,
        record: msgspec.Struct,
        answer: type[R],
        seconds: float,
        *,
        sign_as: tuple[str, bytes] | None = None,
    ) -> R:
        """Make one signed call and check its answer; every failure is a ClusterError with a stable reason."""
        body = msgspec.json.encode(record)
        path = f"{self._base_path}/cluster/{verb}"
        node, key = sign_as or (self._identity.node_id, self._identity.key)
        nonce = secrets.token_hex(16)
        try:
            with trio.fail_after(seconds):
                async with self._calls:
                    headers = sign(key, node, "POST", path, body, wall_s=self._wall(), nonce=nonce)
                    request = self._client.build_request(
                        "POST", f"{self._url}/cluster/{verb}", content=body, headers=headers
                    )
                    request.stream = _Body(body)
                    response = await self._client.send(request, stream=True)
                    async with aclosing(response):
                        if response.status_code != 200:
                            said = await _read(response, MAX_REFUSAL_BYTES)
                            raise _refusal(response.status_code, verb, said)
                        text = await _read(response, MAX_ANSWER_BYTES)
            check_answer(response.headers, key, node, path, nonce, text)
            return msgspec.json.decode(text, type=answer)
        except trio.TooSlowError:
            raise ClusterError("the master does not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as exc:
            raise ClusterError(f"the master cannot be reached ({type(exc).__name__})") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ClusterError("the master's answer cannot be read: are both of the same version?") from None


class _Body(httpx.AsyncByteStream):
    """A request's body that may be dropped half sent; httpx's own is a generator that complains."""

    def __init__(self, body: bytes) -> None:
        self._pieces = iter((body,))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for piece in self._pieces:
            return piece
        raise StopAsyncIteration


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    text = bytearray()
    # Leaving the loop early would leave httpx's generators open; a cancel unwinds them.
    with trio.CancelScope() as scope:
        async for piece in response.aiter_raw():
            text += piece
            if len(text) > max_bytes:
                scope.cancel()
    if len(text) > max_bytes:
        raise ClusterError(f"the master's answer is larger than {max_bytes} bytes")
    return bytes(text)


def _refusal(status: int, verb: str, body: bytes) -> ClusterError:
    """Return what a refusal means; the master's own sentence says what to do, so it goes into the log."""
    try:
        said = msgspec.json.decode(body, type=_Refusal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = _Refusal()
    printable = "".join(c if c.isprintable() else " " for c in said.detail[:MAX_REASON_CHARS])
    detail = " ".join(printable.split())
    kind = said.type.rpartition(":")[2]
    if status == 401:
        hint = "set the same CLUSTER_SECRET and the right time on both"
        return ClusterError(f"the master refuses this relay (401): {detail or hint}", kind or "bad-signature")
    if status == 503:
        return _Busy(f"the master is busy (503){': ' * bool(detail)}{detail}", "busy")
    if status == 404 and verb == "enrol":
        return ClusterError(
            "the master gives no keys to relays (404): upgrade the master first, or is MASTER_URL right?"
        )
    return ClusterError(
        f"the master answered {status}: {detail or 'is MASTER_URL right?'}", kind or "refused"
    )


def _first(group: BaseExceptionGroup[AirclassError]) -> AirclassError:
    """Return one error of a group: the first that fell."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, AirclassError)  # noqa: S101 - by the type of the group
    return found
