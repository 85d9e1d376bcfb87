"""Relays call in (signed), operators look and drain."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import trio

from airclass.domain import node_claims, node_keys
from airclass.domain.cluster import SETTLE_S
from airclass.domain.epochs import MAX_KEY_CHARS, MAX_NUMBER
from airclass.domain.health import SILENT_S, NodeStatus
from airclass.domain.node_keys import NodeRecord
from airclass.domain.rate_limits import RateLimit
from airclass.io.backup_record import read_record
from airclass.io.store import WriteConflict
from airclass.web.api import presenters
from airclass.web.api.schemas import AlertTestOut, BackupOut, EventOut, EventsOut, NodesOut, SettingsOut
from airclass.web.http import route
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import AccessRule, ApiResponse, CorsRule
from relay.base import settings as base
from relay.base.cluster_protocol import (
    WATCH_S,
    Enrolled,
    Enrolment,
    EpochOffset,
    EpochRequest,
    Heartbeat,
    Orders,
    OrdersPoll,
    Registration,
)
from relay.base.enrolment import JOIN_MARK, KEY_BYTES
from relay.base.errors import ClusterError, RequestError
from relay.base.signing import SignedCall, read_call, sign_answer, unseal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airclass.domain.nodes import Node
    from airclass.web.http.context import RequestContext
    from airclass.web.services import Services

log = logging.getLogger(__name__)

PROBE_AT_REGISTER_S = 2.0
EVENTS_SHOWN = 200
ALERT_TESTS = RateLimit(rate_per_s=0.1, burst=10)
MAX_TARGET_S = 1000
MAX_EPOCHS_TAKEN = 100  # of one registration
REFUSALS = RateLimit(rate_per_s=1 / 60, burst=1)  # lines in the log, for each address and reason
R = TypeVar("R")
_NUMBER = re.compile(r"\d+")
_NOTES = trio.CapacityLimiter(2)


@dataclass(frozen=True, slots=True)
class NodeCall(Generic[R]):
    """A call whose signature is right: `key` signed it and signs the answer."""

    node_id: str
    record: R
    signed: SignedCall
    key: bytes


async def enrol(call: RequestContext) -> ApiResponse:
    """Keep the key that a node has made for itself; signed with a join token or CLUSTER_SECRET."""
    services, view = call.services, call.services.cluster.view
    signed = _read_call(call)
    if signed.node.startswith(JOIN_MARK):
        old = view.by_join_id.get(signed.node.removeprefix(JOIN_MARK))
        keys = () if old is None else (_open(call, old.join_key),)
    else:
        old = view.node_keys.get(signed.node)
        keys = (_shared_secret(services),)
    entitles = _verify(call, signed, keys)
    asked = _record(call, Enrolment)
    try:
        key = unseal(entitles, asked.key)
    except ClusterError as exc:
        raise ApiProblem(400, exc.reason) from None
    if len(key) != KEY_BYTES:
        raise ApiProblem(400, f"A node's key has {KEY_BYTES} bytes.")
    same_key = old is not None and bool(old.key) and _open(call, old.key) == key
    if signed.node.startswith(JOIN_MARK):
        assert old is not None  # its key signed the call
        node_keys.check_enrolment_by_token(old, services.clock.wall_s(), same_key=same_key)
        node_id, how = old.node_id, "join token"
    else:
        node_id, how = asked.node_id, "CLUSTER_SECRET"
        _same(signed.node, node_id)
        node_keys.check_enrolment_by_secret(
            node_id, old, same_key=same_key, at_work=_at_work(services, node_id), settling=_settling(services)
        )
    if not same_key:
        await _keep_key(call, node_id, old, key, how)
    return _packed(NodeCall(signed.node, asked, signed, entitles), call, Enrolled(node_id))


async def _keep_key(call: RequestContext, node_id: str, old: NodeRecord | None, key: bytes, how: str) -> None:
    services, wall_s = call.services, call.services.clock.wall_s()
    at_work = frozenset(services.cluster.nodes.all)
    unused = node_keys.spare(services.cluster.view.node_keys, at_work, wall_s)
    if unused and node_id not in unused:
        await services.store.forget_node_keys(unused)
    kept = replace(
        old or NodeRecord(node_id),
        key=services.keyring.seal(key),
        created_at_s=wall_s,
        join_used=old is not None and bool(old.join_id),
    )
    event = services.event("node", "node.enrol", node_id, f"by {how} from {call.address}")
    try:
        await services.store.save_node_key(kept, event, instead_of=old)
    except WriteConflict as exc:
        raise ApiProblem(409, exc.reason) from None
    await services.reload()


async def register(call: RequestContext) -> ApiResponse:
    """Take a relay in, try its address, and give it its orders."""
    caller = _signed(call, Registration, registers=True)
    _same(caller.node_id, caller.record.node_id)
    services = call.services
    view = services.cluster.view
    await _drop_key_of_older_relay(call, caller)
    record = node_claims.bounded(
        caller.record, view.node_keys.get(caller.node_id), trust_zone=services.settings.trust_node_zone
    )
    before = services.cluster.nodes.all.get(record.node_id)
    try:
        node = services.cluster.nodes.register(record, call.address, services.clock.now_s())
    except RequestError as exc:
        _log_refusal(call, exc.reason)
        raise
    if before is not None and before.started_at_s != node.started_at_s:
        services.cluster.epochs.lost(before.streams.values())
    log.info("node.registered node=%s url=%s version=%s", node.id, node.public_url, node.version)
    if (record.zone, record.max_connections) != (caller.record.zone, caller.record.max_connections):
        log.info(
            "node.claim_cut node=%s zone=%s max_connections=%d hint=airclass node add --zone --max",
            *(node.id, ",".join(record.zone) or "-", record.max_connections),
        )
    for offset in record.epochs[-MAX_EPOCHS_TAKEN:]:
        if offset.stream in services.cluster.view.classrooms and _is_sane(offset):
            services.cluster.epochs.learn(offset)
    with trio.move_on_after(PROBE_AT_REGISTER_S):
        await services.prober.probe(node)
    services.notifier.notify("nodes")
    return _orders(caller, call, node)


async def _drop_key_of_older_relay(call: RequestContext, caller: NodeCall[Registration]) -> None:
    """Forget the key of a node whose relay is older than keys (`node_keys.signing_keys`)."""
    services = call.services
    if caller.key == _shared_secret(services) and caller.node_id in services.cluster.view.node_keys:
        log.warning("node.key_dropped node=%s reason=a relay of an older version registered", caller.node_id)
        await services.store.forget_node_keys([caller.node_id])
        await services.reload()


async def heartbeat(call: RequestContext) -> ApiResponse:
    """Take in a relay's state and answer with its orders, or what of them has changed."""
    caller = _signed(call, Heartbeat)
    beat = caller.record
    _same(caller.node_id, beat.node_id)
    services = call.services
    node = services.cluster.nodes.beat(beat, services.clock.now_s())  # 409 for a second process of the id
    if node is not None:
        services.cluster.heard(node)
        fallen = node.health.status in (NodeStatus.UNHEALTHY, NodeStatus.OFFLINE)
        if fallen and not services.cluster.is_judged_late(services.clock.now_s()):
            services.judge()
        services.notifier.notify("nodes")
    return _orders(caller, call, node, has_version=beat.orders_version)


async def watch(call: RequestContext) -> ApiResponse:
    """Answer with new orders as soon as there are some, at the latest after WATCH_S."""
    caller = _signed(call, OrdersPoll)
    node_id, record = caller.node_id, caller.record
    _same(node_id, record.node_id)
    services = call.services
    known = services.cluster.nodes.known(node_id, record.incarnation, services.clock.now_s())
    if known is None:
        return _orders(caller, call, None)
    with services.notifier.listen("orders", "stop") as waker, trio.move_on_after(WATCH_S):
        while (
            services.cluster.version == record.orders_version
            and node_id in services.cluster.nodes.all
            and not services.stopping.is_set()
        ):
            await waker.wait()
    return _orders(caller, call, services.cluster.nodes.all.get(node_id), has_version=record.orders_version)


async def epoch(call: RequestContext) -> ApiResponse:
    """Give the numbers of a new epoch, the same to every relay."""
    caller = _signed(call, EpochRequest)
    node_id, request = caller.node_id, caller.record
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
    return _packed(caller, call, answer)


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
    """Forget a relay that is gone, and its key; one that sends heartbeats must be stopped first."""
    node, services = _node(call), call.services
    if node.health.silent_s(services.clock.now_s()) < SILENT_S:
        raise ApiProblem(
            409, f"{node.id} sends heartbeats: drain it, stop it, then remove it.", "node-at-work"
        )
    await services.store.set_drained(
        node.id, drained=False, event=services.event(call.who, "node.remove", node.id)
    )
    removed = NodeRecord(node.id, removed=True, created_at_s=services.clock.wall_s())
    await services.store.save_node_key(removed, None, instead_of=services.cluster.view.node_keys.get(node.id))
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


def _signed(call: RequestContext, record: type[R], *, registers: bool = False) -> NodeCall[R]:
    """Return a node's call once its signature is checked against the keys that may speak for the node."""
    services = call.services
    signed = _read_call(call)
    try:
        keys = node_keys.signing_keys(
            services.cluster.view.node_keys.get(signed.node),
            _shared_secret(services),
            services.keyring.unseal,
            at_work=_at_work(services, signed.node),
            registers=registers and not _settling(services),
        )
    except ClusterError as exc:
        raise _refused(call, exc) from None
    key = _verify(call, signed, keys)
    services.bodies.trust(call.address)
    return NodeCall(signed.node, _record(call, record), signed, key)


def _read_call(call: RequestContext) -> SignedCall:
    try:
        return read_call(dict(call.request.headers), wall_s=call.services.clock.wall_s())
    except ClusterError as exc:
        raise _refused(call, exc) from None


def _verify(call: RequestContext, signed: SignedCall, keys: Sequence[bytes]) -> bytes:
    services, path = call.services, call.request.path
    try:
        return services.verifier.verify(signed, keys, "POST", path, call.raw, wall_s=services.clock.wall_s())
    except ClusterError as exc:
        raise _refused(call, exc) from None


def _open(call: RequestContext, sealed: str) -> bytes:
    try:
        return call.services.keyring.unseal(sealed)
    except ClusterError as exc:
        raise _refused(call, exc) from None


def _refused(call: RequestContext, exc: ClusterError) -> ApiProblem:
    call.services.metrics.error(exc.kind)
    _log_refusal(call, exc.reason)
    return ApiProblem(401, exc.reason, exc.kind)


def _record(call: RequestContext, record: type[R]) -> R:
    try:
        return msgspec.json.decode(call.raw, type=record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ApiProblem(400, f"The record cannot be read: {exc}") from None


def _log_refusal(call: RequestContext, reason: str) -> None:
    services = call.services
    kind = _NUMBER.sub("", reason)  # a wrong clock is one thing, however wrong it is each second
    if not services.buckets.take(("refused", call.address, kind), REFUSALS, services.clock.now_s()):
        log.warning("cluster.refused address=%s reason=%s", call.address, reason)


def _shared_secret(services: Services) -> bytes:
    return services.settings.cluster_secret.get_secret_value().encode()


def _at_work(services: Services, node_id: str) -> bool:
    """Whether a process works under this id, and is not on its way out: then no other may take it over."""
    node = services.cluster.nodes.all.get(node_id)
    if node is None or node.health.draining:
        return False
    return node.health.silent_s(services.clock.now_s()) < SILENT_S


def _settling(services: Services) -> bool:
    """Whether the master has just started and cannot know yet who is at work."""
    return services.clock.wall_s() < services.cluster.began_wall_s + SETTLE_S


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


def _orders(
    caller: NodeCall[Any], call: RequestContext, node: Node | None, *, has_version: int = -1
) -> ApiResponse:
    services = call.services
    secrets = services.sealer.sealed(caller.key)
    orders = services.orders_composer.orders(services.cluster, node, secrets, has_version=has_version)
    return _packed(caller, call, orders)


def _packed(caller: NodeCall[Any], call: RequestContext, record: msgspec.Struct) -> ApiResponse:
    """Return a record as an answer that is good for this call alone."""
    body, signed = msgspec.json.encode(record), caller.signed
    headers = sign_answer(caller.key, signed.node, call.request.path, signed.nonce, body)
    return ApiResponse(body, headers={"Content-Type": "application/json", **headers})


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
    _machine("POST", "/cluster/enrol", enrol, "A node gets a key.", body=Enrolment, answer=Enrolled),
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
