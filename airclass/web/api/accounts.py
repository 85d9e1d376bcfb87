"""People with accounts: signing in and out, one-time links, and the list of users."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import UNSET

from airclass.domain.classrooms import make_id
from airclass.domain.device_cookies import DEVICE_S
from airclass.domain.rate_limits import Attempt, RateLimit
from airclass.domain.snapshot import Revocation
from airclass.domain.tokens import LINK_S, SESSION_S, TokenKind
from airclass.domain.users import Role, User, clean_name, name_key
from airclass.io.store import WriteConflict
from airclass.web.api import presenters
from airclass.web.api.schemas import LinkOut, LoginIn, MeOut, UserIn, UserOut, UserPatch, UserRow, UsersOut
from airclass.web.http import route
from airclass.web.http.auth import DEVICE_COOKIE, read_device, scheme, session_cookie
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import AccessRule, ApiResponse, CorsRule
from relay.base.errors import TokenError
from relay.base.network import network_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from airclass.web.http.context import RequestContext
    from airclass.web.services import Services

WRONG_LOGIN = "Name or password is wrong."
# lines about refused sign-ins, in the log and the audit log: of one network, and of all together
REFUSED_HERE = RateLimit(rate_per_s=0.1, burst=10)
REFUSED_IN_ALL = RateLimit(rate_per_s=1, burst=60)


async def login(call: RequestContext) -> ApiResponse:
    """Start a session: by name and password, or by a one-time link."""
    form: LoginIn = call.body
    services = call.services
    if form.link_token:
        try:
            user = await _use_link(call, form.link_token)
        except ApiProblem:
            await _note_refused(call, "link")
            raise
    else:
        user = await check_password(call, form.username, form.password)
    token = make_session(services, user)
    await services.store.log(services.event(user.name, "login", user.name, address=call.address))
    body = MeOut(UserOut(user.id, user.name, str(user.role)))
    return ApiResponse(body, cookies=(_cookie(call, token, int(SESSION_S)), _device_cookie(call, user)))


async def logout(call: RequestContext) -> ApiResponse:
    """End the session, here and for whoever copied its token."""
    caller = call.caller
    if caller is not None and caller.user_id:
        over = Revocation("session", caller.token_id, caller.expires_at_s)
        try:
            await call.services.store.revoke([over])
        except WriteConflict:
            pass  # signed out twice at once
        await call.services.reload()
    return ApiResponse(None, 204, cookies=(_cookie(call, "", 0),))


async def me(call: RequestContext) -> MeOut:
    """Return who is signed in."""
    return MeOut(UserOut(call.who.user_id, call.who.name, str(call.who.role)))


async def list_users(call: RequestContext) -> UsersOut:
    """Return all accounts."""
    users = sorted(call.services.cluster.view.users.values(), key=lambda u: u.name.casefold())
    return UsersOut([_row(u) for u in users])


async def add_user(call: RequestContext) -> UserRow:
    """Make an account."""
    form: UserIn = call.body
    services = call.services
    name = _name(form.name)
    user = User(
        id=make_id(services.entropy(8), "u"),
        name=name,
        role=Role(form.role),
        password_hash=await services.passwords.hash(form.password) if form.password else "",
        created_at_s=services.clock.wall_s(),
    )
    await services.store.add_user(user, services.event(call.who, "user.add", name, form.role))
    await services.reload()
    return _row(user)


async def change_user(call: RequestContext) -> UserRow:
    """Change name, role, password or state of an account; ends its sessions where that matters."""
    form: UserPatch = call.body
    services, user = call.services, _user(call)
    changes: dict[str, object] = {}
    if form.name is not UNSET:
        changes["name"] = _name(form.name)
    if form.role is not UNSET:
        changes["role"] = form.role
    if form.disabled is not UNSET:
        changes["disabled"] = form.disabled
    if form.password is not UNSET:
        changes["password_hash"] = await services.passwords.hash(form.password)
    if user.role is Role.ADMIN and (changes.get("role", "admin") != "admin" or changes.get("disabled")):
        _check_not_last_admin(services, user)
    if changes:
        if changes.keys() - {"name"}:
            changes["generation"] = user.generation + 1
        what = ", ".join(sorted(k for k in changes if k != "generation"))
        await services.store.change_user(
            user.id, changes, services.event(call.who, "user.change", user.name, what)
        )
        await services.reload()
    return _row(_user(call))


async def delete_user(call: RequestContext) -> ApiResponse:
    """Remove an account."""
    user = _user(call)
    if user.role is Role.ADMIN:
        _check_not_last_admin(call.services, user)
    await call.services.store.delete_user(user.id, call.services.event(call.who, "user.delete", user.name))
    await call.services.reload()
    return ApiResponse(None, 204)


async def make_link(call: RequestContext) -> LinkOut:
    """Make a one-time link that signs somebody in."""
    user = _user(call)
    services = call.services
    until_s = services.clock.wall_s() + LINK_S
    url = login_link(services, user, call.base_url(), "/")
    await services.store.log(services.event(call.who, "user.link", user.name))
    return LinkOut(url, presenters.iso(until_s))


def login_link(services: Services, user: User, base_url: str, next_page: str) -> str:
    """Return a one-time link for a user; `next_page` is a path of the master."""
    token = services.tokens.mint(
        TokenKind.LINK,
        subject=user.id,
        token_id=services.token_id(),
        wall_s=services.clock.wall_s(),
        life_s=LINK_S,
        extra=str(user.generation),
    )
    return f"{base_url}/login#link={token}&next={quote(next_page, safe='/')}"


def make_session(services: Services, user: User) -> str:
    """Return the token of a new session, and count it."""
    services.metrics.tokens["monitor" if user.role is Role.MONITOR else "teacher"].inc()
    return services.tokens.mint(
        TokenKind.SESSION,
        subject=user.id,
        token_id=services.token_id(),
        wall_s=services.clock.wall_s(),
        life_s=SESSION_S,
        extra=str(user.generation),
    )


def count_try(call: RequestContext, what: str, who: str, device: str = "") -> Callable[[], None]:
    """Refuse a password where too many were wrong; returns what to call when this one is right.

    It counts as wrong before it is checked, so that parallel guesses get no more tries than serial ones.
    """
    services, now_s = call.services, call.services.clock.now_s()
    attempt = Attempt(what, who, call.address, device)
    wait_s = services.login_throttle.wait_s(attempt, now_s)
    if wait_s:
        services.metrics.error("too-many-tries")
        raise ApiProblem(429, "Too many wrong passwords: wait a little.", retry_after_s=wait_s)
    services.login_throttle.wrong(attempt, now_s)
    return partial(services.login_throttle.right, attempt, now_s)


async def check_password(call: RequestContext, username: str, password: str) -> User:
    """Return the account, or refuse in the same time whether it exists or not."""
    services = call.services
    user = services.cluster.view.find_user(username)
    device = read_device(services, call.request, user.id) if user is not None else ""
    target = user.name if user is not None else "unknown name"  # the typed one may be a password
    try:
        forgive = count_try(call, "login", name_key(username), device)
    except ApiProblem:
        await _note_refused(call, target)
        raise
    stored = user.password_hash if user is not None and not user.disabled else ""
    if not await services.passwords.matches(password, stored) or user is None:
        services.metrics.error("wrong-password")
        await _note_refused(call, target)
        raise ApiProblem(401, WRONG_LOGIN, "wrong-password")
    forgive()
    if services.passwords.needs_rehash(stored):
        fresh = await services.passwords.hash(password)
        await services.store.change_user(
            user.id, {"password_hash": fresh}, services.event(user.name, "user.rehash", user.name)
        )
        await services.reload()
    return user


async def _note_refused(call: RequestContext, target: str) -> None:
    """Log and audit a refused sign-in, but few of a flood: each is a write to the database."""
    services = call.services
    for key, limit in ((("refused", network_of(call.address)), REFUSED_HERE), (("refused",), REFUSED_IN_ALL)):
        if services.buckets.take(key, limit, services.clock.now_s()):
            return
    await services.store.log(services.event("-", "login.refused", target, address=call.address))


async def _use_link(call: RequestContext, link_token: str) -> User:
    services = call.services
    try:
        claims = services.tokens.read(link_token, (TokenKind.LINK,), services.clock.wall_s())
    except TokenError:
        raise ApiProblem(401, "This link is not valid any more: ask for a new one.") from None
    user = services.cluster.view.users.get(claims.subject)
    if user is None:
        await services.reload()  # made a moment ago by the command line
        user = services.cluster.view.users.get(claims.subject)
    if user is None or user.disabled or str(user.generation) != claims.extra:
        raise ApiProblem(401, "This link is not valid any more: ask for a new one.")
    try:
        await services.store.revoke([Revocation("link", claims.token_id, claims.expires_at_s + 60)])
    except WriteConflict:
        raise ApiProblem(401, "This link was used already: ask for a new one.") from None
    return user


def _name(typed: str) -> str:
    name = clean_name(typed)
    if not name:
        raise ApiProblem(409, "This name holds nothing that can be shown: type another.")
    return name


def _user(call: RequestContext) -> User:
    user = call.services.cluster.view.users.get(call.params["user_id"])
    if user is None:
        raise ApiProblem(404, "There is no such user.")
    return user


def _check_not_last_admin(services: Services, user: User) -> None:
    others = [
        u
        for u in services.cluster.view.users.values()
        if u.role is Role.ADMIN and not u.disabled and u.id != user.id
    ]
    if not others:
        raise ApiProblem(409, "This is the last admin: make another one first.", "last-admin")


def _row(user: User) -> UserRow:
    return UserRow(
        user.id,
        user.name,
        str(user.role),
        user.disabled,
        bool(user.password_hash),
        presenters.iso(user.created_at_s),
    )


def _cookie(call: RequestContext, token: str, max_age_s: int) -> str:
    name = session_cookie(call.services, call.request)
    return f"{name}={token}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{_secure(call)}"


def _device_cookie(call: RequestContext, user: User) -> str:
    """Return a cookie by which this browser is known for this account, see `domain/device_cookies.py`."""
    services = call.services
    device = read_device(services, call.request, user.id) or services.token_id()
    value = services.devices.make(user.id, device, services.clock.wall_s())
    name, age = f"{DEVICE_COOKIE}{user.id}", int(DEVICE_S)
    return f"{name}={value}; Path=/api; Max-Age={age}; HttpOnly; SameSite=Strict{_secure(call)}"


def _secure(call: RequestContext) -> str:
    return "; Secure" if scheme(call.services, call.request) == "https" else ""


_door = route.family(access=AccessRule.ANYONE, limit=route.LOGINS, max_bytes=0, cors=CorsRule.NONE)
_office = route.family(access=route.ADMIN, limit=route.OFFICE, max_bytes=0, cors=CorsRule.NONE)
_ONE = "/api/users/<user_id>"
_FORM = route.SMALL_BYTES

ROUTES = (
    _door(
        "POST",
        "/api/login",
        login,
        "Sign in by name and password, or by a one-time link.",
        max_bytes=_FORM,
        body=LoginIn,
        answer=MeOut,
        problems=(400, 401),
    ),
    _door(
        "POST",
        "/api/logout",
        logout,
        "Sign out.",
        access=AccessRule.MAYBE_SIGNED_IN,
        status=204,
        problems=(401, 403),
    ),
    _door(
        "GET",
        "/api/me",
        me,
        "Who is signed in.",
        access=route.SIGNED_IN,
        limit=route.PAGES,
        answer=MeOut,
    ),
    _office("GET", "/api/users", list_users, "All accounts.", answer=UsersOut),
    _office(
        "POST",
        "/api/users",
        add_user,
        "Make an account.",
        max_bytes=_FORM,
        body=UserIn,
        answer=UserRow,
        status=201,
        problems=(400, 409),
    ),
    _office(
        "PATCH",
        _ONE,
        change_user,
        "Change an account.",
        max_bytes=_FORM,
        body=UserPatch,
        answer=UserRow,
        problems=(400, 404, 409),
    ),
    _office("DELETE", _ONE, delete_user, "Remove an account.", status=204, problems=(404, 409)),
    _office(
        "POST",
        f"{_ONE}/link",
        make_link,
        "Make a one-time link that signs this user in.",
        answer=LinkOut,
        problems=(404,),
    ),
)
