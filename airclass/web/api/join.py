"""Students enter a class, keep their seat or place in the queue, and renew their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airclass.domain.classrooms import (
    Classroom,
    ClassStatus,
    StreamState,
    hash_device,
    is_blocked,
    on_roster,
    read_code,
)
from airclass.domain.cluster import Placement, Student
from airclass.domain.routing import read_address, retry_after_s
from airclass.domain.tokens import (
    SERVICE_TOKEN_S,
    SESSION_S,
    VIEWER_TOKEN_S,
    TokenKind,
    is_preview,
    preview_subject,
    student_subject,
)
from airclass.domain.users import Role, clean_name
from airclass.io.store import StoredStudent
from airclass.web.api import presenters
from airclass.web.api.accounts import check_password, count_try, make_session
from airclass.web.api.schemas import ClassBrief, CodeOut, JoinIn, JoinOut, TokenIn, TokenOut
from airclass.web.http import route
from airclass.web.http.auth import read_viewer
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import AccessRule, CorsRule
from airclass.web.services import MAX_WAITING_VISITS
from relay.base.tokens import viewer_token_id

if TYPE_CHECKING:
    from airclass.web.http.context import RequestContext
    from airclass.web.services import Services

NAMELESS = "?"  # for whoever types only signs that cannot be shown


async def look_up(call: RequestContext) -> CodeOut:
    """Tell which class has a code, so that a wrong one is said before the name is asked."""
    classroom = find_class(call, call.params["code"])
    return CodeOut(classroom.name, classroom.language, str(classroom.status), bool(classroom.password_hash))


async def join(call: RequestContext) -> JoinOut:
    """Give a student a seat, a token and the addresses to play from."""
    form: JoinIn = call.body
    return await enter(call, form)


async def enter(call: RequestContext, form: JoinIn) -> JoinOut:
    """Check code, list and password, then let the student in.

    In a class with a list of names each name has one seat: joining again under it continues the same one.
    """
    services = call.services
    classroom = find_class(call, form.code)
    _check_open(classroom)
    name = clean_name(form.name) or NAMELESS
    if not on_roster(classroom, name):
        raise ApiProblem(403, "This class has a list of names and yours is not on it: ask your teacher.")
    device_hash = hash_device(form.device)
    if is_blocked(services.cluster.view.blocked.get(classroom.id, ()), name, device_hash):
        raise ApiProblem(403, "Your teacher keeps you out of this class: ask them.", "blocked")
    earlier, token_id = _earlier_claims(services, form.rejoin, classroom)
    await _check_class_password(call, classroom, form.password, earlier)
    services.code_throttle.known(classroom.id, call.address)
    known = services.cluster.roster_student(classroom, name)
    if known is not None:
        return admit(call, classroom, known.subject, name, token_id=known.token_id)
    subject = earlier or student_subject(services.token_id())
    return admit(call, classroom, subject, name, token_id=token_id, device_hash=device_hash)


def find_class(call: RequestContext, typed: str) -> Classroom:
    """Return the class with this code; 404 when there is none, 429 after too many such codes."""
    services, now_s = call.services, call.services.clock.now_s()
    classroom = services.cluster.view.by_code.get(read_code(typed))
    known_id = classroom.id if classroom is not None else ""
    wait_s = services.code_throttle.wait_s(known_id, call.address, now_s)
    if wait_s:
        services.metrics.error("too-many-tries")
        raise ApiProblem(
            429, "Too many unknown class codes from your network: wait a little.", retry_after_s=wait_s
        )
    if classroom is None:
        services.code_throttle.wrong(call.address, now_s)
        services.metrics.error("unknown-code")
        raise ApiProblem(404, "No class has this code: check it with your teacher.", "unknown-code")
    return classroom


def admit(
    call: RequestContext,
    classroom: Classroom,
    subject: str,
    name: str,
    *,
    preview: bool = False,
    token_id: str = "",
    device_hash: str = "",
) -> JoinOut:
    """Seat somebody, or put them in the queue of a class that has not begun; 503 when there is no place.

    A renewal and a rejoin keep their `token_id`: relays count by it, so that nobody takes two seats.
    """
    services = call.services
    now_s, wall_s = services.clock.now_s(), services.clock.wall_s()
    until_s = wall_s + VIEWER_TOKEN_S
    token_id = token_id or viewer_token_id(classroom.generation, services.token_id())
    known = services.cluster.guests.get(subject)
    joined_at_s = known.joined_at_s if known is not None else wall_s
    device_hash = device_hash or (known.device_hash if known is not None else "")
    if services.cluster.is_settling(now_s):
        raise ApiProblem(503, "The relays are being found again: try again in a moment.", retry_after_s=1)
    guest = Student(
        subject, classroom.id, name, joined_at_s, until_s, preview, token_id, device_hash=device_hash
    )
    placement = services.cluster.admit(guest, read_address(call.address), now_s)
    if placement not in (Placement.SEATED, Placement.QUEUED):
        raise _no_place(services, classroom, subject, placement)
    if known is None and not preview and len(services.visits) < MAX_WAITING_VISITS:
        node_id = services.cluster.nodes.seat_book.seat_of.get(subject, "")
        services.visits.append(StoredStudent(subject, classroom.id, name, wall_s, node_id))
    services.metrics.tokens["teacher" if preview else "student"].inc()
    token = services.tokens.mint_viewer(
        subject=subject, token_id=token_id, classroom=classroom.id, wall_s=wall_s
    )
    return _answer(call, classroom, subject, token, until_s)


async def renew(call: RequestContext) -> JoinOut:
    """Give a viewer a fresh token before the old one ends; the seat stays, also over a master's restart."""
    claims, classroom = call.viewer("")
    _check_open(classroom)
    call.check_accounted(claims.subject)
    guest = call.services.cluster.guests.get(claims.subject)
    name, preview = (guest.name, guest.preview) if guest is not None else ("", False)
    return admit(call, classroom, claims.subject, name, preview=preview, token_id=claims.token_id)


async def preview(call: RequestContext) -> JoinOut:
    """Let a teacher see their own class through a relay, uncounted."""
    classroom = call.classroom()
    _check_open(classroom)
    subject = preview_subject(call.who.user_id or str(call.who.role), classroom.id)
    return admit(call, classroom, subject, call.who.name, preview=True)


async def token(call: RequestContext) -> TokenOut:
    """Issue a token of the asked kind to whoever may have it."""
    form: TokenIn = call.body
    services = call.services
    wall_s = services.clock.wall_s()
    if form.user_type == "student":
        joined = await enter(call, JoinIn(form.code, form.name, form.password))
        return TokenOut(joined.token, joined.expires_at, "student", joined)
    if form.user_type == "monitor":
        if call.caller is None:
            raise ApiProblem(401, "Sign in as admin or monitor first.")
        if call.caller.role not in (Role.ADMIN, Role.MONITOR):
            raise ApiProblem(403, "Only admins and monitors may have a monitor's token.")
        token_id = services.token_id()
        await services.store.log(services.event(call.caller, "token.monitor", token_id))
        made = services.tokens.mint(
            TokenKind.MONITOR,
            subject=call.caller.user_id or "service",
            token_id=token_id,
            wall_s=wall_s,
            life_s=SERVICE_TOKEN_S,
        )
        services.metrics.tokens["monitor"].inc()
        return TokenOut(made, presenters.iso(wall_s + SERVICE_TOKEN_S), "monitor")
    user = await check_password(call, form.username, form.password)
    if user.role not in (Role.TEACHER, Role.ADMIN):
        raise ApiProblem(403, "This account is not a teacher's.")
    await services.store.log(services.event(user.name, "login", user.name, address=call.address))
    made = make_session(services, user)
    return TokenOut(made, presenters.iso(wall_s + SESSION_S), "teacher")


def _check_open(classroom: Classroom) -> None:
    if classroom.status is ClassStatus.CLOSED:
        raise ApiProblem(409, "This class is closed: ask your teacher to open it.", "class-closed")
    if classroom.status is ClassStatus.RETIRED:
        raise ApiProblem(409, "This class is over.", "class-ended")


async def _check_class_password(call: RequestContext, classroom: Classroom, given: str, earlier: str) -> None:
    """Check a class's password; `earlier` is the subject of somebody who was in the class before."""
    if not classroom.password_hash:
        return
    passwords, stored = call.services.passwords, classroom.password_hash
    if not given:
        raise ApiProblem(403, "This class asks for a password.", "wrong-password")
    wrong = ApiProblem(403, "This is not the class's password.", "wrong-password")
    if passwords.was_wrong(given, stored):  # many pupils make the same mistake: it counts once
        raise wrong
    if passwords.is_busy(classroom.id, given, stored):
        raise ApiProblem(429, "Many passwords are being checked: try again in a moment.", retry_after_s=2)
    forgive = count_try(call, "class", classroom.id, earlier)
    async with call.outside_queue():
        right = await passwords.matches_shared(given, stored, classroom.id)
    if not right:
        call.services.metrics.error("wrong-password")
        raise wrong
    forgive()


def _earlier_claims(services: Services, rejoin: str, classroom: Classroom) -> tuple[str, str]:
    """Return subject and token id of the token that a student still holds; empty when it does not count."""
    if not rejoin:
        return "", ""
    try:
        claims, _ = read_viewer(services, rejoin, classroom.id)
    except ApiProblem:
        return "", ""
    return ("", "") if is_preview(claims.subject) else (claims.subject, claims.token_id)


def _no_place(services: Services, classroom: Classroom, subject: str, placement: Placement) -> ApiProblem:
    """Say why there is no place, and when to ask again."""
    cluster = services.cluster
    seat_book = cluster.nodes.seat_book
    if placement is Placement.CLASS_FULL:
        services.metrics.error("class-full")
        return ApiProblem(
            503,
            f"This class has room for {classroom.capacity} and is full: it lets you in when somebody leaves."
            if classroom.capacity
            else "Too many wait for this class: try again in a moment.",
            "class-full",
            retry_after_s=retry_after_s(0, max(1, classroom.capacity)),
        )
    services.metrics.error("cluster-full")
    capacity = cluster.nodes.summary().total_capacity
    if placement is Placement.PAUSED:
        pause_s = seat_book.pause_s(subject, services.clock.now_s())
        text = "Your seat was not used and was given to others: you are let in again in a moment."
        return ApiProblem(503, text, "cluster-full", retry_after_s=max(1, round(pause_s)))
    return ApiProblem(
        503,
        "All seats are taken. Keep this page open: you join automatically when a seat is free."
        if capacity
        else "No relay is ready yet: try again in a moment.",
        "cluster-full",
        retry_after_s=retry_after_s(len(seat_book.turned_away), capacity),
    )


def _answer(call: RequestContext, classroom: Classroom, subject: str, token: str, until_s: float) -> JoinOut:
    services, base_url = call.services, call.base_url()
    paths = presenters.pathways(services, subject, token, classroom.id)
    state = services.cluster.state(classroom)
    return JoinOut(
        token=token,
        expires_at=presenters.iso(until_s),
        classroom=ClassBrief(classroom.id, classroom.name, classroom.language),
        state=str(state),
        live=state is StreamState.LIVE,
        playback_url=f"{base_url}/live/{classroom.id}/index.m3u8?token={token}",
        pathways=presenters.pathways_out(paths),
        priority=[p.id for p in paths],
        steering_url=f"{base_url}/steering/{classroom.id}?token={token}",
        websocket_url=f"ws{base_url.removeprefix('http')}/ws/student?token={token}",
    )


_ENTRY = {"limit": route.JOINS, "max_bytes": route.SMALL_BYTES}
_student = route.family(cors=CorsRule.CONFIGURED, answer=JoinOut, **_ENTRY)
_staff = route.family(cors=CorsRule.NONE, **_ENTRY)

ROUTES = (
    _student(
        "GET",
        "/api/join/<code>",
        look_up,
        "Which class has a code.",
        access=AccessRule.ANYONE,
        max_bytes=0,
        answer=CodeOut,
        problems=(404,),
    ),
    _student(
        "POST",
        "/api/join",
        join,
        "Enter a class by its code.",
        access=AccessRule.ANYONE,
        body=JoinIn,
        problems=(400, 403, 404, 409, 503),
    ),
    _student(
        "POST",
        "/api/renew",
        renew,
        "Renew a viewer token before it ends (bearer: the old token).",
        access=AccessRule.VIEWER,
        max_bytes=0,
        problems=(401, 403, 409, 503),
    ),
    _staff(
        "POST",
        "/api/token",
        token,
        "Issue a teacher's, student's or monitor's token.",
        access=AccessRule.MAYBE_SIGNED_IN,
        body=TokenIn,
        answer=TokenOut,
        problems=(400, 401, 403, 404, 409, 503),
    ),
    _staff(
        "POST",
        "/api/classrooms/<classroom_id>/preview",
        preview,
        "Watch one's own class through a relay, uncounted.",
        access=route.STAFF,
        limit=route.OFFICE,
        max_bytes=0,
        answer=JoinOut,
        problems=(404, 409, 503),
    ),
)
