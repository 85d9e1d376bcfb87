"""The relay's side of the cluster: registers, sends heartbeats, waits for orders, asks for epochs.

A master that is down is normal: it is tried for ever, and nothing that viewers see depends on it.
What orders mean is decided by the `Agent`; what goes over the wire is in `relay.base.cluster_protocol`.
"""

from __future__ import annotations

import contextlib
import logging
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
    EpochOffset,
    EpochRequest,
    Heartbeat,
    Orders,
    OrdersPoll,
    Registration,
)
from relay.base.errors import AirclassError, ClusterError
from relay.base.signing import sign
from relay.core.backoff import Backoff
from relay.core.cluster.orders_inbox import MIN_HEARTBEAT_INTERVAL_S, OrdersInbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

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
# A master that answers a watch at once, with nothing new, is not asked in a tight loop.
MIN_WATCH_S = 1.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
MAX_CALLS = 16
MAX_DETAIL_CHARS = 300
CLOSE_S = 1.0
# Below the master's 5 s, so that a connection is never used while it is being closed.
KEEP_ALIVE_S = 4.0

R = TypeVar("R", Orders, EpochOffset)
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


class MasterClient:
    """One relay's calls to its master."""

    def __init__(
        self,
        master_url: str,
        node_id: str,
        secret: bytes,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.connected = False
        self._url = master_url.rstrip("/")
        self._base_path = urlsplit(self._url).path
        self._node_id = node_id
        self._secret = secret
        self._incarnation = secrets.token_hex(8)  # tells this process from another one with the same id
        self._wall = wall
        self._chance = chance
        self._reason = ""
        self._warning = ""
        self._inbox = OrdersInbox()
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
                    record = self._identified(node.registration())
                    orders = await self._call("register", record, Orders, REGISTER_S)
                    self._inbox.registered()
                    self._take(node, orders)
                    self._found()
                    backoff.worked()
                    await self._stay(node)
                except* AirclassError as group:
                    reason = _first(group).reason
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
            beat = self._identified(await node.heartbeat(full=self._inbox.next_is_full()))
            orders = await self._call("heartbeat", beat, Orders, HEARTBEAT_S)
            if not self._take(node, orders):
                return
            now_s = trio.current_time()
            due_s = min(max(due_s + self._inbox.interval_s, now_s), now_s + self._inbox.interval_s)
            with trio.move_on_at(due_s):
                await trio.sleep(MIN_HEARTBEAT_INTERVAL_S)
                await self._news.wait()
            self._news = trio.Event()

    async def _watch(self, node: Agent) -> None:
        """Wait for new orders, again and again; returns when the master does not know us."""
        while True:
            asked_s, before = trio.current_time(), self._inbox.version
            watch = OrdersPoll(self._node_id, before, self._incarnation)
            orders = await self._call("watch", watch, Orders, WATCH_S + WATCH_SPARE_S)
            if not self._take(node, orders):
                return
            if self._inbox.version == before:
                await trio.sleep_until(asked_s + MIN_WATCH_S)

    def _take(self, node: Agent, orders: Orders) -> bool:
        """Pass new orders on; False when the master does not know this relay."""
        if not orders.known:
            return False
        is_new = self._inbox.take(orders)
        if orders.warning != self._warning:
            self._warning = orders.warning
            if orders.warning:
                log.warning("master.warned text=%r", orders.warning)
        if is_new:
            with logs.serving(orders.cause):
                node.obey(orders)
            self._inbox.carried_out(orders)
        return True

    def _identified(self, record: S) -> S:
        return msgspec.structs.replace(record, incarnation=self._incarnation)

    def _found(self) -> None:
        if not self.connected:
            log.info("master.connected url=%s node=%s", self._url, self._node_id)
        self.connected, self._reason = True, ""

    def _lost(self, reason: str) -> None:
        if self.connected or reason != self._reason:
            log.warning("master.lost url=%s reason=%s", self._url, reason)
        self.connected, self._reason = False, reason

    # -- one call -------------------------------------------------------------------------

    async def _call(self, verb: str, record: msgspec.Struct, answer: type[R], seconds: float) -> R:
        """Make one signed call; every failure is a ClusterError with a stable reason."""
        body = msgspec.json.encode(record)
        path = f"{self._base_path}/cluster/{verb}"
        try:
            with trio.fail_after(seconds):
                async with self._calls:
                    headers = sign(
                        self._secret,
                        self._node_id,
                        "POST",
                        path,
                        body,
                        wall_s=self._wall(),
                        nonce=secrets.token_hex(16),
                    )
                    request = self._client.build_request(
                        "POST", f"{self._url}/cluster/{verb}", content=body, headers=headers
                    )
                    request.stream = _Body(body)
                    response = await self._client.send(request, stream=True)
                    async with aclosing(response):
                        text = await _read(response)
                        if response.status_code != 200:
                            raise _refusal(response.status_code, text)
            return msgspec.json.decode(text, type=answer)
        except trio.TooSlowError:
            raise ClusterError("the master does not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as exc:
            raise ClusterError(f"the master cannot be reached ({type(exc).__name__})") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ClusterError("the master's answer cannot be read: are both of the same version?") from None


class _Problem(msgspec.Struct):
    """What is read of a refusal."""

    detail: str = ""


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


async def _read(response: httpx.Response) -> bytes:
    text = bytearray()
    # Leaving the loop early would leave httpx's generators open; a cancel unwinds them.
    with trio.CancelScope() as scope:
        async for piece in response.aiter_raw():
            text += piece
            if len(text) > MAX_ANSWER_BYTES:
                scope.cancel()
    if len(text) > MAX_ANSWER_BYTES:
        raise ClusterError(f"the master's answer is larger than {MAX_ANSWER_BYTES} bytes")
    return bytes(text)


def _refusal(status: int, text: bytes) -> ClusterError:
    """Return the master's refusal as an error, with the reason that it gives (RFC 9457)."""
    try:
        told = " ".join(msgspec.json.decode(text, type=_Problem).detail.split())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        told = ""
    told = "".join(c for c in told if c.isprintable())[:MAX_DETAIL_CHARS]
    if status == 401:
        return ClusterError(
            "the master refuses this relay (401): set the same CLUSTER_SECRET and the right time on both"
        )
    if status == 503:
        return _Busy("the master is busy (503)")
    if told:
        return ClusterError(f"the master refuses this relay ({status}): {told}")
    return ClusterError(f"the master answered {status}: is MASTER_URL right?")


def _first(group: BaseExceptionGroup[AirclassError]) -> AirclassError:
    """Return one error of a group: the first that fell."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, AirclassError)  # noqa: S101 - by the type of the group
    return found
