"""Sockets: a snapshot, then changes; kicked, ended and silent pages are let go."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio
from trio_websocket import ConnectionClosed, open_websocket_url

from airclass.domain.waiting_queue import PLACE_S
from airclass.web.api import push
from airclass.web.server import websocket
from tests.harness.master_in_process import running_master

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from tests.harness.master_in_process import InProcessMaster

WAIT_S = 8.0
LONG_CHARS = 200_000


class Page:
    """One open socket; `state` is what its page would show."""

    def __init__(self, ws: Any) -> None:
        self.ws = ws
        self.state: dict[str, Any] = {}
        self.seqs: list[int] = []

    async def next(self) -> dict[str, Any]:
        with trio.fail_after(WAIT_S):
            message = json.loads(await self.ws.get_message())
        if message["type"] in ("snapshot", "change"):
            self.seqs.append(message["seq"])
            self.state.update(message)
        return dict(message)

    async def until(self, **wanted: Any) -> None:
        while any(self.state.get(k) != v for k, v in wanted.items()):
            await self.next()

    async def closed(self) -> int:
        with trio.fail_after(WAIT_S):
            try:
                while True:
                    await self.ws.get_message()
            except ConnectionClosed as exc:
                return int(exc.reason.code)


@asynccontextmanager
async def page(
    control: InProcessMaster, path: str, headers: dict[str, str] | None = None
) -> AsyncIterator[Page]:
    extra = [(k.encode(), v.encode()) for k, v in (headers or {}).items()]
    async with open_websocket_url(control.url.replace("http", "ws") + path, extra_headers=extra) as ws:
        try:
            yield Page(ws)
        finally:
            # trio-websocket leaves the stream open when the server was the one to close.
            await trio.aclose_forcefully(ws._stream)


async def joined(control: InProcessMaster, made: dict[str, Any], name: str = "Kim") -> dict[str, Any]:
    return dict((await control.join(made["code"], name)).json())


def subject_of(control: InProcessMaster, body: dict[str, Any]) -> str:
    services = control.services
    return services.tokens.read_viewer(body["token"], services.clock.wall_s()).subject


def student(body: dict[str, Any]) -> str:
    return f"/ws/student?token={body['token']}"


async def test_a_student_sees_the_class_begin_and_end(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relay = await control.node()
        body = await joined(control, made)
        async with page(control, student(body)) as p:
            first = await p.next()
            assert first["type"] == "snapshot"
            assert first["classroom"] == {"id": made["id"], "name": "Math"}
            assert (first["state"], first["full"]) == ("waiting", False)
            assert "priority" not in first, "it holds no seat yet"
            relay.states[made["id"]] = "live"
            await relay.beat()
            await p.until(state="live", priority=["slave-1"])
            await joined(control, made, "Lee")
            await p.until(viewers=2)
            assert p.seqs == list(range(1, len(p.seqs) + 1))
            await p.ws.send_message('{"type":"ping"}')
            assert (await p.next())["type"] == "pong"
            await control.call("POST", f"/api/classrooms/{made['id']}/end", None, control.admin)
            while (message := await p.next())["type"] != "ended":
                assert message["type"] == "change"
            assert await p.closed() == 1000


async def test_a_kicked_student_is_told_and_let_go(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node()
        body = await joined(control, made)
        (subject,) = control.services.cluster.ledger(made["id"]).members
        async with page(control, student(body)) as p:
            await p.next()
            await control.call(
                "POST", f"/api/classrooms/{made['id']}/kick", {"subject": subject}, control.admin
            )
            while (await p.next())["type"] != "kicked":
                pass
        async with page(control, student(body)) as p:
            assert (await p.next())["type"] == "refused"
            assert await p.closed() == push.NOT_ALLOWED


async def test_students_are_moved_when_their_node_drains(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node("slave-1")
        await control.node("slave-2")
        await control.begin(made)
        body = await joined(control, made)
        async with page(control, student(body)) as p:
            home = (await p.next())["priority"][0]
            other = "slave-2" if home == "slave-1" else "slave-1"
            await control.call("POST", f"/cluster/drain/{home}", None, control.admin)
            while p.state["priority"][0] != other:
                await p.next()


async def test_a_waiting_student_keeps_their_place_while_the_page_is_open(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node()
        waiting, gone = await joined(control, made, "Kim"), await joined(control, made, "Lee")
        queue = control.services.cluster.ledger(made["id"]).queue
        async with page(control, student(waiting)) as p:
            await p.next()
            now_s = control.services.clock.now_s()
            for subject in list(queue):
                queue.enter(subject, now_s - 20.0)
            await p.ws.send_message("{}")
            while (await p.next())["type"] != "pong":  # the pong: the master has read the ping
                pass
            assert queue.expire(now_s + PLACE_S - 10.0) == [subject_of(control, gone)]
            assert list(queue) == [subject_of(control, waiting)]
        assert control.services.cluster.nodes.seat_book.seat_of == {}


async def test_a_class_that_begins_gives_open_pages_their_seats_and_says_when_there_are_none(
    tmp_path: Path,
) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node(capacity=1)
        first, second = [await joined(control, made, name) for name in ("Kim", "Lee")]
        async with page(control, student(first)) as p, page(control, student(second)) as q:
            await p.next()
            await q.next()
            await control.begin(made)
            seats = control.services.cluster.nodes.seat_book
            await control.until(lambda: len(seats.seat_of) == 1, "one page has taken the seat")
            (seated,) = seats.seat_of
            first_seated = seated == subject_of(control, first)
            lucky, other = (p, q) if first_seated else (q, p)
            await lucky.until(state="live", priority=["slave-1"], full=False)
            await other.until(state="live", full=True)
            assert "priority" not in other.state
            seats.release(seated)
            await other.until(full=False, priority=["slave-1"])


async def test_a_silent_page_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push, "SILENT_S", 0.3)
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node()
        async with page(control, student(await joined(control, made))) as p:
            assert await p.closed() == 1000


async def test_a_page_that_does_not_read_is_let_go_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its messages pile up in the kernel alone, and only until the deadline of one write."""
    monkeypatch.setattr(websocket, "WRITE_S", 0.3)
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        path, address = f"/ws/teacher?classroom={made['id']}", control.url.removeprefix("http://")
        open_pages = control.services.sockets
        history: Any = control.services.cluster.ledger(made["id"]).history
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {control.admin['Authorization']}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        with trio.socket.socket() as slow:
            slow.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
            await slow.connect(("127.0.0.1", int(address.rpartition(":")[2])))
            await slow.send(head.encode())
            await control.until(lambda: open_pages.value == 1)
            async with page(control, path, control.admin) as quick:
                await quick.next()
                assert open_pages.value == 2
                number = 0
                with trio.fail_after(WAIT_S):
                    while open_pages.value == 2:
                        number += 1
                        history.clear()
                        history.append((number, "x" * LONG_CHARS))
                        control.services.notifier.notify(f"class:{made['id']}")
                        assert (await quick.next())["history"][0][0] == number
                await quick.ws.send_message("{}")
                assert (await quick.next())["type"] == "pong"
                assert open_pages.value == 1


async def test_a_teacher_sees_who_is_there_and_what_arrives(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        lee, kim = await control.teacher("Lee"), await control.teacher("Kim")
        made = (await control.call("POST", "/api/classrooms", {"name": "Math"}, lee)).json()
        relay = await control.node()
        path = f"/ws/teacher?classroom={made['id']}"
        async with page(control, path, lee) as p:
            first = await p.next()
            assert first["classroom"]["code"] == made["code"]
            assert (first["viewers"], first["facts"], first["state"]) == ([], None, "waiting")
            body = await joined(control, made)
            relay.take(body["token"], made["id"])
            relay.states[made["id"]] = "live"
            await relay.beat()
            while p.state["state"] != "live" or not p.state["viewers"] or p.state["facts"] is None:
                await p.next()
            (viewer,) = p.state["viewers"]
            assert (viewer["name"], viewer["node"], viewer["quality"]) == ("Kim", "slave-1", "good")
            assert p.state["facts"]["video_codec"] == "H264"
            text = (await control.call("GET", "/metrics", None, control.monitor)).text
            assert 'airclass_active_connections{type="teacher"} 1.0' in text
        async with page(control, path, kim) as p:
            assert (await p.next())["type"] == "refused"
        async with page(control, path) as p:
            assert (await p.next())["type"] == "refused"


async def test_a_monitor_sees_nodes_and_events_and_a_teacher_does_not(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        async with page(control, "/ws/monitor", control.monitor) as p:
            first = await p.next()
            assert first["nodes"] == []
            await control.node()
            while not (p.state["nodes"] and p.state["nodes"][0]["status"] == "active"):
                await p.next()
            await control.classroom()
            while "class.add" not in [e["action"] for e in p.state["events"]]:
                await p.next()
            assert "stream_key" not in json.dumps(p.state)
        async with page(control, "/ws/monitor", await control.teacher()) as p:
            assert (await p.next())["type"] == "refused"


async def test_another_site_cannot_open_a_socket_with_a_cookie(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        token = control.admin["Authorization"].removeprefix("Bearer ")
        cookie = {"Cookie": f"airclass_session={token}"}
        with_tls = control.url.replace("http://", "https://")
        for origin in ("http://evil.example", "null", with_tls):
            async with page(control, "/ws/monitor", {**cookie, "Origin": origin}) as p:
                assert (await p.next())["type"] == "refused", origin
        async with page(control, "/ws/monitor", {**cookie, "Origin": control.url}) as p:
            assert (await p.next())["type"] == "snapshot"


async def test_stopping_says_so(tmp_path: Path) -> None:
    codes: list[int] = []
    async with trio.open_nursery() as nursery:
        async with running_master(tmp_path) as control:
            made = await control.classroom()
            await control.node()
            body = await joined(control, made)
            opened = trio.Event()

            async def watch() -> None:
                async with page(control, student(body)) as p:
                    await p.next()
                    opened.set()
                    codes.append(await p.closed())

            nursery.start_soon(watch)
            await opened.wait()
    assert codes == [push.GOING_AWAY]
