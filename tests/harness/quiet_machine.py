"""Run tests that measure stalls and delays, and detect that the machine itself stood still meanwhile.

A test marked `timing` runs alone, but the machine may be a virtual one on a busy host. If such a test
fails while a plain sleep of this process ended more than LATE_S late, the failure says nothing about
AIRClass: the test runs once more. The first failure is printed and kept in the JUnit report
(`first_failure`). A failure on a steady machine stands.
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
    first = "\n".join(f"{report.when}:\n{report.longreprtext}" for report in reports if report.failed)
    item.user_properties.append(("first_failure", first))
    stood_ms = watch.worst_s * 1000
    tell(item, f"failed while the machine stood still for {stood_ms:.0f} ms: running it once more\n{first}")
    item._initrequest()  # type: ignore[attr-defined]  # fresh fixtures: pytest offers no public way
    return runtestprotocol(item, log=False, nextitem=nextitem)


def tell(item: pytest.Item, what: str) -> None:
    """Write a line into the report."""
    terminal = item.config.pluginmanager.get_plugin("terminalreporter")
    terminal.write_line(f"\n{item.nodeid} {what}", yellow=True)
