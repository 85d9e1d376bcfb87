"""Teachers' classes: making, changing, opening and closing them, and who is inside."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from airclass.domain.classrooms import (
    CODE_CHARS,
    KEY_BYTES,
    BlockedStudent,
    Classroom,
    ClassStatus,
    hash_key,
    make_code,
    make_id,
    make_key,
    may_manage,
)
from airclass.domain.lessons import Lesson, running_lesson
from airclass.domain.snapshot import Revocation
from airclass.domain.tokens import VIEWER_TOKEN_S
from airclass.domain.users import Role, clean_name
from airclass.io.store import WriteConflict
from airclass.web.api import presenters
from airclass.web.api.schemas import (
    ClassesOut,
    ClassIn,
    ClassOut,
    ClassPatch,
    KickIn,
    LessonOut,
    TeacherOut,
    TeachersOut,
    ViewersOut,
)
from airclass.web.http import route
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import ApiResponse, CorsRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airclass.domain.cluster import Student
    from airclass.web.http.context import RequestContext
    from airclass.web.services import Services

log = logging.getLogger(__name__)

MAX_CLASSES = 20_000
MAX_BLOCKED = 200
MAX_KICKED = 500  # of one class within the life of a token: orders name each of them
CODE_TRIES = 5


async def list_classes(call: RequestContext) -> ClassesOut:
    """Return the caller's classes; all of them for an admin."""
    mine = [c for c in call.services.cluster.view.classrooms.values() if may_manage(call.who, c)]
    mine.sort(key=lambda c: (c.status is ClassStatus.RETIRED, -c.created_at_s, c.id))
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
        starts_when_live=form.starts_when_live,
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
    if form.starts_when_live is not UNSET:
        changes["starts_when_live"] = form.starts_when_live
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


async def retire_class(call: RequestContext) -> ClassOut:
    """End a class for good, at the end of a term."""
    return await _save(call, "class.retire", "", {"status": ClassStatus.RETIRED})


async def end_class(call: RequestContext) -> ClassOut:
    """Retire a class: the name of this call before lessons could be ended."""
    log.warning("api.deprecated call=end use=retire class=%s", call.classroom().id)
    return await _save(call, "class.retire", "", {"status": ClassStatus.RETIRED})


async def end_lesson(call: RequestContext) -> LessonOut:
    """End the lesson that runs: cut its publisher; students see it to its end and wait for the next one."""
    services, classroom = call.services, call.classroom()
    await services.write_lessons()
    lesson = running_lesson(services.cluster.view.lessons, classroom.id)
    if lesson is None:
        raise ApiProblem(409, "No lesson of this class runs now.", "no-lesson")
    await services.store.end_lesson(
        lesson.id, services.event(call.who, "lesson.end", classroom.id, classroom.name)
    )
    await services.reload()
    return presenters.lesson_out(services.cluster.view.lessons.get(classroom.id, lesson))


async def start_lesson(call: RequestContext) -> LessonOut:
    """Start the next lesson: from now on an encoder may publish."""
    services, classroom = call.services, call.classroom()
    if classroom.status is ClassStatus.RETIRED:
        raise ApiProblem(409, "This class is over: make a new one.", "class-ended")
    if classroom.status is ClassStatus.CLOSED:
        raise ApiProblem(409, "This class is closed: open it first.", "class-closed")
    if running_lesson(services.cluster.view.lessons, classroom.id) is not None:
        raise ApiProblem(409, "A lesson of this class runs already.", "lesson-runs")
    lesson = Lesson(make_id(services.entropy(8), "l"), classroom.id, services.clock.wall_s())
    await services.store.start_lesson(
        lesson, services.event(call.who, "lesson.start", classroom.id, classroom.name)
    )
    await services.reload()
    return presenters.lesson_out(lesson)


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
    """Take one student out of a class; their token is refused everywhere, and with `block` they stay out."""
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
    if form.block:
        await _block(call, guest)
    # Somebody who is kept out goes with all their tabs.
    tabs = [guest] if not (form.block and guest.device_hash) else services.cluster.guests_with(guest)
    for tab in tabs:
        wall_s = services.clock.wall_s()
        until_s = max(wall_s, min(tab.until_s, wall_s + VIEWER_TOKEN_S))
        with suppress(WriteConflict):  # kicked already
            await services.store.revoke(
                [Revocation("subject", tab.subject, until_s + 60, classroom.id)],
                services.event(call.who, "class.kick", classroom.id, tab.name),
            )
    await services.reload()
    return ApiResponse(None, 204)


async def _block(call: RequestContext, guest: Student) -> None:
    services, classroom = call.services, call.classroom()
    known = services.cluster.view.blocked.get(classroom.id, ())
    if len(known) >= MAX_BLOCKED:
        raise ApiProblem(409, f"This class keeps {MAX_BLOCKED} people out already: let some in first.")
    person = BlockedStudent(
        make_id(services.entropy(8), "b"),
        classroom.id,
        guest.name,
        guest.device_hash,
        services.clock.wall_s(),
    )
    await services.store.block_student(
        person, services.event(call.who, "class.block", classroom.id, guest.name)
    )


async def unblock(call: RequestContext) -> ApiResponse:
    """Let a blocked student in again."""
    services, classroom = call.services, call.classroom()
    known = services.cluster.view.blocked.get(classroom.id, ())
    person = next((b for b in known if b.id == call.params["blocked_id"]), None)
    if person is None:
        raise ApiProblem(404, "This student is not kept out of the class.")
    await services.store.unblock_student(
        classroom.id, person.id, services.event(call.who, "class.unblock", classroom.id, person.name)
    )
    await services.reload()
    return ApiResponse(None, 204)


async def list_teachers(call: RequestContext) -> TeachersOut:
    """Return everybody who may teach a class with others."""
    users = call.services.cluster.view.users.values()
    able = [u for u in users if u.role is Role.TEACHER and not u.disabled]
    return TeachersOut([TeacherOut(u.id, u.name) for u in sorted(able, key=lambda u: (u.name, u.id))])


async def _set_status(call: RequestContext, action: str, status: ClassStatus) -> ClassOut:
    classroom = call.classroom()
    if classroom.status is ClassStatus.RETIRED:
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
    return frozenset(clean_name(n) for n in names if clean_name(n))


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
    _route("POST", f"{_ONE}/retire", retire_class, "End the class for good.", answer=ClassOut),
    _route("POST", f"{_ONE}/end", end_class, "Deprecated: use retire.", answer=ClassOut),
    _route(
        "POST",
        f"{_ONE}/end-lesson",
        end_lesson,
        "End the lesson; code, key and settings stay.",
        answer=LessonOut,
        problems=(404, 409),
    ),
    _route(
        "POST",
        f"{_ONE}/start-lesson",
        start_lesson,
        "Start the next lesson.",
        answer=LessonOut,
        problems=(404, 409),
    ),
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
    _route("DELETE", f"{_ONE}/blocked/<blocked_id>", unblock, "Let a blocked student in again.", status=204),
    _route(
        "GET", "/api/teachers", list_teachers, "Who may be a co-teacher.", answer=TeachersOut, problems=()
    ),
)
