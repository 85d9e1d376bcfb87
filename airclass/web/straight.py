"""The two questions that come a thousand times a second, answered on ASGI, in front of Quart.

Same table, same policy, same handlers as every other route: only Quart's request, contexts and tasks
are left out, which cost more than the answer. A school that joins at once queues in `turns`, whole
requests only, so that nobody holds a turn by sending slowly; the ingest's question never queues.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import trio

from airclass.web import hooks, join, policy
from airclass.web.ask import Ask
from airclass.web.call import Call, client_address
from relay.base import logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airclass.web.routes import Reply, Route
    from airclass.web.services import Services

TURNS = 4  # fewer than are accepted in a turn of the loop, so that the crowd queues here, not at the door
IN_TURN = ("/api/join", "/api/renew")
STRAIGHT: dict[str, Route] = {
    route.path: route
    for route in (*join.ROUTES, *hooks.ROUTES)
    if route.path in (*IN_TURN, "/hooks/mediamtx/auth")
}


def is_straight(scope: Any) -> bool:
    """Tell whether a request is answered here."""
    route = STRAIGHT.get(scope["path"]) if scope["type"] == "http" else None
    return route is not None and route.method == scope["method"]


async def serve(
    services: Services,
    turns: trio.CapacityLimiter,
    scope: Any,
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[Any], Awaitable[None]],
) -> None:
    """Answer one request."""
    began_s = services.clock.now_s()
    ask, route = Ask(scope), STRAIGHT[scope["path"]]
    logs.begin(ask.headers.get("X-Request-Id", ""))
    try:
        call = Call(services, ask, {}, client_address(services, ask))
        policy.check_rate(services, route, call.address)
        call.caller = policy.admit(services, route, ask, route.method)
        call.raw = await _body(route, ask, receive)
        if route.body is not None:
            call.body = policy.decode(route, ask.headers.get("Content-Type", ""), call.raw)
        async with turns if route.path in IN_TURN else nullcontext():
            reply = policy.as_reply(await route.handler(call), route.status)
    except Exception as exc:  # noqa: BLE001  the request's error boundary
        reply = policy.refusal(policy.as_problem(services, exc, route.path))
    headers = dict(reply.headers)
    policy.complete(services, {route.method: route}, route.method, ask.headers.get("Origin", ""), headers)
    services.metrics.answered(route.method, route.path, reply.status, services.clock.now_s() - began_s)
    await _send(send, reply, headers)


async def _body(route: Route, ask: Ask, receive: Callable[[], Awaitable[Any]]) -> bytes:
    length = ask.headers.get("Content-Length", "")
    policy.check_length(route, int(length) if length.isdecimal() else None)
    raw, more = b"", True
    with trio.fail_after(policy.BODY_S):
        while more:
            event = await receive()
            raw += event.get("body", b"")
            more = event.get("more_body", False)
            policy.check_length(route, len(raw))
    return raw


async def _send(send: Callable[[Any], Awaitable[None]], reply: Reply, headers: dict[str, str]) -> None:
    body = reply.body if isinstance(reply.body, bytes) else (reply.body or "").encode()  # type: ignore[union-attr]
    if reply.status != 204:
        headers["Content-Length"] = str(len(body))
    pairs = [(name.encode("latin1"), value.encode("latin1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": False})
