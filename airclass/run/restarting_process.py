"""Keeps one program running: starts it, waits until it is ready, starts it again when it ends."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

from airclass.run.child import Child
from relay.base.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

READY_S = 30.0
READY_POLL_S = 0.05
PAUSE_FIRST_S = 0.5
PAUSE_MAX_S = 10.0
STEADY_S = 30.0
TAIL_BYTES = 2000


@dataclass(frozen=True)
class RestartingProcess:
    """A program to keep running; without a ready file it is ready at once.

    `output` takes what it prints; None: it prints where we do.
    """

    name: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    ready_file: Path | None = None
    output: Path | None = None


async def keep(
    job: RestartingProcess,
    started: Callable[[str, int], None],
    *,
    task_status: trio.TaskStatus[dict[str, Any]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the job until cancelled; reports what its ready file says, the first time.

    `started(name, pid)` is called at every start. Raises StartError when the first start fails;
    later failures are logged and tried again, with pauses from 0.5 to 10 s.
    """
    pause_s, first = PAUSE_FIRST_S, True
    while True:
        since_s = trio.current_time()
        if job.ready_file is not None:
            job.ready_file.unlink(missing_ok=True)
        child = Child(job.args, job.env, job.output)
        try:
            started(job.name, child.pid)
            record = await _ready(child, job)
            if record is None and first:
                raise StartError(f"The {job.name} did not start.{_last_words(job)}")
            if record is not None:
                log.info("child.ready name=%s pid=%d", job.name, child.pid)
            if first and record is not None:
                task_status.started(record)
                first = False
            code = await child.wait()
        finally:
            await child.close()
        pause_s = PAUSE_FIRST_S if trio.current_time() - since_s > STEADY_S else pause_s
        again = f"starts again in {pause_s:.1f} s.{_last_words(job)}"
        log.warning("child.ended name=%s code=%d, %s", job.name, code, again)
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)


async def _ready(child: Child, job: RestartingProcess) -> dict[str, Any] | None:
    """Return what the ready file says, or None when the child ends or is not ready in time."""
    if job.ready_file is None:
        return {}
    with trio.move_on_after(READY_S):
        while not job.ready_file.exists():
            with trio.move_on_after(READY_POLL_S):
                await child.wait()
                return None
        record: dict[str, Any] = json.loads(job.ready_file.read_text())
        return record
    log.warning("child.late name=%s: not ready after %.0f s", job.name, READY_S)
    return None


def _last_words(job: RestartingProcess) -> str:
    """Return the end of its output where nobody has seen it yet."""
    if job.output is None or not job.output.exists():
        return ""
    words = job.output.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
    return f" Its last words:\n{words}" if words else ""
