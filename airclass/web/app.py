"""The web application: every route behind its policy, every answer counted, every error a sentence."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from quart import current_app, g, request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioRequest
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from airclass.web.api import accounts, classrooms, cluster, health, join, mediamtx_auth, pages, playback, push
from airclass.web.api.openapi import describe
from airclass.web.http import bodies, policy, route
from airclass.web.http.asgi_request import AsgiRequest
from airclass.web.http.auth import client_address
from airclass.web.http.context import RequestContext
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import CLUSTER_BYTES, FORM_BYTES, AccessRule, ApiResponse, CorsRule, Route
from airclass.web.server.fast_path import FastPath, send_response
from relay.base import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from airclass.web.services import Services

BLUEPRINTS = (join, accounts, classrooms, cluster, playback, mediamtx_auth, health, pages)


async def openapi(_: RequestContext) -> ApiResponse:
    """Describe the API."""
    return ApiResponse(msgspec.json.encode(describe(ROUTES)), headers={"Content-Type": "application/json"})


_route = route.family(access=AccessRule.ANYONE, limit=route.PAGES, max_bytes=0, cors=CorsRule.NONE)

ROUTES: tuple[Route, ...] = (
    *(route for blueprint in BLUEPRINTS for route in blueprint.ROUTES),
    _route("GET", "/api/openapi.json", openapi, "This description.", answer=dict),
)


SIGNED = {route.path: route.max_bytes for route in ROUTES if route.access is AccessRule.CLUSTER}


class SizedRequest(TrioRequest):
    """A request whose body is cut off at what its route may take, or any form."""

    def __init__(self, method: str, scheme: str, path: str, *args: Any, **kwargs: Any) -> None:
        kwargs["max_content_length"] = SIGNED.get(path, FORM_BYTES)
        super().__init__(method, scheme, path, *args, **kwargs)


class MasterApp(QuartTrio):
    """QuartTrio with our request and no files of its own."""

    request_class = SizedRequest
    services: Services
    fast_path: FastPath

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve sockets and what comes in crowds ourselves, and leave the rest to Quart."""
        if scope["type"] == "websocket":
            await push.serve(self.services, scope, receive, send)
        elif self.fast_path.takes(scope):
            await self.fast_path.serve(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Give a request to Quart, which reads its body at once, if there is room for the body."""
        services, head = self.services, AsgiRequest(scope)
        address = client_address(services, head)
        try:
            if head.path in SIGNED and scope["method"] == "POST":
                bodies.check_signature_head(services, head.headers, address)
            size = bodies.size_bytes(head, SIGNED.get(head.path, FORM_BYTES))
            with bodies.held(services, address, size):
                await super().__call__(scope, receive, send)
        except ApiProblem as problem:
            logs.begin(head.headers.get("X-Request-Id", ""))
            response = policy.refusal(problem)
            headers = {**response.headers, "Connection": "close"}
            policy.complete(services, {}, scope["method"], "", headers)
            path = head.path if head.path in SIGNED else "unmatched"
            services.metrics.answered(_method(scope["method"]), path, response.status, 0.0)
            await send_response(send, response, headers)


def create_app(services: Services, all_routes: tuple[Route, ...] = ROUTES) -> MasterApp:
    """Return the application for these services."""
    app = MasterApp("airclass", static_folder=None)
    app.services = services
    app.fast_path = FastPath(services, all_routes)
    app.url_map.strict_slashes = False
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    app.config.update(
        MAX_CONTENT_LENGTH=CLUSTER_BYTES,
        BODY_TIMEOUT=policy.BODY_S,
        RESPONSE_TIMEOUT=60,
        BACKGROUND_TASK_SHUTDOWN_TIMEOUT=0.05,
        PROPAGATE_EXCEPTIONS=False,
    )
    by_path: dict[str, dict[str, Route]] = {}
    for entry in all_routes:
        by_path.setdefault(entry.path, {})[entry.method] = entry
    for path, methods in by_path.items():
        app.add_url_rule(
            path,
            endpoint=path,
            view_func=partial(_dispatch, services, methods),
            methods=sorted(methods),
            provide_automatic_options=False,
        )
    app.before_request(_begin(services))
    app.after_request(partial(_finish, services, by_path))
    app.register_error_handler(Exception, partial(_failed, services))
    app.register_error_handler(HTTPException, partial(_failed, services))
    app.handle_exception = partial(_failed, services)  # type: ignore[method-assign]
    return app


def _begin(services: Services) -> Callable[[], Any]:
    async def begin() -> WerkzeugResponse | None:
        g.began_s = services.clock.now_s()
        logs.begin(request.headers.get("X-Request-Id", ""))
        if request.method == "OPTIONS" and request.headers.get("Access-Control-Request-Method"):
            return WerkzeugResponse(status=204)
        return None

    return begin


async def _dispatch(services: Services, methods: dict[str, Route], **params: str) -> WerkzeugResponse:
    route = methods.get("GET" if request.method == "HEAD" else request.method)
    if route is None:
        raise ApiProblem(
            405, "This address does not take this method.", headers={"Allow": ", ".join(methods)}
        )
    call = RequestContext(services, request, params, client_address(services, request))
    policy.check_rate(services, route, call.address)
    call.caller = policy.admit(services, route, request, request.method)
    call.raw = await _body(route)
    if route.body is not None and route.access is not AccessRule.CLUSTER:
        call.body = policy.decode(route, request.headers.get("Content-Type", ""), call.raw)
    return _response(policy.as_response(await route.handler(call), route.status))


async def _body(route: Route) -> bytes:
    length = request.content_length
    policy.check_length(route, length)
    if request.method in policy.SAFE_METHODS or (route.max_bytes == 0 and not length):
        return b""
    with trio.fail_after(policy.BODY_S):
        raw = await request.get_data(cache=False)
    assert isinstance(raw, bytes)
    policy.check_length(route, len(raw))
    return raw


def _response(answer: ApiResponse) -> WerkzeugResponse:
    body = answer.body if isinstance(answer.body, bytes | str) else b""
    response = WerkzeugResponse(body, answer.status, answer.headers)
    if answer.body is None:
        del response.headers["Content-Type"]
    for cookie in answer.cookies:
        response.headers.add("Set-Cookie", cookie)
    return response


async def _finish(
    services: Services, by_path: dict[str, dict[str, Route]], response: WerkzeugResponse
) -> WerkzeugResponse:
    path = _endpoint()
    origin = request.headers.get("Origin", "")
    policy.complete(services, by_path.get(path, {}), request.method, origin, response.headers)
    services.metrics.answered(
        _method(request.method),
        path,
        response.status_code,
        services.clock.now_s() - g.get("began_s", services.clock.now_s()),
    )
    return response


def _method(typed: str) -> str:
    return typed if typed in policy.METHODS else "OTHER"


def _endpoint() -> str:
    """Return the pattern of the route that was asked for; a preflight asks for another method's."""
    if request.url_rule is not None:
        return request.url_rule.rule
    wanted = request.headers.get("Access-Control-Request-Method", "")
    if request.method == "OPTIONS" and wanted in policy.METHODS:
        try:
            rule, _ = current_app.url_map.bind("").match(request.path, method=wanted, return_rule=True)
        except HTTPException:
            return "unmatched"
        return str(rule.rule)
    return "unmatched"


async def _failed(services: Services, exc: Exception) -> WerkzeugResponse:
    """The request's error boundary: whatever happened becomes a problem with a sentence."""
    path = str(request.url_rule or "unmatched")
    return _response(policy.refusal(policy.as_problem(services, exc, path)))
