"""The relays of the cluster: which are registered, what they report, what state they are in.

Takes in wire records and keeps the seats in accordance with them. Does not compose orders (`orders.py`) and
opens no connection.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from airclass.domain.advice import ClusterSummary, NodeFigures, summarize
from airclass.domain.cluster_health import OVERDUE_S, ClusterHealth, Member, code_of
from airclass.domain.health import SILENT_S, WORKING, Health, NodeStatus, ReasonCode
from airclass.domain.node_url import read_url
from airclass.domain.routing import MAX_ZONES, Network, NodeSeats, SeatBook, read_address, read_zone
from airclass.domain.stream_health import ServiceState, StreamHealth, read_report
from airclass.domain.tokens import is_preview
from relay.base.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from relay.base.cluster_protocol import Heartbeat, Registration, StreamReport, ViewerReport

MAX_NODES = 500
MAX_NODE_CAPACITY = 100_000
MAX_REASON_CHARS = 200
MISCOUNTS_BEFORE_RESYNC = 3
# A master that stood still for longer may have lost heartbeats; shorter delays only leave them unread.
STALL_S = 1.0
EXCUSE_EVERY_S = 30.0
_NODE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(slots=True)
class Node:
    """One relay as the master knows it.

    `drains_now` is what its orders say: an operator wants it empty, and everyone here has a seat elsewhere.
    """

    id: str
    public_url: str
    admin_url: str
    version: str
    started_at_s: float
    peer: str
    health: Health
    seats: NodeSeats
    incarnation: str = ""
    streams: dict[str, StreamReport] = field(default_factory=dict)
    stream_health: dict[str, StreamHealth] = field(default_factory=dict)
    viewers: dict[str, ViewerReport] = field(default_factory=dict)
    tokens_of: dict[str, set[str]] = field(default_factory=dict)
    orders_version: int = 0
    drains_now: bool = False
    warning: str = ""
    needs_full: bool = True
    miscounts: int = 0
    previews: int = 0
    protocol: int = 0

    @property
    def students(self) -> int:
        """Viewers with media that the relay reports, without previews: a teacher's own, a restarted master's.

        This is what all figures show; seats are counted with previews, which take room as well.
        """
        return max(0, self.seats.connections - self.previews)

    @property
    def without_media(self) -> int:
        """Viewers who have got no media: they take no seat beyond the one that is reserved for them."""
        return sum(not report.has_media for report in self.viewers.values())

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


@dataclass(frozen=True, slots=True)
class StreamFact:
    """One stream at one node as operators see it; `avoided`: its students do not use this node."""

    stream: str
    state: ServiceState
    age_s: float
    reason: str
    code: ReasonCode
    avoided: bool


class Nodes:
    """All relays, and the seats on them."""

    def __init__(self, on_viewer: Callable[[Node, ViewerReport, bool], None]) -> None:
        self.all: dict[str, Node] = {}
        self.seat_book = SeatBook()
        self._health = ClusterHealth()
        self._on_viewer = on_viewer
        self._excused_s = float("-inf")

    def register(self, record: Registration, peer: str, now_s: float) -> Node:
        """Take a relay in, or raise RequestError with what is wrong with its record.

        A relay that registers again keeps its viewers until it lists them; a new process has none yet.
        """
        if not _NODE_ID.fullmatch(record.node_id):
            raise RequestError(400, "NODE_ID must be 1 to 63 letters, digits, dots, dashes or underscores.")
        public_url = read_url(record.public_url, "NODE_PUBLIC_URL", peer)
        # A relay's own port is on loopback by default: from another machine it is simply not there.
        admin_url = record.admin_url if _is_reachable(record.admin_url, peer) else ""
        if admin_url:
            admin_url = read_url(admin_url, "the admin address", peer)
        if len(record.zone) > MAX_ZONES:
            raise RequestError(400, f"NODE_ZONE lists more than {MAX_ZONES} networks.")
        try:
            zone = read_zone(record.zone)
        except ValueError as exc:
            raise RequestError(400, f"NODE_ZONE: {exc}.") from None
        old = self.all.get(record.node_id)
        if old is None and len(self.all) >= MAX_NODES:
            raise RequestError(503, f"The cluster already has {MAX_NODES} nodes: remove one first.")
        self._check_identity(record, public_url, old, now_s)
        health = old.health if old is not None else Health(registered_at_s=now_s)
        # Registering without a heartbeat in between is no sign of life.
        if health.last_beat_s >= health.registered_at_s:
            health.registered_at_s = now_s
        node = Node(
            id=record.node_id,
            public_url=public_url,
            admin_url=admin_url,
            peer=peer,
            version=record.version[:40],
            started_at_s=record.started_at_s,
            health=health,
            seats=self._seats(record, zone, old),
            incarnation=record.incarnation,
            protocol=record.protocol,
        )
        if old is not None and _is_same_process(old, record):
            node.viewers, node.tokens_of, node.previews = old.viewers, old.tokens_of, old.previews
            node.streams = old.streams
        elif old is not None:
            self._forget_viewers(old)
        self.all[node.id] = node
        return node

    def beat(self, beat: Heartbeat, now_s: float) -> Node | None:
        """Take in a heartbeat; None when the node is unknown and must register first.

        Raises RequestError when another process has registered under its id.
        """
        node = self.known(beat.node_id, beat.incarnation, now_s)
        if node is None:
            return None
        self._take_streams(node, beat, now_s)
        node.seats.egress_bps = max(beat.egress_bps, 0)
        node.version = beat.version[:40]
        node.orders_version = beat.orders_version
        self._take_viewers(node, beat, now_s)
        playing = beat.connections - node.without_media
        node.seats.connections = min(max(playing, 0), MAX_NODE_CAPACITY)
        counted = len(node.viewers) == beat.connections
        node.miscounts = 0 if counted else node.miscounts + 1
        if beat.full:
            node.needs_full, node.miscounts = False, 0
        elif node.miscounts >= MISCOUNTS_BEFORE_RESYNC:
            node.needs_full = True
        return node

    def known(self, node_id: str, incarnation: str, now_s: float) -> Node | None:
        """Return the node that calls; None when it must register first.

        Raises RequestError while another process with this id sends heartbeats.
        """
        node = self.all.get(node_id)
        if node is None or node.incarnation == incarnation:
            return node
        if node.health.silent_s(now_s) < SILENT_S:
            raise RequestError(409, _TWIN.format(node_id))
        return None

    def judge(self, now_s: float, drained: frozenset[str]) -> list[StatusChange]:
        """Bring every node's status up to date; returns the changes."""
        before = {node.id: node.health.status for node in self.all.values()}
        self._health.judge(
            [
                Member(n.id, n.health, n.seats.capacity, n.id in drained, n.stream_health)
                for n in self.all.values()
            ],
            now_s,
        )
        changes = []
        for node in self.all.values():
            after = node.health.status
            node.seats.takes_students = after is NodeStatus.ACTIVE
            if after is not before[node.id]:
                changes.append(StatusChange(node.id, before[node.id], after, node.health.reason.text))
            if after is NodeStatus.OFFLINE and node.viewers:
                self._forget_viewers(node)
                node.seats.connections = node.seats.egress_bps = 0
        return changes

    def avoided(self, stream: str) -> frozenset[str]:
        """Return the nodes that a stream's students avoid: they fail it, and other nodes serve it."""
        return self._health.avoided(stream)

    def stream_facts(self, node: Node, now_s: float) -> list[StreamFact]:
        """Return what a node reports of its streams, and what the other nodes make of it.

        What a node reported before it fell silent is not known any more.
        """
        faults = self._health.faults.get(node.id, {})
        facts = []
        for stream, health in sorted(node.stream_health.items()):
            state, since_s, fault = health.state, health.since_s, faults.get(stream)
            if not node.health.beats(now_s):
                state, since_s, fault = ServiceState.UNKNOWN, node.health.last_beat_s, None
            elif fault is not None:
                state = ServiceState.FAILED
            kind = fault.kind if fault is not None else health.kind
            facts.append(
                StreamFact(
                    stream=stream,
                    state=state,
                    age_s=max(0.0, now_s - since_s),
                    reason=fault.reason if fault is not None else health.reason,
                    code=code_of(kind) if state is ServiceState.FAILED else ReasonCode.NOTHING,
                    avoided=node.id in self.avoided(stream),
                )
            )
        return facts

    def is_avoided(self, node_id: str) -> bool:
        """Tell whether the students of any stream avoid a node."""
        return any(node_id in self.avoided(stream) for stream in self._health.faults.get(node_id, ()))

    def unfit_for_move(self, stream: str, node_id: str, now_s: float) -> frozenset[str]:
        """Return the nodes to which no student of this stream moves from a node.

        Besides those that the stream avoids: nodes that are late with their heartbeats, and nodes that fail
        the stream while this one still serves it.
        """
        health = self.all[node_id].stream_health.get(stream)
        serves = health is not None and health.state is ServiceState.SERVED
        unfit = set(self.avoided(stream))
        for node in self.all.values():
            theirs = node.stream_health.get(stream)
            fails = serves and theirs is not None and theirs.state is ServiceState.FAILED
            if fails or node.health.silent_s(now_s) >= OVERDUE_S:
                unfit.add(node.id)
        return frozenset(unfit)

    def is_last_taker(self, node_id: str) -> bool:
        """Tell whether no other node takes students; a node that is offline takes none in any case."""
        others = (n for n in self.all.values() if n.id != node_id and n.seats.capacity > 0)
        return self.all[node_id].health.status is not NodeStatus.OFFLINE and not any(
            n.seats.takes_students for n in others
        )

    def dismiss(self, subject: str) -> None:
        """Stop counting a removed student now; their relay confirms it in its next heartbeat."""
        for node in self.all.values():
            token_ids = list(node.tokens_of.get(subject, ()))
            playing = sum(node.viewers[token_id].has_media for token_id in token_ids)
            self._drop(node, token_ids)
            node.seats.connections = max(0, node.seats.connections - playing)

    def excuse_stall(self, late_s: float, now_s: float) -> bool:
        """Do not count the time in which the master stood still as silence of the nodes; False: it counts.

        Only a long stall loses heartbeats, and only one in EXCUSE_EVERY_S is excused: under steady load a
        dead node would never be noticed otherwise.
        """
        if late_s < STALL_S or now_s - self._excused_s < EXCUSE_EVERY_S:
            return False
        self._excused_s = now_s
        for node in self.all.values():
            node.health.pardon(late_s)
            node.stream_health = {
                stream: replace(health, heard_s=health.heard_s + late_s)
                for stream, health in node.stream_health.items()
            }
        return True

    def remove(self, node_id: str) -> None:
        """Forget a node until it registers again."""
        node = self.all.pop(node_id, None)
        if node is not None:
            self._forget_viewers(node)
            self.seat_book.remove(node_id)

    @property
    def students(self) -> int:
        """Students on all relays."""
        return sum(node.students for node in self.all.values())

    def reports(self, stream: str) -> dict[str, StreamReport]:
        """Return what the nodes at work say of a stream that they carry, by the node's id."""
        return {
            n.id: n.streams[stream]
            for n in self.all.values()
            if n.health.status in WORKING and stream in n.streams
        }

    def summary(self) -> ClusterSummary:
        """Return the cluster in six figures."""
        return summarize(
            [
                NodeFigures(n.id, n.health.status, n.health.reason.text, n.students, n.seats.capacity)
                for n in self.all.values()
            ]
        )

    def _check_identity(self, record: Registration, public_url: str, old: Node | None, now_s: float) -> None:
        """Refuse a second process under one id, and a second id under one address, while the first beats."""
        for other in self.all.values():
            shared = other is not old and _same_url(other.public_url, public_url)
            if shared and other.health.silent_s(now_s) < SILENT_S:
                raise RequestError(
                    409, f"{other.public_url} is the address of {other.id}: set another NODE_PUBLIC_URL."
                )
        if old is None or _is_same_process(old, record) or old.health.silent_s(now_s) >= SILENT_S:
            return
        # A relay that was restarted has the same address and began later than the one that it replaces.
        restarted = record.started_at_s > old.started_at_s
        if not (restarted and _same_url(old.public_url, public_url)):
            raise RequestError(409, _TWIN.format(record.node_id))

    def _seats(self, record: Registration, zone: tuple[Network, ...], old: Node | None) -> NodeSeats:
        seats = old.seats if old is not None else NodeSeats(record.node_id, 0)
        seats.capacity = min(max(record.max_connections, 0), MAX_NODE_CAPACITY)
        seats.max_egress_bps = max(record.max_egress_bps, 0)
        seats.zone = zone
        self.seat_book.add(seats)
        return seats

    def _take_streams(self, node: Node, beat: Heartbeat, now_s: float) -> None:
        before = node.stream_health
        node.streams = {report.stream: report for report in beat.streams}
        node.stream_health = {
            stream: read_report(report, beat, before.get(stream), now_s)
            for stream, report in node.streams.items()
        }
        failing = any(h.state is ServiceState.FAILED for h in node.stream_health.values())
        not_ready = ""
        if not (beat.ready or beat.draining or failing):
            not_ready = beat.reason[:MAX_REASON_CHARS] or "says that it is not ready"
        node.health.beat(now_s, draining=beat.draining, not_ready=not_ready)

    def _take_viewers(self, node: Node, beat: Heartbeat, now_s: float) -> None:
        if beat.full:
            listed = {report.token_id for report in beat.viewers}
            self._drop(node, [t for t in node.viewers if t not in listed])
        self._drop(node, beat.gone)
        for told in beat.viewers:
            before = node.viewers.get(told.token_id)
            keeps_media = before is not None and before.has_media and not told.has_media
            report = msgspec.structs.replace(told, has_media=True) if keeps_media else told
            node.viewers[report.token_id] = report
            node.tokens_of.setdefault(report.subject, set()).add(report.token_id)
            began_to_play = report.has_media and (before is None or not before.has_media)
            if report.has_media and (began_to_play or beat.full):
                self.seat_book.confirm(report.subject, node.id, now_s, max(0.0, report.idle_s))
            if began_to_play:
                node.previews += is_preview(report.subject)
                self._take_from_fallen(node, report.token_id)
            if before is None or began_to_play:
                self._on_viewer(node, report, True)

    def _take_from_fallen(self, node: Node, token_id: str) -> None:
        """Stop counting a viewer at a node that failed: it cannot report that they have left."""
        for other in self.all.values():
            fallen = other.health.status in (NodeStatus.UNHEALTHY, NodeStatus.OFFLINE)
            if fallen and other is not node and token_id in other.viewers:
                self._drop(other, [token_id])
                other.seats.connections = max(0, other.seats.connections - 1)

    def _drop(self, node: Node, token_ids: Iterable[str]) -> None:
        for token_id in token_ids:
            report = node.viewers.pop(token_id, None)
            if report is None:
                continue
            node.previews -= is_preview(report.subject) and report.has_media
            rest = node.tokens_of[report.subject]
            rest.discard(token_id)
            if not rest:
                del node.tokens_of[report.subject]
                self.seat_book.leave(report.subject, node.id)
                self._on_viewer(node, report, False)

    def _forget_viewers(self, node: Node) -> None:
        self._drop(node, list(node.viewers))


_TWIN = "Another process sends heartbeats as {}: give each node its own NODE_ID, or stop the other one."


def _is_same_process(old: Node, record: Registration) -> bool:
    return (old.incarnation, old.started_at_s) == (record.incarnation, record.started_at_s)


def _same_url(one: str, other: str) -> bool:
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str, int, str]:
    parts = urlsplit(url.rstrip("/"))
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname or "", port, parts.path


def _is_reachable(url: str, peer: str) -> bool:
    try:
        address, caller = read_address(urlsplit(url).hostname or ""), read_address(peer)
    except ValueError:
        return True  # read_url says what is wrong
    if address is None or not address.is_loopback:
        return True
    return caller is not None and caller.is_loopback
