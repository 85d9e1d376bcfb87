"""`airclass master`: the control plane in this process."""

from __future__ import annotations

import os
from pathlib import Path

import trio

from airclass import master as process
from airclass.config import load_master
from relay.base import logs
from relay.base import process as process_habits
from relay.base.errors import told_by


def master(*, bind: str | None = None, ready_file: Path | None = None, die_with_parent: bool = False) -> None:
    """Run the master until Ctrl-C or SIGTERM; settings come from the environment and `.env`.

    Parameters
    ----------
    bind
        HOST:PORT instead of MASTER_BIND; port 0 lets the kernel choose.
    ready_file
        JSON {"master_url"} is written here once the master answers.
    die_with_parent
        End when the process that started this one ends.
    """
    if die_with_parent:
        process_habits.die_with_parent(os.getppid())
    settings = load_master(master_bind=bind)
    logs.set_up(settings.log_level, settings.log_format)

    process_habits.allow_many_files()
    process_habits.spare_the_collector()

    async def body() -> None:
        await process.run(settings, ready_file=ready_file)

    try:
        trio.run(body)
    except BaseExceptionGroup as group:
        raise told_by(group) from None
