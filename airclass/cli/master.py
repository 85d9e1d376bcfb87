"""`airclass master`: the control plane in this process."""

from __future__ import annotations

from pathlib import Path

import trio

from airclass import master as process
from airclass.config import load_master
from relay.base.errors import AirclassError


def master(*, bind: str | None = None, ready_file: Path | None = None) -> None:
    """Run the master until Ctrl-C or SIGTERM; settings come from the environment and `.env`.

    Parameters
    ----------
    bind
        HOST:PORT instead of MASTER_BIND; port 0 lets the kernel choose.
    ready_file
        JSON {"master_url"} is written here once the master answers.
    """
    settings = load_master(master_bind=bind)

    async def body() -> None:
        await process.run(settings, ready_file=ready_file)

    try:
        trio.run(body)
    except* AirclassError as group:
        raise first(group) from None


def first(group: BaseExceptionGroup[AirclassError]) -> AirclassError:
    """Return the innermost error of a group."""
    exc: BaseException = group
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    assert isinstance(exc, AirclassError)
    return exc
