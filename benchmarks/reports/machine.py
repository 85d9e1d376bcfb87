"""What a process costs, read from /proc, and what machine this is. Linux only."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class ProcessCost:
    """CPU seconds since a process began (user, system), the memory and descriptors that it holds now.

    `waited_s` is how long its living threads, ready to run, were kept from a core.
    """

    user_s: float
    system_s: float
    rss_bytes: int
    memfd_bytes: int
    descriptors: int = 0
    waited_s: float = 0.0

    @property
    def cpu_s(self) -> float:
        """User and system time together."""
        return self.user_s + self.system_s


def cost(pids: list[int]) -> ProcessCost:
    """Return what these processes have used together; those that are gone count as nothing."""
    parts = [_cost(pid) for pid in pids]
    return ProcessCost(
        sum(part.user_s for part in parts),
        sum(part.system_s for part in parts),
        sum(part.rss_bytes for part in parts),
        sum(part.memfd_bytes for part in parts),
        sum(part.descriptors for part in parts),
        sum(part.waited_s for part in parts),
    )


def _cost(pid: int) -> ProcessCost:
    folder = Path(f"/proc/{pid}")
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        status = (folder / "status").read_text()
        descriptors = list((folder / "fd").iterdir())
        waits_ns = [int(path.read_text().split()[1]) for path in folder.glob("task/*/schedstat")]
    except OSError:
        return ProcessCost(0.0, 0.0, 0, 0)
    rss_kb = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
    return ProcessCost(
        int(fields[11]) / _TICKS_PER_S,
        int(fields[12]) / _TICKS_PER_S,
        rss_kb * 1024,
        sum(_memfd_bytes(descriptor) for descriptor in descriptors),
        len(descriptors),
        sum(waits_ns) / 1e9,
    )


def _memfd_bytes(descriptor: Path) -> int:
    try:
        if not os.readlink(descriptor).startswith("/memfd:"):
            return 0
        return descriptor.stat().st_blocks * _BLOCK_BYTES
    except OSError:
        return 0


def busy_s() -> float:
    """Return how many seconds all cores together have worked since the machine began."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def children(pid: int) -> list[int]:
    """Return the processes that `pid` started (nginx' workers)."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def describe() -> dict[str, str]:
    """Return processor, cores, memory, kernel and Python: no figure stands without them."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpu": cpu,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_kb / 1024**2:.0f} GiB",
        "kernel": platform.release(),
        "congestion_control": Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
