"""One request as a handler sees it: who calls, from where, with which parameters and body."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airclass.domain.classrooms import Classroom, may_manage
from airclass.web.http.auth import bearer, host, read_viewer, scheme
from airclass.web.http.problems import ApiProblem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import trio
    from quart import Request

    from airclass.domain.users import Caller
    from airclass.web.http.asgi_request import AsgiRequest
    from airclass.web.services import Services
    from relay.base.tokens import ViewerClaims


class Turn:
    """A place in the queue of joins (see `web/server/fast_path.py`)."""

    __slots__ = ("_limiter", "_held")

    def __init__(self, limiter: trio.CapacityLimiter) -> None:
        self._limiter = limiter
        self._held = False

    async def take(self) -> None:
        """Wait for a place."""
        await self._limiter.acquire_on_behalf_of(self)
        self._held = True

    def give_back(self) -> None:
        """Leave the place to the next one; does nothing when there is none to leave."""
        if self._held:
            self._held = False
            self._limiter.release_on_behalf_of(self)


@dataclass(slots=True)
class RequestContext:
    """A request after its route's policy was enforced."""

    services: Services
    request: Request | AsgiRequest
    params: Mapping[str, str]
    address: str
    caller: Caller | None = None
    raw: bytes = b""
    body: Any = None
    turn: Turn | None = None

    @asynccontextmanager
    async def outside_queue(self) -> AsyncIterator[None]:
        """Leave the place in the queue of joins to others while something slow runs."""
        if self.turn is not None:
            self.turn.give_back()
        yield
        if self.turn is not None:
            await self.turn.take()

    @property
    def who(self) -> Caller:
        """The signed-in caller; only on routes that ask for a role."""
        if self.caller is None:
            raise ApiProblem(401, "Sign in first.")
        return self.caller

    def arg(self, name: str, max_chars: int = 2048) -> str:
        """Return a query parameter, empty when absent or absurdly long."""
        value = self.request.args.get(name, "")
        return value if len(value) <= max_chars else ""

    def classroom(self) -> Classroom:
        """Return the class that the path names; 404 also for classes of others."""
        classroom = self.services.cluster.view.classrooms.get(self.params["classroom_id"])
        if classroom is None or not may_manage(self.who, classroom):
            raise ApiProblem(404, "There is no such class, or it belongs to somebody else.")
        # Its students are likely to come from the same school: somebody there who tries codes must not
        # keep them out.
        self.services.code_throttle.known(classroom.id, self.address)
        return classroom

    def viewer(self, classroom_id: str) -> tuple[ViewerClaims, Classroom]:
        """Return who holds the viewer token of this request, and their class."""
        token = self.arg("token") or bearer(self.request.headers.get("Authorization", ""))
        if not token:
            raise ApiProblem(401, "The address holds no token: join the class again.")
        return read_viewer(self.services, token, classroom_id)

    def check_accounted(self, subject: str) -> None:
        """Refuse to name relays to somebody who may be playing at one that has not reported yet."""
        if self.services.cluster.is_unaccounted(subject, self.services.clock.now_s()):
            raise ApiProblem(503, "The relays are being found again: keep the one you have.", retry_after_s=2)

    def base_url(self) -> str:
        """Return the address under which the caller reaches this master, without a slash."""
        if self.services.settings.master_url:
            return self.services.settings.master_url
        return f"{scheme(self.services, self.request)}://{host(self.services, self.request)}"
