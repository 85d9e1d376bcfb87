"""Cost of processes from /proc: this process, one that is gone, memory in memfds."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from benchmarks.reports.machine import children, cost, describe


def test_a_process_that_shares_its_core_is_seen_to_wait() -> None:
    core = {min(os.sched_getaffinity(0))}
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        for hog in hogs:
            os.sched_setaffinity(hog.pid, core)
        give_up_s = time.monotonic() + 20.0
        while cost([hogs[0].pid]).waited_s < 0.02:
            assert time.monotonic() < give_up_s
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


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
