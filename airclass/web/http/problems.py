"""Errors as clients see them: RFC 9457 problem details with a sentence that says what to do."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from relay.base.errors import AirclassError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE = "application/problem+json"
_PREFIX = "urn:airclass:problem:"
_SLUGS = {
    400: "invalid",
    401: "not-signed-in",
    403: "forbidden",
    404: "not-found",
    405: "wrong-method",
    409: "conflict",
    413: "too-large",
    415: "invalid",
    429: "too-many-tries",
    503: "try-later",
}


class ApiProblem(AirclassError):
    """An answer that is not a success; `slug` is what programs look at."""

    def __init__(
        self,
        status: int,
        detail: str,
        slug: str = "",
        *,
        retry_after_s: float = 0,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.slug = slug or _SLUGS.get(status, "error")
        self.retry_after_s = max(1, round(retry_after_s)) if retry_after_s else 0
        self.headers = dict(headers or {})


class ProblemBody(msgspec.Struct, omit_defaults=True):
    """RFC 9457 problem details; `type` ends in a word that never changes."""

    type: str
    title: str
    status: int
    detail: str
    retry_after_s: int = 0


def render(problem: ApiProblem) -> tuple[bytes, dict[str, str]]:
    """Return a problem's body and headers."""
    body = ProblemBody(
        type=_PREFIX + problem.slug,
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.reason,
        retry_after_s=problem.retry_after_s,
    )
    headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store", **problem.headers}
    if problem.retry_after_s:
        headers["Retry-After"] = str(problem.retry_after_s)
    return msgspec.json.encode(body), headers
