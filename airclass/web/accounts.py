"""People with accounts: signing in and out, one-time links, and the list of users."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import UNSET

from airclass.domain.classrooms import make_id
from airclass.domain.people import Role, User, clean_name
from airclass.domain.tokens import LINK_S, SESSION_S, Kind
from airclass.domain.view import Revocation
from airclass.io.store import Conflict
from airclass.web import routes, words
from airclass.web.call import COOKIE, Call, scheme
from airclass.web.problems import Problem
from airclass.web.routes import Cors, Open, Reply, Route
from airclass.web.shapes import LinkOut, LoginIn, MeOut, UserIn, UserOut, UserPatch, UserRow, UsersOut
from relay.base.errors import TokenError

if TYPE_CHECKING:
    from airclass.web.services import Services

WRONG_LOGIN = "Name or password is wrong."


async def login(call: Call) -> Reply:
    """Start a session: by name and password, or by a one-time link."""
    form: LoginIn = call.body
    services = call.services
    if form.link_token:
        user = await _use_link(call, form.link_token)
    else:
        user = await check_password(call, form.username, form.password)
    wall_s = services.clock.wall_s()
    token = services.tokens.mint(
        Kind.SESSION,
        subject=user.id,
        token_id=services.token_id(),
        wall_s=wall_s,
        life_s=SESSION_S,
        extra=str(user.generation),
    )
    services.metrics.tokens["monitor" if user.role is Role.MONITOR else "teacher"].inc()
    await services.store.log(services.event(user.name, "login", user.name))
    body = MeOut(UserOut(user.id, user.name, str(user.role)))
    return Reply(body, cookies=(_cookie(call, token, int(SESSION_S)),))


async def logout(call: Call) -> Reply:
    """End the session, here and for whoever copied its token."""
    caller = call.caller
    if caller is not None and caller.user_id:
        over = Revocation("session", caller.token_id, caller.expires_at_s)
        try:
            await call.services.store.revoke([over])
        except Conflict:
            pass  # signed out twice at once
        await call.services.reload()
    return Reply(None, 204, cookies=(_cookie(call, "", 0),))


async def me(call: Call) -> MeOut:
    """Return who is signed in."""
    return MeOut(UserOut(call.who.user_id, call.who.name, str(call.who.role)))


async def list_users(call: Call) -> UsersOut:
    """Return all accounts."""
    users = sorted(call.services.cluster.view.users.values(), key=lambda u: u.name.casefold())
    return UsersOut([_row(u) for u in users])


async def add_user(call: Call) -> UserRow:
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


async def change_user(call: Call) -> UserRow:
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


async def delete_user(call: Call) -> Reply:
    """Remove an account."""
    user = _user(call)
    if user.role is Role.ADMIN:
        _check_not_last_admin(call.services, user)
    await call.services.store.delete_user(user.id, call.services.event(call.who, "user.delete", user.name))
    await call.services.reload()
    return Reply(None, 204)


async def make_link(call: Call) -> LinkOut:
    """Make a one-time link that signs somebody in."""
    user = _user(call)
    services = call.services
    until_s = services.clock.wall_s() + LINK_S
    url = login_link(services, user, call.base_url(), "/")
    await services.store.log(services.event(call.who, "user.link", user.name))
    return LinkOut(url, words.iso(until_s))


def login_link(services: Services, user: User, base_url: str, next_page: str) -> str:
    """Return a one-time link for a user; `next_page` is a path of the master."""
    token = services.tokens.mint(
        Kind.LINK,
        subject=user.id,
        token_id=services.token_id(),
        wall_s=services.clock.wall_s(),
        life_s=LINK_S,
        extra=str(user.generation),
    )
    return f"{base_url}/login#link={token}&next={quote(next_page, safe='/')}"


async def check_password(call: Call, username: str, password: str) -> User:
    """Return the account, or refuse in the same time whether it exists or not."""
    services, now_s = call.services, call.services.clock.now_s()
    name = clean_name(username).casefold()
    wait_s = services.patience.wait_s("login", name, call.address, now_s)
    if wait_s:
        services.metrics.error("too-many-tries")
        raise Problem(429, "Too many wrong passwords: wait a little.", retry_after_s=wait_s)
    user = services.cluster.view.by_name.get(name)
    stored = user.password_hash if user is not None and not user.disabled else ""
    # Counted before the check, so that parallel guesses do not get more tries than serial ones.
    services.patience.wrong("login", name, call.address, now_s)
    if not await services.passwords.matches(password, stored) or user is None:
        services.metrics.error("wrong-password")
        raise Problem(401, WRONG_LOGIN, "wrong-password")
    services.patience.right("login", name, call.address, now_s)
    if services.passwords.needs_rehash(stored):
        fresh = await services.passwords.hash(password)
        await services.store.change_user(
            user.id, {"password_hash": fresh}, services.event(user.name, "user.rehash", user.name)
        )
        await services.reload()
    return user


async def _use_link(call: Call, link_token: str) -> User:
    services = call.services
    try:
        claims = services.tokens.read(link_token, (Kind.LINK,), services.clock.wall_s())
    except TokenError:
        raise Problem(401, "This link is not valid any more: ask for a new one.") from None
    user = services.cluster.view.users.get(claims.subject)
    if user is None:
        await services.reload()  # made a moment ago by the command line
        user = services.cluster.view.users.get(claims.subject)
    if user is None or user.disabled or str(user.generation) != claims.extra:
        raise Problem(401, "This link is not valid any more: ask for a new one.")
    try:
        await services.store.revoke([Revocation("link", claims.token_id, claims.expires_at_s + 60)])
    except Conflict:
        raise Problem(401, "This link was used already: ask for a new one.") from None
    return user


def _name(typed: str) -> str:
    name = clean_name(typed)
    if not name:
        raise Problem(409, "This name holds nothing that can be shown: type another.")
    return name


def _user(call: Call) -> User:
    user = call.services.cluster.view.users.get(call.params["user_id"])
    if user is None:
        raise Problem(404, "There is no such user.")
    return user


def _check_not_last_admin(services: Services, user: User) -> None:
    others = [
        u
        for u in services.cluster.view.users.values()
        if u.role is Role.ADMIN and not u.disabled and u.id != user.id
    ]
    if not others:
        raise Problem(409, "This is the last admin: make another one first.", "last-admin")


def _row(user: User) -> UserRow:
    return UserRow(
        user.id,
        user.name,
        str(user.role),
        user.disabled,
        bool(user.password_hash),
        words.iso(user.created_at_s),
    )


def _cookie(call: Call, token: str, max_age_s: int) -> str:
    secure = "; Secure" if scheme(call.services, call.request) == "https" else ""
    return f"{COOKIE}={token}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{secure}"


ROUTES = (
    Route(
        method="POST",
        path="/api/login",
        handler=login,
        summary="Sign in by name and password, or by a one-time link.",
        access=Open.ANYONE,
        limit=routes.LOGINS,
        max_bytes=routes.SMALL_BYTES,
        cors=Cors.NONE,
        body=LoginIn,
        answer=MeOut,
        problems=(400, 401),
    ),
    Route(
        method="POST",
        path="/api/logout",
        handler=logout,
        summary="Sign out.",
        access=Open.MAYBE_SIGNED_IN,
        limit=routes.LOGINS,
        max_bytes=0,
        cors=Cors.NONE,
        status=204,
        problems=(401,),
    ),
    Route(
        method="GET",
        path="/api/me",
        handler=me,
        summary="Who is signed in.",
        access=routes.SIGNED_IN,
        limit=routes.PAGES,
        max_bytes=0,
        cors=Cors.NONE,
        answer=MeOut,
    ),
    Route(
        method="GET",
        path="/api/users",
        handler=list_users,
        summary="All accounts.",
        access=routes.ADMIN,
        limit=routes.OFFICE,
        max_bytes=0,
        cors=Cors.NONE,
        answer=UsersOut,
    ),
    Route(
        method="POST",
        path="/api/users",
        handler=add_user,
        summary="Make an account.",
        access=routes.ADMIN,
        limit=routes.OFFICE,
        max_bytes=routes.SMALL_BYTES,
        cors=Cors.NONE,
        body=UserIn,
        answer=UserRow,
        status=201,
        problems=(400, 409),
    ),
    Route(
        method="PATCH",
        path="/api/users/<user_id>",
        handler=change_user,
        summary="Change an account.",
        access=routes.ADMIN,
        limit=routes.OFFICE,
        max_bytes=routes.SMALL_BYTES,
        cors=Cors.NONE,
        body=UserPatch,
        answer=UserRow,
        problems=(400, 404, 409),
    ),
    Route(
        method="DELETE",
        path="/api/users/<user_id>",
        handler=delete_user,
        summary="Remove an account.",
        access=routes.ADMIN,
        limit=routes.OFFICE,
        max_bytes=0,
        cors=Cors.NONE,
        status=204,
        problems=(404, 409),
    ),
    Route(
        method="POST",
        path="/api/users/<user_id>/link",
        handler=make_link,
        summary="Make a one-time link that signs this user in.",
        access=routes.ADMIN,
        limit=routes.OFFICE,
        max_bytes=0,
        cors=Cors.NONE,
        answer=LinkOut,
        problems=(404,),
    ),
)
