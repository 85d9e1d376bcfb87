"""`python -m benchmarks.sockets 2000 --idle 10000`: what does a waiting student's page cost the master?

Every page asks as a browser does, compression offered; each has had its snapshot and is silent when
the master's memory is read. Then so many connections are opened that say nothing at all: the master
must go on answering, and let go of them. Exit code 1 when it does not.
"""

from __future__ import annotations

import gc
import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import trio
from cyclopts import Parameter

from benchmarks.reports import report
from benchmarks.reports.machine import cost, describe
from benchmarks.servers.master_process import MasterProcess, master_running
from relay.base.process import allow_many_files

RESULTS = Path(__file__).parent / "results"
ROOMY = 100_000
AT_ONCE = 50
SETTLE_S = 3.0
ANSWER_S = 30.0
LET_GO_S = 25.0  # the master's idle time is 15 s
LIMIT_KB = 20.0
SCHOOLS = 200
BROWSER = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    "User-Agent: Mozilla/5.0 (Linux; Android 16; K) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/156.0.0.0 Mobile Safari/537.36\r\nAccept-Language: ko-KR,ko;q=0.9,en;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n"
)


async def page(master: MasterProcess, number: int, limiter: trio.CapacityLimiter) -> trio.abc.Stream:
    """Join, open a student's socket and read its snapshot."""
    async with limiter:
        body = json.dumps({"code": master.code, "name": f"student {number}"}).encode()
        school = number % SCHOOLS
        source = f"127.0.{1 + school // 250}.{1 + school % 250}"
        token = json.loads((await master.post("/api/join", body, source=source)).body)["token"]
        socket = await master.connect()
        host = f"Host: 127.0.0.1:{master.port}\r\nOrigin: http://127.0.0.1:{master.port}\r\n"
        await socket.send_all(f"GET /ws/student?token={token} HTTP/1.1\r\n{host}{BROWSER}\r\n".encode())
        seen = b""
        with trio.fail_after(ANSWER_S):
            while b'"snapshot"' not in seen or not seen.endswith(b"}"):
                seen += await socket.receive_some(4096)
        return socket


async def connected(master: MasterProcess) -> trio.socket.SocketType:
    """Open a connection that says nothing."""
    socket = trio.socket.socket()
    await socket.connect(("127.0.0.1", master.port))
    return socket


async def healthy_ms(master: MasterProcess) -> float:
    """Ask the master how it is; returns how long that took."""
    began_s = trio.current_time()
    body = json.dumps({"code": "-", "name": "-"}).encode()
    answer = await master.post("/api/join", body)
    return 1000 * (trio.current_time() - began_s) if answer.status == 404 else float("inf")


async def measure(pages: int, idle: int, *, tls: bool) -> dict[str, Any]:
    """Open the pages, then the idle connections; returns the figures."""
    async with master_running(1, ROOMY, tls=tls) as master:
        held: list[trio.abc.Stream] = []
        limiter = trio.CapacityLimiter(AT_ONCE)

        async def keep(number: int) -> None:
            held.append(await page(master, number, limiter))

        warm = await page(master, -1, limiter)
        await trio.sleep(SETTLE_S)
        before = cost([master.pid])
        async with trio.open_nursery() as nursery:
            for number in range(pages):
                nursery.start_soon(keep, number)
        await trio.sleep(SETTLE_S)
        with_pages = cost([master.pid])
        rested_s = trio.current_time()
        await trio.sleep(SETTLE_S)
        busy = (cost([master.pid]).cpu_s - with_pages.cpu_s) / (trio.current_time() - rested_s)
        silent = [await connected(master) for _ in range(idle)]
        worst_ms = max([await healthy_ms(master) for _ in range(20)])
        with_idle = cost([master.pid])
        let_go = 0
        with trio.move_on_after(LET_GO_S):
            for socket in silent:
                if await socket.recv(1) == b"":
                    let_go += 1
        after_ms = await healthy_ms(master)
        for stream in [warm, *held]:
            await trio.aclose_forcefully(stream)
        for socket in silent:
            socket.close()
        return {
            "pages": len(held),
            "kb_per_page": (with_pages.rss_bytes - before.rss_bytes) / 1024 / max(1, pages),
            "cpu_percent_at_rest": 100 * busy,
            "idle": idle,
            "kb_per_idle": (with_idle.rss_bytes - with_pages.rss_bytes) / 1024 / max(1, idle),
            "answer_ms_among_idle": worst_ms,
            "let_go": let_go,
            "answer_ms_after": after_ms,
            "rss_mb": with_idle.rss_bytes / 1e6,
        }


def main(
    pages: int = 2000,
    *,
    idle: int = 10_000,
    tls: bool = False,
    json_path: Annotated[Path | None, Parameter(name="--json")] = None,
) -> None:
    """Open PAGES students' sockets and then IDLE silent connections.

    Parameters
    ----------
    tls
        The master speaks TLS itself, without a proxy before it.
    json_path
        Where the figures go: results/sockets.json or sockets-tls.json.
    """
    allow_many_files()
    gc.freeze()
    seen = trio.run(partial(measure, pages, idle, tls=tls))
    out = report.console()
    machine = describe()
    colour = "green" if seen["kb_per_page"] <= LIMIT_KB else "red"
    out.print(
        f"{seen['pages']} students' sockets: [{colour}]{seen['kb_per_page']:.1f} kB each[/], "
        f"at rest together {seen['cpu_percent_at_rest']:.1f} % of a core"
    )
    out.print(
        f"{seen['idle']} silent connections: {seen['kb_per_idle']:.1f} kB each, others answered within "
        f"{seen['answer_ms_among_idle']:.1f} ms; {seen['let_go']} let go within {LET_GO_S:.0f} s; "
        f"master {seen['rss_mb']:.0f} MB"
    )
    out.print(report.machine_line(machine))
    setup = {"pages": pages, "idle": idle, "tls": tls}
    path = json_path or RESULTS / ("sockets-tls.json" if tls else "sockets.json")
    report.save({"machine": machine, "setup": setup, "result": seen}, path)
    alive = seen["pages"] == pages and seen["let_go"] == idle and seen["answer_ms_after"] < float("inf")
    sys.exit(0 if alive else 1)


if __name__ == "__main__":
    cyclopts.run(main)
