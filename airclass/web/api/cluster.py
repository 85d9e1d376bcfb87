"""Relays call in (signed), operators look and drain."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, TypeVar

import msgspec
import trio

from airclass.domain.epochs import MAX_KEY_CHARS
from airclass.domain.health import Status
from airclass.domain.rate_limits import Limit
from airclass.io.backup_record import read_note
from airclass.web.api import presenters
from airclass.web.api.schemas import BackupOut, EventOut, EventsOut, NodesOut, SettingsOut
from airclass.web.http import route
from airclass.web.http.problems import Problem
from airclass.web.http.route import Cors, Open, Reply
from relay.base import settings as base
from relay.base.cluster_protocol import WATCH_S, EpochAsk, EpochBase, Heartbeat, Orders, Register, Watch
from relay.base.errors import ClusterError

if TYPE_CHECKING:
    from airclass.domain.nodes import Node
    from airclass.web.http.context import Call
    from airclass.web.services import Services

log = logging.getLogger(__name__)

PROBE_AT_REGISTER_S = 2.0
EVENTS_SHOWN = 200
MAX_ABS_NUMBER = 2**53
REFUSALS = Limit(rate_per_s=1 / 60, burst=1)  # lines in the log, for each address and reason
R = TypeVar("R")
_NUMBER = re.compile(r"\d+")
_NOTES = trio.CapacityLimiter(2)


async def register(call: Call) -> Reply:
    """Take a relay in, try its address, and give it its orders."""
    node_id, record = _signed(call, Register)
    _same(node_id, record.node_id)
    services = call.services
    node = services.cluster.nodes.register(record, call.address, services.clock.now_s())
    log.info("node.registered node=%s url=%s version=%s", node.id, node.public_url, node.version)
    for epoch in record.epochs[-100:]:
        if epoch.stream in services.cluster.view.classrooms and services.cluster.epochs.learn(epoch):
            await services.store.add_epoch(epoch, services.clock.wall_s())
    with trio.move_on_after(PROBE_AT_REGISTER_S):
        await services.prober.probe(node)
    services.hub.notify("nodes")
    return _orders(services, node)


async def heartbeat(call: Call) -> Reply:
    """Take in a relay's state and answer with its orders."""
    node_id, beat = _signed(call, Heartbeat)
    _same(node_id, beat.node_id)
    services = call.services
    node = services.cluster.nodes.beat(beat, services.clock.now_s())
    if node is not None:
        services.cluster.heard(node)
        if node.health.status in (Status.UNHEALTHY, Status.OFFLINE):
            services.judge()
        services.hub.notify("nodes")
    return _orders(services, node)


async def watch(call: Call) -> Reply:
    """Answer with new orders as soon as there are some, at the latest after WATCH_S."""
    node_id, record = _signed(call, Watch)
    _same(node_id, record.node_id)
    services = call.services
    with services.hub.listen("orders", "stop") as waker, trio.move_on_after(WATCH_S):
        while (
            services.cluster.version == record.orders_version
            and node_id in services.cluster.nodes.all
            and not services.stopping.is_set()
        ):
            await waker.wait()
    return _orders(services, services.cluster.nodes.all.get(node_id))


async def epoch(call: Call) -> Reply:
    """Give the numbers of a new origin session, the same to every relay."""
    node_id, ask = _signed(call, EpochAsk)
    services = call.services
    cluster, clock = services.cluster, services.clock
    if ask.stream not in cluster.view.classrooms:
        raise Problem(404, "There is no such stream.")
    if not 0 < len(ask.key) <= MAX_KEY_CHARS or not _sane(ask):
        raise Problem(400, "The epoch's key or numbers are out of range.")
    carriers = cluster.nodes.carriers(ask.stream)
    answer = cluster.epochs.ask(node_id, ask, carriers, clock.now_s())
    topic = f"epoch:{ask.stream}:{ask.key}"
    if answer is None:
        with services.hub.listen(topic) as waker:
            due_s = cluster.epochs.due_s(ask.stream, ask.key) or clock.now_s()
            with trio.move_on_after(max(0.0, due_s - clock.now_s())):
                await waker.wait()
        answer = cluster.epochs.answer(ask.stream, ask.key, clock.now_s() + 0.001)
    if answer is None:
        raise Problem(503, "Ask again.", retry_after_s=1)
    services.hub.notify(topic)
    kept = await services.store.add_epoch(answer, clock.wall_s())
    if kept != answer:
        cluster.epochs.replace(kept)  # another master was first
    log.info("epoch.begun stream=%s node=%s offset=%d", kept.stream, node_id, kept.offset)
    return _packed(kept)


async def list_nodes(call: Call) -> NodesOut:
    """Return all relays and the summary."""
    return presenters.nodes_out(call.services)


async def drain(call: Call) -> Reply:
    """Send a relay's students to the others and give it no new ones."""
    return await _set_drained(call, drained=True)


async def undrain(call: Call) -> Reply:
    """Let a relay take students again."""
    return await _set_drained(call, drained=False)


async def remove(call: Call) -> Reply:
    """Forget a relay that is gone; one at work must be drained and stopped first."""
    node = _node(call)
    if node.health.status is Status.ACTIVE:
        raise Problem(409, f"{node.id} is at work: drain it, stop it, then remove it.", "node-at-work")
    services = call.services
    await services.store.set_drained(
        node.id, drained=False, event=services.event(call.who, "node.remove", node.id)
    )
    services.cluster.nodes.remove(node.id)
    await services.reload()
    services.hub.notify("nodes")
    return Reply(None, 204)


async def events(call: Call) -> EventsOut:
    """Return the newest lines of the audit log."""
    lines = await call.services.store.events(EVENTS_SHOWN)
    return EventsOut([EventOut(presenters.iso(e.at_s), e.actor, e.action, e.target, e.detail) for e in lines])


async def settings(call: Call) -> SettingsOut:
    """Return the master's settings, secrets hidden."""
    return SettingsOut(base.redacted(call.services.settings))


async def backup(call: Call) -> BackupOut:
    """Tell when the last backup was made."""
    note = await trio.to_thread.run_sync(read_note, call.services.settings.data_dir, limiter=_NOTES)
    return BackupOut(presenters.iso(note.at_s) if note.at_s else "", note.size_bytes)


async def _set_drained(call: Call, *, drained: bool) -> Reply:
    node, services = _node(call), call.services
    action = "node.drain" if drained else "node.undrain"
    await services.store.set_drained(node.id, drained, services.event(call.who, action, node.id))
    await services.reload()
    services.judge()
    return Reply(None, 204)


def _node(call: Call) -> Node:
    node = call.services.cluster.nodes.all.get(call.params["node_id"])
    if node is None:
        raise Problem(404, "There is no such node.")
    return node


def _signed(call: Call, record: type[R]) -> tuple[str, R]:
    services = call.services
    try:
        node_id = services.verifier.verify(
            dict(call.request.headers), "POST", call.request.path, call.raw, wall_s=services.clock.wall_s()
        )
    except ClusterError as exc:
        services.metrics.error("bad-signature")
        kind = _NUMBER.sub("", exc.reason)  # a wrong clock is one thing, however wrong it is each second
        if not services.buckets.take(("refused", call.address, kind), REFUSALS, services.clock.now_s()):
            log.warning("cluster.refused address=%s reason=%s", call.address, exc.reason)
        raise Problem(401, exc.reason, "bad-signature") from None
    try:
        return node_id, msgspec.json.decode(call.raw, type=record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Problem(400, f"The record cannot be read: {exc}") from None


def _same(signer: str, named: str) -> None:
    if signer != named:
        raise Problem(403, "A node may only speak for itself.")


def _sane(ask: EpochAsk) -> bool:
    numbers = (ask.first_msn, ask.next_msn, ask.next_discontinuity_seq, ask.target_duration_s)
    return all(0 <= n < MAX_ABS_NUMBER for n in numbers) and 0 <= ask.part_target_s < 1000


def _orders(services: Services, node: Node | None) -> Reply:
    return _packed(services.desk.orders(services.cluster, node))


def _packed(record: Orders | EpochBase) -> Reply:
    return Reply(msgspec.json.encode(record), headers={"Content-Type": "application/json"})


_machine = route.family(
    access=Open.CLUSTER,
    limit=route.MACHINES,
    max_bytes=route.CLUSTER_BYTES,
    cors=Cors.NONE,
    problems=(400, 401, 403, 404, 409, 503),
)
_office = route.family(access=route.ADMIN, limit=route.OFFICE, max_bytes=0, cors=Cors.NONE)
_look = route.family(access=route.WATCHERS, limit=route.OFFICE, max_bytes=0, cors=Cors.NONE)

ROUTES = (
    _machine(
        "POST", "/cluster/register", register, "A relay introduces itself.", body=Register, answer=Orders
    ),
    _machine("POST", "/cluster/heartbeat", heartbeat, "A relay's state.", body=Heartbeat, answer=Orders),
    _machine("POST", "/cluster/watch", watch, "A relay waits for new orders.", body=Watch, answer=Orders),
    _machine(
        "POST",
        "/cluster/epoch",
        epoch,
        "The numbers of a new origin session.",
        body=EpochAsk,
        answer=EpochBase,
    ),
    _look("GET", "/cluster/nodes", list_nodes, "All relays.", answer=NodesOut),
    _office("POST", "/cluster/drain/<node_id>", drain, "Empty a relay.", status=204, problems=(404,)),
    _office("POST", "/cluster/undrain/<node_id>", undrain, "Use it again.", status=204, problems=(404,)),
    _office("DELETE", "/cluster/nodes/<node_id>", remove, "Forget a relay.", status=204, problems=(404, 409)),
    _look("GET", "/api/events", events, "The audit log.", answer=EventsOut),
    _look("GET", "/api/backup", backup, "The last backup.", answer=BackupOut),
    _office("GET", "/api/settings", settings, "Settings, secrets hidden.", answer=SettingsOut),
)
