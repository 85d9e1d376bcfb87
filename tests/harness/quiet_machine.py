"""Judging stalls and delays: whether the machine itself stood still meanwhile.

A test marked `calm` has the machine to itself, but the machine may be a guest on a busy one. If such a
test fails while this process was late by more than LATE_S for a plain sleep, nothing was learnt about
AIRClass: it is judged once more, and both results are told. A failure on a steady machine stands.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from _pytest.runner import runtestprotocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

LATE_S = 0.15
TICK_S = 0.02


class StandstillWatch:
    """How late the worst of many short sleeps was, in seconds."""

    def __init__(self) -> None:
        self.worst_s = 0.0
        self._over = threading.Event()

    def run(self) -> None:
        """Sleep and compare until `stop`."""
        while True:
            before_s = time.monotonic()
            if self._over.wait(TICK_S):
                return
            self.worst_s = max(self.worst_s, time.monotonic() - before_s - TICK_S)

    def stop(self) -> None:
        """End `run`."""
        self._over.set()


@contextmanager
def watched() -> Iterator[StandstillWatch]:
    """Watch the machine for the length of a block."""
    watch = StandstillWatch()
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


def judge(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Run a test and return its reports; once more when it failed while the machine stood still."""
    with watched() as watch:
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
    if watch.worst_s <= LATE_S or not any(report.failed for report in reports):
        return reports
    tell(item, f"failed while the machine stood still for {watch.worst_s * 1000:.0f} ms: judged once more")
    item._initrequest()  # type: ignore[attr-defined]  # fresh fixtures: pytest offers no public way
    return runtestprotocol(item, log=False, nextitem=nextitem)


def tell(item: pytest.Item, what: str) -> None:
    """Write a line into the report."""
    terminal = item.config.pluginmanager.get_plugin("terminalreporter")
    terminal.write_line(f"\n{item.nodeid} {what}", yellow=True)
