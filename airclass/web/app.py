"""The web application: every route behind its policy, every answer counted, every error a sentence."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from quart import current_app, g, request
from quart_trio import QuartTrio
from quart_trio.wrappers import TrioRequest
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from airclass.web import accounts, classrooms, cluster, hooks, join, live, ops, pages, sockets
from airclass.web.call import Call, check_same_site, client_address, identify, role_names
from airclass.web.problems import Problem, render
from airclass.web.routes import CLUSTER_BYTES, FORM_BYTES, SMALL_BYTES, Cors, Open, Reply, Route
from relay.base import logs
from relay.base.errors import AirclassError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airclass.domain.people import Caller
    from airclass.web.services import Services

log = logging.getLogger(__name__)

BODY_S = 10.0
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CORS_MAX_AGE_S = 86400
BLUEPRINTS = (join, accounts, classrooms, cluster, live, hooks, ops, pages)
ROUTES: tuple[Route, ...] = tuple(route for blueprint in BLUEPRINTS for route in blueprint.ROUTES)
IN_TURN = ("/api/join", "/api/renew")
TURNS = 8
LOOKS_AT_CALLER = (Open.MAYBE_SIGNED_IN, Open.METRICS)
SAFETY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class SizedRequest(TrioRequest):
    """A request whose body is cut off at what any route of its kind may take."""

    def __init__(self, method: str, scheme: str, path: str, *args: Any, **kwargs: Any) -> None:
        kwargs["max_content_length"] = CLUSTER_BYTES if path.startswith("/cluster/") else FORM_BYTES
        super().__init__(method, scheme, path, *args, **kwargs)


class MasterApp(QuartTrio):
    """QuartTrio with our request and no files of its own."""

    request_class = SizedRequest
    services: Services
    turns: trio.CapacityLimiter

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve sockets ourselves and leave the rest to Quart."""
        if scope["type"] == "websocket":
            await sockets.serve(self.services, scope, receive, send)
        elif scope["type"] == "http" and scope["path"] in IN_TURN:
            await self._in_turn(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _in_turn(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a school queue behind a few who are being let in: nobody else waits for all of it.

        Only whole requests queue, so that nobody holds a turn by sending slowly.
        """
        read: list[dict[str, Any]] = []
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        more = True
        if any(len(value) > 9 or (value.isdigit() and int(value) > SMALL_BYTES) for value in lengths):
            await super().__call__(scope, receive, send)  # to be refused before it is read
            return
        with trio.move_on_after(BODY_S):
            while more and sum(len(event.get("body", b"")) for event in read) <= SMALL_BYTES:
                read.append(await receive())
                more = read[-1].get("more_body", False)

        async def again() -> Any:
            return read.pop(0) if read else await receive()

        if more:
            await super().__call__(scope, again, send)
            return
        async with self.turns:
            await super().__call__(scope, again, send)


def create_app(services: Services, all_routes: tuple[Route, ...] = ROUTES) -> MasterApp:
    """Return the application for these services."""
    app = MasterApp("airclass", static_folder=None)
    app.services = services
    app.turns = trio.CapacityLimiter(TURNS)
    app.url_map.strict_slashes = False
    app.url_map.redirect_defaults = False
    app.url_map.merge_slashes = False
    app.config.update(
        MAX_CONTENT_LENGTH=CLUSTER_BYTES,
        BODY_TIMEOUT=BODY_S,
        RESPONSE_TIMEOUT=60,
        BACKGROUND_TASK_SHUTDOWN_TIMEOUT=0.05,
        PROPAGATE_EXCEPTIONS=False,
    )
    by_path: dict[str, dict[str, Route]] = {}
    for route in all_routes:
        by_path.setdefault(route.path, {})[route.method] = route
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
    app.handle_exception = partial(_escaped, services)  # type: ignore[method-assign]
    return app


def _begin(services: Services) -> Callable[[], Any]:
    async def begin() -> WerkzeugResponse | None:
        g.began_s = services.clock.now_s()
        logs.request_id.set(logs.id_for(request.headers.get("X-Request-Id", "")))
        if request.method == "OPTIONS" and request.headers.get("Access-Control-Request-Method"):
            return WerkzeugResponse(status=204)
        return None

    return begin


async def _dispatch(services: Services, methods: dict[str, Route], **params: str) -> WerkzeugResponse:
    route = methods.get("GET" if request.method == "HEAD" else request.method)
    if route is None:
        raise Problem(405, "This address does not take this method.", headers={"Allow": ", ".join(methods)})
    call = Call(services, request, params, client_address(services, request))
    _check_rate(services, route, call.address)
    call.caller = _admit(services, route)
    call.raw = await _body(route)
    if route.body is not None and route.access is not Open.CLUSTER:
        call.body = _decode(route, call.raw)
    return _response(await route.handler(call), route.status)


def _check_rate(services: Services, route: Route, address: str) -> None:
    wait_s = services.buckets.take((route.path, address), route.limit, services.clock.now_s())
    if wait_s:
        services.metrics.error("rate-limit")
        raise Problem(429, "Too many requests from your address: slow down.", retry_after_s=wait_s)


def _admit(services: Services, route: Route) -> Caller | None:
    if isinstance(route.access, Open) and route.access not in LOOKS_AT_CALLER:
        return None
    caller = identify(services, request)
    if caller is not None and caller.by_cookie and request.method not in SAFE_METHODS:
        check_same_site(services, request)
    if isinstance(route.access, frozenset):
        if caller is None:
            raise Problem(401, "Sign in first.", headers={"WWW-Authenticate": "Bearer"})
        if caller.role not in route.access:
            services.metrics.error("forbidden")
            raise Problem(403, f"This is for {role_names(route.access)} only.")
    return caller


async def _body(route: Route) -> bytes:
    length = request.content_length
    if length is not None and length > route.max_bytes:
        raise Problem(413, f"The body is larger than {route.max_bytes} bytes.")
    if request.method in SAFE_METHODS or (route.max_bytes == 0 and not length):
        return b""
    with trio.fail_after(BODY_S):
        raw = await request.get_data(cache=False)
    assert isinstance(raw, bytes)
    if len(raw) > route.max_bytes:
        raise Problem(413, f"The body is larger than {route.max_bytes} bytes.")
    return raw


def _decode(route: Route, raw: bytes) -> Any:
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "Send the body as application/json.")
    try:
        return msgspec.json.decode(raw, type=route.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise Problem(400, f"The body cannot be read: {exc}") from None


def _response(result: Any, status: int) -> WerkzeugResponse:
    reply = result if isinstance(result, Reply) else Reply(result, status)
    headers = dict(reply.headers)
    body = reply.body
    if isinstance(body, msgspec.Struct | dict):
        body = msgspec.json.encode(body)
        headers.setdefault("Content-Type", "application/json")
        headers.setdefault("Cache-Control", "no-store")
    response = WerkzeugResponse(body if body is not None else b"", reply.status, headers)
    if body is None:
        del response.headers["Content-Type"]
    for cookie in reply.cookies:
        response.headers.add("Set-Cookie", cookie)
    return response


async def _finish(
    services: Services, by_path: dict[str, dict[str, Route]], response: WerkzeugResponse
) -> WerkzeugResponse:
    path = _endpoint()
    response.headers["X-Request-Id"] = logs.request_id.get()
    for name, value in SAFETY_HEADERS.items():
        response.headers.setdefault(name, value)
    _add_cors(services, by_path.get(path, {}), response)
    method = request.method if request.method in _METHODS else "OTHER"
    services.metrics.answered(
        method, path, response.status_code, services.clock.now_s() - g.get("began_s", services.clock.now_s())
    )
    return response


def _endpoint() -> str:
    """Return the pattern of the route that was asked for; a preflight asks for another method's."""
    if request.url_rule is not None:
        return request.url_rule.rule
    wanted = request.headers.get("Access-Control-Request-Method", "")
    if request.method == "OPTIONS" and wanted in _METHODS:
        try:
            rule, _ = current_app.url_map.bind("").match(request.path, method=wanted, return_rule=True)
        except HTTPException:
            return "unmatched"
        return str(rule.rule)
    return "unmatched"


def _add_cors(services: Services, methods: dict[str, Route], response: WerkzeugResponse) -> None:
    origin = request.headers.get("Origin", "")
    if not origin or not any(r.cors is Cors.CONFIGURED for r in methods.values()):
        return
    response.headers.add("Vary", "Origin")
    allowed = services.settings.cors_origins
    if origin not in allowed and "*" not in allowed:
        return
    response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
    response.headers["Access-Control-Expose-Headers"] = "Retry-After"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        response.headers["Access-Control-Max-Age"] = str(CORS_MAX_AGE_S)


async def _failed(services: Services, exc: Exception) -> WerkzeugResponse:
    """The request's error boundary: whatever happened becomes a problem with a sentence."""
    return _problem_response(_as_problem(services, exc))


async def _escaped(services: Services, exc: Exception) -> WerkzeugResponse:
    return _problem_response(_as_problem(services, exc))


def _problem_response(problem: Problem) -> WerkzeugResponse:
    body, headers = render(problem)
    return WerkzeugResponse(body, problem.status, headers)


def _as_problem(services: Services, exc: BaseException) -> Problem:
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    if isinstance(exc, Problem):
        return exc
    if isinstance(exc, AirclassError) and exc.status < 500:
        return Problem(exc.status, exc.reason)
    if isinstance(exc, trio.TooSlowError):
        return Problem(408, "The request's body did not arrive in time.", "too-slow")
    if isinstance(exc, HTTPException) and exc.code is not None and exc.code < 500:
        allowed = getattr(exc, "valid_methods", None)
        headers = {"Allow": ", ".join(sorted(allowed))} if allowed else {}
        return Problem(exc.code, _SENTENCES.get(exc.code, "The request cannot be answered."), headers=headers)
    services.metrics.error("bug")
    log.error("request.failed path=%s", request.url_rule or "unmatched", exc_info=exc)
    return Problem(500, "Something went wrong here; it was written to the log.", "error")


_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT")
_SENTENCES = {
    400: "The request cannot be read.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    408: "The request's body did not arrive in time.",
    413: "The body is too large.",
}
