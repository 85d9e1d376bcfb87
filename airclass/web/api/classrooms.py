"""Teachers' classes: making, changing, opening and closing them, and who is inside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from airclass.domain.classrooms import (
    CODE_CHARS,
    KEY_BYTES,
    Classroom,
    ClassStatus,
    hash_key,
    make_code,
    make_id,
    make_key,
    may_manage,
)
from airclass.domain.snapshot import Revocation
from airclass.domain.tokens import VIEWER_TOKEN_S
from airclass.domain.users import clean_name
from airclass.io.store import WriteConflict
from airclass.web.api import presenters
from airclass.web.api.schemas import ClassesOut, ClassIn, ClassOut, ClassPatch, KickIn, ViewersOut
from airclass.web.http import route
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import ApiResponse, CorsRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airclass.web.http.context import RequestContext
    from airclass.web.services import Services

MAX_CLASSES = 20_000
MAX_KICKED = 500  # of one class within the life of a token: orders name each of them
CODE_TRIES = 5


async def list_classes(call: RequestContext) -> ClassesOut:
    """Return the caller's classes; all of them for an admin."""
    mine = [c for c in call.services.cluster.view.classrooms.values() if may_manage(call.who, c)]
    mine.sort(key=lambda c: (c.status is ClassStatus.ENDED, -c.created_at_s, c.id))
    return ClassesOut([presenters.class_out(call.services, c, call.base_url()) for c in mine])


async def add_class(call: RequestContext) -> ClassOut:
    """Make a class, open from the start; the answer holds its stream key, once."""
    form: ClassIn = call.body
    services = call.services
    if len(services.cluster.view.classrooms) >= MAX_CLASSES:
        raise ApiProblem(409, "There are too many classes: delete old ones first.")
    name = _name(form.name)
    key = make_key(services.entropy(KEY_BYTES))
    classroom = Classroom(
        id=make_id(services.entropy(8)),
        name=name,
        code="",
        owner_id=call.who.user_id,
        password_hash=await _hash(services, form.password),
        capacity=int(form.capacity),
        language=form.language,
        key_hash=hash_key(key),
        key_shown=key if services.settings.demo else "",
        created_at_s=services.clock.wall_s(),
        co_teachers=_teachers(services, form.co_teachers),
        roster=_roster(form.roster),
    )
    for tries_left in range(CODE_TRIES, 0, -1):
        classroom = replace(classroom, code=make_code(services.entropy(CODE_CHARS)))
        try:
            await services.store.add_classroom(
                classroom, services.event(call.who, "class.add", classroom.id, name)
            )
            break
        except WriteConflict:
            if tries_left == 1:
                raise
    await services.reload()
    return presenters.class_out(services, classroom, call.base_url(), key)


async def get_class(call: RequestContext) -> ClassOut:
    """Return one class."""
    return presenters.class_out(call.services, call.classroom(), call.base_url())


async def change_class(call: RequestContext) -> ClassOut:
    """Change a class's name, password, capacity, language, list of names or co-teachers."""
    form: ClassPatch = call.body
    services, changes = call.services, dict[str, Any]()
    if form.name is not UNSET:
        changes["name"] = _name(form.name)
    if form.password is not UNSET:
        changes["password_hash"] = await _hash(services, form.password)
    if form.capacity is not UNSET:
        changes["capacity"] = int(form.capacity)
    if form.language is not UNSET:
        changes["language"] = form.language
    if form.roster is not UNSET:
        changes["roster"] = _roster(form.roster)
    if form.co_teachers is not UNSET:
        changes["co_teachers"] = _teachers(services, form.co_teachers)
    return await _save(call, "class.change", ", ".join(sorted(changes)), changes)


async def delete_class(call: RequestContext) -> ApiResponse:
    """Remove a class; whoever is inside is sent out."""
    classroom = call.classroom()
    await call.services.store.delete_classroom(
        classroom.id, call.services.event(call.who, "class.delete", classroom.id, classroom.name)
    )
    await call.services.reload()
    return ApiResponse(None, 204)


async def open_class(call: RequestContext) -> ClassOut:
    """Let students in."""
    return await _set_status(call, "class.open", ClassStatus.OPEN)


async def close_class(call: RequestContext) -> ClassOut:
    """Send students out and let none in, until the class is opened again."""
    return await _set_status(call, "class.close", ClassStatus.CLOSED)


async def end_class(call: RequestContext) -> ClassOut:
    """End a class for good."""
    return await _save(call, "class.end", "", {"status": ClassStatus.ENDED})


async def new_code(call: RequestContext) -> ClassOut:
    """Give the class a new code; everybody inside must enter again."""
    services, classroom = call.services, call.classroom()
    code = make_code(services.entropy(CODE_CHARS))
    out = await _save(
        call, "class.new-code", "", {"code": code}, expected={"code": classroom.code}, new_generation=True
    )
    await services.store.forget_kicked(classroom.id)  # only now: the generation refuses their tokens
    return out


async def rotate_key(call: RequestContext) -> ClassOut:
    """Give the class a new stream key, shown once; the old one is refused at once."""
    key = make_key(call.services.entropy(KEY_BYTES))
    shown = key if call.services.settings.demo else ""
    changes = {"key_hash": hash_key(key), "key_shown": shown}
    # Of two teachers who do this at once, one is told so: the key they were shown would not work.
    expected = {"key_hash": call.classroom().key_hash}
    out = await _save(call, "class.rotate-key", "", changes, expected=expected)
    server = out.rtmp_server
    out.stream_key, out.rtmp_key = key, f"{out.id}?token={key}"
    out.rtmp_url = f"{server}/{out.rtmp_key}"
    return out


async def list_viewers(call: RequestContext) -> ViewersOut:
    """Return who is in a class."""
    return ViewersOut(presenters.viewers_out(call.services, call.classroom().id))


async def kick(call: RequestContext) -> ApiResponse:
    """Take one student out of a class; their token is refused everywhere."""
    form: KickIn = call.body
    services, classroom = call.services, call.classroom()
    guest = services.cluster.guests.get(form.subject)
    if guest is None or guest.classroom_id != classroom.id:
        raise ApiProblem(404, "There is no such student in this class.")
    if len(services.cluster.view.kicked.get(classroom.id, ())) >= MAX_KICKED:
        raise ApiProblem(
            409,
            f"{MAX_KICKED} students of this class have been taken out already: give it a new code, "
            "which refuses all of them.",
            "too-many-kicked",
        )
    until_s = max(services.clock.wall_s(), min(guest.until_s, services.clock.wall_s() + VIEWER_TOKEN_S))
    try:
        await services.store.revoke(
            [Revocation("subject", form.subject, until_s + 60, classroom.id)],
            services.event(call.who, "class.kick", classroom.id, guest.name),
        )
    except WriteConflict:
        pass  # kicked already
    await services.reload()
    return ApiResponse(None, 204)


async def _set_status(call: RequestContext, action: str, status: ClassStatus) -> ClassOut:
    classroom = call.classroom()
    if classroom.status is ClassStatus.ENDED:
        raise ApiProblem(409, "This class is over: make a new one.", "class-ended")
    # A colleague may end it in this moment, and it must stay ended.
    return await _save(call, action, "", {"status": status}, expected={"status": classroom.status})


async def _save(
    call: RequestContext,
    action: str,
    detail: str,
    changes: Mapping[str, object],
    *,
    expected: Mapping[str, object] | None = None,
    new_generation: bool = False,
) -> ClassOut:
    services, classroom = call.services, call.classroom()
    await services.store.change_classroom(
        classroom.id,
        changes,
        services.event(call.who, action, classroom.id, detail or classroom.name),
        expected=expected,
        new_generation=new_generation,
    )
    await services.reload()
    return presenters.class_out(services, call.classroom(), call.base_url())


async def _hash(services: Services, password: str) -> str:
    if not password:
        return ""
    stored = await services.passwords.hash(password)
    services.passwords.remember(password, stored)
    return stored


def _name(text: str) -> str:
    name = clean_name(text, 80)
    if not name:
        raise ApiProblem(409, "This name holds nothing that can be shown: type another.")
    return name


def _roster(names: list[str]) -> frozenset[str]:
    return frozenset(clean_name(n).casefold() for n in names if clean_name(n))


def _teachers(services: Services, user_ids: list[str]) -> frozenset[str]:
    unknown = [u for u in user_ids if u not in services.cluster.view.users]
    if unknown:
        raise ApiProblem(409, "A co-teacher has no account: make one first.")
    return frozenset(user_ids)


_route = route.family(
    access=route.STAFF, limit=route.OFFICE, max_bytes=0, cors=CorsRule.NONE, problems=(404,)
)
_ALL = "/api/classrooms"
_ONE = f"{_ALL}/<classroom_id>"
_FORM = route.FORM_BYTES
ROUTES = (
    _route("GET", _ALL, list_classes, "The caller's classes.", answer=ClassesOut, problems=()),
    _route(
        "POST",
        _ALL,
        add_class,
        "Make a class.",
        body=ClassIn,
        answer=ClassOut,
        status=201,
        max_bytes=_FORM,
        problems=(400, 409),
    ),
    _route("GET", _ONE, get_class, "One class.", answer=ClassOut),
    _route(
        "PATCH",
        _ONE,
        change_class,
        "Change a class.",
        body=ClassPatch,
        answer=ClassOut,
        max_bytes=_FORM,
        problems=(404, 409),
    ),
    _route("DELETE", _ONE, delete_class, "Remove a class.", status=204),
    _route("POST", f"{_ONE}/open", open_class, "Let students in.", answer=ClassOut, problems=(404, 409)),
    _route("POST", f"{_ONE}/close", close_class, "Send students out.", answer=ClassOut, problems=(404, 409)),
    _route("POST", f"{_ONE}/end", end_class, "End the class for good.", answer=ClassOut),
    _route("POST", f"{_ONE}/new-code", new_code, "A new class code.", answer=ClassOut, problems=(404, 409)),
    _route("POST", f"{_ONE}/rotate-key", rotate_key, "A new stream key, shown once.", answer=ClassOut),
    _route("GET", f"{_ONE}/viewers", list_viewers, "Who is in the class.", answer=ViewersOut),
    _route(
        "POST",
        f"{_ONE}/kick",
        kick,
        "Take one student out.",
        body=KickIn,
        status=204,
        max_bytes=route.SMALL_BYTES,
        problems=(400, 404, 409),
    ),
)
