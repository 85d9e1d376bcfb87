"""The real code behind the actors: the only module here that calls the domain and the relay's core.

Where a route or a task of a process does no more than pass a record on, the adapter does the same with the
same calls. It decides nothing.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jwt
import msgspec

from airclass.domain.classrooms import ClassStatus
from airclass.domain.cluster import Cluster, Student
from airclass.domain.health import NodeStatus
from airclass.domain.orders import OrderComposer, SealedSecrets
from airclass.domain.tokens import VIEWER_TOKEN_S, TokenIssuer
from airclass.web.api import join
from airclass.web.api.seats import place
from airclass.web.http.auth import read_viewer
from airclass.web.http.problems import ApiProblem
from relay.base import tokens as tokens_module
from relay.base.cluster_protocol import (
    EpochOffset,
    EpochRequest,
    Heartbeat,
    OrdersPoll,
    Registration,
    StreamReport,
)
from relay.base.errors import RequestError, TokenError
from relay.base.signing import seal
from relay.core import playlist as pl
from relay.core.delivery.delivery import Delivery
from relay.core.origin.epoch_numbering import EpochNumbering, begun_epoch, usable_epoch
from relay.core.origin.epoch_tracker import EpochTracker, first_msn
from relay.core.viewers.admission import Admission
from relay.core.viewers.registry import ViewerRegistry
from relay.io.cluster import agent as agent_module
from relay.io.cluster.agent import ClusterAgent
from relay.io.cluster.node_key import NodeIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from relay.base.cluster_protocol import Orders
    from relay.core.stream.timeline import Epoch, Timeline
    from tests.simulation.disk import Disk

SECRET = b"simulated cluster secret, 32 bytes long"
ADDRESS = "10.0.0.1"
HEARTBEAT_S = 2.0
SEGMENT_S = 2.0
MEDIA_BYTES = 5000
OPEN, CLOSED, RETIRED = ClassStatus.OPEN, ClassStatus.CLOSED, ClassStatus.RETIRED
TOKENS = TokenIssuer(b"simulated secret of the master's tokens")
SEALED = SealedSecrets("", tuple(seal(SECRET, key) for key in TOKENS.shared_keys))
LOGGERS = [logging.getLogger(package) for package in ("airclass", "relay")]


class SimulatedClock:
    """An actor's clocks: the monotonic one runs with virtual time, the wall clock may jump."""

    def __init__(self, time_s: Callable[[], float]) -> None:
        self._time_s = time_s
        self.offset_s = 1_800_000_000.0

    def now_s(self) -> float:
        """Return monotonic seconds."""
        return self._time_s()

    def wall_s(self) -> float:
        """Return Unix time as this actor believes it."""
        return self._time_s() + self.offset_s


class Refused(Exception):
    """The master refuses a call: `status` and the seconds after which to ask again."""

    def __init__(self, status: int, retry_s: float, code: str = "") -> None:
        super().__init__(code or str(status))
        self.status = status
        self.retry_s = retry_s
        self.code = code


class MasterCore:
    """One life of the master: the domain, filled from the disk."""

    def __init__(
        self, disk: Disk, clock: SimulatedClock, notify: Callable[[str], None], random: Random
    ) -> None:
        self.disk = disk
        self.clock = clock
        wall_s = clock.wall_s()
        self.cluster = Cluster(wall_s, notify, clock.now_s())
        self.composer = OrderComposer(("http://origin:8888",), HEARTBEAT_S)
        counter = SimpleNamespace(inc=lambda: None)
        self.services: Any = SimpleNamespace(
            cluster=self.cluster,
            clock=clock,
            tokens=TOKENS,
            visits=[],
            metrics=SimpleNamespace(
                error=lambda _kind: None, tokens={"student": counter, "teacher": counter}
            ),
            token_id=lambda: f"{random.getrandbits(96):024x}",
        )
        self._call: Any = SimpleNamespace(
            services=self.services, address=ADDRESS, base_url=lambda: "http://master"
        )
        self.reload()
        self.cluster.epochs.load(disk.epochs.values())
        for stream, (numbers, at_s) in disk.numbers.items():
            self.cluster.epochs.load_numbers(stream, numbers, wall_s - at_s)
        until_s = wall_s + VIEWER_TOKEN_S
        self.cluster.recall(
            (
                (Student(s, stream, s, joined_s, until_s, earlier=True), disk.seats.get(s, ""))
                for s, (stream, joined_s) in disk.students.items()
            ),
            disk.nodes,
        )

    # -- relays ---------------------------------------------------------------------------

    def register(self, record: Registration, *, reached: bool) -> Orders:
        """`airclass.web.api.cluster.register`."""
        before = self.cluster.nodes.all.get(record.node_id)
        try:
            node = self.cluster.nodes.register(record, ADDRESS, self.clock.now_s())
        except RequestError as error:
            raise Refused(error.status, 0.0, error.reason) from None
        if before is not None and before.started_at_s != node.started_at_s:
            self.cluster.epochs.lost(before.streams.values())
        for offset in record.epochs:
            if offset.stream in self.cluster.view.classrooms:
                self.cluster.epochs.learn(offset)
        self.probed(node.id, reached=reached)
        return self.orders(node.id)

    def heartbeat(self, beat: Heartbeat) -> Orders:
        """`airclass.web.api.cluster.heartbeat`."""
        try:
            node = self.cluster.nodes.beat(beat, self.clock.now_s())
        except RequestError as error:
            raise Refused(error.status, 0.0, error.reason) from None
        if node is not None:
            self.cluster.heard(node)
            fallen = node.health.status in (NodeStatus.UNHEALTHY, NodeStatus.OFFLINE)
            if fallen and not self.cluster.is_judged_late(self.clock.now_s()):
                self.tick()
        return self.orders(beat.node_id if node is not None else "", beat.orders_version)

    def has_news(self, poll: OrdersPoll) -> bool:
        """Tell whether a held `airclass.web.api.cluster.watch` is answered."""
        return self.cluster.version != poll.orders_version or poll.node_id not in self.cluster.nodes.all

    def orders(self, node_id: str, has_version: int = -1) -> Orders:
        """Return what a relay is to do."""
        node = self.cluster.nodes.all.get(node_id)
        return self.composer.orders(self.cluster, node, SEALED, has_version=has_version)

    def ask_epoch(self, node_id: str, request: EpochRequest) -> EpochOffset | float:
        """`airclass.web.api.cluster.epoch`: the offset, or when to look again."""
        cluster, now_s = self.cluster, self.clock.now_s()
        if request.stream not in cluster.view.classrooms:
            raise Refused(404, 0.0)
        reports = cluster.nodes.reports(request.stream)
        answer = cluster.epochs.ask(node_id, request, reports, now_s)
        if answer is None:
            return cluster.epochs.due_s(request.stream, request.key) or now_s
        return self._saved(answer)

    def epoch(self, request: EpochRequest) -> EpochOffset | None:
        """Return the offset of an epoch whose collection is over."""
        now_s = self.clock.now_s() + 0.001
        answer = self.cluster.epochs.answer(request.stream, request.key, now_s)
        return None if answer is None else self._saved(answer)

    def _saved(self, offset: EpochOffset) -> EpochOffset:
        """`airclass.io.epoch_writer`."""
        kept = self.disk.add_epoch(offset)
        if kept == offset:
            self.cluster.epochs.saved_epoch(offset)
        else:
            self.cluster.epochs.replace(kept)
        return kept

    def probed(self, node_id: str, *, reached: bool) -> None:
        """`airclass.io.probe`."""
        node = self.cluster.nodes.all.get(node_id)
        if node is not None:
            node.health.probed(self.clock.now_s(), "" if reached else "cannot be reached", interval_s=10.0)

    def due_probes(self) -> list[str]:
        """Return the nodes to probe now."""
        now_s, due = self.clock.now_s(), []
        for node in self.cluster.nodes.all.values():
            if node.health.next_probe_s <= now_s:
                node.health.next_probe_s = now_s + 10.0
                due.append(node.id)
        return due

    # -- students -------------------------------------------------------------------------

    def renew(self, stream: str, subject: str, old_token: str) -> tuple[str, list[str]]:
        """`airclass.web.api.join.renew`: a student who plays wants a fresh token."""
        if self.cluster.is_unaccounted(subject, self.clock.now_s()):
            raise Refused(503, 2.0)
        return self.join(stream, subject, old_token)

    def join(self, stream: str, subject: str, old_token: str) -> tuple[str, list[str]]:
        """Enter a class, or renew with the token of before: the token and the nodes, the best first."""
        classroom = self.cluster.view.classrooms.get(stream)
        if classroom is None or classroom.status is RETIRED:
            raise Refused(409, 0.0, "class-ended")
        if classroom.status is CLOSED:
            raise Refused(409, 2.0, "class-closed")
        token_id = ""
        try:
            if old_token:
                claims, _ = read_viewer(self.services, old_token, stream)
                token_id = claims.token_id
            answer = join.admit(self._call, classroom, subject, subject, token_id=token_id)
        except ApiProblem as problem:
            raise Refused(problem.status, problem.retry_after_s or 2.0, problem.slug) from None
        return answer.token, answer.priority if answer.live else []

    def steering(self, token: str, stream: str) -> list[str]:
        """`airclass.web.api.playback.manifest`."""
        try:
            claims, _ = read_viewer(self.services, token, stream)
        except ApiProblem as problem:
            raise Refused(problem.status, 2.0, problem.slug) from None
        if place(self.services, claims, None) != "seated":
            raise Refused(503, 2.0)
        found = self.pathways(claims.subject, stream)
        if not found:
            raise Refused(503, 2.0)
        return found

    def pathways(self, subject: str, stream: str) -> list[str]:
        """Return the nodes for a student, the best first."""
        return self.cluster.pathways(subject, stream)

    # -- staff ----------------------------------------------------------------------------

    def reload(self) -> None:
        """`airclass.web.services.Services.reload`."""
        view = self.disk.snapshot()
        if view.revision != self.cluster.view.revision:
            self.cluster.see(view, self.clock.now_s())

    # -- time -----------------------------------------------------------------------------

    def stalled(self, late_s: float) -> None:
        """The judgement is late: `airclass.master._judge`."""
        self.cluster.nodes.excuse_stall(late_s, self.clock.now_s())

    def tick(self) -> None:
        """Judge the nodes."""
        self.cluster.tick(self.clock.now_s(), self.clock.wall_s())

    def flush(self) -> None:
        """`airclass.master._flush` and `airclass.io.epoch_writer`: write what need not be written at once."""
        disk, seat_book, epochs = self.disk, self.cluster.nodes.seat_book, self.cluster.epochs
        for visit in self.services.visits:
            disk.students[visit.subject] = visit.classroom_id, visit.joined_at_s
            disk.seats[visit.subject] = visit.node_id
        self.services.visits.clear()
        disk.seats.update(seat_book.changed)
        seat_book.changed = {}
        disk.nodes = frozenset(self.cluster.known_nodes(self.clock.now_s()))
        for offset in list(epochs.unsaved.values()):
            self._saved(offset)
        for stream, numbers in epochs.unsaved_numbers().items():
            disk.numbers[stream] = numbers, self.clock.wall_s()
            epochs.saved_numbers(stream, numbers)

    # -- what the checker sees --------------------------------------------------------------

    def judged(self) -> dict[str, list[object]]:
        """Return each node's status, occupied seats and capacity."""
        return {
            n.id: [str(n.health.status), n.seats.occupied, n.seats.capacity]
            for n in self.cluster.nodes.all.values()
        }

    def others(self, node_id: str) -> str:
        """Return what the other nodes offer: room for a student, or no more than an address, or nothing."""
        others = [n for n in self.cluster.nodes.seat_book.nodes.values() if n.id != node_id]
        if any(n.has_room for n in others):
            return "room"
        return "full" if any(n.takes_students for n in others) else ""

    def counted(self) -> tuple[dict[str, list[str]], dict[str, str]]:
        """Return the members of each class, and everyone's seat."""
        members = {
            stream: list(self.cluster.ledger(stream).members) for stream in self.cluster.view.classrooms
        }
        return members, self.cluster.nodes.seat_book.seat_of

    def believes(self) -> dict[str, str]:
        """Return what the master believes of everything that staff wrote."""
        view = self.cluster.view
        values = {f"class:{c.id}": f"{c.status} {c.generation}" for c in view.classrooms.values()}
        values.update((f"kick:{subject}", "yes") for kind, subject in view.revoked if kind == "subject")
        values.update((f"drain:{node}", "yes") for node in view.drained)
        return values


class _Signatures:
    """Stands in for the arithmetic of signatures in `relay.base.tokens`: it would take half the time."""

    PyJWTError = jwt.PyJWTError
    InvalidSignatureError = jwt.InvalidSignatureError

    def __init__(self) -> None:
        self._signed: dict[str, tuple[Any, dict[str, Any]]] = {}

    def clear(self) -> None:
        """Forget the tokens of the run before."""
        self._signed.clear()

    def encode(self, claims: dict[str, Any], key: Any, _algorithm: str) -> str:
        text = f"token-{len(self._signed)}"
        self._signed[text] = key, claims
        return text

    def decode(self, token: str, key: Any, _algorithms: list[str], **_options: Any) -> dict[str, Any]:
        signed_with, claims = self._signed[token]
        if signed_with != key:
            raise self.InvalidSignatureError
        return claims


signatures = _Signatures()


@contextmanager
def stand_ins() -> Iterator[None]:
    """Replace the arithmetic of signatures and the relay's clock, for the length of a run."""
    real_jwt, real_trio = tokens_module.jwt, agent_module.trio
    levels = [logger.level for logger in LOGGERS]
    for logger in LOGGERS:
        logger.setLevel(logging.CRITICAL + 1)
    signatures.clear()
    tokens_module.jwt = signatures  # type: ignore[assignment]
    agent_module.trio = SimpleNamespace(current_time=lambda: 0.0)  # type: ignore[assignment]
    try:
        yield
    finally:
        tokens_module.jwt, agent_module.trio = real_jwt, real_trio
        for logger, level in zip(LOGGERS, levels, strict=True):
            logger.setLevel(level)


class _Pulled:
    """The streams that orders name; the actor polls them."""

    def __init__(self, delivery: Delivery) -> None:
        self.names: set[str] = set()
        self._delivery = delivery

    def follow(self, name: str, *_origins: object, **_more: object) -> None:
        self.names.add(name)

    def pause(self, name: str) -> None:
        self.names.discard(name)

    def forget(self, name: str) -> None:
        self.names.discard(name)
        self._delivery.close_stream(name)


class Pull:
    """How far one relay has come with one stream."""

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.tracker = EpochTracker(timeline)
        self.session = ""
        self.last = -1
        self.asking = False
        self.media_s = float("-inf")
        self.answered_s = float("-inf")
        self.state = "waiting"

    def epoch(self, playlist: pl.MediaPlaylist, wall_s: float) -> Epoch | EpochNumbering:
        """Return the playlist's epoch, or the way to its numbers: `relay.io.origin.puller`."""
        key = self.tracker.key(playlist)
        epoch = begun_epoch(self.timeline, key)
        if epoch is not None:
            return epoch
        found = usable_epoch(self.timeline, key, first_msn(playlist, wall_s=wall_s), playlist)
        if isinstance(found, EpochRequest):
            return EpochNumbering(self.timeline, found)
        self.timeline.begin(found)
        return found


class RelayCore:
    """One life of a relay."""

    def __init__(self, node_id: str, host: str, capacity: int, clock: SimulatedClock) -> None:
        self.node_id = node_id
        self.clock = clock
        self.registry = ViewerRegistry()
        self.admission = Admission(self.registry, max_viewers=capacity)
        self.delivery = Delivery(self.admission, None, bytes, budget=None)  # type: ignore[arg-type]
        self.pulled = _Pulled(self.delivery)
        self.pulls: dict[str, Pull] = {}
        self.turned_away: list[str] = []
        secret = SimpleNamespace(get_secret_value=lambda: SECRET.decode())
        settings = SimpleNamespace(
            cluster_secret=secret, node_name=node_id, node_public_url=f"http://{host}:8080", zone=(),
            max_connections=capacity, max_egress_mbps=0, master_url="http://master",
        )  # fmt: skip
        reactor = SimpleNamespace(turn_away=self._turn_away, publish=lambda *_: None, release=lambda *_: None)
        self.agent = ClusterAgent(
            settings, self.delivery, self.pulled, reactor, None, None,  # type: ignore[arg-type]
            identity=NodeIdentity(node_id, key=SECRET), relay_url="", admin_url="", wall=clock.wall_s,
        )  # fmt: skip
        self._incarnation = f"{host} {clock.now_s():.3f}"

    def _turn_away(self, viewers: list[Any]) -> None:
        self.turned_away += [viewer.subject for viewer in viewers]

    def registration(self) -> Registration:
        """Return how this relay introduces itself."""
        return msgspec.structs.replace(self.agent.registration(), incarnation=self._incarnation)

    def poll(self, version: int) -> OrdersPoll:
        """Return what a watch asks."""
        return OrdersPoll(self.node_id, version, self._incarnation)

    def heartbeat(self, *, full: bool) -> Heartbeat:
        """Return this relay's state; what it reports of its streams is the actor's."""
        now_s = self.clock.now_s()
        agent_module.trio.current_time = self.clock.now_s
        steps = self.agent.heartbeat(full=full)
        try:
            steps.send(None)
        except StopIteration as stop:
            beat: Heartbeat = stop.value
        else:
            raise AssertionError("a heartbeat of so few viewers waits for nothing")
        streams = tuple(self._report(name, now_s) for name in self.delivery.streams)
        return msgspec.structs.replace(beat, streams=streams, incarnation=self._incarnation)

    def _report(self, name: str, now_s: float) -> StreamReport:
        pull = self.pull(name)
        timeline, origin = pull.timeline, self.delivery.streams[name].origin
        return StreamReport(
            stream=name,
            state=pull.state,
            viewers=self.registry.count(name),
            lag_s=now_s - pull.media_s if pull.media_s > 0 else -1.0,
            problem=self.delivery.streams[name].problem,
            origin=origin.state(now_s).value,
            origin_age_s=origin.age_s(now_s),
            origin_quiet_s=origin.quiet_s(now_s),
            fault=origin.kind,
            next_msn=timeline.next_msn,
            next_discontinuity_seq=timeline.next_discontinuity_seq,
        )

    def pull(self, name: str) -> Pull:
        """Return how far this relay has come with a stream."""
        stream = self.delivery.streams[name]
        pull = self.pulls.get(name)
        if pull is None or pull.timeline is not stream.timeline:
            pull = self.pulls[name] = Pull(stream.timeline)
        return pull

    def obey(self, orders: Orders) -> None:
        """Carry out orders."""
        agent_module.trio.current_time = self.clock.now_s
        self.agent.obey(orders)

    def origin_says(self, stream: Any, pull: Pull, fault: str, live: bool) -> None:
        """Note whether the origin answers: `relay.io.origin.puller`."""
        stream.problem = f"the origin fails ({fault})" if fault else ""
        if fault:
            stream.origin.failed(self.clock.now_s(), fault)
        else:
            stream.origin.served(self.clock.now_s())

    # -- viewers --------------------------------------------------------------------------

    def request(self, token: str, stream: str, *, media: bool) -> int:
        """Answer a student's request with an HTTP status; `media`: it is fetched, too."""
        now_s = self.clock.now_s()
        viewer = self.registry.get(token.encode())
        if viewer is None:
            try:
                viewer = self.admission.admit(
                    token.encode(), stream, ADDRESS, now_s=now_s, wall_s=self.clock.wall_s()
                )
            except (TokenError, RequestError) as error:
                return error.status
        viewer.last_s = now_s
        if self.admission.draining or stream not in self.delivery.streams:
            return 410
        if self.pull(stream).timeline.current is None:
            return 404
        if media:
            self.registry.delivered(viewer, MEDIA_BYTES)
        return 200

    def sweep(self) -> None:
        """Take silent viewers out."""
        self.delivery.sweep(self.clock.now_s())


def playlist(session: str, first: int, last: int) -> pl.MediaPlaylist:
    """Return what an origin lists."""
    names = {n: f"{session}_seg{n}.mp4" for n in range(first, last + 1)}
    segments = tuple(pl.Segment(n, uri, SEGMENT_S) for n, uri in names.items())
    return pl.MediaPlaylist(target_duration_s=2, segments=segments, media_sequence=first)
