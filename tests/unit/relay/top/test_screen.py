"""The screen of `relay top`, against a real admin port and against things that are none."""

import io
import socket
from functools import partial

import httpx
import pytest
import trio
from rich.console import Console

from relay.core.counters import Counters, StreamFigures
from relay.io.admin.server import serve_admin
from relay.top.screen import main, scrape, screen, watch
from tests.harness.fake_http import FakeServer, ReceivedRequest, reply

REAL_TIME_S = 10.0


class FakeNode:
    def __init__(self) -> None:
        self.counters = Counters(viewers=42, max_viewers=150)
        self.counters.requests["part", 200] = 8
        self.counters.streams["class1"] = StreamFigures("live", 42, 0.31)
        self.counters.streams["\x1b[31mevil\n[bold]"] = StreamFigures()
        self.reasons: list[str] = []

    def readiness(self) -> tuple[bool, list[str]]:
        return not self.reasons, self.reasons

    def refresh(self) -> None:
        pass


async def shown(url: str, *, width: int = 120) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=width)
    with trio.fail_after(REAL_TIME_S):
        code = await watch(url, console, interval_s=0.2, once=True)
    return code, console.file.getvalue()


async def test_one_screen_of_a_relay() -> None:
    node = FakeNode()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_admin, listener, node.counters, node))
            code, text = await shown(url)
            assert code == 0
            for word in ("READY", "42 of 150 (28%)", "class1", "live", "0.31 s"):
                assert word in text
            assert "\x1b" not in text
            assert "[bold]" in text
            node.reasons = ["class1: nobody is publishing \x1b[2J"]
            text = (await shown(url))[1]
            assert "NOT READY" in text
            assert "nobody is publishing" in text
            assert "\x1b" not in text
            nursery.cancel_scope.cancel()


async def test_rates_need_two_looks() -> None:
    node = FakeNode()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with trio.open_nursery() as nursery, httpx.AsyncClient() as client:
            await nursery.start(partial(serve_admin, listener, node.counters, node))
            with trio.fail_after(REAL_TIME_S):
                before = await scrape(client, url)
                node.counters.requests["part", 200] += 1_000_000
                now = await scrape(client, url)
            console = Console(file=io.StringIO(), width=120)
            console.print(screen(url, now, before.reading))
            assert "part 0.0/s" not in console.file.getvalue()
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"no", 404),
        reply(b"<html>"),
        reply(b"airclass_relay_viewers nonsense\n"),
        reply(b"\xff"),
        b"SSH-2.0\r\n\r\n",
    ],
)
async def test_what_is_no_relay_is_said_so(answer: bytes) -> None:
    async def strange(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(answer)

    server = FakeServer(strange)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: server.run(sockets=True, task_status=task_status))
        code, text = await shown(server.url)
        assert code == 1
        assert "NOT READY" in text
        nursery.cancel_scope.cancel()


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(["--once", "--admin", f"http://127.0.0.1:{port}/"]) == 1
    assert "no relay can be reached" in capsys.readouterr().out


async def test_the_live_screen_is_drawn_again_and_again() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    node = FakeNode()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(serve_admin, listener, node.counters, node))
            with trio.move_on_after(0.7):
                await watch(url, console, interval_s=0.2)
            nursery.cancel_scope.cancel()
    assert console.file.getvalue().count("READY") >= 2
