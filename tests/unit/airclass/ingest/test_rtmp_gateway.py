"""The door: who is let in, who is not, and that nobody can shut it.

FFmpeg's place behind the door is taken by a plain listener in a thread that keeps what it gets.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import pytest
import trio

from airclass.ingest.rtmp_gateway import HELLO_BYTES, RtmpGateway, published_path

DEADLINE_S = 10
HELLO = b"\x03" + b"x" * (HELLO_BYTES - 1)
CONNECT = (
    b"\x02\x00\x07connect\x00\x3f\xf0\x00\x00\x00\x00\x00\x00\x03\x00\x03app\x02\x00\x04live\x00\x05tcUrl"
)
PUBLISH = (
    b"\x02\x00\x07publish\x00\x40\x14\x00\x00\x00\x00\x00\x00\x05\x02\x00\x0bc7k3?token=\x02\x00\x04live"
)


class House:
    """What is behind the door: remembers each publication's bytes, and the paths that were named."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.received: list[bytes] = []
        self.paths: list[str] = []
        self._failure = failure

    def receive(self, url: str) -> None:
        if self._failure:
            raise self._failure
        with socket.create_server(("127.0.0.1", urlsplit(url).port or 0)) as listener:
            listener.settimeout(DEADLINE_S)
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(DEADLINE_S)
                data = b""
                while chunk := peer.recv(65536):
                    data += chunk
                    with suppress(OSError):  # the guest may be gone while its last words are read
                        peer.sendall(b"ok")
        self.received.append(data)


@asynccontextmanager
async def door(house: House, **deadlines: float) -> AsyncIterator[int]:
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            run = RtmpGateway(house.receive, house.paths.append, **deadlines).run
            yield await nursery.start(run, "127.0.0.1", 0)
            nursery.cancel_scope.cancel()


async def publish(port: int, data: bytes) -> None:
    """Come in, say something, and leave when the house has answered and closed."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(HELLO + data)
        assert (await stream.receive_some()).startswith(b"ok")
        await stream.send_eof()
        async for _ in stream:
            pass


async def test_publishers_one_after_another_are_carried_whole() -> None:
    house = House()
    async with door(house) as port:
        for data in (b"first" * 50_000, b"second"):
            await publish(port, data)
    assert house.received == [HELLO + b"first" * 50_000, HELLO + b"second"]


@pytest.mark.parametrize("noise", [b"", b"GET / HTTP/1.1\r\n\r\n" * 100, b"\x03 too short", b"\x16\x03\x01"])
async def test_a_port_scan_changes_nothing(noise: bytes) -> None:
    house = House()
    async with door(house) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(noise)
        await stream.aclose()
        await publish(port, b"lesson")
    assert house.received == [HELLO + b"lesson"]


async def test_who_says_nothing_is_shown_out_and_disturbs_nobody() -> None:
    house = House()
    async with door(house, hello_s=0.2) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as silent:
            await publish(port, b"lesson")
            assert await silent.receive_some() == b""


async def test_a_second_publisher_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    async with door(house) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as first:
            await first.send_all(HELLO)
            await first.receive_some()
            async with await trio.open_tcp_stream("127.0.0.1", port) as second:
                await second.send_all(HELLO)
                assert await second.receive_some() == b""
            await first.send_eof()
            async for _ in first:
                pass
        await publish(port, b"third")
    assert house.received == [HELLO, HELLO + b"third"]
    assert [r.message.split()[0] for r in caplog.records] == ["publisher.refused"]


async def test_a_publisher_who_falls_silent_loses_the_place() -> None:
    house = House()
    async with door(house, idle_s=0.2) as port:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(HELLO)
            async for _ in stream:
                pass
        await publish(port, b"next")
    assert house.received == [HELLO, HELLO + b"next"]


async def test_a_publisher_that_is_cut_is_disconnected_at_once_and_the_next_one_comes_in() -> None:
    house = House()
    gateway = RtmpGateway(house.receive, house.paths.append)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(gateway.run, "127.0.0.1", 0)
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(HELLO + CONNECT + PUBLISH)
                await stream.receive_some()
                publisher = gateway.publisher
                assert publisher is not None
                assert publisher.path == "live/c7k3"
                assert publisher.address.startswith("127.0.0.1:")
                assert not gateway.cut("another")
                assert gateway.cut(publisher.id)
                async for _ in stream:
                    pass
            assert not gateway.cut(publisher.id)
            await publish(port, b"next")
            nursery.cancel_scope.cancel()
    assert house.received == [HELLO + CONNECT + PUBLISH, HELLO + b"next"]


async def test_a_reset_line_is_an_end_like_any_other() -> None:
    house = House()
    async with door(house) as port:
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
            rude.sendall(HELLO)
            await trio.to_thread.run_sync(rude.recv, 2)
        while len(house.received) < 2:  # refused until the house has noticed
            with suppress(AssertionError, trio.BrokenResourceError):
                await publish(port, b"next")
    assert house.received[-1] == HELLO + b"next"


async def test_a_failure_inside_is_contained(caplog: pytest.LogCaptureFixture) -> None:
    async with door(House(RuntimeError("boom"))) as port:
        for _ in range(2):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(HELLO)
            with pytest.raises((trio.BrokenResourceError, AssertionError)):
                assert await stream.receive_some()
            await stream.aclose()
    assert [r.message for r in caplog.records] == ["publisher.failed"] * 2


async def test_the_path_is_overheard() -> None:
    house = House()
    async with door(house) as port:
        await publish(port, CONNECT + PUBLISH + b"\x00" * 100)
    assert house.paths == ["live/c7k3"]


def test_the_path_needs_both_commands_whole() -> None:
    whole = CONNECT + PUBLISH
    told = [published_path(whole[:n]) for n in range(len(whole) + 1)]
    first = next(n for n, path in enumerate(told) if path)
    assert set(told[:first]) == {None}
    assert set(told[first:]) == {"live/c7k3"}
    assert published_path(CONNECT) is None
    assert published_path(PUBLISH) is None
