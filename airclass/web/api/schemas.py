"""JSON that goes in and out, as msgspec records; `/api/openapi.json` is made from them."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from airclass.domain.classrooms import LANGUAGES, MAX_CAPACITY, MAX_CLASS_NAME_CHARS
from airclass.domain.users import MAX_USER_NAME_CHARS
from airclass.io.passwords import MAX_PASSWORD_CHARS
from relay.base.tokens import MAX_TOKEN_BYTES

MIN_PASSWORD_CHARS = 8
MAX_ROSTER = 800

Name = Annotated[str, Meta(min_length=1, max_length=MAX_USER_NAME_CHARS)]
ClassName = Annotated[str, Meta(min_length=1, max_length=MAX_CLASS_NAME_CHARS)]
Password = Annotated[str, Meta(max_length=MAX_PASSWORD_CHARS)]
NewPassword = Annotated[str, Meta(min_length=MIN_PASSWORD_CHARS, max_length=MAX_PASSWORD_CHARS)]
Token = Annotated[str, Meta(max_length=MAX_TOKEN_BYTES)]
# JSON knows no integers: 30.0 is 30.
Capacity = (
    Annotated[int, Meta(ge=0, le=MAX_CAPACITY)] | Annotated[float, Meta(ge=0, le=MAX_CAPACITY, multiple_of=1)]
)
Language = Literal["ko", "en"]
UserRole = Literal["admin", "teacher", "monitor"]
Roster = Annotated[list[Name], Meta(max_length=MAX_ROSTER)]
CoTeachers = Annotated[list[Annotated[str, Meta(max_length=16)]], Meta(max_length=100)]

assert set(LANGUAGES) == {"ko", "en"}


class PathwayOut(Struct):
    """One relay that a player may use."""

    id: str
    url: str


class ClassBrief(Struct):
    """A class as students see it."""

    id: str
    name: str
    language: str


class JoinIn(Struct):
    """Entering a class.

    `rejoin` is an earlier token, which keeps the same relay; `device` a random number that the page keeps,
    by which a teacher can keep one device out.
    """

    code: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Name
    password: Password = ""
    rejoin: Token = ""
    device: Annotated[str, Meta(max_length=64)] = ""


class CodeOut(Struct):
    """The class that has a code, before anybody enters it."""

    name: str
    language: str
    status: str
    has_password: bool


class JoinOut(Struct):
    """All that a player needs."""

    token: str
    expires_at: str
    classroom: ClassBrief
    state: str
    live: bool
    playback_url: str
    pathways: list[PathwayOut]
    priority: list[str]
    steering_url: str
    websocket_url: str


class TokenIn(Struct):
    """Asking for a token: teachers by password, students by class code, monitors by role."""

    user_type: Literal["teacher", "student", "monitor"]
    username: Annotated[str, Meta(max_length=MAX_USER_NAME_CHARS)] = ""
    password: Password = ""
    code: Annotated[str, Meta(max_length=64)] = ""
    name: Annotated[str, Meta(max_length=MAX_USER_NAME_CHARS)] = ""


class TokenOut(Struct, omit_defaults=True):
    """A token, and for students what they need to play."""

    token: str
    expires_at: str
    user_type: str
    join: JoinOut | None = None


class LoginIn(Struct):
    """Signing in by name and password, or by a one-time link."""

    username: Annotated[str, Meta(max_length=MAX_USER_NAME_CHARS)] = ""
    password: Password = ""
    link_token: Token = ""


class UserOut(Struct):
    """An account."""

    id: str
    name: str
    role: str


class MeOut(Struct):
    """Who is signed in."""

    user: UserOut


class UserRow(Struct):
    """An account in the list."""

    id: str
    name: str
    role: str
    disabled: bool
    has_password: bool
    created_at: str


class UsersOut(Struct):
    """All accounts."""

    users: list[UserRow]


class UserIn(Struct):
    """A new account; without a password its owner comes in by a one-time link."""

    name: Name
    role: UserRole
    password: NewPassword | None = None


class UserPatch(Struct):
    """Changes to an account."""

    name: Name | UnsetType = UNSET
    role: UserRole | UnsetType = UNSET
    password: NewPassword | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET


class LinkOut(Struct):
    """A one-time link."""

    url: str
    expires_at: str


class LessonOut(Struct):
    """One lesson of a class; `ended_at` is empty while it runs."""

    id: str
    started_at: str
    ended_at: str


class BlockedOut(Struct):
    """A student whom a class does not let in."""

    id: str
    name: str
    blocked_at: str


class ClassOut(Struct, omit_defaults=True):
    """A class as its teachers see it; the key is there only right after it was made.

    `lesson` is the one that runs, or else the one that ended last.
    """

    id: str
    name: str
    code: str
    status: str
    state: str
    viewers: int
    capacity: int
    has_password: bool
    language: str
    owner: str
    created_at: str
    join_url: str
    rtmp_server: str
    co_teachers: list[str]
    roster: list[str]
    starts_when_live: bool
    blocked: list[BlockedOut]
    lesson: LessonOut | None = None
    stream_key: str = ""
    rtmp_url: str = ""
    rtmp_key: str = ""


class ClassesOut(Struct):
    """The caller's classes."""

    classrooms: list[ClassOut]


class ClassIn(Struct):
    """A new class; capacity 0 means no limit of its own."""

    name: ClassName
    password: Password = ""
    capacity: Capacity = 0
    language: Language = "ko"
    roster: Roster = []
    co_teachers: CoTeachers = []
    starts_when_live: bool = False


class ClassPatch(Struct):
    """Changes to a class; an empty password takes it away."""

    name: ClassName | UnsetType = UNSET
    password: Password | UnsetType = UNSET
    capacity: Capacity | UnsetType = UNSET
    language: Language | UnsetType = UNSET
    roster: Roster | UnsetType = UNSET
    co_teachers: CoTeachers | UnsetType = UNSET
    starts_when_live: bool | UnsetType = UNSET


class ViewerOut(Struct):
    """One student in a class; `latency_ms` is -1 when the player told nothing."""

    subject: str
    name: str
    joined_at: str
    node: str
    quality: str
    latency_ms: int


class ViewersOut(Struct):
    """Who is in a class."""

    viewers: list[ViewerOut]


class KickIn(Struct):
    """Whom to take out of a class; with `block` their name and device cannot come back."""

    subject: Annotated[str, Meta(min_length=1, max_length=64)]
    block: bool = False


class TeacherOut(Struct):
    """Somebody who may teach a class with others."""

    id: str
    name: str


class TeachersOut(Struct):
    """All teachers, by name."""

    teachers: list[TeacherOut]


class NodeStreamOut(Struct):
    """One class at one relay: whether the relay gets it from the ingest, and for how long that is so.

    `reason` is for logs and terminals, `reason_code` for pages in other languages. `avoided`: other relays
    serve the class, so its students do not use this one.
    """

    stream: str
    state: Literal["served", "unknown", "failed"]
    age_s: float
    reason: str
    reason_code: str
    avoided: bool


class NodeOut(Struct):
    """One relay as operators see it; `load` in percent.

    `reason` is for logs and terminals; `reason_code` and its figures are for pages in other languages.
    """

    id: str
    url: str
    status: str
    reason: str
    reason_code: str
    reason_figures: dict[str, int]
    zone: list[str]
    connections: int
    capacity: int
    load: float
    egress_mbps: float
    lag_s: float | None
    last_seen_s: float
    version: str
    streams: list[NodeStreamOut]


class SummaryOut(Struct):
    """The cluster in six figures; loads in percent."""

    total_nodes: int
    active_nodes: int
    total_capacity: int
    current_load: int
    average_load: float
    recommendation: str
    recommendation_code: str
    recommendation_figures: dict[str, str | int]


class NodesOut(Struct):
    """All relays."""

    nodes: list[NodeOut]
    summary: SummaryOut


class EventOut(Struct):
    """One line of the audit log."""

    at: str
    actor: str
    action: str
    target: str
    detail: str


class EventsOut(Struct):
    """The newest lines of the audit log, newest first."""

    events: list[EventOut]


class SettingsOut(Struct):
    """The master's settings, secrets as ***."""

    settings: dict[str, str]


class AlertTestOut(Struct):
    """What happened to a test alert; `problem` is empty when it was sent."""

    sent: bool
    problem: str


class BackupOut(Struct):
    """The last backup; `at` is empty when there was none."""

    at: str
    size_bytes: int


class SteeringOut(Struct):
    """A steering manifest (RFC 8216bis §7.1); `ttl` in seconds, `reload_uri` is where to ask next."""

    version: int = field(name="VERSION")
    ttl: int = field(name="TTL")
    reload_uri: str = field(name="RELOAD-URI")
    pathway_priority: list[str] = field(name="PATHWAY-PRIORITY")


class StateOut(Struct):
    """Whether the master is there, and what is wrong when it is not ready."""

    status: str
    problems: list[str] = []


class HookIn(Struct):
    """What MediaMTX asks before it lets somebody publish, read or use its API."""

    action: str
    ip: str = ""
    user: str = ""
    password: str = ""
    token: str = ""
    path: str = ""
    protocol: str = ""
    id: str | None = None
    query: str = ""
    userAgent: str = ""  # noqa: N815  MediaMTX's spelling
