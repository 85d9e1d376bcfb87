"""One request as a handler sees it: who calls, from where, with which parameters and body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airclass.domain.classrooms import Classroom, may_manage
from airclass.web.http.auth import bearer, host, read_viewer, scheme
from airclass.web.http.problems import ApiProblem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quart import Request

    from airclass.domain.users import Caller
    from airclass.web.http.asgi_request import AsgiRequest
    from airclass.web.services import Services
    from relay.base.tokens import ViewerClaims


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
