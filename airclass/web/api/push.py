"""WebSockets of the pages: a snapshot, then only what changed, until somebody falls silent.

The page sends a ping every 10 s; who is silent for SILENT_S is gone, who cannot take a message
within `line.WRITE_S` is too slow. A page that reconnects gets a new snapshot.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from airclass.domain.classrooms import Classroom, ClassStatus, may_manage
from airclass.domain.cluster import Placement
from airclass.domain.routing import read_address
from airclass.domain.stream_health import ServiceState
from airclass.domain.stream_info import gather
from airclass.domain.users import Caller, Role
from airclass.web.api import presenters
from airclass.web.api.schemas import EventOut
from airclass.web.api.seats import place
from airclass.web.http.asgi_request import AsgiRequest
from airclass.web.http.auth import check_same_site, client_address, identify, read_caller, read_viewer
from airclass.web.http.context import RequestContext
from airclass.web.http.problems import ApiProblem
from airclass.web.server import websocket
from relay.base.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airclass.domain.routing import Address
    from airclass.io.notifier import Waker
    from airclass.web.services import Services
    from relay.base.tokens import ViewerClaims

SILENT_S = 30.0
MAX_SOCKETS = 20_000
DIGEST_BYTES = 8
GOING_AWAY = 1001
NOT_ALLOWED = 4403
TOO_MANY = 4429
PONG = b'{"type":"pong"}'

State = dict[str, Any]


class _Over(Exception):  # noqa: N818  the socket's ordinary end
    """There is nothing more to say; `message` is the last word."""

    def __init__(self, message: State | None = None, code: int = 1000) -> None:
        self.message = message
        self.code = code


class PageSocket(AsgiRequest):
    """One open WebSocket, straight on ASGI: a Quart request and its tasks would double its memory."""

    __slots__ = ("_receive", "_send")

    def __init__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        super().__init__(scope)
        self._receive, self._send = receive, send
        scope.clear()  # it is read; a waiting page keeps nothing else

    async def accept(self) -> bool:
        """Take the socket; False when the peer has gone already."""
        event = await self._receive()
        if event["type"] == "websocket.connect":
            await self._send({"type": "websocket.accept", "headers": [], "subprotocol": None})
            return True
        return False

    async def receive(self) -> bool:
        """Wait for a message, whatever it says; False when the peer has gone."""
        event = await self._receive()
        return bool(event["type"] == "websocket.receive")

    async def send(self, message: bytes) -> None:
        """Send a text message."""
        await self._send({"type": "websocket.send", "bytes": None, "text": message.decode()})

    async def close(self, code: int) -> None:
        """Say good-bye."""
        await self._send({"type": "websocket.close", "code": code, "reason": ""})


async def serve(
    services: Services, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]
) -> None:
    """Serve one socket from its opening to its end."""
    talk = PATHS.get(scope["path"])
    socket = PageSocket(scope, receive, send)
    if talk is None:
        await socket.close(NOT_ALLOWED)  # before it was accepted: the peer sees 403
        return
    if not await socket.accept():
        return
    code, last = 1000, None
    if services.sockets.value >= MAX_SOCKETS:
        services.metrics.error("sockets-full")
        await socket.close(TOO_MANY)
        return
    services.sockets.value += 1
    try:
        await talk(services, socket)
        return  # the peer has gone
    except _Over as over:
        code, last = over.code, over.message
    except ApiProblem as problem:
        code, last = NOT_ALLOWED, {"type": "refused", "detail": problem.reason}
    finally:
        services.sockets.value -= 1
    with trio.move_on_after(websocket.WRITE_S):
        if last is not None:
            await socket.send(msgspec.json.encode(last))
        await socket.close(code)


async def _student(services: Services, ws: PageSocket) -> None:
    token = ws.args.get("token", "")
    claims, classroom = read_viewer(services, token)
    subject, stream = claims.subject, classroom.id
    address = read_address(client_address(services, ws))
    with services.notifier.listen(f"seat:{subject}", f"state:{stream}", f"class:{stream}", "stop") as waker:
        await _talk(
            services,
            ws,
            waker,
            lambda: _student_state(services, claims, token, address),
            heard=lambda: place(services, claims, address),
        )


def _student_state(services: Services, claims: ViewerClaims, token: str, address: Address | None) -> State:
    cluster = services.cluster
    classroom = cluster.view.classrooms.get(claims.classroom)
    if classroom is None or classroom.status is ClassStatus.ENDED:
        raise _Over({"type": "ended"})
    if not cluster.is_valid(classroom, claims.subject, claims.token_id):
        raise _Over({"type": "kicked"})
    if classroom.status is ClassStatus.CLOSED:
        raise _Over({"type": "closed"})
    placement = place(services, claims, address)
    told: State = {
        "classroom": {"id": classroom.id, "name": classroom.name},
        "full": placement in (Placement.CLASS_FULL, Placement.CLUSTER_FULL),
        "viewers": cluster.viewers(classroom.id),
    }
    if cluster.knows_state(classroom.id):  # else the page keeps the last one: a picture may be running
        told["state"] = str(cluster.state(classroom))
    if placement is Placement.SEATED:  # otherwise the page keeps the relays that it knows
        paths = presenters.pathways(services, claims.subject, token, classroom.id)
        told["pathways"] = [{"id": p.id, "url": p.url} for p in sorted(paths, key=lambda p: p.id)]
        told["priority"] = [p.id for p in paths]
    return told


async def _teacher(services: Services, ws: PageSocket) -> None:
    caller = _caller(services, ws)
    stream = ws.args.get("classroom", "")
    _managed(services, caller, stream)
    base_url = _base_url(services, ws)
    services.metrics.teachers.inc()
    try:
        with services.notifier.listen(f"state:{stream}", f"class:{stream}", "nodes", "stop") as waker:
            await _talk(services, ws, waker, lambda: _teacher_state(services, caller, stream, base_url))
    finally:
        services.metrics.teachers.dec()


def _teacher_state(services: Services, caller: Caller, stream: str, base_url: str) -> State:
    cluster = services.cluster
    classroom = _managed(services, caller, stream)
    variants, _ = cluster.stream_shape(stream)
    intake = services.ingest.intakes.get(stream)
    state = cluster.state(classroom)
    facts = gather(
        variants,
        cluster.segment_s(stream),
        intake,
        is_publishing=state == "live",
        taken_over_by=services.ingest.publishers.taken_over_by(stream, services.clock.now_s()),
    )
    told: State = {
        "classroom": msgspec.to_builtins(presenters.class_out(services, classroom, base_url)),
        "facts": msgspec.to_builtins(facts) if facts is not None else None,
        "viewers": msgspec.to_builtins(presenters.viewers_out(services, stream)),
        "history": list(cluster.ledger(stream).history),
    }
    if cluster.knows_state(stream):
        told["state"] = str(state)
    return told


async def _monitor(services: Services, ws: PageSocket) -> None:
    caller = _caller(services, ws)
    if caller.role not in (Role.ADMIN, Role.MONITOR):
        raise ApiProblem(403, "This is for admins and monitors only.")
    base_url = _base_url(services, ws)
    services.metrics.monitors.inc()
    try:
        with services.notifier.listen("nodes", "tick", "stop") as waker:
            await _talk(services, ws, waker, lambda: _monitor_state(services, caller, base_url))
    finally:
        services.metrics.monitors.dec()


def _monitor_state(services: Services, caller: Caller, base_url: str) -> State:
    _still_allowed(services, caller)
    nodes = msgspec.to_builtins(presenters.nodes_out(services))
    for node in nodes["nodes"]:  # the usual case, of which the page says nothing, is left out
        node["streams"] = [s for s in node["streams"] if s["state"] != ServiceState.SERVED]
    classes = [presenters.class_out(services, c, base_url) for c in services.cluster.view.open_classes()]
    for shown in classes:
        shown.stream_key = shown.rtmp_url = shown.rtmp_key = ""
    return {
        "nodes": nodes["nodes"],
        "summary": nodes["summary"],
        "classrooms": msgspec.to_builtins(classes),
        "history": list(services.cluster.load_history),
        "student_history": list(services.cluster.student_history),
        "events": [
            msgspec.to_builtins(EventOut(presenters.iso(e.at_s), e.actor, e.action, e.target, e.detail))
            for e in services.recent_events
        ],
    }


async def _talk(
    services: Services,
    ws: PageSocket,
    waker: Waker,
    state: Callable[[], State],
    heard: Callable[[], object] = lambda: None,
) -> None:
    """Send the state and its changes until the page leaves, falls silent or is sent away.

    One task waits for the page and for changes at once: a change cancels the wait for the page, which
    loses no message.
    """
    ws.forget()
    sent: dict[str, bytes] = {}
    seq = 0
    silent_at_s = trio.current_time() + SILENT_S
    while True:
        if services.stopping.is_set():
            raise _Over(code=GOING_AWAY)
        changed = _changed(state(), sent)
        if changed:
            kind = "change" if seq else "snapshot"
            seq += 1
            await _send(ws, msgspec.json.encode({"type": kind, "seq": seq, **changed}))
            del changed
        while not waker.woken:
            with waker.interrupting(trio.CancelScope(deadline=silent_at_s)) as scope:
                if not await ws.receive():
                    return
                silent_at_s = trio.current_time() + SILENT_S
            if scope.cancelled_caught:
                if trio.current_time() >= silent_at_s:
                    raise _Over
                break
            heard()
            await _send(ws, PONG)
        waker.rest()


def _changed(now: State, sent: dict[str, bytes]) -> dict[str, msgspec.Raw]:
    """Return what is new in `now`, and note it in `sent`: a digest each, since thousands of pages wait."""
    changed = {}
    for name, value in now.items():
        text = msgspec.json.encode(value)
        digest = blake2b(text, digest_size=DIGEST_BYTES).digest()
        if sent.get(name) != digest:
            sent[name], changed[name] = digest, msgspec.Raw(text)
    return changed


async def _send(ws: PageSocket, message: bytes) -> None:
    """Send, under a deadline also over HTTP/2, where room in a window is waited for without one."""
    try:
        with trio.fail_after(websocket.WRITE_S):
            await ws.send(message)
    except trio.TooSlowError:
        raise _Over from None


def _caller(services: Services, ws: PageSocket) -> Caller:
    token = ws.args.get("token", "")
    if token:
        try:
            return read_caller(services, token)
        except TokenError as exc:
            raise ApiProblem(401, exc.reason) from None
    caller = identify(services, ws)
    if caller is None:
        raise ApiProblem(401, "Sign in first.")
    if caller.by_cookie:
        check_same_site(services, ws)
    return caller


def _managed(services: Services, caller: Caller, stream: str) -> Classroom:
    _still_allowed(services, caller)
    classroom = services.cluster.view.classrooms.get(stream)
    if classroom is None or not may_manage(caller, classroom):
        raise ApiProblem(404, "There is no such class, or it belongs to somebody else.")
    return classroom


def _still_allowed(services: Services, caller: Caller) -> None:
    view = services.cluster.view
    user = view.users.get(caller.user_id)
    gone = caller.user_id and (user is None or user.disabled or user.role is not caller.role)
    expired = caller.expires_at_s < services.clock.wall_s()
    if gone or expired or ("session", caller.token_id) in view.revoked:
        raise ApiProblem(401, "This session has ended: sign in again.")


def _base_url(services: Services, ws: PageSocket) -> str:
    return RequestContext(services, ws, {}, "").base_url()


PATHS: dict[str, Callable[[Services, PageSocket], Awaitable[None]]] = {
    "/ws/student": _student,
    "/ws/teacher": _teacher,
    "/ws/monitor": _monitor,
}
