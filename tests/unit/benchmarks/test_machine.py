"""Cost of processes from /proc: this process, one that is gone, memory in memfds."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.machine import children, cost, describe


def test_this_process_has_a_cost() -> None:
    found = cost([os.getpid()])
    assert found.cpu_s > 0
    assert found.rss_bytes > 1_000_000


def test_a_process_that_is_gone_costs_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert cost([gone.pid]).cpu_s == 0


def test_memory_in_memfds_is_counted() -> None:
    before = cost([os.getpid()]).memfd_bytes
    number = os.memfd_create("test")
    try:
        os.write(number, bytes(100_000))
        assert cost([os.getpid()]).memfd_bytes - before >= 100_000
    finally:
        os.close(number)


def test_children_are_found() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.pid in children(os.getpid())
    child.communicate(b"\n")
    assert children(child.pid) == []


def test_the_machine_is_named() -> None:
    assert all(describe().values())
