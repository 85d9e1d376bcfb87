"""One bad request can never take the server down: the three known killers, and others of their kind."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trio

from airclass.web.server import hypercorn_server
from tests.harness.certificates import self_signed
from tests.harness.hostile_requests import KILLERS, UPGRADE
from tests.harness.master_in_process import running_master

if TYPE_CHECKING:
    from pathlib import Path

SCHOOL = 400


@pytest.mark.parametrize("request_bytes", KILLERS.values(), ids=KILLERS.keys())
async def test_server_survives(tmp_path: Path, request_bytes: bytes) -> None:
    async with running_master(tmp_path) as control:
        port = int(control.url.rpartition(":")[2])
        for _ in range(3):
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            async with stream:
                await stream.send_all(request_bytes)
                with trio.move_on_after(0.3):
                    while await stream.receive_some(4096):
                        pass
        assert (await control.call("GET", "/healthz")).status_code == 200


async def test_over_tls_browsers_are_offered_what_a_waiting_page_costs_least_with(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    async with running_master(tmp_path, TLS_CERT=str(certificate), TLS_KEY=str(key)) as control:
        trusting = ssl.create_default_context(cafile=certificate)
        trusting.set_alpn_protocols(["h2", "http/1.1"])
        plain = await trio.open_tcp_stream("127.0.0.1", int(control.url.rpartition(":")[2]))
        stream = trio.SSLStream(plain, trusting, server_hostname="localhost", https_compatible=True)
        async with stream:
            with trio.fail_after(5):
                await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 200 ")
            assert stream.selected_alpn_protocol() == "http/1.1"


async def test_an_early_answer_closes_the_connection_whose_body_is_not_read(tmp_path: Path) -> None:
    """Otherwise each such connection stays for ever: Quart cancels Hypercorn while it closes."""
    async with running_master(tmp_path) as control:
        port = int(control.url.rpartition(":")[2])
        head = b"POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n"
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with trio.fail_after(5):
                await stream.send_all(head + b"x" * 10)
                answer = b""
                while data := await stream.receive_some(4096):
                    answer += data
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_peer_that_does_not_read_is_cut_off_and_does_not_hold_the_stop(tmp_path: Path) -> None:
    """Many answers are asked for and none is read: the server still stops within its hard limit."""
    async with running_master(tmp_path) as control:
        port = int(control.url.rpartition(":")[2])
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        ask = b"GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        with trio.move_on_after(2):
            await stream.send_all(ask * 2000)
        assert (await control.call("GET", "/healthz")).status_code == 200
        began_s = trio.current_time()
    assert trio.current_time() - began_s < 8
    await stream.aclose()


def connections() -> int:
    """Return how many connections this process serves: each is a task of Trio's own name."""
    found, tasks = 0, [trio.lowlevel.current_root_task()]
    while tasks:
        task = tasks.pop()
        assert task is not None
        found += task.name.endswith("_run_handler")
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


async def opened(url: str, sent: bytes = b"") -> trio.SocketStream:
    stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
    await stream.send_all(sent)
    return stream


async def test_nothing_of_a_connection_stays_when_its_peer_has_gone(tmp_path: Path) -> None:
    """Hypercorn would keep each for the idle time: 13 kB and a descriptor for 15 s a request."""
    sent = [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /hea", b"POST /api/join HTTP/1.1\r\n"]
    async with running_master(tmp_path) as control:
        before = connections()
        streams = [await opened(control.url, sent[n % len(sent)]) for n in range(40)]
        await control.until(lambda: connections() >= before + 40, "all are served")
        for stream in streams:
            await trio.aclose_forcefully(stream)
        await control.until(lambda: connections() <= before, "all are gone")


async def test_a_pipeline_behind_an_early_answer_leaves_nothing(tmp_path: Path) -> None:
    """Hypercorn would wait for ever for its own answer's end."""
    early = b"POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 100_000
    chunked = b"POST /api/join HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    asks = b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with running_master(tmp_path) as control:
        before = connections()
        for sent in (early, chunked * 3, asks) * 10:
            async with await opened(control.url) as stream:
                with trio.move_on_after(0.2):
                    try:
                        await stream.send_all(sent)
                        while await stream.receive_some(65536):
                            pass
                    except trio.BrokenResourceError:
                        pass
        await control.until(lambda: connections() <= before, "all are gone")


async def test_idle_connections_are_closed_after_a_while_and_at_once_when_the_master_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_master(tmp_path) as control:
        with monkeypatch.context() as patched, trio.fail_after(5):
            patched.setattr(hypercorn_server, "KEEP_ALIVE_S", 0.2)
            for sent in (
                b"",
                b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
                b"GET / HTTP/1.1\r\nX: half a head",
            ):
                async with await opened(control.url, sent) as stream:
                    while await stream.receive_some(4096):
                        pass
        held = await opened(control.url, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        began_s = trio.current_time()
    assert trio.current_time() - began_s < hypercorn_server.GRACEFUL_S
    await trio.aclose_forcefully(held)


async def test_a_socket_gets_no_compressor(tmp_path: Path) -> None:
    """Every browser offers one; it would cost 90 kB a student."""
    offer = f"{UPGRADE}Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    async with running_master(tmp_path) as control:
        async with await opened(control.url, offer.encode()) as stream:
            with trio.fail_after(5):
                answer = await stream.receive_some(4096)
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in answer.lower()


async def test_the_ingest_is_answered_while_a_school_queues_to_be_let_in(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node(capacity=1000)
        kind = "Host: x\r\nContent-Type: application/json\r\nContent-Length"
        answered = 0

        async def ask(stream: trio.SocketStream, path: str, body: str, wanted: bytes) -> None:
            nonlocal answered
            async with stream:
                await stream.send_all(f"POST {path} HTTP/1.1\r\n{kind}: {len(body)}\r\n\r\n{body}".encode())
                assert (await stream.receive_some(16384)).startswith(b"HTTP/1.1 " + wanted)
                answered += 1

        join = f'{{"code": "{made["code"]}", "name": "Kim"}}'
        publish = f'{{"action": "publish", "path": "live/{made["id"]}", "token": "{made["stream_key"]}"}}'
        streams = [await opened(control.url) for _ in range(SCHOOL + 1)]
        async with trio.open_nursery() as nursery:
            for stream in streams[:SCHOOL]:
                nursery.start_soon(ask, stream, "/api/join", join, b"200 ")
            await control.until(lambda: answered > 0, "the first is in")
            await ask(streams[SCHOOL], "/hooks/mediamtx/auth", publish, b"204 ")
            assert answered < SCHOOL / 2
        assert answered == SCHOOL + 1


async def test_http_2_is_not_spoken_in_clear_text(tmp_path: Path) -> None:
    """It passed by the strict reader, and its connections were never idle for too long."""
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    async with running_master(tmp_path) as control:
        for sent in (
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings,
            b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
            b"GET /healthz HTTP/3.1\r\nHost: x\r\n\r\n",
        ):
            async with await opened(control.url, sent) as stream:
                answer = b""
                with trio.fail_after(5):
                    while data := await stream.receive_some(4096):
                        answer += data
            assert answer.startswith(b"HTTP/1.1 505 "), sent
        upgrade = (
            b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        )
        async with await opened(control.url, upgrade) as stream:
            with trio.fail_after(5):
                assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 200 ")
