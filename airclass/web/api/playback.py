"""What players load from the master: the multivariant playlist and the steering manifest.

Both name nodes, so both seat the student first: otherwise everybody without a seat would be sent to the node
that is the least loaded at the time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from airclass.domain import steering
from airclass.domain.cluster import Placement
from airclass.domain.routing import read_address
from airclass.web.api import presenters
from airclass.web.api.schemas import SteeringOut
from airclass.web.api.seats import place
from airclass.web.http import route
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import AccessRule, ApiResponse, CorsRule

if TYPE_CHECKING:
    from airclass.web.http.context import RequestContext
    from relay.base.tokens import ViewerClaims

PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
STEERING_TYPE = "application/json"
NO_STORE = {"Cache-Control": "no-store"}


async def multivariant(call: RequestContext) -> ApiResponse:
    """Return the playlist with one pathway per relay; 503 while there is no picture yet."""
    stream = call.params["classroom_id"]
    claims, classroom = call.viewer(stream)
    services = call.services
    variants, renditions = services.cluster.stream_shape(classroom.id)
    token = call.arg("token")
    paths = []
    if variants and _seated(call, claims):
        paths = presenters.pathways(services, claims.subject, token, stream)
    if not paths:
        raise ApiProblem(503, "The class has no picture yet.", "no-picture", retry_after_s=1)
    text = steering.multivariant(paths, variants, renditions, _steering_url(call, stream, token))
    return ApiResponse(text, headers={"Content-Type": PLAYLIST_TYPE, **NO_STORE})


async def manifest(call: RequestContext) -> ApiResponse:
    """Return which relay to play from; never 410 or 429, which end steering in hls.js."""
    stream = call.params["classroom_id"]
    claims, _ = call.viewer(stream)
    services = call.services
    priority = []
    if _seated(call, claims):
        priority = services.cluster.pathways(claims.subject, stream, read_address(call.address))
    if not priority:
        raise ApiProblem(503, "No relay is ready: keep the one you have.", retry_after_s=2)
    body = steering.manifest(priority, _steering_url(call, stream, call.arg("token")))
    return ApiResponse(msgspec.json.encode(body), headers={"Content-Type": STEERING_TYPE, **NO_STORE})


def _seated(call: RequestContext, claims: ViewerClaims) -> bool:
    """Give the student a seat unless they have one; False when they keep the node that they play from."""
    return place(call.services, claims, read_address(call.address)) is Placement.SEATED


def _steering_url(call: RequestContext, stream: str, token: str) -> str:
    return f"{call.base_url()}/steering/{stream}?token={token}"


_player = route.family(
    access=AccessRule.VIEWER,
    limit=route.PLAYERS,
    max_bytes=0,
    cors=CorsRule.CONFIGURED,
    query=("token",),
    problems=(401, 403, 503),
)

ROUTES = (
    _player(
        "GET",
        "/live/<classroom_id>/index.m3u8",
        multivariant,
        "Multivariant playlist with one pathway per relay.",
        answer=str,
        answer_type=PLAYLIST_TYPE,
    ),
    _player(
        "GET",
        "/steering/<classroom_id>",
        manifest,
        "Steering manifest: the student's own relay first.",
        answer=SteeringOut,
    ),
)
