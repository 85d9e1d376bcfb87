"""Ports that are ours before a child uses them, and the address that others reach us by.

A bound socket that never listens keeps a port from everybody but those who bind it with SO_REUSEADDR,
as all our children do. So a port can be promised to one child and told to another, and a restarted
child finds its own again.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.base.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared, not bound
# A documentation address (RFC 5737): choosing the way to it sends nothing.
ELSEWHERE = ("192.0.2.1", 9)


@dataclass(frozen=True)
class BindAddress:
    """Where a child listens."""

    host: str
    port: int

    @property
    def bind(self) -> str:
        """HOST:PORT, as settings want it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def local(self) -> str:
        """HOST:PORT under which this machine reaches it."""
        return f"127.0.0.1:{self.port}" if self.host in ANY else self.bind

    @property
    def public(self) -> str:
        """HOST:PORT under which others reach it: this machine's address when it listens on any."""
        return f"{lan_address()}:{self.port}" if self.host in ANY else self.bind


class Reservation:
    """Addresses by name, kept until the block is left.

    Raises one ConfigError that names every port that cannot be had.
    """

    def __init__(self, binds: Mapping[str, str]) -> None:
        self._sockets: list[socket.socket] = []
        self._addresses: dict[str, BindAddress] = {}
        problems = []
        for name, bind in binds.items():
            host, _, port = bind.rpartition(":")
            try:
                self._addresses[name] = self._reserve(host.strip("[]"), int(port))
            except OSError as exc:
                problems.append(
                    f"{name}: {bind} cannot be used ({os.strerror(exc.errno or 0)}): "
                    "end the program that uses it, or choose another port (--ports 0: any free ones)"
                )
        if problems:
            self.close()
            raise ConfigError(problems)

    def _reserve(self, host: str, port: int) -> BindAddress:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        self._sockets.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        return BindAddress(host, sock.getsockname()[1])

    def __getitem__(self, name: str) -> BindAddress:
        return self._addresses[name]

    def close(self) -> None:
        """Give the ports back."""
        for sock in self._sockets:
            sock.close()

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def lan_address() -> str:
    """Return this machine's address in its network; 127.0.0.1 when it is in none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)
        except OSError:
            return "127.0.0.1"
        host: str = probe.getsockname()[0]
    return host
