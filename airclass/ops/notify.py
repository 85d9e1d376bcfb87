"""Sends an alert to a webhook: Slack, Discord and all that apprise speaks, or plain JSON.

Blocking libraries, so every message runs in a thread of its own limiter and under a deadline.
"""

from __future__ import annotations

import http.client
import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from airclass.ops.alerts import AlertMessage
from airclass.ops.report import CRITICAL, OK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

SEND_S = 15.0
CALL_S = 10.0
MAX_THREADS = 2


class AlertSender:
    """One webhook; a dead one costs at most SEND_S seconds and one log line."""

    def __init__(self, webhook: str) -> None:
        self._webhook = webhook
        self._limiter = trio.CapacityLimiter(MAX_THREADS)

    async def send(self, message: AlertMessage) -> bool:
        """Tell whether the message went out."""
        problem = await self.deliver(message)
        if problem:
            log.warning("alert.failed reason=%s", problem)
        return not problem

    async def deliver(self, message: AlertMessage) -> str:
        """Send a message; returns why it did not go out, empty when it did."""
        with trio.move_on_after(SEND_S):
            return await trio.to_thread.run_sync(
                _send, self._webhook, message, limiter=self._limiter, abandon_on_cancel=True
            )
        return f"no answer within {SEND_S:.0f} s"


def alert_test(webhook: str) -> Callable[[], Awaitable[str]]:
    """Return what sends one test message and says why it did not go out, empty when it did."""
    sender = AlertSender(webhook)

    async def send() -> str:
        return await sender.deliver(AlertMessage("AIRClass: test message", "Alerts arrive here.", OK))

    return send


def _send(webhook: str, message: AlertMessage) -> str:
    try:
        return _by_apprise(webhook, message)
    except Exception as exc:  # noqa: BLE001  other people's plugins: a dead webhook must never stop us
        return type(exc).__name__


def _by_apprise(webhook: str, message: AlertMessage) -> str:
    import apprise  # 0.3 s and 100 modules, only needed here

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it logs addresses, which hold secrets
    sender = apprise.Apprise()
    if not sender.add(webhook):
        if urlsplit(webhook).scheme in ("http", "https"):
            return _post(webhook, message)
        return "ALERT_WEBHOOK is no address that is understood: see .env.example"
    kind = {OK: apprise.NotifyType.SUCCESS, CRITICAL: apprise.NotifyType.FAILURE}
    sent = sender.notify(
        body=message.body,
        title=message.title,
        notify_type=kind.get(message.level, apprise.NotifyType.WARNING),
        body_format=apprise.NotifyFormat.TEXT,
    )
    return "" if sent else "the webhook refused it"


def _post(webhook: str, message: AlertMessage) -> str:
    """Post JSON that Slack-like (`text`) and Discord-like (`content`) receivers read."""
    parts = urlsplit(webhook)
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    text = f"{message.title}\n{message.body}"
    payload = {"text": text, "content": text, "title": message.title, "level": message.level}
    connection = connect(parts.hostname or "", parts.port, timeout=CALL_S)
    try:
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        connection.request("POST", path, json.dumps(payload), {"Content-Type": "application/json"})
        status = connection.getresponse().status
    finally:
        connection.close()
    return "" if 200 <= status < 300 else f"the webhook answered with status {status}"
