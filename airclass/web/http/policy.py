"""What every request passes, whichever way it came: rate, role, body, and what all answers carry."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import trio
from werkzeug.exceptions import HTTPException

from airclass.web.http.auth import check_same_site, identify, role_names
from airclass.web.http.problems import ApiProblem, render
from airclass.web.http.route import AccessRule, ApiResponse, CorsRule, Route
from relay.base import logs
from relay.base.errors import AirclassError
from relay.base.network import network_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from quart import Request

    from airclass.domain.users import Caller
    from airclass.web.http.asgi_request import AsgiRequest
    from airclass.web.services import Services

log = logging.getLogger(__name__)

BODY_S = 10.0
CORS_MAX_AGE_S = 86400
METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT")
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOOKS_AT_CALLER = (AccessRule.MAYBE_SIGNED_IN, AccessRule.METRICS)
SAFETY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class HeaderReader(Protocol):
    """An answer's headers, Werkzeug's or a plain dict."""

    def __setitem__(self, name: str, value: str, /) -> None:
        """Set a header."""

    def setdefault(self, name: str, value: str, /) -> Any:
        """Set a header that is not there."""

    def get(self, name: str, default: str, /) -> Any:
        """Return a header."""


def check_rate(services: Services, route: Route, address: str) -> None:
    """Refuse whoever asks more often than the route allows an address."""
    wait_s = services.buckets.take((route.path, network_of(address)), route.limit, services.clock.now_s())
    if wait_s:
        services.metrics.error("rate-limit")
        raise ApiProblem(429, "Too many requests from your address: slow down.", retry_after_s=wait_s)


def admit(services: Services, route: Route, request: Request | AsgiRequest, method: str) -> Caller | None:
    """Return who calls, where the route asks; refuse who has not the role for it."""
    if isinstance(route.access, AccessRule) and route.access not in LOOKS_AT_CALLER:
        return None
    caller = identify(services, request)
    if caller is not None and caller.by_cookie and method not in SAFE_METHODS:
        check_same_site(services, request)
    if isinstance(route.access, frozenset):
        if caller is None:
            raise ApiProblem(401, "Sign in first.", headers={"WWW-Authenticate": "Bearer"})
        if caller.role not in route.access:
            services.metrics.error("forbidden")
            raise ApiProblem(403, f"This is for {role_names(route.access)} only.")
    return caller


def check_length(route: Route, length: int | None) -> None:
    """Refuse a body that is larger than the route takes."""
    if length is not None and length > route.max_bytes:
        raise ApiProblem(413, f"The body is larger than {route.max_bytes} bytes.")


def decode(route: Route, content_type: str, raw: bytes) -> Any:
    """Return the body as the route's record."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ApiProblem(415, "Send the body as application/json.")
    try:
        return msgspec.json.decode(raw, type=route.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ApiProblem(400, f"The body cannot be read: {exc}") from None


def as_response(result: Any, status: int) -> ApiResponse:
    """Return what a handler answered as bytes and headers."""
    response = result if isinstance(result, ApiResponse) else ApiResponse(result, status)
    if not isinstance(response.body, msgspec.Struct | dict):
        return response
    plain = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return ApiResponse(
        msgspec.json.encode(response.body), response.status, {**plain, **response.headers}, response.cookies
    )


def as_problem(services: Services, exc: BaseException, path: str) -> ApiProblem:
    """Return a failure as a problem with a sentence; what is a bug is logged and counted."""
    while isinstance(exc, BaseExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    if isinstance(exc, ApiProblem):
        return exc
    if isinstance(exc, AirclassError) and (exc.status < 500 or exc.status == 503):
        return ApiProblem(exc.status, exc.reason)
    if isinstance(exc, trio.TooSlowError):
        return ApiProblem(408, _SENTENCES[408], "too-slow")
    if isinstance(exc, HTTPException) and exc.code is not None and exc.code < 500:
        allowed = getattr(exc, "valid_methods", None)
        headers = {"Allow": ", ".join(sorted(allowed))} if allowed else {}
        return ApiProblem(
            exc.code, _SENTENCES.get(exc.code, "The request cannot be answered."), headers=headers
        )
    services.metrics.error("bug")
    log.error("request.failed path=%s", path, exc_info=exc)
    return ApiProblem(500, "Something went wrong here; it was written to the log.", "error")


def refusal(problem: ApiProblem) -> ApiResponse:
    """Return a problem as an answer."""
    body, headers = render(problem)
    return ApiResponse(body, problem.status, headers)


def complete(
    services: Services, routes: Mapping[str, Route], method: str, origin: str, headers: HeaderReader
) -> None:
    """Add what every answer carries: the request's id, safety, and leave for other sites to read it."""
    headers["X-Request-Id"] = logs.request_id()
    for name, value in SAFETY_HEADERS.items():
        headers.setdefault(name, value)
    if origin and any(r.cors is CorsRule.CONFIGURED for r in routes.values()):
        _add_cors(services.settings.cors_origins, routes, method, origin, headers)


def _add_cors(
    allowed: Iterable[str], routes: Mapping[str, Route], method: str, origin: str, headers: HeaderReader
) -> None:
    vary = headers.get("Vary", "")
    headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
    if origin not in allowed and "*" not in allowed:
        return
    headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
    headers["Access-Control-Expose-Headers"] = "Retry-After"
    if method == "OPTIONS":
        headers["Access-Control-Allow-Methods"] = ", ".join(sorted(routes))
        headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
        headers["Access-Control-Max-Age"] = str(CORS_MAX_AGE_S)


_SENTENCES = {
    400: "The request cannot be read.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    408: "The request's body did not arrive in time.",
    413: "The body is too large.",
}
