"""The sockets on which viewers come in, in the reactor's epoll set.

Bounds how many are accepted in one go and in all, and pauses when descriptors run out. What becomes of
a connection is not its business.
"""

from __future__ import annotations

import errno
import logging
import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relay.core.counters import Counters

log = logging.getLogger(__name__)

MAX_ACCEPTS_PER_TURN = 64
ACCEPT_PAUSE_S = 0.1
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listeners:
    """Bound, listening sockets; `again_s` is when accepting goes on after a pause, None without one."""

    def __init__(self, epoll: select.epoll, counters: Counters) -> None:
        self.again_s: float | None = None
        self._epoll = epoll
        self._counters = counters
        self._sockets: dict[int, socket.socket] = {}

    def __contains__(self, fd: int) -> bool:
        return fd in self._sockets

    def add(self, listener: socket.socket) -> None:
        """Accept on a socket from now on."""
        listener.setblocking(False)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets[listener.fileno()] = listener
        self._epoll.register(listener.fileno(), select.EPOLLIN)

    def accept(
        self, fd: int, has_room: Callable[[str], bool], now_s: float
    ) -> Iterator[tuple[socket.socket, str]]:
        """Yield new connections, non-blocking, and their addresses; those without room are closed."""
        for _ in range(MAX_ACCEPTS_PER_TURN):
            try:
                sock, address = self._sockets[fd].accept()
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno in _NO_ROOM:
                    self._pause(now_s)
                return
            if not has_room(address[0]):
                self._counters.refused["connections"] += 1
                sock.close()
                continue
            sock.setblocking(False)
            yield sock, address[0]

    def resume(self, now_s: float) -> None:
        """Accept again once a pause is over."""
        if self.again_s is not None and now_s >= self.again_s:
            self.again_s = None
            for fd in self._sockets:
                self._epoll.register(fd, select.EPOLLIN)

    def close(self) -> None:
        """Accept nobody any more; those who are connected stay."""
        for fd, listener in self._sockets.items():
            if self.again_s is None:
                self._epoll.unregister(fd)
            listener.close()
        self._sockets.clear()
        self.again_s = None

    def _pause(self, now_s: float) -> None:
        """Out of descriptors: leave the rest in the kernel's queue for a moment."""
        if self.again_s is not None:
            return
        log.warning("accept.paused reason=no descriptors left: raise the file limit")
        for fd in self._sockets:
            self._epoll.unregister(fd)
        self.again_s = now_s + ACCEPT_PAUSE_S
