"""What each relay is told: complete orders, sealed with its own key.

Orders stay small however many students come and go. Tokens are revoked by number, not by name: each class
names the lowest generation of its code that still counts. Only the students who were taken out are listed,
by subject, each in the orders of its class (at most MAX_KICKED a class, `web/api/classrooms.py`) and only
while the class is open. Relays before protocol 1 do not know these fields: for them the subjects of all
classes are listed, and the outdated tokens that such relays report as in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from airclass.domain.classrooms import ClassStatus
from relay.base.cluster_protocol import Orders, StreamOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airclass.domain.cluster import Cluster
    from airclass.domain.nodes import Node


@dataclass(frozen=True, slots=True)
class SealedSecrets:
    """The ingest's bearer and the viewers' keys, sealed for one node; `viewer_jwks` replaces the keys."""

    bearer: str = ""
    viewer_keys: tuple[str, ...] = ()
    viewer_jwks: str = ""


class OrderComposer:
    """Composes orders; what relays have in common is made once per version and kind of relay."""

    def __init__(self, origins: Sequence[str], heartbeat_interval_s: float) -> None:
        self._origins = tuple(origins)
        self._interval_s = heartbeat_interval_s
        self.cause = ""  # the id of the request that changed the orders last
        self._shared: dict[tuple[SealedSecrets, bool], Orders] = {}
        self._made_for = -1

    def orders(
        self, cluster: Cluster, node: Node | None, secrets: SealedSecrets, *, has_version: int = -1
    ) -> Orders:
        """Return the orders for a node; for None those that make it register.

        A node that `has_version` carried out already gets what is its own, without keys and streams.
        """
        if node is None:
            return Orders(version=0, known=False, heartbeat_interval_s=self._interval_s)
        if has_version == cluster.version:
            shared = Orders(version=cluster.version, heartbeat_interval_s=self._interval_s)
        else:
            shared = self._common(cluster, secrets, before_generations=node.protocol < 1)
        streams = shared.streams
        if node.needs_full:  # it has just registered: a relay that starts late must not number from 0
            streams = tuple(_with_numbers(stream, cluster) for stream in streams)
        return msgspec.structs.replace(
            shared,
            streams=streams,
            drain=node.drains_now,
            resync=node.needs_full,
            warning=node.warning,
            cause=self.cause,
        )

    def _common(self, cluster: Cluster, secrets: SealedSecrets, *, before_generations: bool) -> Orders:
        if self._made_for != cluster.version:
            self._shared.clear()
            self._made_for = cluster.version
        place = (secrets, before_generations)
        if place not in self._shared:
            self._shared[place] = self._compose(cluster, secrets, before_generations=before_generations)
        return self._shared[place]

    def _compose(self, cluster: Cluster, secrets: SealedSecrets, *, before_generations: bool) -> Orders:
        view = cluster.view
        opened = view.open_classes()
        # A class that ended is named for a while, so that every relay hears of it; then the stream is gone.
        left = sorted(cluster.left.keys() - {c.id for c in opened})
        streams = [self._stream(cluster, c.id, secrets.bearer, ended=False) for c in opened]
        streams += [
            self._stream(cluster, s, secrets.bearer, ended=True) for s in left if _has_ended(cluster, s)
        ]
        revoked = set(view.kicked.get("", ()))  # by a master of the previous version
        if before_generations:
            revoked.update(*view.kicked.values(), cluster.outdated_tokens)
        return Orders(
            version=cluster.version,
            viewer_keys=secrets.viewer_keys,
            viewer_jwks=secrets.viewer_jwks,
            streams=tuple(streams),
            revoked=tuple(sorted(revoked)),
            closed=tuple(left),
            heartbeat_interval_s=self._interval_s,
        )

    def _stream(self, cluster: Cluster, stream: str, bearer: str, *, ended: bool) -> StreamOrder:
        classroom = cluster.view.classrooms.get(stream)
        return StreamOrder(
            stream,
            tuple(f"{origin}/live/{stream}/index.m3u8" for origin in self._origins),
            bearer,
            ended=ended,
            epochs=cluster.epochs.of(stream),
            publishing=cluster.has_publisher(stream),
            min_generation=0 if classroom is None else classroom.generation,
            refused=cluster.view.kicked.get(stream, ()),
        )


def _has_ended(cluster: Cluster, stream: str) -> bool:
    classroom = cluster.view.classrooms.get(stream)
    return classroom is None or classroom.status is ClassStatus.ENDED


def _with_numbers(order: StreamOrder, cluster: Cluster) -> StreamOrder:
    numbers = cluster.epochs.numbers(order.stream)
    return msgspec.structs.replace(
        order, next_msn=numbers.next_msn, next_discontinuity_seq=numbers.next_discontinuity_seq
    )
