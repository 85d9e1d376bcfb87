"""What systemd is told of a service (`Type=notify`, sd_notify(3)): ready, still alive, stopping.

Started by anything else, nobody is told anything. A child is no service: `without` takes the address away.
"""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import trio

from relay.base.settings import environment

if TYPE_CHECKING:
    from collections.abc import Mapping

ADDRESS, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
SIGNS_A_PERIOD = 3


class Systemd:
    """The manager that started this process, if one did; `sign_every_s` is None without a watchdog."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = environment() if environ is None else environ
        self._address = environ.get(ADDRESS, "")
        period_us = environ.get(WATCHDOG, "")
        ours = environ.get(WATCHDOG_PID, "") in ("", str(os.getpid()))
        self.sign_every_s: float | None = None
        if self._address and ours and period_us.isdecimal() and int(period_us):
            self.sign_every_s = int(period_us) / 1e6 / SIGNS_A_PERIOD

    def ready(self, status: str) -> None:
        """Say that the service works; `status` is what `systemctl status` shows, one line."""
        self._tell(f"READY=1\nSTATUS={status}")

    def stopping(self, status: str) -> None:
        """Say that it is ending."""
        self._tell(f"STOPPING=1\nSTATUS={status}")

    async def run(self) -> None:
        """Give a sign of life as often as the watchdog wants; a loop that hangs gives none."""
        while self.sign_every_s is not None:
            self._tell("WATCHDOG=1")
            await trio.sleep(self.sign_every_s)

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.sendto(text.encode(), address)
            except OSError:
                return  # its time limits tell it; there is nobody else to tell


def without(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a child."""
    return {name: text for name, text in environ.items() if name not in (ADDRESS, WATCHDOG, WATCHDOG_PID)}
