"""`airclass monitor`: the cluster on one screen, for people, cron and Nagios."""

from __future__ import annotations

import sys
from datetime import datetime

import trio

from airclass.cli.common import say, say_json
from airclass.ops.config import load_ops
from airclass.ops.monitor import watch as look_on
from airclass.ops.monitor_screen import CLEAR, paint, screen
from airclass.ops.report import NO_TOKEN, Report, as_json
from relay.base.errors import ConfigError
from relay.base.settings import environment

MIN_INTERVAL_S = 1.0
MAX_INTERVAL_S = 86_400.0


def monitor(
    *,
    watch: bool = False,
    interval: float = 10.0,
    json: bool = False,
    alert: bool = False,
    master: str | None = None,
) -> int:
    """Show nodes, totals and a recommendation; exit code 0 fine, 1 warning, 2 critical.

    Parameters
    ----------
    watch
        Show it again and again, until Ctrl-C.
    interval
        Seconds between two looks, with --watch.
    json
        Print one JSON object a look instead.
    alert
        Send changes to ALERT_WEBHOOK: nodes that fail and come back, overload, a silent master.
    master
        The master's address, instead of MASTER_URL.
    """
    if not MIN_INTERVAL_S <= interval <= MAX_INTERVAL_S:
        raise ConfigError([f"--interval must be {MIN_INTERVAL_S:.0f} to {MAX_INTERVAL_S:.0f} seconds."])
    environ = environment()
    settings = load_ops(environ, master_url=master)
    if alert and settings.alert_webhook is None:
        raise ConfigError(["--alert needs ALERT_WEBHOOK: set it in the environment or in .env."])
    if alert and not settings.has_token:
        raise ConfigError([f"--alert watches the nodes, and {NO_TOKEN}."])
    on_terminal = sys.stdout.isatty()
    colour = on_terminal and not environ.get("NO_COLOR")

    def show(report: Report) -> None:
        now = datetime.now().astimezone()
        if json:
            say_json(as_json(report, now.isoformat(timespec="seconds")))
        else:
            head = CLEAR if watch and on_terminal else ""
            say(head + paint(screen(report, f"{now:%Y-%m-%d %H:%M:%S}"), colour=colour))
        sys.stdout.flush()

    last: list[Report] = []

    async def body() -> None:
        def keep(report: Report) -> None:
            last[:] = [report]
            show(report)

        await look_on(settings, show=keep, interval_s=interval if watch else None, alert=alert)

    try:
        trio.run(body)
    except KeyboardInterrupt:
        say("")
    return last[-1].level if last else 0
