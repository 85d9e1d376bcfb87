"""The load generator's engine: many keep-alive connections on one epoll, in a process of its own.

Deliberately plain and cheap, so that the client is not what is measured: bodies that nobody needs
are dropped inside the kernel (MSG_TRUNC). Knows HTTP and time, nothing of HLS.
"""

from __future__ import annotations

import heapq
import itertools
import select
import socket
import ssl
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from benchmarks.load.http_wire import WireError, WireResponse

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_READ_BYTES = 65_536
DRAIN_BYTES = 4_194_304
MAX_EVENTS = 512
MAX_CONNECTIONS = 6  # what Chrome opens to one host over HTTP/1.1
REQUEST_DEADLINE_S = 20.0

_WAIT = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)
_scratch = memoryview(bytearray(DRAIN_BYTES))


class ResponseHandler(Protocol):
    """Who asked: told the answer, its status 0 when there was none."""

    def __call__(self, answer: WireResponse, now_s: float) -> None: ...


class _Request:
    """`deadline_s` is 0 once the asker has been told; `connection` is None while it waits in line."""

    __slots__ = ("asker", "connection", "data", "deadline_s", "keep", "tries")

    def __init__(self, data: bytes, keep: bool, asker: ResponseHandler, deadline_s: float) -> None:
        self.data, self.keep, self.asker, self.deadline_s = data, keep, asker, deadline_s
        self.tries = 0
        self.connection: LoadConnection | None = None

    def failed(self, now_s: float, *, late: bool = False) -> None:
        """Tell the asker that there is no answer."""
        self.deadline_s = 0.0
        answer = WireResponse(keep=False)
        answer.late = late
        self.asker(answer, now_s)


class LoadClock:
    """The machine's own time; tests bring another, so that a busy machine changes nothing."""

    def now_s(self) -> float:
        """Return the Unix time."""
        return time.time()

    def wait(self, loop: LoadEngine, seconds: float) -> list[tuple[int, int]]:
        """Return what happened to the loop's connections, at the latest after so many seconds."""
        return loop.poll.poll(max(0.0, seconds), MAX_EVENTS)


class LoadEngine:
    """Runs connections and timers until told to stop; counts what went through."""

    def __init__(
        self,
        address: tuple[str, int],
        tls: ssl.SSLContext | None = None,
        *,
        deadline_s: float = REQUEST_DEADLINE_S,
        clock: LoadClock | None = None,
    ) -> None:
        self.address = address
        self.clock = clock or LoadClock()
        self.tls = tls
        self.deadline_s = deadline_s
        self.requests = 0
        self.body_bytes = 0
        self.busy_s = 0.0
        self.stopped = False
        self.poll = select.epoll()
        self.connections: dict[int, LoadConnection] = {}
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()

    @property
    def unanswered(self) -> int:
        """How many requests are on their way."""
        return sum(connection.waits for connection in self.connections.values())

    def at(self, when_s: float, call: Callable[[float], None]) -> None:
        """Call `call(now_s)` at a Unix time."""
        heapq.heappush(self._timers, (when_s, next(self._order), call))

    def run(self, until_s: float) -> None:
        """Serve events until a Unix time, or until `stopped`."""
        clock = self.clock
        now_s = clock.now_s()
        while now_s < until_s and not self.stopped:
            next_s = min(self._timers[0][0], until_s) if self._timers else until_s
            events = clock.wait(self, next_s - now_s)
            now_s = began_s = clock.now_s()
            for number, _ in events:
                connection = self.connections.get(number)
                if connection is not None:
                    connection.ready(now_s)
            while self._timers and self._timers[0][0] <= now_s:
                heapq.heappop(self._timers)[2](now_s)
            now_s = clock.now_s()
            self.busy_s += now_s - began_s

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self.connections.values()):
            connection.close()
        self.poll.close()


class ViewerHost:
    """One viewer's way to a server: at most six connections, reused, the rest waits in line."""

    def __init__(
        self, loop: LoadEngine, most: int = MAX_CONNECTIONS, address: tuple[str, int] | None = None
    ) -> None:
        self.address = address or loop.address
        self._loop = loop
        self._most = most
        self._open = 0
        self._idle: list[LoadConnection] = []
        self._waiting: deque[_Request] = deque()

    def get(
        self,
        data: bytes,
        asker: ResponseHandler,
        now_s: float,
        *,
        keep: bool,
        patience_s: float | None = None,
    ) -> None:
        """Send a request on an idle connection, a new one, or as soon as one is free.

        After `patience_s` seconds the asker is told that it is late; None leaves it to the loop's deadline.
        """
        request = _Request(data, keep, asker, now_s + self._loop.deadline_s)
        if patience_s is not None:
            self._loop.at(now_s + patience_s, lambda now_s: self._give_up(request, now_s))
        self._give(request, now_s)

    def _give_up(self, request: _Request, now_s: float) -> None:
        if not request.deadline_s:
            return
        if request.connection is None:
            self._waiting.remove(request)
        else:
            request.connection.close()
            self._open -= 1
        request.failed(now_s, late=True)
        if self._waiting and self._open < self._most:
            self._give(self._waiting.popleft(), now_s)

    def _give(self, request: _Request, now_s: float) -> None:
        if self._idle:
            self._idle.pop().send(request, now_s)
        elif self._open < self._most:
            self._open += 1
            LoadConnection(self._loop, self, request, now_s)
        else:
            self._waiting.append(request)

    def freed(self, connection: LoadConnection, now_s: float) -> None:
        """Take a connection back."""
        if self._waiting:
            connection.send(self._waiting.popleft(), now_s)
        else:
            self._idle.append(connection)

    def lost(self, connection: LoadConnection, request: _Request | None, now_s: float) -> None:
        """A connection ended; a request that met a closed keep-alive connection is sent again, once."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if request is not None:
            request.tries += 1
            request.connection = None
            if connection.served and request.tries == 1:
                self._give(request, now_s)
            else:
                request.failed(now_s)
        if self._waiting and self._open < self._most:
            self._give(self._waiting.popleft(), now_s)


class LoadConnection:
    """One socket: connecting, sending a request, reading its answer, or idle."""

    def __init__(self, loop: LoadEngine, host: ViewerHost, request: _Request, now_s: float) -> None:
        self._loop, self._host, self._request = loop, host, request
        request.connection = self
        self._answer = WireResponse(keep=request.keep)
        self._unsent = memoryview(request.data)
        self.served = 0
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connecting = plain.connect_ex(host.address) != 0
        self._tls: ssl.SSLSocket | None = None
        self._socket: socket.socket = plain
        if loop.tls is not None:
            self._tls = self._socket = loop.tls.wrap_socket(
                plain, do_handshake_on_connect=False, suppress_ragged_eofs=True
            )
        self._handshaken = loop.tls is None
        self._number = self._socket.fileno()
        loop.connections[self._number] = self
        # Edge-triggered and armed once for both directions: no epoll_ctl for the rest of its life.
        loop.poll.register(
            self._number, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET | select.EPOLLRDHUP
        )
        loop.at(request.deadline_s, self._check_deadline)

    @property
    def waits(self) -> bool:
        """Whether an answer is still to come."""
        return self._request.deadline_s > 0

    def send(self, request: _Request, now_s: float) -> None:
        """Send the next request on this idle connection."""
        self._request = request
        request.connection = self
        self._answer = WireResponse(keep=request.keep)
        self._unsent = memoryview(request.data)
        self._write(now_s)

    def ready(self, now_s: float) -> None:
        """Go on after an event."""
        if self._connecting:
            if self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._lost(now_s)
                return
            self._connecting = False
        try:
            if not self._handshaken and self._tls is not None:
                self._tls.do_handshake()
                self._handshaken = True
        except _WAIT:
            return
        except OSError:
            self._lost(now_s)
            return
        if self._unsent:
            self._write(now_s)
        self._read(now_s)

    def close(self) -> None:
        """Close the socket and forget it."""
        if self._loop.connections.pop(self._number, None) is not None:
            self._socket.close()

    def _write(self, now_s: float) -> None:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except _WAIT:
            return
        except OSError:
            self._lost(now_s)

    def _read(self, now_s: float) -> None:
        """Read until the socket is empty or the answer complete; what comes later is a new event."""
        answer = self._answer
        while self._number in self._loop.connections:
            drains = answer.unread_bytes and not self._request.keep
            wanted = min(answer.unread_bytes, DRAIN_BYTES) if drains else HEAD_READ_BYTES
            try:
                count = self._receive(wanted, drop=bool(drains))
                if drains:
                    answer.skip(count)
                elif count:
                    answer.feed(_scratch[:count])
            except _WAIT:
                return
            except (OSError, WireError):
                count = 0
            if not count:
                self._lost(now_s)
                return
            if answer.done:
                self._finished(answer, now_s)
                return
            if count < wanted and self._tls is None:
                return

    def _receive(self, wanted: int, *, drop: bool) -> int:
        if self._tls is None:
            return self._socket.recv_into(_scratch, wanted, socket.MSG_TRUNC if drop else 0)
        return self._tls.recv_into(_scratch, wanted)

    def _finished(self, answer: WireResponse, now_s: float) -> None:
        self._loop.requests += 1
        self._loop.body_bytes += answer.body_bytes
        self.served += 1
        asker, self._answer = self._request.asker, WireResponse(keep=True)
        self._request.deadline_s = 0.0
        if answer.closes:
            self.close()
            self._host.lost(self, None, now_s)
        else:
            self._host.freed(self, now_s)
        asker(answer, now_s)

    def _lost(self, now_s: float) -> None:
        request = self._request if self._request.deadline_s else None
        self.close()
        self._host.lost(self, request, now_s)

    def _check_deadline(self, now_s: float) -> None:
        if self._number not in self._loop.connections:
            return
        if 0 < self._request.deadline_s <= now_s:
            self.served = 0  # too late is no stale connection: do not send it again
            self._lost(now_s)
            return
        self._loop.at(now_s + self._loop.deadline_s / 4, self._check_deadline)
