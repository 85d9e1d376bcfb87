"""The delay proxy is late by what it says, loses nothing, and passes the end on (sped-up clock)."""

import trio
from trio.testing import MockClock

from tests.harness.delay_proxy import DelayProxy

SPEED = 20


async def test_every_byte_is_late_and_none_is_lost(mock_clock: MockClock) -> None:
    mock_clock.rate = SPEED
    received = bytearray()

    async def echo(stream: trio.SocketStream) -> None:
        async for data in stream:
            received.extend(data)
            await stream.send_all(data)

    with trio.fail_after(10 * SPEED):
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, echo, 0)
            port = listeners[0].socket.getsockname()[1]
            proxy = DelayProxy("127.0.0.1", port, 1.0)
            near = await nursery.start(proxy.run)
            async with await trio.open_tcp_stream("127.0.0.1", near) as stream:
                began_s = trio.current_time()
                await stream.send_all(b"x")
                assert await stream.receive_some() == b"x"
                assert trio.current_time() - began_s >= 4.0  # the connection's round trip, then its own
                began_s = trio.current_time()
                sent = bytes(range(256)) * 1000
                nursery.start_soon(stream.send_all, sent)
                back = bytearray()
                while len(back) < len(sent):
                    back += await stream.receive_some()
                assert bytes(back) == sent
                assert trio.current_time() - began_s >= 2.0
                await stream.send_eof()
                assert await stream.receive_some() == b""
            nursery.cancel_scope.cancel()


async def test_nobody_behind_it(mock_clock: MockClock) -> None:
    mock_clock.rate = SPEED
    with trio.fail_after(10 * SPEED):
        async with trio.open_nursery() as nursery:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listeners[0].socket.getsockname()[1]
            await listeners[0].aclose()
            near = await nursery.start(DelayProxy("127.0.0.1", port, 0.1).run)
            async with await trio.open_tcp_stream("127.0.0.1", near) as stream:
                assert await stream.receive_some() == b""
            nursery.cancel_scope.cancel()
