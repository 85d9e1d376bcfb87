"""The fan-out loop: thousands of viewers in one epoll set, served by one Trio task.

An idle viewer costs a socket and a small object, no task. The task sleeps on the epoll set's own
descriptor; when something is ready it serves in a tight loop, for one bounded turn, and lets the
rest of the process run before the next. What to answer is decided by `relay.core.delivery.delivery`.

A turn hears everyone who has spoken, decides all their answers, then sends them: one thing many
times, so that the code for it stays in the processor's caches.
"""

from __future__ import annotations

import logging
import select
import time
from collections import deque
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import trio

from relay.base.errors import RequestError
from relay.core.delivery.delivery import Delivery, HeldRequest
from relay.core.delivery.request import RequestParser
from relay.core.delivery.response import error_response
from relay.core.delivery.timer_wheel import TimerWheel
from relay.io.delivery.connection import Connection, ConnectionState, TlsConnection
from relay.io.delivery.listeners import Listeners
from relay.io.delivery.socket_limits import SocketLimits

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Hashable, Iterable

    from relay.core.counters import Counters
    from relay.core.delivery.request import Request
    from relay.core.delivery.response import Response
    from relay.core.stream.stream import Stream
    from relay.core.stream.window import Window
    from relay.core.viewers.registry import Viewer
    from relay.io.delivery.tls import TlsContext

log = logging.getLogger(__name__)

MAX_EVENTS_PER_TURN = 128
# With one more response and the housekeeping a turn stays below 5 ms.
TURN_BUDGET_S = 0.003
# So many answers are decided before they are sent: more would only make the first one wait.
MAX_DECIDED = 64
# Going to sleep and waking up costs more than a request. When more sockets than this speak in a second,
# a turn is taken every GATHER_S and serves all that has come, as a network card gathers its interrupts;
# when nobody asked to be held in that second, so that no delay is counted in parts, every GATHER_PLAIN_S.
BUSY_EVENTS_PER_S = 250
GATHER_S = 0.01
GATHER_PLAIN_S = 0.02
MAX_UNREAD_BYTES = 64 * 1024
HOUSEKEEPING_S = 1.0
_IN = select.EPOLLIN | select.EPOLLRDHUP
_GONE = select.EPOLLERR | select.EPOLLHUP


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a connection may take, in seconds: for a head, between requests, for a response, at its end.

    Whoever reads more slowly than `min_read_bytes_per_s`, over a whole object, is cut.
    """

    head_s: float = 10.0
    idle_s: float = 75.0
    write_s: float = 10.0
    min_read_bytes_per_s: int = 16_000
    linger_s: float = 1.0


class Reactor:
    """All viewers' connections of one relay process."""

    def __init__(
        self,
        delivery: Delivery,
        counters: Counters,
        *,
        max_connections: int,
        tls: TlsContext | None = None,
        deadlines: Timeouts | None = None,
        busy_events_per_s: int = BUSY_EVENTS_PER_S,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.delivery = delivery
        self._deadlines = deadlines or Timeouts()
        self._counters = counters
        self._tls = tls
        self._wall = wall
        self._parser = RequestParser()
        self._epoll = select.epoll()
        self._nap = trio.CancelScope()
        self._limits = SocketLimits(max_connections)
        self._listeners = Listeners(self._epoll, counters)
        self._connections: dict[int, Connection] = {}
        self._wheel: TimerWheel[Connection] = TimerWheel()
        self._ready: deque[Connection] = deque()
        self._decided: deque[tuple[Connection, Response, Request | None]] = deque()
        self._now_s = self._wall_s = 0.0
        self._more = False
        self._busy_events_per_s = busy_events_per_s
        self._heard = self._held = 0
        # Whether the last second was busy enough to serve in bundles, and how far apart these are.
        self.gathers = False
        self.gathers_s = GATHER_S
        self._tail = b"\r\n"
        self._date = b""
        self._sent_before = 0
        self._push_since_s: float | None = None
        self._housekeeping_s = 0.0

    # -- for the rest of the relay --------------------------------------------------------

    @property
    def open_connections(self) -> int:
        """How many viewers' sockets are open."""
        return len(self._connections)

    @property
    def unsent_bytes(self) -> int:
        """How much of the current responses has not left yet."""
        return sum(c.unsent_bytes for c in self._connections.values() if c.state is ConnectionState.SENDING)

    def listen(self, listener: socket.socket) -> None:
        """Accept viewers on a bound, listening socket."""
        self._listeners.add(listener)

    def stop_listening(self) -> None:
        """Accept nobody any more; those who are connected stay."""
        self._listeners.close()

    def publish(self, stream: Stream, window: Window) -> None:
        """Answer everyone for whom a playlist has just moved on, all from the same bytes."""
        self._set_free(self.delivery.reached(stream, window))

    def release(self, waiting: Iterable[Hashable]) -> None:
        """Answer requests that are held no longer, whatever there is to say to them."""
        self._set_free(waiting)

    def connected(self) -> set[Viewer]:
        """Return the viewers that have a connection."""
        return {c.viewer for c in self._connections.values() if c.viewer is not None}

    def turn_away(self, viewers: list[Viewer]) -> None:
        """Close the idle connections of viewers who were revoked; held ones are told why."""
        unwanted = set(map(id, viewers))
        for connection in list(self._connections.values()):
            if id(connection.viewer) not in unwanted:
                continue
            if connection.state is ConnectionState.HELD and connection.held_request is not None:
                self.delivery.drop(connection, connection.held_request)
                self._free(connection)
            elif connection.state is ConnectionState.IDLE:
                self._close(connection)
        self._wake()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled."""
        task_status.started()
        try:
            while True:
                await self._sleep()
                self._turn()
        finally:
            for connection in list(self._connections.values()):
                self._close(connection)
            self.stop_listening()
            self._epoll.close()

    # -- one turn -------------------------------------------------------------------------

    async def _sleep(self) -> None:
        """Wait until a socket is ready, a deadline is over, or another task has woken us."""
        if self._more or self._ready or self._decided:
            await trio.lowlevel.checkpoint()
            return
        until_s = min(self._housekeeping_s, self._wheel.next_s(), self.delivery.next_due_s())
        if self.gathers:
            until_s = min(until_s, self._now_s + self.gathers_s)
        with trio.CancelScope(deadline=until_s) as self._nap:
            if self.gathers:
                await trio.sleep_forever()
            await trio.lowlevel.wait_readable(self._epoll.fileno())

    def _turn(self) -> None:
        started_s, cpu_s = time.perf_counter(), time.thread_time()
        self._now_s, self._wall_s = trio.current_time(), self._wall()
        for late in self.delivery.overdue(self._now_s):
            self._free(late)
        self._serve(started_s)
        if not (self._ready or self._decided):  # else those who were heard first are served first
            self._hear_all(started_s)
            self._serve(started_s)
        for connection in self._wheel.expired(self._now_s):
            self._late(connection)
        if self._now_s >= self._housekeeping_s:
            self._keep_house()
        self._took(started_s, cpu_s)

    def _took(self, started_s: float, cpu_s: float) -> None:
        """Note how long the process was held, and how much of it was work: the rest, the machine took."""
        self._counters.turn_s.observe(time.perf_counter() - started_s)
        self._counters.turn_cpu_s.observe(time.thread_time() - cpu_s)

    def _hear_all(self, started_s: float) -> None:
        """Read from the sockets that are ready, as many as the turn has time for."""
        events = self._epoll.poll(0, MAX_EVENTS_PER_TURN)
        self._heard += len(events)
        self._more = len(events) == MAX_EVENTS_PER_TURN
        for fd, mask in events:
            connection = self._connections.get(fd)
            if connection is not None:
                self._contain(self._hear, connection, mask)
            elif fd in self._listeners:
                self._accept(fd)
            if time.perf_counter() - started_s > TURN_BUDGET_S:
                self._more = True
                break

    def _serve(self, started_s: float) -> None:
        """Decide and send answers, as many as the turn has time for."""
        ready, decided, end_s = self._ready, self._decided, started_s + TURN_BUDGET_S
        while ready or decided:
            while ready and len(decided) < MAX_DECIDED:
                self._contain(self._decide, ready.popleft(), None)
                if time.perf_counter() > end_s:
                    return
            while decided:
                connection, response, request = decided.popleft()
                self._contain(self._send, connection, (response, request))
                if time.perf_counter() > end_s:
                    return
        if self._push_since_s is not None:
            self._counters.push_s.observe(time.perf_counter() - self._push_since_s)
            self._push_since_s = None

    def _set_free(self, waiting: Iterable[Hashable]) -> None:
        for connection in waiting:
            self._free(connection)
        if self._ready:
            self._now_s, self._wall_s = trio.current_time(), self._wall()
            started_s, cpu_s = time.perf_counter(), time.thread_time()
            self._push_since_s = self._push_since_s or started_s
            self._serve(started_s)
            self._took(started_s, cpu_s)
            self._wake()

    def _free(self, connection: Hashable) -> None:
        """Queue a connection that was held; its answer is made when its turn comes."""
        assert isinstance(connection, Connection)
        connection.state = ConnectionState.FREED
        self._ready.append(connection)

    def _wake(self) -> None:
        if self._ready or self._decided:
            self._nap.cancel()

    def _contain(self, step: Callable[[Connection, Any], None], connection: Connection, what: object) -> None:
        """The boundary of a connection: whatever goes wrong in a step ends this one, and no other."""
        if connection.state is ConnectionState.CLOSED:
            return
        try:
            step(connection, what)
        except OSError:
            self._close(connection)
        except Exception:
            log.exception("connection.failed")
            self._counters.refused["internal"] += 1
            self._close(connection)

    def _hear(self, connection: Connection, mask: int) -> None:
        """Read what has come, or go on with a response that did not fit."""
        if connection.state is ConnectionState.SENDING:
            if mask & _GONE:
                self._close(connection)
            elif connection.flush():
                self._sent(connection)
        elif self._receive(connection) and connection.state is ConnectionState.IDLE:
            self._ready.append(connection)

    def _receive(self, connection: Connection) -> bool:
        """Read what has come; False when there is nothing to act on."""
        data = connection.receive()
        if data is None:
            self._listen_for(connection, select.EPOLLOUT if connection.wants_write() else _IN)
            return False
        if not data:
            self._close(connection)
            return False
        if connection.state is ConnectionState.LINGERING:
            return False
        connection.buffer += data
        if len(connection.buffer) > MAX_UNREAD_BYTES:
            self._close(connection)
            return False
        return True

    def _decide(self, connection: Connection, _: None) -> None:
        """Find the answer to the first request in the buffer, or to the one that was held."""
        if connection.state is ConnectionState.FREED:
            self._resume(connection)
            return
        if connection.state is not ConnectionState.IDLE or not connection.buffer:
            return
        request = None
        try:
            request = self._parser.next(connection.buffer)
            if request is None:
                connection.deadline_s = min(connection.deadline_s, self._now_s + self._deadlines.head_s)
                self._wheel.watch(connection)
                self._listen_for(connection, _IN)
                return
            result, connection.viewer = self.delivery.answer(
                request, connection.address, now_s=self._now_s, wall_s=self._wall_s
            )
        except RequestError as error:
            self._counters.refused[str(error.status)] += 1
            result = error_response(error)
        if isinstance(result, HeldRequest):
            connection.held_request = result
            connection.state = ConnectionState.HELD
            connection.deadline_s = float("inf")
            self._held += 1
            self.delivery.hold(connection, result)
            self._listen_for(connection, _IN)
            return
        self._decided.append((connection, result, request))

    def _resume(self, connection: Connection) -> None:
        held_request = connection.held_request
        assert held_request is not None
        connection.held_request = None
        connection.state = ConnectionState.IDLE
        try:
            response = self.delivery.resume(held_request, self._now_s)
        except RequestError as error:
            response = error_response(error)
        self._decided.append((connection, response, held_request.request))

    def _send(self, connection: Connection, answer: tuple[Response, Request | None]) -> None:
        response, request = answer
        tail = self._tail
        close, bare = response.close, False
        if request is not None:
            close = close or not request.headers.keep_alive
            bare = request.method != b"GET"
            if request.headers.origin:
                tail = self._date + self.delivery.cors.lines(request.headers.origin) + b"\r\n"
        if close:
            tail = tail[:-2] + b"Connection: close\r\n\r\n"
        connection.close_after = close
        counters = self._counters
        counters.requests[response.kind, response.status] += 1
        if not bare:
            counters.sent_bytes += response.size_bytes
            if connection.viewer is not None:
                connection.viewer.sent_bytes += response.size_bytes
                if not connection.viewer.has_media:
                    connection.media_bytes = response.media_bytes
        if connection.start(response, tail, head_only=bare):
            self._sent(connection)
        else:
            connection.state = ConnectionState.SENDING
            slowest_s = connection.unsent_bytes / self._deadlines.min_read_bytes_per_s
            connection.deadline_s = self._now_s + self._deadlines.write_s + slowest_s
            self._wheel.watch(connection)
            self._listen_for(connection, select.EPOLLOUT)

    def _sent(self, connection: Connection) -> None:
        """A response is out: close, or be ready for the next request."""
        if connection.media_bytes:
            if connection.viewer is not None:
                self.delivery.registry.delivered(connection.viewer, connection.media_bytes)
            connection.media_bytes = 0
        if not connection.close_after:
            connection.state = ConnectionState.IDLE
            if connection.buffer:
                self._ready.append(connection)
            else:
                self._idle(connection)
            return
        # Closing with unread input would reset the connection and lose the response.
        connection.state = ConnectionState.LINGERING
        connection.buffer.clear()
        connection.shut()
        connection.deadline_s = self._now_s + self._deadlines.linger_s
        self._wheel.watch(connection)
        self._listen_for(connection, _IN)

    def _idle(self, connection: Connection) -> None:
        connection.deadline_s = self._now_s + self._deadlines.idle_s
        self._wheel.keep(connection)
        self._listen_for(connection, _IN)

    def _late(self, connection: Connection) -> None:
        """A deadline is over: tell a dawdling sender, cut a slow reader, drop an idle one."""
        if connection.state is ConnectionState.SENDING:
            self._counters.slow_readers_cut += 1
            self._close(connection)
        elif connection.state is ConnectionState.IDLE and connection.buffer:
            error = RequestError(408, "the request came too slowly", close=True)
            connection.buffer.clear()
            try:
                self._send(connection, (error_response(error), None))
            except OSError:  # the peer has gone this very moment
                self._close(connection)
        else:
            self._counters.idle_closed += connection.state is ConnectionState.IDLE
            self._close(connection)

    # -- sockets --------------------------------------------------------------------------

    def _accept(self, fd: int) -> None:
        room = self._limits.begin()

        def has_room(address: str) -> bool:
            victim = room.victim(address)
            if victim is not None:
                self._counters.refused["evicted"] += 1
                self._close(victim)
            return not self._limits.is_full

        for sock, address in self._listeners.accept(fd, has_room, self._now_s):
            try:
                connection = self._wrap(sock, address)
            except OSError:  # the peer has gone already
                sock.close()
                continue
            self._counters.accepted += 1
            self._connections[connection.fd] = connection
            self._limits.add(connection)
            connection.mask = _IN
            self._epoll.register(connection.fd, _IN)
            connection.deadline_s = self._now_s + self._deadlines.head_s
            self._wheel.watch(connection)
        if self._listeners.again_s is not None:
            self._housekeeping_s = self._listeners.again_s

    def _wrap(self, sock: socket.socket, address: str) -> Connection:
        if self._tls is None:
            return Connection(sock, address)
        return TlsConnection(sock, address, self._tls.current(self._now_s))

    def _listen_for(self, connection: Connection, mask: int) -> None:
        if connection.mask != mask and connection.state is not ConnectionState.CLOSED:
            connection.mask = mask
            self._epoll.modify(connection.fd, mask)

    def _close(self, connection: Connection) -> None:
        if connection.state is ConnectionState.CLOSED:
            return
        if connection.state is ConnectionState.HELD and connection.held_request is not None:
            self.delivery.drop(connection, connection.held_request)
        self._wheel.forget(connection)
        del self._connections[connection.fd]
        self._limits.remove(connection)
        connection.close()

    def _keep_house(self) -> None:
        """Once a second: the date, the load, the egress, silent viewers, paused listeners."""
        self._listeners.resume(self._now_s)
        self._housekeeping_s = self._now_s + HOUSEKEEPING_S
        self.gathers = self._heard > self._busy_events_per_s * HOUSEKEEPING_S
        self.gathers_s = GATHER_S if self._held else GATHER_PLAIN_S
        self._heard = self._held = 0
        self._date = b"Date: " + formatdate(self._wall_s, usegmt=True).encode() + b"\r\n"
        self._tail = self._date + self.delivery.cors.lines(b"") + b"\r\n"
        if self._tls is not None:
            self._counters.tls_reloads = self._tls.reloads
        sent = self._counters.sent_bytes
        self.delivery.admission.egress_bps = int((sent - self._sent_before) * 8 / HOUSEKEEPING_S)
        self._sent_before = sent
        self.delivery.sweep(self._now_s)
