"""A TCP proxy that delivers every byte late, in both directions: the kernel here may have no netem."""

from __future__ import annotations

from collections import deque

import trio

READ_BYTES = 64 * 1024
MAX_HELD_BYTES = 16 * 1024 * 1024


class DelayProxy:
    """Listens on `host` and passes to a port there; `delay_s` is one way, and may be changed."""

    def __init__(self, host: str, port: int, delay_s: float) -> None:
        self._host = host
        self._port = port
        self.delay_s = delay_s
        self.connections = 0

    async def run(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; reports the port."""
        listeners = await trio.open_tcp_listeners(0, host=self._host)
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, self._serve, listeners)
            task_status.started(listeners[0].socket.getsockname()[1])

    async def _serve(self, near: trio.SocketStream) -> None:
        self.connections += 1
        try:
            await trio.sleep(2 * self.delay_s)  # the handshake's round trip
            far = await trio.open_tcp_stream(self._host, self._port)
        except OSError:
            await trio.aclose_forcefully(near)
            return
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(self._pass, near, far, nursery.cancel_scope)
            nursery.start_soon(self._pass, far, near, nursery.cancel_scope)

    async def _pass(self, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
        held: deque[tuple[float, bytes]] = deque()
        room, arrived = trio.Event(), trio.Event()
        size = 0

        async def deliver() -> None:
            nonlocal size, room, arrived
            while True:
                while not held:
                    await arrived.wait()
                    arrived = trio.Event()
                at_s, data = held.popleft()
                await trio.sleep_until(at_s)
                if not data:
                    both.cancel()
                    return
                await sink.send_all(data)
                size -= len(data)
                room.set()

        async def collect() -> None:
            nonlocal size, room
            data = b"?"
            while data:
                while size > MAX_HELD_BYTES:
                    room = trio.Event()
                    await room.wait()
                data = await source.receive_some(READ_BYTES)
                size += len(data)
                held.append((trio.current_time() + self.delay_s, bytes(data)))
                arrived.set()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(deliver)
                nursery.start_soon(collect)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            both.cancel()
