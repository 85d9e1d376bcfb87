"""One child process: it ends with this process, has its own process group, and is awaited by its pidfd.

Started by Popen in the calling task, not by Trio, which would use a worker thread: see
docs/decisions/children-end-with-their-parent.md. Decides nothing about restarting.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import trio

from airclass.ingest import die_with_parent
from relay.base.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

FIRST_WORD_S = 2.5
SECOND_WORD_S = 0.7
LAST_WORD_S = 1.0


class Child:
    """A running child; its output goes to `output` (StartError when that cannot be), or where ours goes."""

    def __init__(self, args: Sequence[str], env: Mapping[str, str], output: Path | None = None) -> None:
        try:
            log = output.open("ab") if output else None
        except OSError as exc:
            raise StartError(f"{output} cannot be written: {exc.strerror}") from None
        try:
            self._process = subprocess.Popen(
                die_with_parent.command(*args),
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C is for us: we end them in our order
            )
        finally:
            if log:
                log.close()
        self._pidfd = os.pidfd_open(self._process.pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    async def wait(self) -> int:
        """Return the exit code once it has ended; negative: the signal that ended it."""
        await trio.lowlevel.wait_readable(self._pidfd)
        return self._process.wait()

    async def close(self) -> None:
        """End it within 4.2 s: asked twice (a relay drains at the first word), then killed."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 3 * FIRST_WORD_S):
            for word, patience_s in (
                (signal.SIGTERM, FIRST_WORD_S),
                (signal.SIGTERM, SECOND_WORD_S),
                (signal.SIGKILL, LAST_WORD_S),
            ):
                if self.returncode is not None:
                    break
                self._process.send_signal(word)
                with trio.move_on_after(patience_s):
                    await self.wait()
        os.close(self._pidfd)
