"""Everything that the web layer needs, made once by `airclass.master` and passed in."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from airclass.domain.body_budget import BodyBudget
from airclass.domain.classrooms import make_id
from airclass.domain.lessons import Lesson, first_lessons, running_lesson
from airclass.domain.load_log import LoadLog
from airclass.domain.publish_auth import rules_changed
from airclass.domain.rate_limits import CodeThrottle, LoginThrottle, RateLimiter
from airclass.io.store import AuditEvent, WriteConflict
from relay.base import logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from airclass.config import MasterSettings
    from airclass.domain.cluster import Cluster
    from airclass.domain.device_cookies import DeviceCookies
    from airclass.domain.orders import OrderComposer
    from airclass.domain.tokens import TokenIssuer
    from airclass.domain.users import Caller
    from airclass.io.clock import Clock
    from airclass.io.epoch_writer import EpochWriter
    from airclass.io.keyring import Keyring, OrderSealer
    from airclass.io.mediamtx import MediaMtxApi
    from airclass.io.notifier import Notifier
    from airclass.io.passwords import Passwords
    from airclass.io.probe import Prober
    from airclass.io.store import Store, StoredStudent
    from airclass.web.metrics import MasterMetrics
    from relay.base.signing import Verifier

log = logging.getLogger(__name__)

MAX_WAITING_VISITS = 10_000


@dataclass(slots=True)
class SocketCount:
    """A number that goes up and down."""

    value: int = 0


@dataclass(frozen=True)
class Services:
    """The master's parts, by name."""

    settings: MasterSettings
    clock: Clock
    store: Store
    cluster: Cluster
    notifier: Notifier
    orders_composer: OrderComposer
    tokens: TokenIssuer
    passwords: Passwords
    verifier: Verifier
    keyring: Keyring
    sealer: OrderSealer
    prober: Prober
    ingest: MediaMtxApi
    metrics: MasterMetrics
    devices: DeviceCookies
    epoch_writer: EpochWriter
    test_alert: Callable[[], Awaitable[str]] | None = None  # None without ALERT_WEBHOOK
    stopping: trio.Event = field(default_factory=trio.Event)
    buckets: RateLimiter = field(default_factory=RateLimiter)
    login_throttle: LoginThrottle = field(default_factory=LoginThrottle)
    bodies: BodyBudget = field(default_factory=BodyBudget)
    code_throttle: CodeThrottle = field(default_factory=CodeThrottle)
    tally: LoadLog = field(default_factory=LoadLog)
    sockets: SocketCount = field(default_factory=SocketCount)
    loading: trio.Lock = field(default_factory=trio.Lock)
    visits: list[StoredStudent] = field(default_factory=list)
    seen_nodes: set[str] = field(default_factory=set)
    begun_lessons: list[tuple[Lesson, AuditEvent]] = field(default_factory=list)
    lessons_lock: trio.Lock = field(default_factory=trio.Lock)
    recent_events: list[AuditEvent] = field(default_factory=list)
    entropy: Callable[[int], bytes] = secrets.token_bytes

    async def reload(self) -> None:
        """Bring the memory view up to date with the database, whatever its revision is.

        Loads run one after the other, so a lower revision is never an older read: the database itself went
        back, because it was restored or a replica that lagged behind took over.
        """
        async with self.loading:
            view = await self.store.load(self.clock.wall_s())
            before = self.cluster.view
            if view.revision == before.revision:
                return
            if view.revision < before.revision:
                log.warning(
                    "database.went_back revision=%d before=%d hint=a backup was restored or a replica took "
                    "over: changes in between are lost, check classes and accounts",
                    view.revision,
                    before.revision,
                )
            self.orders_composer.cause = logs.request_id()
            self.cluster.see(view, self.clock.now_s())
            changed = rules_changed(before, self.cluster.view)
            if changed:
                self.ingest.cut(changed)

    def begin_lesson(self, classroom_id: str, actor: str) -> None:
        """Begin a class's lesson now unless one runs; the database gets it in a moment (`write_lessons`)."""
        if running_lesson(self.cluster.view.lessons, classroom_id) is not None:
            return
        lesson = Lesson(make_id(self.entropy(8), "l"), classroom_id, self.clock.wall_s())
        self.cluster.begin_lesson(lesson)
        self.begun_lessons.append((lesson, self.event(actor, "lesson.start", classroom_id, lesson.id)))

    async def write_lessons(self) -> None:
        """Write the lessons that have begun; one that the database does not take stays for the next time."""
        async with self.lessons_lock:
            while self.begun_lessons:
                lesson, event = self.begun_lessons[0]
                try:
                    await self.store.start_lesson(lesson, event)
                except WriteConflict:  # another master was first, or the class is gone
                    self.cluster.drop_lesson(lesson)
                del self.begun_lessons[0]
                await self.reload()

    def judge(self) -> None:
        """Bring the nodes' status up to date, begin first lessons, and log what changed."""
        now_s = self.clock.now_s()
        changes = self.cluster.tick(now_s, self.clock.wall_s())
        for change in changes:
            log.info(
                "node.changed node=%s before=%s after=%s reason=%s",
                change.node_id,
                change.before,
                change.after,
                change.reason or "-",
            )
        view = self.cluster.view
        for classroom_id in first_lessons(self.cluster.live_streams(), view.classrooms, view.lessons):
            self.begin_lesson(classroom_id, "master")
        news = self.tally.news(self.cluster.nodes.summary(), now_s, at_once=bool(changes))
        if news is not None:
            log.info(
                "cluster.counted students=%d capacity=%d nodes=%d active=%d",
                *(news.students, news.capacity, news.nodes, news.active),
            )

    def event(
        self, actor: Caller | str, action: str, target: str, detail: str = "", *, address: str = ""
    ) -> AuditEvent:
        """Return a line for the audit log; `address` takes the place of `detail`, and is logged."""
        name = actor if isinstance(actor, str) else actor.name or str(actor.role)
        if address:
            detail = address
            log.info("audit.%s target=%s actor=%s address=%s", action, target[:80], name[:80], address)
        else:
            log.info("audit.%s target=%s actor=%s", action, target[:80], name[:80])
        return AuditEvent(self.clock.wall_s(), name[:80], action, target[:80], detail[:200])

    def token_id(self) -> str:
        """Return 96 random bits as text."""
        return self.entropy(12).hex()
