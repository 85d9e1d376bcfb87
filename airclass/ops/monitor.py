"""Looks at the cluster through the master, once or for ever, and raises alerts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
import trio

from airclass.io.clock import Clock
from airclass.io.http_client import CallFailed, open_client
from airclass.ops.alerts import AlertPolicy, AlertState
from airclass.ops.notify import AlertSender
from airclass.ops.report import Report, down, read
from relay.base.process import write_ready_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airclass.io.http_client import HttpClient
    from airclass.ops.config import OpsSettings

log = logging.getLogger(__name__)

LOOK_S = 8.0
STATE_FILE = "monitor-alerts.json"
MAX_STATE_BYTES = 1024 * 1024


async def look(settings: OpsSettings, client: HttpClient) -> Report:
    """Return the cluster as it is now; a master that does not answer is a report too."""
    url = settings.master_address
    headers = settings.auth_headers()
    try:
        with trio.fail_after(LOOK_S):
            status, body = await client.get(f"{url}/cluster/nodes", headers)
    except trio.TooSlowError:
        return down(url, f"no answer within {LOOK_S:.0f} s")
    except CallFailed as exc:
        return down(url, f"cannot be reached ({exc})")
    return read(url, status, body, with_token=settings.has_token)


async def watch(
    settings: OpsSettings,
    *,
    show: Callable[[Report], None],
    interval_s: float | None,
    alert: bool,
    clock: Clock | None = None,
) -> Report:
    """Show the cluster every `interval_s` seconds, or once when that is None; returns the last look."""
    clock = clock or Clock()
    webhook = settings.alert_webhook
    notifier = AlertSender(webhook.get_secret_value()) if alert and webhook else None
    memory = AlertMemory(settings.data_dir / STATE_FILE)
    alert_policy = AlertPolicy(memory.load()) if notifier else None
    async with open_client() as client:
        while True:
            report = await look(settings, client)
            show(report)
            if alert_policy is not None and notifier is not None:
                await _tell(alert_policy, notifier, report, clock)
                memory.save(alert_policy.state)
            if interval_s is None:
                return report
            await trio.sleep(interval_s)


async def _tell(alert_policy: AlertPolicy, notifier: AlertSender, report: Report, clock: Clock) -> None:
    message = alert_policy.look(report, clock.wall_s())
    if message is None:
        return
    if await notifier.send(message):
        alert_policy.sent(clock.wall_s())
    else:
        alert_policy.failed(clock.wall_s())


class AlertMemory:
    """What was told, on disk, so that a monitor run by cron also tells changes only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._works = True

    def load(self) -> AlertState:
        """Return what was kept; an unreadable file is an empty one."""
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(MAX_STATE_BYTES), type=AlertState)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return AlertState()

    def save(self, state: AlertState) -> None:
        """Keep the state; a disk that refuses is told once and changes nothing else."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_ready_file(self._path, msgspec.to_builtins(state))
        except OSError as exc:
            if self._works:
                log.warning("alert.memory_failed path=%s reason=%s", self._path, exc.strerror)
            self._works = False
