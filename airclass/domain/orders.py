"""What each relay is told: complete orders, the same for all but drain, resync and warning."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from airclass.domain.classrooms import ClassStatus
from relay.base.cluster_protocol import Orders, StreamOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airclass.domain.cluster import Cluster
    from airclass.domain.nodes import Node

MAX_REVOKED = 50_000


class OrderComposer:
    """Composes orders; the part that all relays share is made once per version."""

    def __init__(
        self,
        origins: Sequence[str],
        bearer: str,
        viewer_keys: Sequence[str],
        heartbeat_interval_s: float,
        viewer_jwks: str = "",
    ) -> None:
        self._origins = tuple(origins)
        self._bearer = bearer
        self._viewer_keys = tuple(viewer_keys)
        self._viewer_jwks = viewer_jwks
        self._interval_s = heartbeat_interval_s
        self._shared = Orders(version=-1)
        self.cause = ""  # the id of the request that changed the orders last
        self._made_for = -1

    def orders(self, cluster: Cluster, node: Node | None) -> Orders:
        """Return the orders for a node; for None those that make it register."""
        if node is None:
            return Orders(version=0, known=False, heartbeat_interval_s=self._interval_s)
        if self._made_for != cluster.version:
            self._shared, self._made_for = self._compose(cluster), cluster.version
        streams = self._shared.streams
        if node.needs_full:  # it has just registered: a relay that starts late must not number from 0
            streams = tuple(_with_numbers(stream, cluster) for stream in streams)
        return msgspec.structs.replace(
            self._shared,
            streams=streams,
            drain=node.drains_now,
            resync=node.needs_full,
            warning=node.warning,
            cause=self.cause,
        )

    def _compose(self, cluster: Cluster) -> Orders:
        view = cluster.view
        opened = view.open_classes()
        # Whoever left is named for a while, so that every relay hears of it; then the stream is gone.
        left = sorted(cluster.left.keys() - {c.id for c in opened})
        streams = [self._stream(cluster, c.id, ended=False) for c in opened]
        streams += [self._stream(cluster, s, ended=True) for s in left if _has_ended(cluster, s)]
        # Relays compare both a viewer's token id and their subject with this list.
        refused = {value for kind, value in view.revoked if kind in ("token", "subject")}
        refused |= cluster.revoked.keys()
        return Orders(
            version=cluster.version,
            viewer_keys=self._viewer_keys,
            viewer_jwks=self._viewer_jwks,
            streams=tuple(streams),
            revoked=tuple(sorted(refused)[:MAX_REVOKED]),
            closed=tuple(left),
            heartbeat_interval_s=self._interval_s,
        )

    def _stream(self, cluster: Cluster, stream: str, *, ended: bool) -> StreamOrder:
        origins = tuple(f"{origin}/live/{stream}/index.m3u8" for origin in self._origins)
        order = StreamOrder(
            stream,
            origins,
            self._bearer,
            ended=ended,
            epochs=cluster.epochs.of(stream),
            publishing=cluster.has_publisher(stream),
        )
        # A relay has forgotten the numbers of a class that was closed and is opened again.
        return _with_numbers(order, cluster)


def _has_ended(cluster: Cluster, stream: str) -> bool:
    classroom = cluster.view.classrooms.get(stream)
    return classroom is None or classroom.status is ClassStatus.ENDED


def _with_numbers(order: StreamOrder, cluster: Cluster) -> StreamOrder:
    numbers = cluster.epochs.numbers(order.stream)
    return msgspec.structs.replace(
        order, next_msn=numbers.next_msn, next_discontinuity_seq=numbers.next_discontinuity_seq
    )
