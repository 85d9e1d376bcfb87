"""Runs load generators in processes of their own and reads what the servers cost meanwhile.

A generator gets its orders as JSON on standard input, says "steady" once its viewers are there and
"done" with its figures at the end; the servers' CPU is counted between the two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.reports.machine import ProcessCost, busy_s, cost
from benchmarks.servers.servers import ROOT
from relay.base.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from _typeshed import DataclassInstance

MIN_CORES_TO_PIN = 2


def run(
    module: str,
    orders: Sequence[DataclassInstance],
    servers: Mapping[str, Sequence[int]],
    cores: set[int] | None = None,
    look: Callable[[], None] = lambda: None,
) -> tuple[list[dict[str, Any]], dict[str, dict[str, float]]]:
    """Run one generator per order; return what each saw, and the cost of each server (name → pids).

    The cost of `generators` has also `rest_percent`: what everything else on this machine used
    meanwhile, in percent of a core. Where that is much, the figures are worth little. `look` is
    called when the measuring begins and when it ends.
    """
    generators = [_start(module, order, cores) for order in orders]
    known = {**servers, "generators": [generator.pid for generator in generators]}
    try:
        for generator in generators:
            _line(generator)
        before = {name: cost(list(pids)) for name, pids in known.items()}
        busy_before_s = busy_s()
        look()
        seen = [json.loads(_line(generator)) for generator in generators]
        after = {name: cost(list(pids)) for name, pids in known.items()}
        worked_s = busy_s() - busy_before_s
        look()
    finally:
        for generator in generators:
            generator.kill()
            generator.communicate()
    requests = sum(part["requests"] for part in seen)
    elapsed_s = max(part["elapsed_s"] for part in seen)
    costs = {name: _usage(before[name], after[name], elapsed_s, requests) for name in known}
    costs["generators"]["rest_percent"] = (
        100 * max(0.0, worked_s - sum(costs[name]["cpu_s"] for name in known)) / elapsed_s
    )
    return seen, costs


def pin(pids: Sequence[int], core: int) -> None:
    """Keep processes on one core, where there are enough cores to tell server and client apart."""
    cores = core_set(core)
    for pid in pids if cores else ():
        os.sched_setaffinity(pid, cores or {})


def core_set(core: int) -> set[int] | None:
    """Return the n-th core of this process as a set, or None on a machine with one."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[core]} if len(cores) >= MIN_CORES_TO_PIN else None


def _usage(first: ProcessCost, last: ProcessCost, elapsed_s: float, requests: int) -> dict[str, float]:
    cpu_s = last.cpu_s - first.cpu_s
    return {
        "cpu_s": cpu_s,
        "user_s": last.user_s - first.user_s,
        "system_s": last.system_s - first.system_s,
        "cpu_percent": 100 * cpu_s / elapsed_s,
        "waited_percent": 100 * max(0.0, last.waited_s - first.waited_s) / elapsed_s,
        "us_per_request": 1e6 * cpu_s / max(1, requests),
        "rss_mb": last.rss_bytes / 1e6,
        "rss_grown_mb": (last.rss_bytes - first.rss_bytes) / 1e6,
        "memfd_mb": last.memfd_bytes / 1e6,
    }


def _start(module: str, order: DataclassInstance, cores: set[int] | None) -> subprocess.Popen[str]:
    generator = subprocess.Popen(
        [sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    if cores:
        os.sched_setaffinity(generator.pid, cores)
    assert generator.stdin is not None
    generator.stdin.write(json.dumps(asdict(order)) + "\n")
    generator.stdin.flush()
    return generator


def _line(generator: subprocess.Popen[str]) -> str:
    assert generator.stdout is not None
    line = generator.stdout.readline()
    if not line:
        raise StartError("the load generator ended early: its error stands above")
    return line
