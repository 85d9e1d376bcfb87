"""`airclass standalone`: ingest, master and one relay as children of this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airclass.run.supervisor import supervise
from relay.base.errors import ConfigError
from relay.base.settings import environment

if TYPE_CHECKING:
    from collections.abc import Callable


def standalone(*, ports: int | None = None, ready_file: Path | None = None) -> None:
    """Run a whole school on this machine until Ctrl-C or SIGTERM; settings as for the master.

    Parameters
    ----------
    ports
        0: every port is any free one, instead of those in the settings.
    ready_file
        Where to write addresses, codes and tokens, as JSON, once students can join.
    """
    run(demo=False, public=False, ports=ports, ready_file=ready_file, quiet=False, show=_show)


def run(
    *,
    demo: bool,
    public: bool,
    ports: int | None,
    ready_file: Path | None,
    quiet: bool,
    show: Callable[[dict[str, Any]], None],
) -> None:
    """Run the supervisor; raises the one error that says why it could not start."""
    if ports not in (None, 0):
        raise ConfigError(["--ports takes only 0 (any free ones): set single ports by MASTER_BIND and so on"])
    supervise(
        environment(),
        demo=demo,
        public=public,
        any_port=ports == 0,
        quiet=quiet,
        ready_file=ready_file,
        show=show,
    )


def _show(record: dict[str, Any]) -> None:
    """Say where it is; links that sign somebody in are not for a log."""
    print(f"AIRClass is at {record['master_url']}, teachers push to {record['rtmp_url'].partition('?')[0]}")
