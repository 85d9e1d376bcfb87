"""MediaMTX asks whether somebody may publish, read or use its API; answered from memory, at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airclass.domain.classrooms import StreamState
from airclass.domain.publish_auth import HINTS, decide
from airclass.domain.users import clean_name
from airclass.web.api.schemas import HookIn
from airclass.web.http import route
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import AccessRule, ApiResponse, CorsRule, Route

if TYPE_CHECKING:
    from airclass.web.http.context import RequestContext

log = logging.getLogger(__name__)


async def auth(call: RequestContext) -> ApiResponse:
    """Allow (204) or refuse (401); one log line for every publisher."""
    ask: HookIn = call.body
    services = call.services
    verdict = decide(
        action=ask.action,
        path=ask.path,
        user=ask.user,
        password=ask.password,
        token=ask.token,
        query=ask.query,
        view=services.cluster.view,
        cluster_tokens=services.ingest.cluster_tokens,
    )
    address = clean_name(ask.ip)
    if not verdict.allowed:
        services.metrics.error(f"ingest-{verdict.reason}")
        log.warning(
            "ingest.refused action=%s class=%s address=%s reason=%s hint=%s",
            clean_name(ask.action, 16),
            verdict.classroom_id or "-",
            address,
            verdict.reason,
            HINTS.get(verdict.reason, "-"),
        )
        raise ApiProblem(401, "Publishing needs the class's own stream key, in an open class.", "not-allowed")
    if ask.action == "publish":
        classroom = services.cluster.view.classrooms[verdict.classroom_id]
        is_live = services.cluster.state(classroom) is StreamState.LIVE
        services.ingest.accepted(classroom.id, address, is_live=is_live)
        event = "ingest.takeover" if is_live else "ingest.publish"
        services.ingest.note(services.event("ingest", event, verdict.classroom_id, address))
    return ApiResponse(None, 204)


ROUTES = (
    Route(
        method="POST",
        path="/hooks/mediamtx/auth",
        handler=auth,
        summary="MediaMTX's authentication hook.",
        access=AccessRule.INGEST,
        limit=route.MACHINES,
        max_bytes=route.FORM_BYTES,
        cors=CorsRule.NONE,
        body=HookIn,
        status=204,
        problems=(400, 401),
    ),
)
