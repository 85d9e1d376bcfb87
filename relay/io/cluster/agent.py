"""This relay as the master and the operator see it: who it is, how it fares, what it is told.

Collects figures and carries out orders; decides nothing about HLS or admission.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

import trio

from relay import __version__
from relay.base import cluster_protocol
from relay.base.errors import ClusterError, ConfigError
from relay.base.jwks import read_jwks
from relay.base.signing import unseal
from relay.core.viewers.admission import StreamRule

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.base.tokens import Key
    from relay.config import RelaySettings
    from relay.core.counters import Counters
    from relay.core.delivery.delivery import Delivery
    from relay.core.stream.stream import Stream
    from relay.io.cluster.node_key import NodeIdentity
    from relay.io.delivery.memfd import MemfdStore
    from relay.io.delivery.reactor import Reactor
    from relay.io.origin.stream_manager import StreamManager

log = logging.getLogger(__name__)

EMPTY_POLL_S = 0.2
# Some 7 µs each where players tell how they fare (CMCD): less than a millisecond at a time.
REPORTS_A_TURN = 100


class ClusterAgent:
    """One relay process in its cluster, or alone."""

    def __init__(
        self,
        settings: RelaySettings,
        delivery: Delivery,
        streams: StreamManager,
        reactor: Reactor,
        counters: Counters,
        bodies: MemfdStore,
        *,
        identity: NodeIdentity | None,
        relay_url: str,
        admin_url: str,
        connected: Callable[[], bool] = lambda: False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._edge = delivery
        self._streams = streams
        self._reactor = reactor
        self._counters = counters
        self._blobs = bodies
        self._relay_url = relay_url
        self._admin_url = admin_url
        self._connected = connected
        self._wall = wall
        self._started_s = wall()
        self._orders: cluster_protocol.Orders | None = None
        self._refusals: tuple[tuple[str, ...], tuple[str, ...], dict[str, StreamRule]] = ((), (), {})
        self._told_to_stop = False

    @property
    def viewers(self) -> int:
        """How many watch now."""
        return len(self._edge.registry)

    @property
    def _node_id(self) -> str:
        return self._identity.node_id if self._identity else self._settings.node_name

    # -- told by the master ---------------------------------------------------------------

    def registration(self) -> cluster_protocol.Registration:
        """Return how this relay introduces itself to the master."""
        settings = self._settings
        return cluster_protocol.Registration(
            node_id=self._node_id,
            public_url=settings.node_public_url or self._relay_url,
            admin_url=self._admin_url,
            zone=settings.zone,
            max_connections=settings.max_connections,
            max_egress_bps=int(settings.max_egress_mbps * 1e6),
            version=__version__,
            started_at_s=self._started_s,
            epochs=tuple(e for s in self._edge.streams.values() for e in s.timeline.offsets()),
            protocol=cluster_protocol.PROTOCOL,
        )

    async def heartbeat(self, *, full: bool) -> cluster_protocol.Heartbeat:
        """Return this relay's state; `full` lists every viewer, else the changed ones.

        Of thousands of viewers that would hold everybody up: it is done in turns.
        """
        gone = self._edge.registry.gone(full=full)
        reports = []
        for number, report in enumerate(self._edge.registry.reports(trio.current_time(), full=full), 1):
            if report is not None:
                reports.append(report)
            if number % REPORTS_A_TURN == 0:
                await trio.lowlevel.checkpoint()
        now_s = trio.current_time()
        ready, reasons = self.readiness()
        return cluster_protocol.Heartbeat(
            node_id=self._node_id,
            connections=self.viewers,
            egress_bps=self._edge.admission.egress_bps,
            ready=ready,
            reason="; ".join(reasons),
            draining=self._edge.admission.draining,
            version=__version__,
            orders_version=self._orders.version if self._orders else 0,
            streams=tuple(
                s.report(self._edge.registry.count(s.name), now_s) for s in self._edge.streams.values()
            ),
            viewers=tuple(reports),
            gone=gone,
            full=full,
            fault=next((s.origin.kind for s in self._edge.streams.values() if s.fault), ""),
        )

    def obey(self, orders: cluster_protocol.Orders) -> None:
        """Carry out the master's orders; the same ones again change nothing."""
        assert self._identity is not None
        key = self._identity.key
        before = self._orders
        self._orders = orders
        if before is None or _told_keys(before) != _told_keys(orders):
            self._edge.admission.keys = _keys(orders, key)
        for order in orders.streams:
            self._follow(order, key)
        for name in set(self._streams.names) - {o.stream for o in orders.streams}:
            self._streams.forget(name)
        rules = {o.stream: StreamRule(o.min_generation, frozenset(o.refused)) for o in orders.streams}
        refusals = (orders.revoked, orders.closed, rules)
        if refusals != self._refusals:
            self._refusals = refusals
            turned_away = self._edge.admission.revoke(*refusals)
            if turned_away:
                log.info("viewers.turned_away count=%d", len(turned_away))
            self._reactor.turn_away(turned_away)
        if not self._told_to_stop:
            self._set_draining(orders.drain, "the master's order")

    def _follow(self, order: cluster_protocol.StreamOrder, key: bytes) -> None:
        bearer = unseal(key, order.bearer).decode() if order.bearer else ""
        stream = self._edge.open_stream(order.stream)
        stream.timeline.learn_numbers(order.next_msn, order.next_discontinuity_seq)
        # an older master gives no order numbers
        for offset in sorted(order.epochs, key=lambda e: (e.order, e.discontinuity_seq)):
            if not stream.timeline.learn(offset):
                log.warning(
                    "epoch.disputed stream=%s offset=%d discontinuity=%d reason=another relay numbered it "
                    "differently while the master was away: an epoch above both is asked for",
                    order.stream,
                    offset.offset,
                    offset.discontinuity_seq,
                )
        self._streams.follow(order.stream, order.origins, bearer=bearer, publishing=order.publishing)
        if order.ended and not stream.ended:
            log.info("stream.ended stream=%s reason=the class was ended", order.stream)
            self._edge.end_stream(order.stream, trio.current_time())
            self._publish_all(stream)
        elif stream.ended and not order.ended:
            stream.ended = False

    def _publish_all(self, stream: Stream) -> None:
        for window in stream.windows.values():
            self._reactor.publish(stream, window)

    # -- told by the operator -------------------------------------------------------------

    def drain(self, on: bool, *, reason: str) -> None:
        """Answer playlists with 410 so that players move on; segments still flow."""
        self._told_to_stop = on
        self._set_draining(on, reason)

    def _set_draining(self, on: bool, reason: str) -> None:
        if self._edge.admission.draining == on:
            return
        self._edge.admission.draining = on
        log.info("relay.draining on=%s viewers=%d reason=%s", on, self.viewers, reason)
        if on:
            for stream in self._edge.streams.values():
                self._reactor.release(self._edge.everyone(stream))

    async def empty(self) -> None:
        """Wait until every viewer has moved to another relay or has gone."""
        while not self._everyone_left():  # noqa: ASYNC110 - viewers leave by silence: there is no event
            await trio.sleep(EMPTY_POLL_S)

    def _everyone_left(self) -> bool:
        if self._reactor.unsent_bytes:
            return False
        connected, now_s = self._reactor.connected(), trio.current_time()
        return all(v.has_left(now_s, connected=v in connected) for v in self._edge.registry)

    def readiness(self) -> tuple[bool, list[str]]:
        """Return whether students can be sent here, and every reason why not."""
        reasons = []
        if self._edge.admission.draining:
            reasons.append("draining: this relay is being taken out of service")
        if self._settings.master_url and self._orders is None:
            reasons.append("the master has not answered yet")
        for stream in self._edge.streams.values():
            missing = not (self._settings.master_url or stream.ready or stream.idle)
            if stream.fault or missing:
                reasons.append(f"{stream.name}: {stream.problem}")
        return not reasons, reasons

    def refresh(self) -> Counters:
        """Bring the gauges up to date and return all figures."""
        counters, delivery, now_s = self._counters, self._edge, trio.current_time()
        counters.connections = self._reactor.open_connections
        counters.viewers = self.viewers
        counters.max_viewers = self._settings.max_connections
        counters.waiters = delivery.held
        counters.send_queue_bytes = self._reactor.unsent_bytes
        counters.cache_bytes = self._blobs.live_bytes
        counters.egress_bps = delivery.admission.egress_bps
        counters.master_connected = self._connected()
        counters.draining = delivery.admission.draining
        for name, stream in delivery.streams.items():
            figures = counters.streams.get(name)
            if figures is not None:
                figures.state = stream.state(now_s)
                figures.viewers = delivery.registry.count(name)
                figures.lag_s = stream.lag_s(now_s)
                figures.cache_bytes = sum(w.size_bytes for w in stream.windows.values())
                tallies = [w.tally for w in stream.windows.values()]
                figures.gaps = sum(t.gaps for t in tallies)
                figures.overlong["segment"] = sum(t.long_segments for t in tallies)
                figures.overlong["part"] = sum(t.long_parts for t in tallies)
        return counters


def _told_keys(orders: cluster_protocol.Orders) -> tuple[tuple[str, ...], str]:
    return orders.viewer_keys, orders.viewer_jwks


def _keys(orders: cluster_protocol.Orders, secret: bytes) -> tuple[Key, ...]:
    if not orders.viewer_jwks:
        return tuple(unseal(secret, sealed) for sealed in orders.viewer_keys)
    try:
        return read_jwks(unseal(secret, orders.viewer_jwks).decode())
    except ConfigError:
        raise ClusterError("the master's public keys cannot be read: are both of the same version?") from None
