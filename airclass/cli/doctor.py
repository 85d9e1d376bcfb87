"""`airclass doctor`: what will go wrong, before students notice."""

from __future__ import annotations

import trio

from airclass.cli.common import say
from airclass.ops.config import load_ops
from airclass.ops.doctor import Finding, examine
from relay.base.settings import environment


def doctor() -> int:
    """Look at disk, limits, ports, certificate, backups, master, clocks and nodes; one finding a line.

    Run it on the master and, with MASTER_URL and MONITOR_TOKEN, on a PC where students sit: each node
    is knocked at from there. Exit code 0 fine, 1 warnings, 2 errors.
    """
    environ = environment()
    settings = load_ops(environ)

    async def body() -> list[Finding]:
        return await examine(settings, environ)

    findings = trio.run(body)
    for finding in findings:
        say(str(finding))
    return max(finding.level for finding in findings)
