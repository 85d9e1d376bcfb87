"""Who calls: viewer tokens, sessions and service tokens, and the caller's address behind trusted proxies."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from airclass.domain.tokens import SERVICE_KINDS, TokenKind
from airclass.domain.users import Caller, User
from airclass.web.http.problems import ApiProblem
from relay.base.errors import TokenError

if TYPE_CHECKING:
    from quart import Request

    from airclass.domain.classrooms import Classroom
    from airclass.web.http.asgi_request import AsgiRequest
    from airclass.web.services import Services
    from relay.base.tokens import ViewerClaims

COOKIE = "airclass_session"
DEVICE_COOKIE = "airclass_device_"  # and the account's id: teachers share the PC of a classroom
# A browser keeps such a cookie only with Secure and Path=/, and only for the host itself, so that neither
# another port without TLS nor a neighbouring host can overwrite a session.
HOST_PREFIX = "__Host-"
_HOST = re.compile(r"[A-Za-z0-9.\-_\[\]:]{1,255}")


def read_viewer(services: Services, token: str, classroom_id: str = "") -> tuple[ViewerClaims, Classroom]:
    """Check a viewer token against the memory view; 401 when bad, 403 when it no longer counts."""
    try:
        claims = services.tokens.read_viewer(token, services.clock.wall_s())
    except TokenError as exc:
        raise ApiProblem(exc.status, exc.reason) from None
    if classroom_id and claims.classroom != classroom_id:
        raise ApiProblem(403, "This token is for another class.")
    classroom = services.cluster.view.classrooms.get(claims.classroom)
    if classroom is None:
        raise ApiProblem(403, "This class is over.", "class-ended")
    if not services.cluster.is_valid(classroom, claims.subject, claims.token_id):
        ended = classroom.status == "ended"
        raise ApiProblem(
            403,
            "This class is over." if ended else "You were taken out of this class: ask your teacher.",
            "class-ended" if ended else "forbidden",
        )
    return claims, classroom


def bearer(header: str) -> str:
    """Return the token of an Authorization header, empty when it holds none."""
    kind, _, token = header.partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def identify(services: Services, request: Request | AsgiRequest) -> Caller | None:
    """Return who calls, by bearer token or session cookie; None for nobody. 401 for a bad token, 403 for
    a student's: it is good, but only for watching.
    """
    token = bearer(request.headers.get("Authorization", ""))
    by_cookie = False
    if not token:
        token, by_cookie = request.cookies.get(session_cookie(services, request), ""), True
    if not token:
        return None
    try:
        return read_caller(services, token, by_cookie=by_cookie)
    except TokenError as exc:
        if by_cookie:
            return None  # an old cookie must not keep anybody from the login page
        if _is_viewers(services, token):
            raise ApiProblem(403, "This is a student's token: it is only for watching a class.") from None
        raise ApiProblem(401, exc.reason) from None


def session_cookie(services: Services, request: Request | AsgiRequest) -> str:
    """Return the name of the session's cookie, which depends on whether the browser uses TLS."""
    return f"{HOST_PREFIX}{COOKIE}" if scheme(services, request) == "https" else COOKIE


def read_device(services: Services, request: Request | AsgiRequest, user_id: str) -> str:
    """Return the id of a browser in which this account has signed in before, else nothing."""
    value = request.cookies.get(f"{DEVICE_COOKIE}{user_id}", "")
    return services.devices.read(user_id, value, services.clock.wall_s())


def _is_viewers(services: Services, token: str) -> bool:
    try:
        services.tokens.read_viewer(token, services.clock.wall_s())
    except TokenError:
        return False
    return True


def read_caller(services: Services, token: str, *, by_cookie: bool = False) -> Caller:
    """Return whose session or service token this is; raises TokenError."""
    view = services.cluster.view
    claims = services.tokens.read(
        token, (TokenKind.SESSION, TokenKind.ADMIN, TokenKind.MONITOR), services.clock.wall_s()
    )
    if ("session", claims.token_id) in view.revoked:
        raise TokenError(401, "You have signed out: sign in again.")
    role = SERVICE_KINDS.get(claims.kind)
    if role is not None:
        name = f"{role} token"
        return Caller(role, "", name, claims.token_id, claims.expires_at_s, by_cookie)
    user: User | None = view.users.get(claims.subject)
    if user is None or user.disabled or str(user.generation) != claims.extra:
        raise TokenError(401, "This session has ended: sign in again.")
    return Caller(user.role, user.id, user.name, claims.token_id, claims.expires_at_s, by_cookie)


def check_same_site(services: Services, request: Request | AsgiRequest) -> None:
    """Refuse a change that another site asks a signed-in browser to make."""
    origin = request.headers.get("Origin", "").lower()
    site = request.headers.get("Sec-Fetch-Site", "")
    foreign = site not in ("", "same-origin", "none")
    if origin and not foreign:
        ours = {f"{scheme(services, request)}://{host(services, request)}".lower()}
        if services.settings.master_url:
            ours.add(services.settings.master_url.lower())
        foreign = origin not in ours
    if foreign:
        raise ApiProblem(403, "Another site may not do this in your name.")


def client_address(services: Services, request: Request | AsgiRequest) -> str:
    """Return the caller's address; a proxy's word counts only from TRUSTED_PROXIES."""
    peer = request.remote_addr or ""
    if not _is_trusted(services, peer):
        return peer
    hops = [h.strip() for h in request.headers.get("X-Forwarded-For", "").split(",") if h.strip()]
    while hops:
        peer = hops.pop()
        if not _is_trusted(services, peer):
            break
    return peer


def scheme(services: Services, request: Request | AsgiRequest) -> str:
    """Return http or https, as the client sees it."""
    if _is_trusted(services, request.remote_addr or ""):
        told = request.headers.get("X-Forwarded-Proto", "")
        if told in ("http", "https"):
            return told
    return "https" if request.scheme in ("https", "wss") else "http"


def host(services: Services, request: Request | AsgiRequest) -> str:
    """Return the host and port that the client used, safe to print into an address."""
    told = request.headers.get("Host", "")
    if _is_trusted(services, request.remote_addr or ""):
        told = request.headers.get("X-Forwarded-Host", told)
    return told if _HOST.fullmatch(told) else "localhost"


def _is_trusted(services: Services, address: str) -> bool:
    proxies = services.settings.trusted_proxies
    if not proxies:
        return False
    try:
        peer = ipaddress.ip_address(address)
        return any(peer in ipaddress.ip_network(p, strict=False) for p in proxies)
    except ValueError:
        return False


def role_names(access: object) -> str:
    """Return who may, for an error's sentence."""
    return " or ".join(sorted(str(r) for r in access)) if isinstance(access, frozenset) else str(access)
