"""The relay process: what runs, in which order it starts, and how it drains.

listeners → reactor → admin port → pullers (one a stream) → [control: master] → signals
"""

from __future__ import annotations

import logging
import secrets
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from relay.base.errors import ConfigError, StartError
from relay.base.process import allow_many_files, write_ready_file
from relay.base.systemd import Systemd
from relay.config import RelaySettings, split_address
from relay.core.counters import Counters
from relay.core.delivery.delivery import Delivery
from relay.core.delivery.response import CorsHeaders
from relay.core.origin.url import parse_origin
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.viewers.admission import Admission
from relay.core.viewers.registry import ViewerRegistry
from relay.io.admin.server import serve_admin
from relay.io.cluster.agent import ClusterAgent
from relay.io.cluster.node_key import NodeIdentity, load_identity
from relay.io.delivery.memfd import MemfdStore
from relay.io.delivery.reactor import Reactor
from relay.io.delivery.tls import TlsContext
from relay.io.origin.stream_manager import StreamManager

if TYPE_CHECKING:
    from pathlib import Path

    from relay.io.cluster.master_client import MasterClient

log = logging.getLogger(__name__)

BACKLOG = 4096
SOCKETS_PER_VIEWER = 6
SPARE_DESCRIPTORS = 512
MIN_BODIES = 256


@dataclass(frozen=True, slots=True)
class Options:
    """What only the command line says: `origins` are followed without a master."""

    origins: tuple[str, ...] = ()
    name: str = "live"
    public: bool = False
    on_demand: bool = False
    ready_file: Path | None = None


def check(settings: RelaySettings, options: Options) -> None:
    """Refuse to start without a way in for streams and a rule for viewers; one ConfigError for all."""
    problems = []
    if not options.origins and not settings.master_url:
        problems.append("nothing to relay: give --origin URL, or set MASTER_URL")
    if options.origins and settings.master_url:
        problems.append("--origin and MASTER_URL exclude each other: the master names the origins")
    if not (settings.master_url or settings.viewer_key or settings.viewer_jwks or options.public):
        problems.append("nobody could watch: set VIEWER_KEY or VIEWER_JWKS to check tokens, or give --public")
    for number, url in enumerate(options.origins, 1):
        try:
            parse_origin(url)
        except ConfigError as exc:
            shown = url if "@" not in url else f"no. {number}"  # a password may stand before it
            problems += [f"--origin {shown}: {problem}" for problem in exc.problems]
    if problems:
        raise ConfigError(problems)


def listen(bind: str) -> socket.socket:
    """Return a listening socket; StartError says what to do when the port cannot be had."""
    host, port = split_address(bind)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as exc:
        sock.close()
        raise StartError(
            f"cannot listen on {bind}: {exc.strerror}; stop the program that uses it or choose another port"
        ) from exc
    return sock


def url_of(sock: socket.socket, *, tls: bool) -> str:
    """Return the address under which a listener is reached from this machine."""
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


async def run(settings: RelaySettings, options: Options) -> None:
    """Run a relay until it is told to stop; raises ConfigError or StartError before any port opens."""
    check(settings, options)
    identity = load_identity(settings) if settings.master_url else None
    tls = TlsContext(settings.tls_cert, settings.tls_key) if settings.tls_cert and settings.tls_key else None
    counters = Counters()
    bodies = MemfdStore()
    admission = Admission(
        ViewerRegistry(),
        keys=settings.keys,
        public=options.public,
        max_viewers=settings.max_connections,
        max_egress_bps=int(settings.max_egress_mbps * 1e6),
        max_addresses_per_token=settings.max_addresses_per_token,
        max_seats_per_address=settings.max_seats_per_address,
    )
    delivery = Delivery(
        admission,
        CorsHeaders(settings.cors),
        bodies.new,
        budget=MemoryBudget(settings.cache_mb * 1024 * 1024, _max_bodies(settings)),
        strip_audio_independent=settings.audio_independent == "first",
        answer_at_hold_limit=settings.hold_limit == "unchanged",
        salt="" if settings.master_url else secrets.token_hex(4),
    )
    viewers, admin = listen(settings.relay_bind), listen(settings.relay_admin_bind)
    reactor = Reactor(delivery, counters, max_connections=_max_sockets(settings), tls=tls)
    reactor.listen(viewers)
    relay_url, admin_url = url_of(viewers, tls=tls is not None), url_of(admin, tls=False)
    master_client, systemd = _master_client(settings, identity), Systemd()
    streams = StreamManager(
        delivery,
        reactor,
        counters,
        decide=master_client.epoch if master_client else None,
        on_demand=options.on_demand,
        changed=master_client.beat_now if master_client else _nobody_to_tell,
    )
    node = ClusterAgent(
        settings,
        delivery,
        streams,
        reactor,
        counters,
        bodies,
        identity=identity,
        relay_url=relay_url,
        admin_url=admin_url,
        connected=lambda: master_client is not None and master_client.connected,
    )
    if options.origins:
        secret = settings.hls_cdn_secret
        streams.follow(options.name, options.origins, bearer=secret.get_secret_value() if secret else "")
    async with trio.open_nursery() as nursery:
        await nursery.start(reactor.run)
        await nursery.start(serve_admin, admin, counters, node)
        await nursery.start(streams.run)
        if master_client is not None:
            await nursery.start(master_client.run, node)
        await nursery.start(_until_told, node, master_client, systemd, settings.drain_s, nursery.cancel_scope)
        nursery.start_soon(systemd.run)
        log.info("relay.started viewers=%s admin=%s", relay_url, admin_url)
        if options.origins:
            path = f"{options.name}/index.m3u8" if options.public else f"t/TOKEN/{options.name}/index.m3u8"
            log.info("relay.serves stream=%s watch=%s/%s", options.name, relay_url, path)
        systemd.ready(f"students connect to {relay_url}")
        if options.ready_file is not None:
            write_ready_file(options.ready_file, {"relay_url": relay_url, "relay_admin_url": admin_url})
    log.info("relay.stopped")


def _master_client(settings: RelaySettings, identity: NodeIdentity | None) -> MasterClient | None:
    if identity is None:
        return None
    from relay.io.cluster.master_client import (
        MasterClient,  # brings httpx, 6 MB: nothing for a relay without a master
    )

    return MasterClient(settings.master_url, identity)


def _nobody_to_tell() -> None:
    """Stand where a master would be told of a change."""


def _max_sockets(settings: RelaySettings) -> int:
    """Raise the file limit as far as allowed; bound the sockets by it and by the viewers."""
    wanted = settings.max_connections * SOCKETS_PER_VIEWER + SPARE_DESCRIPTORS
    return max(64, min(wanted, allow_many_files() - SPARE_DESCRIPTORS))


def _max_bodies(settings: RelaySettings) -> int:
    """Return how many descriptors are left for media, each segment of which is a file in memory."""
    return max(MIN_BODIES, allow_many_files() - _max_sockets(settings) - SPARE_DESCRIPTORS // 2)


async def _until_told(
    node: ClusterAgent,
    master_client: MasterClient | None,
    systemd: Systemd,
    drain_s: float,
    scope: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """First signal: drain, then stop. Second signal: stop at once."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        await anext(signals)
        systemd.stopping(f"{node.viewers} students are moving to other relays")
        node.drain(True, reason="signal")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_second, signals, nursery.cancel_scope)
            with trio.move_on_after(drain_s):
                await node.empty()
            if master_client is not None:
                await master_client.goodbye(node)
            nursery.cancel_scope.cancel()
    scope.cancel()


async def _second(signals: object, scope: trio.CancelScope) -> None:
    await anext(signals)  # type: ignore[call-overload]
    scope.cancel()
