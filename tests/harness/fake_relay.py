"""A relay as the master sees one: signed calls over real HTTP, viewers that come and go as told."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import httpx
import msgspec
import trio

from relay.base.cluster_protocol import (
    PROTOCOL,
    Enrolled,
    Enrolment,
    EpochOffset,
    EpochRequest,
    Heartbeat,
    Orders,
    OrdersPoll,
    Registration,
    ReportedRendition,
    ReportedVariant,
    StreamReport,
    ViewerReport,
)
from relay.base.jwks import read_jwks
from relay.base.signing import check_answer, seal, sign, unseal
from relay.base.tokens import token_generation, verify_viewer

if TYPE_CHECKING:
    from collections.abc import Iterable

R = TypeVar("R")
CALL_S = 25.0
BEAT_S = 1.0
VIDEO = ReportedVariant(
    "v", "video1_stream.m3u8", 'BANDWIDTH=581112,CODECS="avc1.42c01e,mp4a.40.2",RESOLUTION=640x360', True
)
AUDIO = ReportedRendition("a", "audio2_stream.m3u8", 'TYPE=AUDIO,NAME="audio2",AUTOSELECT=YES,DEFAULT=YES')


@dataclass
class FakeRelay:
    """One node; set the fields, then `register`, `beat`, `watch`, `ask`."""

    master_url: str
    secret: str
    client: httpx.AsyncClient
    node_id: str = "slave-1"
    public_url: str = "http://127.0.0.1:1"
    admin_url: str = ""
    zone: tuple[str, ...] = ()
    capacity: int = 150
    max_egress_bps: int = 0
    egress_bps: int = 0
    ready: bool = True
    reason: str = ""
    draining: bool = False
    started_at_s: float = 1.0
    incarnation: str = ""
    has_media: bool = True
    mute: bool = False
    segment_s: float = 2.0
    states: dict[str, str] = field(default_factory=dict)
    shown: dict[str, tuple[int, int]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    viewers: dict[str, ViewerReport] = field(default_factory=dict)
    orders: Orders = field(default_factory=lambda: Orders(0))
    epochs: tuple[EpochOffset, ...] = ()
    protocol: int = PROTOCOL
    _told: set[str] = field(default_factory=set)

    async def call(self, verb: str, record: object, kind: type[R], **sign_with: object) -> R:
        """Send one signed call; AssertionError with the answer when it is not 200."""
        secret = _bytes(sign_with.get("secret", self.secret))
        node, nonce = str(sign_with.get("node", self.node_id)), os.urandom(12).hex()
        response = await self.send(verb, record, **{"nonce": nonce, **sign_with})
        assert response.status_code == 200, response.text
        nonce = str(sign_with.get("nonce", nonce))
        check_answer(response.headers, secret, node, f"/cluster/{verb}", nonce, response.content)
        return msgspec.json.decode(response.content, type=kind)

    async def send(self, verb: str, record: object, **sign_with: object) -> httpx.Response:
        """Send one signed call and return whatever comes back."""
        body = record if isinstance(record, bytes) else msgspec.json.encode(record)
        path = f"/cluster/{verb}"
        how = {"wall_s": time.time(), "nonce": os.urandom(12).hex(), "secret": self.secret, **sign_with}
        secret = _bytes(how.pop("secret"))
        node = str(how.pop("node", self.node_id))
        headers = sign(secret, node, "POST", path, body, **how)  # type: ignore[arg-type]
        with trio.fail_after(CALL_S):
            return await self.client.post(self.master_url + path, content=body, headers=headers)

    async def register(self) -> Orders:
        """Introduce this node."""
        self.orders = await self.call("register", self.registration(), Orders)
        return self.orders

    def registration(self) -> Registration:
        """Return what `register` sends."""
        return Registration(
            self.node_id,
            self.public_url,
            self.admin_url,
            self.zone,
            self.capacity,
            self.max_egress_bps,
            "test",
            self.started_at_s,
            self.epochs,
            incarnation=self.incarnation,
            protocol=self.protocol,
        )

    def enrolment(self, key: str, secret: bytes | None = None) -> Enrolment:
        """Return the record that offers a key, sealed with what entitles to it."""
        return Enrolment(seal(secret or self.secret.encode(), key.encode()), self.node_id)

    async def enrol(self) -> None:
        """Get a key of this node's own by CLUSTER_SECRET and sign with it from now on."""
        key = os.urandom(16).hex()
        await self.call("enrol", self.enrolment(key), Enrolled)
        self.secret = key

    def heartbeat(self, *, full: bool = False) -> Heartbeat:
        """Return the next beat: new viewers since the last one, or all of them."""
        fresh = [v for t, v in self.viewers.items() if full or t not in self._told]
        gone = tuple(self._told - self.viewers.keys())
        self._told = set(self.viewers)
        return Heartbeat(
            self.node_id,
            connections=len(self.viewers),
            egress_bps=self.egress_bps,
            ready=self.ready,
            reason=self.reason,
            draining=self.draining or self.orders.drain,
            version="test",
            orders_version=self.orders.version,
            streams=tuple(self._streams()),
            viewers=tuple(fresh),
            gone=gone,
            full=full,
            incarnation=self.incarnation,
        )

    async def beat(self, *, full: bool | None = None) -> Orders:
        """Send a heartbeat and carry out the answer."""
        everything = self.orders.resync if full is None else full
        self._obey(await self.call("heartbeat", self.heartbeat(full=everything), Orders))
        return self.orders

    async def run(self) -> None:
        """Beat until cancelled, unless `mute`; a master that has gone is no reason to stop."""
        while True:
            await trio.sleep(BEAT_S)
            if not self.mute:
                with suppress(httpx.HTTPError):
                    await self.beat()

    async def watch(self) -> Orders:
        """Wait for new orders and carry them out."""
        record = OrdersPoll(self.node_id, self.orders.version, self.incarnation)
        self._obey(await self.call("watch", record, Orders))
        return self.orders

    async def ask(self, ask: EpochRequest) -> EpochOffset:
        """Ask for the numbers of a session."""
        return await self.call("epoch", ask, EpochOffset)

    def take(self, token: str, stream: str) -> bool:
        """Let a viewer in, if the token is one that a relay would accept."""
        secret, jwks = self.secret.encode(), self.orders.viewer_jwks
        shared = tuple(unseal(secret, k) for k in self.orders.viewer_keys)
        keys = read_jwks(unseal(secret, jwks).decode()) if jwks else shared
        claims = verify_viewer(token, keys, wall_s=time.time())
        report = ViewerReport(
            stream,
            claims.subject,
            claims.token_id,
            time.time(),
            0,
            1500,
            9000,
            1400,
            has_media=self.has_media,
        )
        if self._refuses(report):
            return False
        self.viewers[claims.token_id] = report
        return True

    def drop(self, token_ids: Iterable[str]) -> None:
        """Let viewers leave."""
        for token_id in token_ids:
            self.viewers.pop(token_id, None)

    def _obey(self, orders: Orders) -> None:
        if orders.known and orders.version == self.orders.version and not orders.streams:
            own = {"drain": orders.drain, "resync": orders.resync, "warning": orders.warning}
            orders = msgspec.structs.replace(self.orders, **own, cause=orders.cause)
        self.orders = orders
        self.drop([t for t, v in self.viewers.items() if self._refuses(v)])

    def _refuses(self, viewer: ViewerReport) -> bool:
        orders = self.orders
        if (
            viewer.token_id in orders.revoked
            or viewer.subject in orders.revoked
            or viewer.stream in orders.closed
        ):
            return True
        for order in orders.streams:
            if self.protocol and order.stream == viewer.stream:
                generation = token_generation(viewer.token_id)
                return generation < order.min_generation or viewer.subject in order.refused
        return False

    def _streams(self) -> list[StreamReport]:
        reports = []
        for order in self.orders.streams:
            state = self.states.get(order.stream, "waiting")
            fault = self.faults.get(order.stream, "")
            shape = ((VIDEO,), (AUDIO,)) if state != "waiting" else ((), ())
            count = sum(v.stream == order.stream for v in self.viewers.values())
            next_msn, next_discontinuity_seq = self.shown.get(order.stream, (0, 0))
            reports.append(
                StreamReport(
                    order.stream,
                    state,
                    count,
                    1.2,
                    "the origin refuses the connection" if fault else "",
                    *shape,
                    self.segment_s,
                    next_msn=next_msn,
                    next_discontinuity_seq=next_discontinuity_seq,
                    origin="failed" if fault else "served",
                    fault=fault,
                )
            )
        return reports


def _bytes(secret: object) -> bytes:
    return secret if isinstance(secret, bytes) else str(secret).encode()
