"""The master process: one nursery, and in reading order everything that runs in it.

Starts: database, memory view, then the services, then the web server; the ready file last.
Stops: sockets and watches are told, the server finishes what it has begun, then all is cancelled.
"""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import trio
from sqlalchemy.exc import DBAPIError

from airclass.domain.classrooms import make_id
from airclass.domain.cluster import Cluster, Student
from airclass.domain.device_cookies import DeviceCookies
from airclass.domain.node_keys import spare
from airclass.domain.orders import OrderComposer
from airclass.domain.tokens import VIEWER_TOKEN_S, TokenIssuer
from airclass.domain.users import Role, User
from airclass.io.clock import Clock
from airclass.io.epoch_writer import EpochWriter
from airclass.io.http_client import open_client
from airclass.io.keyring import OrderSealer, open_keyring
from airclass.io.mediamtx import MediaMtxApi
from airclass.io.notifier import Notifier
from airclass.io.passwords import Passwords
from airclass.io.probe import Prober
from airclass.io.store import WriteConflict, open_store
from airclass.ops.freshness import Freshness
from airclass.ops.notify import alert_test
from airclass.web.api.accounts import login_link
from airclass.web.app import create_app
from airclass.web.metrics import MasterMetrics
from airclass.web.server.hypercorn_server import GRACEFUL_S, serve
from airclass.web.services import Services
from relay.base.errors import StartError
from relay.base.process import write_ready_file
from relay.base.signing import Verifier, derive
from relay.base.systemd import Systemd

if TYPE_CHECKING:
    from pathlib import Path

    from airclass.config import MasterSettings
    from airclass.io.http_client import HttpClient
    from airclass.io.store import Store

log = logging.getLogger(__name__)

FOLLOW_EVERY_S = 0.4
JUDGE_EVERY_S = 0.5
MAX_LAG_S = 0.2
# After a delay, heartbeats that wait in sockets are read before silence is judged: at most for so long.
READ_FIRST_S = 0.25
READ_FIRST_TURNS = 100
WRITE_BEHIND_EVERY_S = 1.0
MAX_REASON_CHARS = 200
TIDY_EVERY_S = 600.0
HARD_STOP_S = GRACEFUL_S + 1.5
KEEP_VISITS_S = 24 * 3600.0
EVENTS_SHOWN = 50


@dataclass(frozen=True)
class Running:
    """A master at work."""

    url: str
    services: Services


async def run(
    settings: MasterSettings,
    *,
    ready_file: Path | None = None,
    stop: trio.Event | None = None,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the master until `stop` (by default SIGTERM or SIGINT); reports its address and parts.

    Raises StartError when it cannot start.
    """
    store = await open_store(settings)
    try:
        async with open_client() as client:
            services = await build(settings, store, client)
            await _run(services, ready_file, stop, task_status)
    finally:
        with trio.move_on_after(2, shield=True):
            await store.close()


async def _run(
    services: Services,
    ready_file: Path | None,
    stop: trio.Event | None,
    task_status: trio.TaskStatus[Running],
) -> None:
    settings, app = services.settings, create_app(services)
    trigger, systemd = trio.Event(), Systemd()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_follow_database, services)
        nursery.start_soon(_write_behind, services)
        nursery.start_soon(services.epoch_writer.run)
        nursery.start_soon(_judge, services)
        nursery.start_soon(_tidy, services)
        nursery.start_soon(services.notifier.run)
        nursery.start_soon(services.prober.run, services.cluster.nodes)
        nursery.start_soon(services.ingest.run)
        contained = partial(services.metrics.error, "connection")
        at_once = app.fast_path.takes
        start = partial(serve, app, settings, stop=trigger.wait, on_contained=contained, at_once=at_once)
        async with trio.open_nursery() as server:
            try:
                bound: list[str] = await server.start(start)
            except* OSError as group:
                raise StartError(
                    f"MASTER_BIND {settings.master_bind} cannot be used ({_reason(group)}): "
                    "is another master running? Choose another port."
                ) from None
            address = _address(bound[0])
            await _first_admin(services, address)
            if ready_file is not None:
                _announce(ready_file, {"master_url": address, "pid": os.getpid()})
            log.info("master.ready url=%s", address)
            nursery.start_soon(systemd.run)
            systemd.ready(f"pages are at {settings.master_url or address}")
            task_status.started(Running(address, services))
            await (_signal() if stop is None else stop.wait())
            log.info("master.stopping url=%s", address)
            systemd.stopping("finishing what has begun")
            services.stopping.set()
            services.notifier.notify("stop")
            await trio.sleep(0.1)  # the sockets' closing words go out before their server stops
            trigger.set()
            server.cancel_scope.deadline = trio.current_time() + HARD_STOP_S
        nursery.cancel_scope.cancel()
    await _flush(services)
    await services.epoch_writer.write()


async def build(
    settings: MasterSettings, store: Store, client: HttpClient, clock: Clock | None = None
) -> Services:
    """Put the master's parts together and fill its memory from the database."""
    clock = clock or Clock()
    secret = settings.jwt_secret_key.get_secret_value().encode()
    previous = settings.jwt_secret_key_previous
    notifier = Notifier()
    cluster = Cluster(clock.wall_s(), notifier.notify, clock.now_s())
    older = previous.get_secret_value().encode() if previous else None
    tokens = TokenIssuer(secret, older, settings.token_alg)
    cdn = settings.hls_cdn_secret
    sealer = OrderSealer(
        cdn.get_secret_value().encode() if cdn else b"",
        tokens.shared_keys,
        b"" if tokens.shared_keys else tokens.jwks,
    )
    services = Services(
        settings=settings,
        clock=clock,
        store=store,
        cluster=cluster,
        notifier=notifier,
        orders_composer=OrderComposer(settings.ingest_hls_url, settings.heartbeat_interval_s),
        tokens=tokens,
        passwords=Passwords(derive(secret, "airclass shared passwords")),
        verifier=Verifier(),
        keyring=open_keyring(settings),
        sealer=sealer,
        prober=Prober(client, clock, settings.health_interval_s),
        ingest=MediaMtxApi(settings, client, clock, notifier, cluster),
        metrics=MasterMetrics(),
        devices=DeviceCookies(secret, older),
        epoch_writer=EpochWriter(store, cluster.epochs, notifier, clock),
        test_alert=alert_test(settings.alert_webhook.get_secret_value()) if settings.alert_webhook else None,
    )
    services.metrics.registry.register(Freshness(settings.data_dir, settings.tls_cert))
    await services.reload()
    await _reseal(services)
    await services.epoch_writer.load()
    wall_s = clock.wall_s()
    visits = await store.visits(wall_s - KEEP_VISITS_S)
    services.seen_nodes.update(await store.seen_nodes())
    until_s = wall_s + VIEWER_TOKEN_S
    cluster.recall(
        (
            (
                Student(v.subject, v.classroom_id, v.name, v.joined_at_s, until_s, earlier=True),
                v.node_id if v.joined_at_s >= wall_s - VIEWER_TOKEN_S else "",
            )
            for v in visits
        ),
        services.seen_nodes,
    )
    return services


async def _reseal(services: Services) -> None:
    """Seal nodes' keys with the current JWT_SECRET_KEY, so that the previous one can be dropped."""
    records = services.cluster.view.node_keys
    changed = services.keyring.resealed(r for r in records.values() if r.key)
    for record in changed:
        with suppress(WriteConflict):  # another master was first
            await services.store.save_node_key(record, None, instead_of=records[record.node_id])
    if changed:
        log.info("node_keys.resealed count=%d", len(changed))
        await services.reload()


async def _follow_database(services: Services) -> None:
    """Notice what the command line and other masters write."""
    trouble = ""
    while True:
        await trio.sleep(FOLLOW_EVERY_S)
        try:
            if await services.store.revision() != services.cluster.view.revision:
                await services.reload()
            problem = ""
        except Exception as exc:  # noqa: BLE001  classes go on from memory while the database is away
            problem = type(exc).__name__
        if problem != trouble:
            if problem:
                log.warning("database.lost reason=%s", problem)
            else:
                log.info("database.recovered")
            trouble = problem


async def _write_behind(services: Services) -> None:
    """Write what need not be on disk before an answer: who entered, what the ingest did."""
    trouble = ""
    while True:
        await trio.sleep(WRITE_BEHIND_EVERY_S)
        problem = await _flush(services)
        if problem != trouble:
            if problem:
                log.warning("database.write_failed reason=%s", problem)
            else:
                log.info("database.write_recovered")
            trouble = problem


async def _flush(services: Services) -> str:
    """Write what waits; returns why that failed, or nothing."""
    visits, notes = list(services.visits), list(services.ingest.notes)
    seat_book = services.cluster.nodes.seat_book
    seats, seat_book.changed = seat_book.changed, {}
    services.visits.clear()
    services.ingest.notes.clear()
    try:
        with trio.fail_after(10):
            await services.store.add_visits(visits)
            await services.store.save_seats(seats)
            nodes = services.cluster.known_nodes(services.clock.now_s())
            if nodes != services.seen_nodes:
                await services.store.save_seen_nodes(nodes)
                services.seen_nodes.clear()
                services.seen_nodes.update(nodes)
            await services.write_lessons()
            for note in notes:
                await services.store.log(note)
            services.recent_events[:] = await services.store.events(EVENTS_SHOWN)
    except Exception as exc:  # noqa: BLE001  names in a list are not worth stopping a class
        services.metrics.error("database")
        return _in_words(exc)
    return ""


def _in_words(exc: Exception) -> str:
    """Return what the database itself says, such as "database or disk is full"."""
    said = str(exc.orig) if isinstance(exc, DBAPIError) and exc.orig is not None else ""
    return said.partition("\n")[0][:MAX_REASON_CHARS] or type(exc).__name__


async def _judge(services: Services) -> None:
    """Judge the nodes twice a second; when this loop is late, read the heartbeats that have come before."""
    before_s = services.clock.now_s()
    while True:
        await trio.sleep(JUDGE_EVERY_S)
        now_s = services.clock.now_s()
        late_s = now_s - before_s - JUDGE_EVERY_S
        if late_s > MAX_LAG_S:
            services.metrics.error("overload")
            if services.cluster.nodes.excuse_stall(late_s, now_s):
                log.warning("master.stalled late_s=%.1f hint=overload, or a suspended machine", late_s)
            with trio.move_on_after(READ_FIRST_S):
                for _ in range(READ_FIRST_TURNS):
                    await trio.lowlevel.checkpoint()
        before_s = services.clock.now_s()
        services.judge()


async def _tidy(services: Services) -> None:
    """Delete what has run out: revocations of dead tokens, names of yesterday's students."""
    began_s = services.clock.now_s()
    while True:
        try:
            wall_s = services.clock.wall_s()
            await services.store.forget_expired(wall_s)
            await services.store.forget_visits(wall_s - KEEP_VISITS_S)
            if services.clock.now_s() - began_s >= TIDY_EVERY_S:  # relays have registered by then
                cluster = services.cluster
                unused = spare(cluster.view.node_keys, frozenset(cluster.nodes.all), wall_s)
                if unused:
                    await services.store.forget_node_keys(unused)
        except Exception as exc:  # noqa: BLE001  it is tried again in ten minutes
            log.warning("database.tidy_failed reason=%s", type(exc).__name__)
        await trio.sleep(TIDY_EVERY_S)


async def _first_admin(services: Services, address: str) -> None:
    """With no admin there is a one-time link to become one; never a default password."""
    users = services.cluster.view.users.values()
    admins = [u for u in users if u.role is Role.ADMIN]
    if any(u.password_hash for u in admins):
        return
    if not admins:
        admin = User(
            make_id(services.entropy(8), "u"), "admin", Role.ADMIN, created_at_s=services.clock.wall_s()
        )
        await services.store.add_user(admin, services.event("master", "user.add", "admin", "first start"))
        await services.reload()
        admins = [admin]
    if not os.isatty(2):
        # The link is a secret, and standard error is a journal here.
        log.warning("admin.none hint=run: airclass token link --user %s --next /admin", admins[0].name)
        return
    link = login_link(services, admins[0], services.settings.master_url or address, "/admin")
    os.write(2, f"No admin has a password yet. Sign in once by this link, then set one:\n  {link}\n".encode())


def _reason(group: BaseException) -> str:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return getattr(group, "strerror", None) or str(group)


async def _signal() -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            return


def _address(bound: str) -> str:
    return bound.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]")  # noqa: S104


def _announce(path: Path, record: dict[str, object]) -> None:
    try:
        write_ready_file(path, record)
    except OSError as exc:
        raise StartError(f"The ready file cannot be written ({exc.strerror}): {path}") from None
