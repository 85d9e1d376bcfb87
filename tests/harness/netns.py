"""A relay in a network namespace of its own, with a cable to its origin and cables to its viewers.

The test's own end of each cable is in the root namespace, where the origin and the viewers run.
Needs root, iproute2 and iptables; everything goes with the namespace, whatever happens.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_S = 10.0


@dataclass(frozen=True)
class Cable:
    """A veth pair: `ours` is the test's address, `theirs` the relay's."""

    outside: str
    inside: str
    ours: str
    theirs: str


class NetworkNamespace:
    """One namespace; cables are named up (origin), down and slow (viewers)."""

    def __init__(self, tag: str, cables: dict[str, Cable]) -> None:
        self.name = f"airclass-{tag}"
        self.cables = cables

    @property
    def prefix(self) -> tuple[str, ...]:
        """The command that runs another one inside."""
        return ("ip", "netns", "exec", self.name)

    def inside(self, *args: str) -> None:
        """Run a command in the namespace."""
        _run(*self.prefix, *args)

    def lose(self, cable: str, share: float) -> None:
        """Drop a share of the packets, each way."""
        one = self.cables[cable].inside
        how = ("-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP")
        self.inside("iptables", "-A", "INPUT", "-i", one, *how)
        self.inside("iptables", "-A", "OUTPUT", "-o", one, *how)

    def cut(self, cable: str) -> None:
        """Drop every packet: a partition, without a reset."""
        one = self.cables[cable].inside
        self.inside("iptables", "-I", "INPUT", "-i", one, "-j", "DROP")
        self.inside("iptables", "-I", "OUTPUT", "-o", one, "-j", "DROP")

    def mend(self) -> None:
        """Take back `lose` and `cut`."""
        self.inside("iptables", "-F")

    def narrow(self, cable: str, rate: str) -> None:
        """Limit what the relay can send over a cable, for example to `1mbit`."""
        tbf = ("tbf", "rate", rate, "burst", "16kb", "latency", "200ms")
        self.inside("tc", "qdisc", "add", "dev", self.cables[cable].inside, "root", *tbf)


@contextmanager
def lab(*names: str) -> Iterator[NetworkNamespace]:
    """Lay the cables for the length of a block."""
    assert os.geteuid() == 0, "network tests make namespaces: run them as root"
    for tool in ("ip", "tc", "iptables"):
        assert shutil.which(tool), f"{tool} is missing: apt-get install iproute2 iptables"
    tag = secrets.token_hex(3)
    net = f"10.{64 + secrets.randbelow(64)}.{secrets.randbelow(256)}"
    cables = {
        name: Cable(f"v{tag}{n}o", f"v{tag}{n}i", f"{net}.{4 * n + 1}", f"{net}.{4 * n + 2}")
        for n, name in enumerate(names)
    }
    made = NetworkNamespace(tag, cables)
    _run("ip", "netns", "add", made.name)
    try:
        made.inside("ip", "link", "set", "lo", "up")
        for cable in cables.values():
            peer = ("type", "veth", "peer", "name", cable.inside, "netns", made.name)
            _run("ip", "link", "add", cable.outside, *peer)
            _run("ip", "addr", "add", f"{cable.ours}/30", "dev", cable.outside)
            _run("ip", "link", "set", cable.outside, "up")
            made.inside("ip", "addr", "add", f"{cable.theirs}/30", "dev", cable.inside)
            made.inside("ip", "link", "set", cable.inside, "up")
        yield made
    finally:
        _run("ip", "netns", "del", made.name)


def _run(*args: str) -> None:
    done = subprocess.run(args, capture_output=True, text=True, timeout=COMMAND_S)
    assert done.returncode == 0, f"{' '.join(args)}: {done.stderr}"
