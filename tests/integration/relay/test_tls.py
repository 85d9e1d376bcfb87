"""A relay process that serves over TLS, and gets a new certificate while students watch."""

import os
import ssl
from pathlib import Path

import trio

from tests.harness.certificates import named
from tests.harness.fake_http import FakeServer, ReceivedRequest, reply
from tests.harness.fake_origin import HlsOrigin
from tests.harness.relays import relay_running

DEADLINE_S = 30.0


async def connect(url: str) -> trio.SSLStream[trio.SocketStream]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, _, port = url.removeprefix("https://").partition(":")
    plain = await trio.open_tcp_stream(host, int(port))
    secure = trio.SSLStream(plain, context, server_hostname="relay", https_compatible=True)
    await secure.do_handshake()
    return secure


async def ask(stream: trio.SSLStream[trio.SocketStream], path: str) -> tuple[int, int]:
    """Return status and length of one answer on a kept connection."""
    await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some()
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].partition(b":")[2])
    while len(body) < length:
        body += await stream.receive_some()
    return int(head.split()[1]), len(body)


async def test_a_new_certificate_drops_nobody(tmp_path: Path) -> None:
    cert, key = named(tmp_path, "old")
    newer = named(tmp_path, "new")
    origin = HlsOrigin(segment_s=(1.0,), part_s=0.25, part_bytes=200_000)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: origin.server.run(sockets=True, task_status=task_status))
            origin.publish()
            env = {"TLS_CERT": str(cert), "TLS_KEY": str(key)}
            relay = relay_running("--public", "--origin", origin.url, folder=tmp_path, env=env)
            async with relay as running:
                assert running.url.startswith("https://")
                await running.until_live()
                old = await connect(running.url)
                before = old.getpeercert(binary_form=True)
                assert (await ask(old, "/live/index.m3u8"))[0] == 200
                os.replace(newer[0], cert)
                os.replace(newer[1], key)

                async def renewed() -> bool:
                    fresh = await connect(running.url)
                    now = fresh.getpeercert(binary_form=True)
                    assert (await ask(fresh, "/live/index.m3u8"))[0] == 200
                    await trio.aclose_forcefully(fresh)
                    return now != before

                await running.until(renewed)
                # The old connection goes on, and carries bodies of several records.
                assert (await ask(old, "/live/index.m3u8"))[0] == 200
                text = (await _playlist(running.url)).decode()
                segment = [line for line in text.splitlines() if line and not line.startswith("#")][-1]
                assert await ask(old, f"/live/{segment}") == (200, 4 * origin.part_bytes)
                await trio.aclose_forcefully(old)
            nursery.cancel_scope.cancel()


async def _playlist(url: str) -> bytes:
    stream = await connect(url)
    await stream.send_all(b"GET /live/index.m3u8 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    index = await _rest(stream)
    name = [line for line in index.decode().splitlines() if line.endswith(".m3u8")][-1]
    stream = await connect(url)
    await stream.send_all(f"GET /live/{name} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return await _rest(stream)


async def _rest(stream: trio.SSLStream[trio.SocketStream]) -> bytes:
    data = b""
    async with stream:
        async for piece in stream:
            data += piece
    return data.partition(b"\r\n\r\n")[2]


async def test_a_plain_origin_behind_a_secure_relay_is_still_checked(tmp_path: Path) -> None:
    """An https origin with an unknown certificate is refused, and the relay says so."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*named(tmp_path, "127.0.0.1"))

    async def index(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(reply(b"#EXTM3U\n"))

    server = FakeServer(index)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(
                lambda task_status: server.run(sockets=True, ssl_context=context, task_status=task_status)
            )
            relay = relay_running("--public", "--origin", f"{server.url}/x.m3u8", folder=tmp_path)
            async with relay as running:

                async def refused() -> bool:
                    return await running.metric("origin_failures_total", kind="connect") > 0

                await running.until(refused)
                assert server.requests == []
            nursery.cancel_scope.cancel()
