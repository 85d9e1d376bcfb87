"""A route and its policy: who may call, how often, how large a body, from which other sites.

Every route declares all of it; there are no defaults to forget. `app.py` enforces the policy and
`openapi.py` prints it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from airclass.domain.rate_limits import RateLimit
from airclass.domain.users import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import msgspec

    from airclass.web.http.context import RequestContext

SMALL_BYTES = 32 * 1024  # the longest fields that a form allows, even if every sign is escaped
FORM_BYTES = 64 * 1024
CLUSTER_BYTES = 4 * 1024 * 1024  # a heartbeat that names all viewers of a large relay
SHORT_CALL_BYTES = 256 * 1024


class AccessRule(StrEnum):
    """Ways in that are not roles; each names what the handler checks itself."""

    ANYONE = "anyone"
    MAYBE_SIGNED_IN = "anyone, more for the signed in"
    VIEWER = "viewer token"
    CLUSTER = "cluster signature"
    INGEST = "stream key"
    METRICS = "monitor token unless METRICS_PUBLIC"


class CorsRule(StrEnum):
    """Which other sites may read the answer in a browser; never with cookies."""

    NONE = "none"
    CONFIGURED = "CORS_ORIGINS"


Access = AccessRule | frozenset[Role]
ADMIN: Access = frozenset({Role.ADMIN})
STAFF: Access = frozenset({Role.ADMIN, Role.TEACHER})
WATCHERS: Access = frozenset({Role.ADMIN, Role.MONITOR})
SIGNED_IN: Access = frozenset({Role.ADMIN, Role.TEACHER, Role.MONITOR})

# One school is one address: these are for floods, not for people.
PAGES = RateLimit(rate_per_s=200, burst=2000)
JOINS = RateLimit(rate_per_s=200, burst=2000)
PLAYERS = RateLimit(rate_per_s=1000, burst=5000)
OFFICE = RateLimit(rate_per_s=20, burst=100)
MACHINES = RateLimit(rate_per_s=500, burst=2000)
LOGINS = RateLimit(rate_per_s=5, burst=50)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """An answer other than `200` with JSON."""

    body: bytes | str | msgspec.Struct | dict[str, Any] | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cookies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One method on one path."""

    method: str
    path: str
    handler: Callable[[RequestContext], Awaitable[Any]]
    summary: str
    access: Access
    limit: RateLimit
    max_bytes: int
    cors: CorsRule
    body: Any = None
    answer: Any = None
    status: int = 200
    answer_type: str = "application/json"
    problems: tuple[int, ...] = ()
    query: tuple[str, ...] = ()
    hidden: bool = False


def family(**shared: Any) -> Callable[..., Route]:
    """Return a maker of routes with most of their policy in common: `make(method, path, handler, summary)`.

    What a route names itself goes before what it shares.
    """

    def make(
        method: str, path: str, handler: Callable[[RequestContext], Awaitable[Any]], summary: str, **own: Any
    ) -> Route:
        policy = {**shared, **own}
        return Route(method=method, path=path, handler=handler, summary=summary, **policy)

    return make
