"""The API's description, made from the route table: it cannot say anything else than the code does."""

from __future__ import annotations

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec

from airclass.web.http.problems import CONTENT_TYPE, ProblemBody
from airclass.web.http.route import AccessRule, CorsRule, Route
from relay import __version__

_PARAMETER = re.compile(r"<(?:[a-z]+:)?([a-z_]+)>")


@lru_cache(maxsize=1)
def describe(all_routes: tuple[Route, ...]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes."""
    shown = [r for r in all_routes if not r.hidden]
    types = [t for r in shown for t in (r.body, r.answer) if t not in (None, str, dict)] + [ProblemBody]
    schemas, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_type = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in shown:
        path = _PARAMETER.sub(r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {"title": "AIRClass master", "version": __version__, "license": {"name": "MIT"}},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


def _operation(route: Route, by_type: dict[Any, Any]) -> dict[str, Any]:
    plain_path = _PARAMETER.sub(r"by_\1", route.path)
    name = re.sub(r"\W+", "_", route.method.lower() + plain_path).strip("_")
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": route.summary,
        "parameters": [
            {"name": p, "in": "path", "required": True, "schema": {"type": "string"}}
            for p in _PARAMETER.findall(route.path)
        ]
        + [{"name": q, "in": "query", "required": False, "schema": {"type": "string"}} for q in route.query],
        "responses": {str(route.status): _success(route, by_type), **_problems(route, by_type)},
        "x-access": str(route.access)
        if isinstance(route.access, AccessRule)
        else sorted(map(str, route.access)),
        "x-limit": {"rate_per_s": route.limit.rate_per_s, "burst": route.limit.burst},
        "x-max-body-bytes": route.max_bytes,
        "x-cors": route.cors is CorsRule.CONFIGURED,
    }
    if route.body is not None:
        content = {"application/json": {"schema": by_type[route.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    if not isinstance(route.access, AccessRule):
        operation["security"] = [{"session": []}, {"bearer": []}]
    elif route.access in (AccessRule.METRICS, AccessRule.VIEWER):
        operation["security"] = [{"bearer": []}, {}]
    elif route.access is AccessRule.CLUSTER:
        operation["security"] = [{"cluster": []}]
    return operation


def _success(route: Route, by_type: dict[Any, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(route.status).phrase}
    if route.answer is not None:
        plain = {str: {"type": "string"}, dict: {"type": "object"}}
        schema = plain.get(route.answer) or by_type[route.answer]
        answer["content"] = {route.answer_type: {"schema": schema}}
    return answer


def _problems(route: Route, by_type: dict[Any, Any]) -> dict[str, Any]:
    statuses = {*route.problems, 413, 429}
    if route.body is not None:
        statuses |= {400, 408, 415}
    if not isinstance(route.access, AccessRule):
        statuses |= {401, 403}
    content = {CONTENT_TYPE: {"schema": by_type[ProblemBody]}}
    return {str(s): {"description": HTTPStatus(s).phrase, "content": content} for s in sorted(statuses)}


_SCHEMES = {
    "session": {"type": "apiKey", "in": "cookie", "name": "airclass_session"},
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "cluster": {"type": "apiKey", "in": "header", "name": "X-Airclass-Signature"},
}
