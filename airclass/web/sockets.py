"""WebSockets of the pages: a snapshot, then only what changed, until somebody falls silent.

The page sends a ping every 10 s; who is silent for SILENT_S is gone, who cannot take a message
within WRITE_S is too slow. A page that reconnects gets a new snapshot.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from quart import websocket

from airclass.domain.classrooms import Classroom, ClassStatus, may_manage
from airclass.domain.facts import gather
from airclass.domain.people import Caller, Role
from airclass.web import words
from airclass.web.call import Call, check_same_site, identify, read_caller, read_viewer
from airclass.web.problems import Problem
from airclass.web.shapes import EventOut
from relay.base.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Callable

    from quart import Websocket
    from quart_trio import QuartTrio

    from airclass.io.hub import Waker
    from airclass.web.services import Services
    from relay.base.tokens import ViewerClaims

SILENT_S = 30.0
WRITE_S = 5.0
MAX_SOCKETS = 20_000
EVENTS_SHOWN = 50
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


def add(app: QuartTrio, services: Services) -> None:
    """Add the sockets to the application."""
    counts = {"open": 0}
    for path, talk in (("student", _student), ("teacher", _teacher), ("monitor", _monitor)):
        app.add_websocket(f"/ws/{path}", f"/ws/{path}", partial(_serve, services, counts, talk))


async def _serve(services: Services, counts: dict[str, int], talk: Callable[..., Any]) -> None:
    ws: Websocket = websocket._get_current_object()  # type: ignore[attr-defined]
    code = 1000
    await ws.accept()
    if counts["open"] >= MAX_SOCKETS:
        services.metrics.error("sockets-full")
        await ws.close(TOO_MANY)
        return
    counts["open"] += 1
    try:
        await talk(services, ws)
    except* _Over as over:
        last = over.exceptions[0]
        while isinstance(last, BaseExceptionGroup):
            last = last.exceptions[0]
        assert isinstance(last, _Over)
        code = last.code
        if last.message is not None:
            with trio.move_on_after(WRITE_S):
                await ws.send(msgspec.json.encode(last.message).decode())
    except* Problem as problems:
        code = NOT_ALLOWED
        first = problems.exceptions[0]
        reason = first.reason if isinstance(first, Problem) else ""
        with trio.move_on_after(WRITE_S):
            await ws.send(msgspec.json.encode({"type": "refused", "detail": reason}).decode())
    finally:
        counts["open"] -= 1
    with trio.move_on_after(WRITE_S):
        await ws.close(code)


async def _student(services: Services, ws: Websocket) -> None:
    token = ws.args.get("token", "")
    claims, classroom = read_viewer(services, token)
    subject, stream = claims.subject, classroom.id
    with services.hub.listen(f"seat:{subject}", f"state:{stream}", f"class:{stream}", "stop") as waker:
        await _talk(
            services,
            ws,
            waker,
            lambda: _student_state(services, claims, token),
            heard=lambda: services.cluster.nodes.seating.hold(subject, services.clock.now_s()),
        )


def _student_state(services: Services, claims: ViewerClaims, token: str) -> State:
    cluster = services.cluster
    classroom = cluster.view.classrooms.get(claims.classroom)
    if classroom is None or classroom.status is ClassStatus.ENDED:
        raise _Over({"type": "ended"})
    if not cluster.is_valid(classroom, claims.subject, claims.token_id):
        raise _Over({"type": "kicked"})
    if classroom.status is ClassStatus.CLOSED:
        raise _Over({"type": "closed"})
    paths = words.pathways(services, claims.subject, token, classroom.id)
    return {
        "classroom": {"id": classroom.id, "name": classroom.name},
        "state": str(cluster.state(classroom)),
        "pathways": [{"id": p.id, "url": p.url} for p in sorted(paths, key=lambda p: p.id)],
        "priority": [p.id for p in paths],
        "viewers": cluster.viewers(classroom.id),
    }


async def _teacher(services: Services, ws: Websocket) -> None:
    caller = _caller(services, ws)
    stream = ws.args.get("classroom", "")
    _managed(services, caller, stream)
    base_url = _base_url(services, ws)
    services.metrics.teachers.inc()
    try:
        with services.hub.listen(f"state:{stream}", f"class:{stream}", "nodes", "stop") as waker:
            await _talk(services, ws, waker, lambda: _teacher_state(services, caller, stream, base_url))
    finally:
        services.metrics.teachers.dec()


def _teacher_state(services: Services, caller: Caller, stream: str, base_url: str) -> State:
    cluster = services.cluster
    classroom = _managed(services, caller, stream)
    variants, _ = cluster.stream_shape(stream)
    intake = services.ingest.intakes.get(stream)
    state = cluster.state(classroom)
    facts = gather(variants, cluster.segment_s(stream), intake, is_publishing=state == "live")
    return {
        "classroom": msgspec.to_builtins(words.class_out(services, classroom, base_url)),
        "state": str(state),
        "facts": msgspec.to_builtins(facts) if facts is not None else None,
        "viewers": msgspec.to_builtins(words.viewers_out(services, stream)),
        "history": list(cluster.ledger(stream).history),
    }


async def _monitor(services: Services, ws: Websocket) -> None:
    caller = _caller(services, ws)
    if caller.role not in (Role.ADMIN, Role.MONITOR):
        raise Problem(403, "This is for admins and monitors only.")
    base_url = _base_url(services, ws)
    services.metrics.monitors.inc()
    try:
        with services.hub.listen("nodes", "tick", "stop") as waker:
            await _talk(services, ws, waker, lambda: _monitor_state(services, caller, base_url))
    finally:
        services.metrics.monitors.dec()


def _monitor_state(services: Services, caller: Caller, base_url: str) -> State:
    _still_allowed(services, caller)
    nodes = msgspec.to_builtins(words.nodes_out(services))
    classes = [words.class_out(services, c, base_url) for c in services.cluster.view.open_classes()]
    for shown in classes:
        shown.stream_key = shown.rtmp_url = shown.rtmp_key = ""
    return {
        "nodes": nodes["nodes"],
        "summary": nodes["summary"],
        "classrooms": msgspec.to_builtins(classes),
        "history": list(services.cluster.load_history),
        "events": [
            msgspec.to_builtins(EventOut(words.iso(e.at_s), e.actor, e.action, e.target, e.detail))
            for e in services.recent_events
        ],
    }


async def _talk(
    services: Services,
    ws: Websocket,
    waker: Waker,
    state: Callable[[], State],
    heard: Callable[[], None] = lambda: None,
) -> None:
    """Send the state and its changes until the page leaves, falls silent or is sent away."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_listen, ws, heard, nursery.cancel_scope)
        sent: State = {}
        seq = 0
        while True:
            now = state()
            changed = {k: v for k, v in now.items() if k not in sent or sent[k] != v}
            if changed:
                kind = "change" if seq else "snapshot"
                seq += 1
                await _send(ws, msgspec.json.encode({"type": kind, "seq": seq, **changed}))
                sent = now
            await waker.wait()
            if services.stopping.is_set():
                raise _Over(code=GOING_AWAY)


async def _listen(ws: Websocket, heard: Callable[[], None], scope: trio.CancelScope) -> None:
    while True:
        text: Any = None
        with trio.move_on_after(SILENT_S):
            text = await ws.receive()
        if text is None:
            scope.cancel()
            return
        heard()
        await _send(ws, PONG)


async def _send(ws: Websocket, message: bytes) -> None:
    try:
        with trio.fail_after(WRITE_S):
            await ws.send(message.decode())
    except trio.TooSlowError:
        raise _Over from None


def _caller(services: Services, ws: Websocket) -> Caller:
    token = ws.args.get("token", "")
    if token:
        try:
            return read_caller(services, token)
        except TokenError as exc:
            raise Problem(401, exc.reason) from None
    caller = identify(services, ws)
    if caller is None:
        raise Problem(401, "Sign in first.")
    if caller.by_cookie:
        check_same_site(services, ws)
    return caller


def _managed(services: Services, caller: Caller, stream: str) -> Classroom:
    _still_allowed(services, caller)
    classroom = services.cluster.view.classrooms.get(stream)
    if classroom is None or not may_manage(caller, classroom):
        raise Problem(404, "There is no such class, or it belongs to somebody else.")
    return classroom


def _still_allowed(services: Services, caller: Caller) -> None:
    view = services.cluster.view
    user = view.users.get(caller.user_id)
    gone = caller.user_id and (user is None or user.disabled or user.role is not caller.role)
    expired = caller.expires_at_s < services.clock.wall_s()
    if gone or expired or ("session", caller.token_id) in view.revoked:
        raise Problem(401, "This session has ended: sign in again.")


def _base_url(services: Services, ws: Websocket) -> str:
    return Call(services, ws, {}, "").base_url()
