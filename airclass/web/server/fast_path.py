"""Fast path for the hottest routes (join, token renewal, MediaMTX auth): plain ASGI in front of Quart.

The route table, access rules and handlers are those of every other route; only Quart's request, contexts
and tasks are left out, because they cost more than the response. Joins and renewals queue for one of
`TURNS` places once their request is complete, so that a slow sender holds none; a join that waits for a
password check leaves its place (`RequestContext.outside_queue`); MediaMTX never queues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from airclass.web.http import bodies, policy
from airclass.web.http.asgi_request import AsgiRequest
from airclass.web.http.auth import client_address
from airclass.web.http.context import RequestContext, Turn
from relay.base import logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from airclass.web.http.route import ApiResponse, Route
    from airclass.web.services import Services

TURNS = 4  # below what one loop iteration accepts, so that a crowd waits here and not in the backlog
QUEUED = frozenset({"/api/join", "/api/renew"})
HOT = QUEUED | {"/hooks/mediamtx/auth"}


class FastPath:
    """The hot ones of `routes`, served without Quart."""

    def __init__(self, services: Services, routes: Iterable[Route]) -> None:
        self._services = services
        self._routes = {route.path: route for route in routes if route.path in HOT}
        self._turns = trio.CapacityLimiter(TURNS)

    def takes(self, scope: Any) -> bool:
        """Tell whether a request is served here."""
        route = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        return route is not None and route.method == scope["method"]

    async def serve(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Serve one request that `takes` accepts."""
        services = self._services
        began_s = services.clock.now_s()
        ask, route = AsgiRequest(scope), self._routes[scope["path"]]
        logs.begin(ask.headers.get("X-Request-Id", ""))
        try:
            call = RequestContext(services, ask, {}, client_address(services, ask))
            policy.check_rate(services, route, call.address)
            call.caller = policy.admit(services, route, ask, route.method)
            with bodies.held(services, call.address, bodies.size_bytes(ask, route.max_bytes)):
                call.raw = await _body(route, ask, receive)
                if route.body is not None:
                    call.body = policy.decode(route, ask.headers.get("Content-Type", ""), call.raw)
            if route.path in QUEUED:
                call.turn = Turn(self._turns)
                await call.turn.take()
            try:
                response = policy.as_response(await route.handler(call), route.status)
            finally:
                if call.turn is not None:
                    call.turn.give_back()
        except Exception as exc:  # noqa: BLE001  the request's error boundary
            response = policy.refusal(policy.as_problem(services, exc, route.path))
        headers = dict(response.headers)
        policy.complete(services, {route.method: route}, route.method, ask.headers.get("Origin", ""), headers)
        services.metrics.answered(route.method, route.path, response.status, services.clock.now_s() - began_s)
        await send_response(send, response, headers)


async def _body(route: Route, ask: AsgiRequest, receive: Callable[[], Awaitable[Any]]) -> bytes:
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


async def send_response(
    send: Callable[[Any], Awaitable[None]], response: ApiResponse, headers: dict[str, str]
) -> None:
    """Send a response whose body is text or bytes."""
    content = response.body
    body = content if isinstance(content, bytes) else (content or "").encode()  # type: ignore[union-attr]
    if response.status != 204:
        headers["Content-Length"] = str(len(body))
    pairs = [(name.encode("latin1"), value.encode("latin1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": False})
