"""Who watches while something breaks: a crowd of modelled viewers and one real Chromium."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import trio

from benchmarks.load.viewer_worker import WorkerOrders
from benchmarks.player.browser import BrowserStudent, chromium
from benchmarks.servers.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

RAMP_S = 3.0
SETTLE_S = 4.0
AIM_S = 1.75  # how far behind live our page plays parts of half a second
LOOK_S = 0.25
STARTED_S = 40.0
END_S, ENDS = 1.0, 5  # the picture must move within five seconds at the end
CURES = "() => document.querySelector('video')?.dataset.recoveryActions ?? ''"
PATHWAY = "() => document.querySelector('video')?.dataset.pathway ?? ''"


class ChaosViewers:
    """Viewers in a process of their own; `steady` returns once they are there, `facts` at the end."""

    def __init__(self, urls: list[str], seconds: float, folder: Path) -> None:
        self._errors = (folder / "crowd.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load.viewer_worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        orders = WorkerOrders(urls, len(urls), RAMP_S, SETTLE_S, seconds, latency_s=AIM_S)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(orders)).encode() + b"\n")
        self._process.stdin.close()

    async def steady(self) -> None:
        """Wait until all have started and settled."""
        await self._line()

    async def facts(self) -> dict[str, Any]:
        """Return what they saw, once they have stopped watching."""
        return await self._line()

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await trio.to_thread.run_sync(self._process.stdout.readline)
        assert line, "the crowd ended early: see crowd.log"
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()


class FaultWindow:
    """One student in a real browser, in a thread of its own.

    `pathway` is the relay played from at first; `cures` is what the page did by itself to play on.
    """

    def __init__(self, student_url: str) -> None:
        self.pathway = self.cures = ""
        self._url = student_url
        self._playing, self._fault, self._enough = threading.Event(), threading.Event(), threading.Event()
        self._stalls_ms: list[int] = []
        self._moves = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with chromium() as browser:
                self._watch(BrowserStudent(browser, self._url))
        except BaseException as exc:  # noqa: BLE001 - told to whoever waits for the result
            self._error = exc
        self._playing.set()

    def _watch(self, student: BrowserStudent) -> None:
        while not self.pathway:
            student.watch(LOOK_S)
            self.pathway = student.page.evaluate(PATHWAY)
        self._playing.set()
        while not self._fault.is_set():
            student.watch(LOOK_S)
        before = len(student.watch(0).stalls_ms)
        while not self._enough.is_set():
            student.watch(LOOK_S)
        so_far_s = student.watch(0).advanced_s
        for _ in range(ENDS):
            seen = student.watch(END_S)
            self._moves = seen.advanced_s - so_far_s > END_S / 4
            if self._moves:
                break
        self._stalls_ms = list(seen.stalls_ms[before:])
        self.cures = student.page.evaluate(CURES)

    async def playing(self) -> None:
        """Wait for the first picture."""
        await trio.to_thread.run_sync(self._playing.wait, STARTED_S)
        if self._error is not None:
            raise self._error
        assert self.pathway, f"the browser had no picture in {STARTED_S} s"

    def note(self) -> None:
        """From now on stalls count."""
        self._fault.set()

    async def seen(self) -> tuple[list[int], bool]:
        """Stop watching; returns the stalls in ms and whether the picture moved to the end."""
        self._fault.set()
        self._enough.set()
        await trio.to_thread.run_sync(self._thread.join, STARTED_S)
        if self._error is not None:
            raise self._error
        return self._stalls_ms, self._moves
