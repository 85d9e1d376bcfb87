"""For machines that look after the master: health, readiness, metrics, and the API's description."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from prometheus_client.exposition import choose_encoder

from airclass.domain.users import Role
from airclass.web.api.schemas import StateOut
from airclass.web.http import route
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import AccessRule, ApiResponse, CorsRule
from relay.base.jwks import Jwks

if TYPE_CHECKING:
    from airclass.web.http.context import RequestContext

READY_S = 2.0


async def healthz(call: RequestContext) -> StateOut:
    """Tell that the process is alive."""
    return StateOut("ok")


async def readyz(call: RequestContext) -> ApiResponse:
    """Tell whether the master can do its work: the database answers, it is not stopping."""
    services = call.services
    problems = []
    if services.stopping.is_set():
        problems.append("The master is stopping.")
    try:
        with trio.fail_after(READY_S):
            await services.store.revision()
    except trio.TooSlowError:
        problems.append(f"The database has not answered within {READY_S:.0f} s.")
    except Exception as exc:  # noqa: BLE001  whatever the driver raises means "not ready"
        problems.append(f"The database does not answer ({type(exc).__name__}).")
    state = StateOut("not ready" if problems else "ok", problems)
    return ApiResponse(state, 503 if problems else 200)


async def metrics(call: RequestContext) -> ApiResponse:
    """Return Prometheus metrics, for monitors unless METRICS_PUBLIC is set."""
    services = call.services
    if not services.settings.metrics_public:
        if call.caller is None:
            raise ApiProblem(401, "Metrics need a monitor's token: airclass token monitor.")
        if call.caller.role not in (Role.ADMIN, Role.MONITOR):
            raise ApiProblem(403, "Metrics are for monitors and admins.")
    services.metrics.refresh(services.cluster)
    encode, content_type = choose_encoder(call.request.headers.get("Accept", ""))
    return ApiResponse(encode(services.metrics.registry), headers={"Content-Type": content_type})


async def jwks(call: RequestContext) -> ApiResponse:
    """Return the public keys that check viewer tokens; none with TOKEN_ALG=HS256."""
    return ApiResponse(call.services.tokens.jwks, headers={"Content-Type": "application/json"})


_route = route.family(access=AccessRule.ANYONE, limit=route.PAGES, max_bytes=0, cors=CorsRule.NONE)

ROUTES = (
    _route("GET", "/healthz", healthz, "The process is alive.", answer=StateOut),
    _route("GET", "/readyz", readyz, "The master can do its work.", answer=StateOut),
    _route(
        "GET",
        "/metrics",
        metrics,
        "Prometheus metrics.",
        access=AccessRule.METRICS,
        answer=str,
        answer_type="text/plain",
        problems=(401, 403),
    ),
    _route("GET", "/.well-known/jwks.json", jwks, "Public keys of viewer tokens.", answer=Jwks),
)
