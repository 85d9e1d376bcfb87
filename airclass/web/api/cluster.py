"""Relays call in (signed), operators look and drain."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, TypeVar

import msgspec
import trio

from airclass.domain.epochs import MAX_KEY_CHARS, MAX_NUMBER
from airclass.domain.health import NodeStatus
from airclass.domain.rate_limits import RateLimit
from airclass.io.backup_record import read_record
from airclass.web.api import presenters
from airclass.web.api.schemas import AlertTestOut, BackupOut, EventOut, EventsOut, NodesOut, SettingsOut
from airclass.web.http import route
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import AccessRule, ApiResponse, CorsRule
from relay.base import settings as base
from relay.base.cluster_protocol import (
    WATCH_S,
    EpochOffset,
    EpochRequest,
    Heartbeat,
    Orders,
    OrdersPoll,
    Registration,
)
from relay.base.errors import ClusterError

if TYPE_CHECKING:
    from airclass.domain.nodes import Node
    from airclass.web.http.context import RequestContext
    from airclass.web.services import Services

log = logging.getLogger(__name__)

PROBE_AT_REGISTER_S = 2.0
EVENTS_SHOWN = 200
ALERT_TESTS = RateLimit(rate_per_s=0.1, burst=3)
MAX_TARGET_S = 1000
MAX_EPOCHS_TAKEN = 100  # of one registration
REFUSALS = RateLimit(rate_per_s=1 / 60, burst=1)  # lines in the log, for each address and reason
R = TypeVar("R")
_NUMBER = re.compile(r"\d+")
_NOTES = trio.CapacityLimiter(2)


async def register(call: RequestContext) -> ApiResponse:
    """Take a relay in, try its address, and give it its orders."""
    node_id, record = _signed(call, Registration)
    _same(node_id, record.node_id)
    services = call.services
    before = services.cluster.nodes.all.get(record.node_id)
    node = services.cluster.nodes.register(record, call.address, services.clock.now_s())
    if before is not None and before.started_at_s != node.started_at_s:
        services.cluster.epochs.lost(before.streams.values())
    log.info("node.registered node=%s url=%s version=%s", node.id, node.public_url, node.version)
    for offset in record.epochs[-MAX_EPOCHS_TAKEN:]:
        if offset.stream in services.cluster.view.classrooms and _is_sane(offset):
            services.cluster.epochs.learn(offset)
    with trio.move_on_after(PROBE_AT_REGISTER_S):
        await services.prober.probe(node)
    services.notifier.notify("nodes")
    return _orders(services, node)


async def heartbeat(call: RequestContext) -> ApiResponse:
    """Take in a relay's state and answer with its orders."""
    node_id, beat = _signed(call, Heartbeat)
    _same(node_id, beat.node_id)
    services = call.services
    node = services.cluster.nodes.beat(beat, services.clock.now_s())
    if node is not None:
        services.cluster.heard(node)
        if node.health.status in (NodeStatus.UNHEALTHY, NodeStatus.OFFLINE):
            services.judge()
        services.notifier.notify("nodes")
    return _orders(services, node)


async def watch(call: RequestContext) -> ApiResponse:
    """Answer with new orders as soon as there are some, at the latest after WATCH_S."""
    node_id, record = _signed(call, OrdersPoll)
    _same(node_id, record.node_id)
    services = call.services
    with services.notifier.listen("orders", "stop") as waker, trio.move_on_after(WATCH_S):
        while (
            services.cluster.version == record.orders_version
            and node_id in services.cluster.nodes.all
            and not services.stopping.is_set()
        ):
            await waker.wait()
    return _orders(services, services.cluster.nodes.all.get(node_id))


async def epoch(call: RequestContext) -> ApiResponse:
    """Give the numbers of a new epoch, the same to every relay."""
    node_id, request = _signed(call, EpochRequest)
    services = call.services
    cluster, clock = services.cluster, services.clock
    if request.stream not in cluster.view.classrooms:
        raise ApiProblem(404, "There is no such stream.")
    if not _is_sane(request):
        raise ApiProblem(400, "The epoch's key or numbers are out of range.")
    reports = cluster.nodes.reports(request.stream)
    answer = cluster.epochs.ask(node_id, request, reports, clock.now_s())
    topic = f"epoch:{request.stream}:{request.key}"
    if answer is None:
        with services.notifier.listen(topic) as waker:
            due_s = cluster.epochs.due_s(request.stream, request.key) or clock.now_s()
            with trio.move_on_after(max(0.0, due_s - clock.now_s())):
                await waker.wait()
        answer = cluster.epochs.answer(request.stream, request.key, clock.now_s() + 0.001)
    if answer is None:
        raise ApiProblem(503, "Ask again.", retry_after_s=1)
    services.notifier.notify(topic)
    answer = await services.epoch_writer.saved(answer)
    log.info(
        "epoch.numbered stream=%s node=%s offset=%d discontinuity=%d order=%d%s",
        *(answer.stream, node_id, answer.offset, answer.discontinuity_seq, answer.order),
        f" refused={request.refused}" if request.refused else "",
    )
    return _packed(answer)


async def list_nodes(call: RequestContext) -> NodesOut:
    """Return all relays and the summary."""
    return presenters.nodes_out(call.services)


async def drain(call: RequestContext) -> ApiResponse:
    """Send a relay's students to the others and give it no new ones.

    The last one that takes students is refused unless `force` is `true`; it then takes no new students and
    keeps those it has.
    """
    node, cluster = _node(call), call.services.cluster
    is_drained = node.id in cluster.view.drained
    if not is_drained and call.arg("force") != "true" and cluster.nodes.is_last_taker(node.id):
        raise ApiProblem(
            409,
            f"No node but {node.id} takes students: nobody could join a class. Start another node first, "
            "or force it.",
            "last-node",
        )
    return await _set_drained(call, drained=True)


async def undrain(call: RequestContext) -> ApiResponse:
    """Let a relay take students again."""
    return await _set_drained(call, drained=False)


async def remove(call: RequestContext) -> ApiResponse:
    """Forget a relay that is gone; one at work must be drained and stopped first."""
    node = _node(call)
    if node.health.status is NodeStatus.ACTIVE:
        raise ApiProblem(409, f"{node.id} is at work: drain it, stop it, then remove it.", "node-at-work")
    services = call.services
    await services.store.set_drained(
        node.id, drained=False, event=services.event(call.who, "node.remove", node.id)
    )
    services.cluster.nodes.remove(node.id)
    await services.reload()
    services.notifier.notify("nodes")
    return ApiResponse(None, 204)


async def events(call: RequestContext) -> EventsOut:
    """Return the newest lines of the audit log; the store bounds `limit`."""
    limit = call.arg("limit", 8)
    lines = await call.services.store.events(int(limit) if _NUMBER.fullmatch(limit) else EVENTS_SHOWN)
    return EventsOut([EventOut(presenters.iso(e.at_s), e.actor, e.action, e.target, e.detail) for e in lines])


async def settings(call: RequestContext) -> SettingsOut:
    """Return the master's settings, secrets hidden."""
    return SettingsOut(base.redacted(call.services.settings))


async def test_alert(call: RequestContext) -> AlertTestOut:
    """Send one message to ALERT_WEBHOOK, and say what happened."""
    services = call.services
    if services.test_alert is None:
        raise ApiProblem(409, "ALERT_WEBHOOK is not set: set it and restart the master.", "no-webhook")
    await services.store.log(services.event(call.who, "alert.test", "ALERT_WEBHOOK"))
    problem = await services.test_alert()
    return AlertTestOut(not problem, problem)


async def backup(call: RequestContext) -> BackupOut:
    """Tell when the last backup was made."""
    note = await trio.to_thread.run_sync(read_record, call.services.settings.data_dir, limiter=_NOTES)
    return BackupOut(presenters.iso(note.at_s) if note.at_s else "", note.size_bytes)


async def _set_drained(call: RequestContext, *, drained: bool) -> ApiResponse:
    node, services = _node(call), call.services
    action = "node.drain" if drained else "node.undrain"
    await services.store.set_drained(node.id, drained, services.event(call.who, action, node.id))
    await services.reload()
    services.judge()
    return ApiResponse(None, 204)


def _node(call: RequestContext) -> Node:
    node = call.services.cluster.nodes.all.get(call.params["node_id"])
    if node is None:
        raise ApiProblem(404, "There is no such node.")
    return node


def _signed(call: RequestContext, record: type[R]) -> tuple[str, R]:
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
        raise ApiProblem(401, exc.reason, "bad-signature") from None
    services.bodies.trust(call.address)
    try:
        return node_id, msgspec.json.decode(call.raw, type=record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ApiProblem(400, f"The record cannot be read: {exc}") from None


def _same(signer: str, named: str) -> None:
    if signer != named:
        raise ApiProblem(403, "A node may only speak for itself.")


def _is_sane(record: EpochRequest | EpochOffset) -> bool:
    """Tell whether an epoch's key and numbers can be kept, and counted by players."""
    numbers = [record.target_duration_s]
    if isinstance(record, EpochRequest):
        numbers += [record.first_msn, record.next_msn, record.next_discontinuity_seq]
    else:
        numbers += [abs(record.offset), record.discontinuity_seq, record.order]
    return (
        0 < len(record.key) <= MAX_KEY_CHARS
        and all(0 <= n < MAX_NUMBER for n in numbers)
        and record.target_duration_s < MAX_TARGET_S
        and 0 <= record.part_target_s < MAX_TARGET_S
    )


def _orders(services: Services, node: Node | None) -> ApiResponse:
    return _packed(services.orders_composer.orders(services.cluster, node))


def _packed(record: Orders | EpochOffset) -> ApiResponse:
    return ApiResponse(msgspec.json.encode(record), headers={"Content-Type": "application/json"})


_machine = route.family(
    access=AccessRule.CLUSTER,
    limit=route.MACHINES,
    max_bytes=route.CLUSTER_BYTES,
    cors=CorsRule.NONE,
    problems=(400, 401, 403, 404, 409, 503),
)
_office = route.family(access=route.ADMIN, limit=route.OFFICE, max_bytes=0, cors=CorsRule.NONE)
_look = route.family(access=route.WATCHERS, limit=route.OFFICE, max_bytes=0, cors=CorsRule.NONE)

ROUTES = (
    _machine(
        "POST", "/cluster/register", register, "A relay introduces itself.", body=Registration, answer=Orders
    ),
    _machine("POST", "/cluster/heartbeat", heartbeat, "A relay's state.", body=Heartbeat, answer=Orders),
    _machine(
        "POST",
        "/cluster/watch",
        watch,
        "A relay waits for new orders.",
        body=OrdersPoll,
        answer=Orders,
        max_bytes=route.SHORT_CALL_BYTES,
    ),
    _machine(
        "POST",
        "/cluster/epoch",
        epoch,
        "The numbers of a new epoch.",
        max_bytes=route.SHORT_CALL_BYTES,
        body=EpochRequest,
        answer=EpochOffset,
    ),
    _look("GET", "/cluster/nodes", list_nodes, "All relays.", answer=NodesOut),
    _office(
        "POST",
        "/cluster/drain/<node_id>",
        drain,
        "Empty a relay.",
        status=204,
        query=("force",),
        problems=(404, 409),
    ),
    _office("POST", "/cluster/undrain/<node_id>", undrain, "Use it again.", status=204, problems=(404,)),
    _office("DELETE", "/cluster/nodes/<node_id>", remove, "Forget a relay.", status=204, problems=(404, 409)),
    _look("GET", "/api/events", events, "The audit log.", answer=EventsOut, query=("limit",)),
    _office(
        "POST",
        "/api/test-alert",
        test_alert,
        "Send a test message to ALERT_WEBHOOK.",
        limit=ALERT_TESTS,
        answer=AlertTestOut,
        problems=(409,),
    ),
    _look("GET", "/api/backup", backup, "The last backup.", answer=BackupOut),
    _office("GET", "/api/settings", settings, "Settings, secrets hidden.", answer=SettingsOut),
)
