"""A whole system on this machine: what runs, in which order it starts, and how it ends.

Ports and folders first, then ingest and master, then the relay, a class, the teacher (in a demo); ready
once a student could play. It ends on SIGINT, SIGTERM or SIGHUP: all children at once, within 5 s.
"""

from __future__ import annotations

import logging
import signal
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from airclass.run import plan as plans
from airclass.run.master_client import open_master_client
from airclass.run.plan import ProcessPlan
from airclass.run.restarting_process import keep
from airclass.run.tempdir import check_writable, hold_folder, temporary_folder
from relay.base.errors import StartError, told_by
from relay.base.process import write_ready_file
from relay.base.systemd import Systemd, without

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from airclass.run.master_client import CreatedClassroom, LocalMasterClient

log = logging.getLogger(__name__)

PLAYABLE_S = 60.0
TEACHER = "teacher"
ADMIN = "admin"


class Supervisor:
    """Runs one plan; `show` is told the record of the ready file once it is complete."""

    def __init__(
        self, plan: ProcessPlan, *, ready_file: Path | None, show: Callable[[dict[str, Any]], None]
    ) -> None:
        self._plan, self._ready_file, self._show = plan, ready_file, show
        self._systemd = Systemd()
        self._pids: dict[str, int] = {}
        self._record: dict[str, Any] = {}

    async def run(self) -> None:
        """Run until a signal; raises StartError when something does not start."""
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(_until_signal, nursery.cancel_scope)
                nursery.start_soon(self._systemd.run)
                await self._start(nursery)
        finally:
            self._systemd.stopping("ending ingest, master and relay")
            if self._ready_file is not None:
                self._ready_file.unlink(missing_ok=True)

    async def _start(self, nursery: trio.Nursery) -> None:
        plan, start = self._plan, partial(nursery.start, keep)
        async with trio.open_nursery() as together:
            together.start_soon(start, plan.ingest(), self._started)
            together.start_soon(start, plan.master(), self._started)
        async with open_master_client(
            plan.inner_master_url, plan.settings.jwt_secret_key.get_secret_value()
        ) as master_client:
            async with trio.open_nursery() as together:
                together.start_soon(start, plan.relay(), self._started)
                classroom = await self._classroom(master_client)
                record = await self._prepare(master_client, classroom)
                if plan.demo:
                    await start(plan.teacher(classroom.rtmp_url), self._started)
            with trio.move_on_after(PLAYABLE_S) as login_throttle:
                await master_client.until_playable(classroom, live=plan.demo)
            if login_throttle.cancelled_caught:
                raise StartError(f"no picture came through within {PLAYABLE_S:.0f} s: the log above says why")
        self._record = record
        self._write()
        log.info("%s.ready master=%s", "demo" if plan.demo else "standalone", plan.master_url)
        self._systemd.ready(f"AIRClass is at {plan.master_url}")
        self._show({**record, "pids": dict(self._pids)})

    async def _classroom(self, master_client: LocalMasterClient) -> CreatedClassroom:
        """Return the class to begin with; it is made when there is none at all."""
        if self._plan.demo:
            return await master_client.first_class("AIRClass demo", "en", owner=TEACHER)
        return await master_client.first_class("Class 1", "ko")

    async def _prepare(self, master_client: LocalMasterClient, classroom: CreatedClassroom) -> dict[str, Any]:
        """Return the ready file's record but for the pids."""
        plan = self._plan
        teacher, role = (TEACHER, "teacher") if plan.demo else (ADMIN, "admin")
        return {
            "master_url": plan.master_url,
            "relay_url": plan.relay_url,
            "relay_admin_url": plan.relay_admin_url,
            "join_code": classroom.code,
            "student_url": classroom.join_url,
            "teacher_url": await master_client.link(teacher, role, "/teach"),
            "admin_url": await master_client.link(ADMIN, "admin", "/admin"),
            "rtmp_url": classroom.rtmp_url,
            "origin_url": f"{plan.hls_url}/live/{classroom.id}/index.m3u8",
            "admin_token": master_client.admin_token,
            "monitor_token": master_client.monitor_token,
            "ingest": plan.ingest_kind,
        }

    def _started(self, name: str, pid: int) -> None:
        """Keep the ready file true when a child was started again."""
        self._pids[name] = pid
        if self._record:
            self._write()

    def _write(self) -> None:
        if self._ready_file is not None:
            write_ready_file(self._ready_file, {**self._record, "pids": self._pids})


async def _until_signal(
    scope: trio.CancelScope, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            log.info("supervisor.stopping signal=%s", signal.Signals(number).name)
            scope.cancel()
            return


def supervise(
    environ: Mapping[str, str],
    *,
    demo: bool,
    public: bool = False,
    any_port: bool = False,
    quiet: bool = False,
    ready_file: Path | None = None,
    show: Callable[[dict[str, Any]], None],
) -> None:
    """Run a demo or an installation until it is told to stop; blocks.

    Raises ConfigError or StartError for what keeps it from starting.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("airclass-demo-" if demo else "airclass-run-"))
        if ready_file is not None:
            check_writable(ready_file.parent, "the folder of --ready-file")
        if demo:
            environ = plans.demo_environ(environ, folder, public=public)
        else:
            environ = plans.standalone_environ(environ)
        settings, mediamtx = plans.settle(environ)
        check_writable(settings.data_dir, "DATA_DIR")
        stack.enter_context(hold_folder(settings.data_dir, "DATA_DIR"))
        ports = stack.enter_context(plans.reserve(settings, mediamtx=mediamtx is not None, any_port=any_port))
        plan = ProcessPlan(settings, without(environ), ports, folder, mediamtx, demo=demo, quiet=quiet)
        if mediamtx is None and not demo and settings.ingest == "auto":
            log.warning(
                "ingest.embedded MediaMTX was not found: only this computer can publish. "
                "Put MediaMTX 1.20 or newer on PATH, or set MEDIAMTX_PATH."
            )
        try:
            trio.run(Supervisor(plan, ready_file=ready_file, show=show).run)
        except BaseExceptionGroup as group:
            raise told_by(group) from None
