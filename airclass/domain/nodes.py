"""The relays of the cluster: who registered, what they report, where they are in their life.

Takes in wire records and keeps the seats true to them. Does not compose what relays are told
(`orders.py`) and opens no connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airclass.domain.advice import ClusterSummary, NodeFigures, summarize
from airclass.domain.health import SILENT_S, Health, NodeStatus, blames_ingest
from airclass.domain.routing import MAX_ZONES, Network, NodeSeats, SeatBook, read_address, read_zone
from airclass.domain.tokens import is_preview
from relay.base.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from relay.base.cluster_protocol import Heartbeat, Registration, StreamReport, ViewerReport

MAX_NODES = 500
MAX_NODE_CAPACITY = 100_000
MAX_URL_CHARS = 300
MAX_REASON_CHARS = 200
MISCOUNTS_BEFORE_RESYNC = 3
_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(slots=True)
class Node:
    """One relay as the master knows it."""

    id: str
    public_url: str
    admin_url: str
    version: str
    started_at_s: float
    health: Health
    site: NodeSeats
    streams: dict[str, StreamReport] = field(default_factory=dict)
    viewers: dict[str, ViewerReport] = field(default_factory=dict)
    tokens_of: dict[str, set[str]] = field(default_factory=dict)
    orders_version: int = 0
    warning: str = ""
    needs_full: bool = True
    miscounts: int = 0
    previews: int = 0

    @property
    def students(self) -> int:
        """Viewers that the relay reports, but for previews: a teacher's own, and a fresh master's probe.

        This is what all figures show; seats are counted with previews, which take room as well.
        """
        return max(0, self.site.connections - self.previews)

    @property
    def lag_s(self) -> float | None:
        """The age of the newest media of the stream that is furthest behind; None without media."""
        lags = [s.lag_s for s in self.streams.values() if s.lag_s >= 0]
        return max(lags, default=None)


@dataclass(frozen=True, slots=True)
class StatusChange:
    """A node's status became another one, and why."""

    node_id: str
    before: NodeStatus
    after: NodeStatus
    reason: str


class Nodes:
    """All relays, and the seats on them."""

    def __init__(self, on_viewer: Callable[[Node, ViewerReport, bool], None]) -> None:
        self.all: dict[str, Node] = {}
        self.seating = SeatBook()
        self._on_viewer = on_viewer

    def register(self, record: Registration, peer: str, now_s: float) -> Node:
        """Take a relay in, or raise RequestError with what is wrong with its record."""
        if not _NODE_ID.fullmatch(record.node_id):
            raise RequestError(400, "NODE_ID must be 1 to 63 letters, digits, dots, dashes or underscores.")
        check_url(record.public_url, "NODE_PUBLIC_URL", peer)
        # A relay's own port is on loopback by default: from another machine it is simply not there.
        admin_url = record.admin_url if _is_reachable(record.admin_url, peer) else ""
        if admin_url:
            check_url(admin_url, "the admin address", peer)
        if len(record.zone) > MAX_ZONES:
            raise RequestError(400, f"NODE_ZONE lists more than {MAX_ZONES} networks.")
        try:
            zone = read_zone(record.zone)
        except ValueError as exc:
            raise RequestError(400, f"NODE_ZONE: {exc}.") from None
        old = self.all.get(record.node_id)
        if old is None and len(self.all) >= MAX_NODES:
            raise RequestError(503, f"The cluster already has {MAX_NODES} nodes: remove one first.")
        if old is not None and self._is_another(old, record, now_s):
            raise RequestError(
                409, f"Another node with the id {record.node_id} is at work: choose another NODE_ID."
            )
        health = old.health if old is not None else Health(registered_at_s=now_s)
        health.registered_at_s = now_s
        node = Node(
            id=record.node_id,
            public_url=record.public_url.rstrip("/"),
            admin_url=admin_url.rstrip("/"),
            version=record.version[:40],
            started_at_s=record.started_at_s,
            health=health,
            site=self._site(record, zone, old),
        )
        if old is not None:
            self._forget_viewers(old)
        self.all[node.id] = node
        return node

    def beat(self, beat: Heartbeat, now_s: float) -> Node | None:
        """Take in a heartbeat; None when the node is unknown and must register first."""
        node = self.all.get(beat.node_id)
        if node is None:
            return None
        reason = beat.reason[:MAX_REASON_CHARS]
        node.health.beat(now_s, ready=beat.ready, reason=reason, draining=beat.draining, fault=beat.fault)
        node.site.connections = min(max(beat.connections, 0), MAX_NODE_CAPACITY)
        node.site.egress_bps = max(beat.egress_bps, 0)
        node.version = beat.version[:40]
        node.orders_version = beat.orders_version
        node.streams = {report.stream: report for report in beat.streams}
        self._take_viewers(node, beat)
        counted = len(node.viewers) == beat.connections
        node.miscounts = 0 if counted else node.miscounts + 1
        if beat.full:
            node.needs_full, node.miscounts = False, 0
        elif node.miscounts >= MISCOUNTS_BEFORE_RESYNC and node.viewers:
            node.needs_full = True
        return node

    def judge(self, now_s: float, drained: frozenset[str]) -> list[StatusChange]:
        """Bring every node's status up to date; returns the changes."""
        changes = []
        healths = [n.health for n in self.all.values()]
        for node in self.all.values():
            before = node.health.status
            excused = blames_ingest(node.health, [h for h in healths if h is not node.health])
            after = node.health.judge(now_s, excused=excused, ordered_drain=node.id in drained)
            node.site.takes_students = after is NodeStatus.ACTIVE
            if after is not before:
                changes.append(StatusChange(node.id, before, after, node.health.reason.text))
            if after is NodeStatus.OFFLINE and node.viewers:
                self._forget_viewers(node)
                node.site.connections = node.site.egress_bps = 0
        return changes

    def dismiss(self, subject: str) -> None:
        """Count somebody no more who was taken out: their relay turns them away and says so when it beats."""
        for node in self.all.values():
            token_ids = list(node.tokens_of.get(subject, ()))
            self._drop(node, token_ids)
            node.site.connections = max(0, node.site.connections - len(token_ids))

    def pardon(self, deaf_s: float) -> None:
        """Do not hold seconds against the nodes in which the master was too busy to listen."""
        for node in self.all.values():
            node.health.pardon(deaf_s)

    def remove(self, node_id: str) -> None:
        """Forget a node until it registers again."""
        node = self.all.pop(node_id, None)
        if node is not None:
            self._forget_viewers(node)
            self.seating.remove(node_id)

    @property
    def students(self) -> int:
        """Students on all relays."""
        return sum(node.students for node in self.all.values())

    def reports(self, stream: str) -> dict[str, StreamReport]:
        """Return what the nodes at work say of a stream that they carry, by the node's id."""
        return {
            n.id: n.streams[stream]
            for n in self.all.values()
            if n.health.status in (NodeStatus.ACTIVE, NodeStatus.DRAINING) and stream in n.streams
        }

    def summary(self) -> ClusterSummary:
        """Return the cluster in six figures."""
        return summarize(
            [
                NodeFigures(n.id, n.health.status, n.health.reason.text, n.students, n.site.capacity)
                for n in self.all.values()
            ]
        )

    def _is_another(self, old: Node, record: Registration, now_s: float) -> bool:
        at_work = old.health.silent_s(now_s) < SILENT_S
        return (
            at_work
            and record.started_at_s != old.started_at_s
            and record.public_url.rstrip("/") != old.public_url
        )

    def _site(self, record: Registration, zone: tuple[Network, ...], old: Node | None) -> NodeSeats:
        site = old.site if old is not None else NodeSeats(record.node_id, 0)
        site.capacity = min(max(record.max_connections, 0), MAX_NODE_CAPACITY)
        site.max_egress_bps = max(record.max_egress_bps, 0)
        site.zone = zone
        self.seating.sites[site.id] = site
        return site

    def _take_viewers(self, node: Node, beat: Heartbeat) -> None:
        if beat.full:
            listed = {report.token_id for report in beat.viewers}
            self._drop(node, [t for t in node.viewers if t not in listed])
        self._drop(node, beat.gone)
        for report in beat.viewers:
            fresh = report.token_id not in node.viewers
            node.viewers[report.token_id] = report
            node.tokens_of.setdefault(report.subject, set()).add(report.token_id)
            if fresh:
                node.previews += is_preview(report.subject)
                self.seating.confirm(report.subject, node.id)
                self._take_from_fallen(node, report.token_id)
                self._on_viewer(node, report, True)

    def _take_from_fallen(self, node: Node, token_id: str) -> None:
        """Whoever is seen here no longer counts at a node that fell and cannot say so itself."""
        for other in self.all.values():
            fallen = other.health.status in (NodeStatus.UNHEALTHY, NodeStatus.OFFLINE)
            if fallen and other is not node and token_id in other.viewers:
                self._drop(other, [token_id])
                other.site.connections = max(0, other.site.connections - 1)

    def _drop(self, node: Node, token_ids: Iterable[str]) -> None:
        for token_id in token_ids:
            report = node.viewers.pop(token_id, None)
            if report is None:
                continue
            node.previews -= is_preview(report.subject)
            rest = node.tokens_of[report.subject]
            rest.discard(token_id)
            if not rest:
                del node.tokens_of[report.subject]
                self.seating.leave(report.subject, node.id)
                self._on_viewer(node, report, False)

    def _forget_viewers(self, node: Node) -> None:
        self._drop(node, list(node.viewers))


def check_url(url: str, what: str, peer: str) -> None:
    """Refuse an address that the master must not call: not HTTP, link-local, or foreign loopback.

    Loopback is fine for a relay that itself calls from loopback.
    """
    parts, host = urlsplit(""), None
    try:
        if len(url) <= MAX_URL_CHARS and url.isprintable():
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc or parts.query:
        raise RequestError(400, f"{what} is not an address of the form http://host:port.")
    if re.search(r'[\s"<>\\]', url):
        raise RequestError(400, f"{what} holds signs that no address has.")
    address, caller = read_address(host), read_address(peer)
    if address is None:
        return
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        raise RequestError(400, f"{what} is {host}, which is no address that students can reach.")
    if address.is_loopback and not (caller is not None and caller.is_loopback):
        raise RequestError(400, f"{what} is {host}, but the node calls from another machine: set its own.")


def _is_reachable(url: str, peer: str) -> bool:
    try:
        address, caller = read_address(urlsplit(url).hostname or ""), read_address(peer)
    except ValueError:
        return True  # check_url says what is wrong
    if address is None or not address.is_loopback:
        return True
    return caller is not None and caller.is_loopback
