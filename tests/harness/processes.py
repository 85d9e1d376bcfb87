"""Child processes for tests: start one, wait until it is ready, and end it by its own process id.

Children are started from the main thread, because some ask for a signal when the thread that started
them ends (docs/decisions/children-end-with-their-parent.md).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

STOP_S = 5.0
READY_S = 40.0
POLL_S = 0.02
TAIL_CHARS = 4000


def free_ports(count: int, *, host: str = "127.0.0.1") -> list[int]:
    """Return ports that are free now, for programs that cannot report a port of the kernel's choice."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in sockets]


class ChildProcess:
    """One running process; its output goes to a file that failures quote."""

    def __init__(self, args: list[str], folder: Path, env: Mapping[str, str]) -> None:
        self.args = args
        self.log = folder / f"{Path(args[0]).name}-{os.urandom(4).hex()}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                args,
                stdin=subprocess.PIPE,  # stays open: children that watch it notice our end
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
            )
        self._pidfd = os.pidfd_open(self.pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """Everything the child has written so far."""
        return self.log.read_text(errors="replace")

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal, unless the child has ended."""
        if self.returncode is None:
            self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait until the child ends and return its exit code."""
        await trio.lowlevel.wait_readable(self._pidfd)
        return self._process.wait()

    async def ready(self, file: Path, *, within_s: float = READY_S) -> dict[str, str]:
        """Return what the child writes into its ready file; AssertionError if it ends or is too late."""
        with trio.move_on_after(within_s):
            while not file.exists():
                assert self.returncode is None, f"{self.args} ended: {self.output()[-TAIL_CHARS:]}"
                with trio.move_on_after(POLL_S):
                    await self.wait()
            return json.loads(file.read_text())
        raise AssertionError(f"{self.args} not ready in {within_s} s: {self.output()[-TAIL_CHARS:]}")

    async def stop(self) -> int:
        """Ask it to end, insist after 5 s, and return the exit code."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 2 * STOP_S):
            self.kill(signal.SIGTERM)
            with trio.move_on_after(STOP_S):
                return await self.wait()
            self.kill()
            return await self.wait()
        raise AssertionError(f"{self.args} survived SIGKILL")

    def close(self) -> None:
        """Give back the descriptors."""
        os.close(self._pidfd)
        if self._process.stdin is not None:
            self._process.stdin.close()


@asynccontextmanager
async def running(
    *args: str | Path, folder: Path, env: Mapping[str, str] | None = None
) -> AsyncIterator[ChildProcess]:
    """Run a child for the length of a block; `folder` takes its log."""
    child = ChildProcess([str(arg) for arg in args], folder, env or {})
    try:
        yield child
    finally:
        await child.stop()
        child.close()
