"""What the supervisor asks of a master, with a stand-in that keeps users and classes in memory."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from airclass.domain.tokens import TokenIssuer, TokenKind
from airclass.ingest import http_server
from airclass.ingest.http_server import IngestRequest, IngestResponse
from airclass.run.master_client import LocalMasterClient, open_master_client
from relay.base.errors import StartError

DEADLINE_S = 10
SECRET = "s" * 40
PLAYLIST = b'#EXTM3U\n#EXT-X-PART:DURATION=1,URI="part7.mp4"\n#EXTINF:1,\nseg1.mp4\n'


class StandIn:
    """A master and a relay in one."""

    def __init__(self, classes: list[dict[str, Any]] | None = None) -> None:
        self.classes = classes if classes is not None else []
        self.relay: dict[str, IngestResponse] = {}
        self.previews = 0
        self.tries = 0
        self.seat = 200
        self.state = "waiting"
        self.url = ""
        self.no_seats = False

    async def answer(self, request: IngestRequest) -> IngestResponse:
        if request.path.startswith("/t/"):
            self.tries += request.path.endswith("index.m3u8")
            return self.relay.get(request.path, IngestResponse(404))
        if request.path == "/api/classrooms" and request.method == "GET":
            return _json({"classrooms": self.classes})
        if request.path == "/api/classrooms/c1":
            return _json({"state": self.state})
        if request.path == "/cluster/nodes":
            return _json({"summary": {"active_nodes": self.previews - 1}})
        if request.path.endswith("/preview"):
            self.previews += 1
            if self.no_seats:
                return _json({"pathways": []})
            return _json({"pathways": [{"id": "a", "url": f"{self.url}/t/x/c1/index.m3u8"}]}, self.seat)
        return IngestResponse(403)


def _json(body: object, status: int = 200) -> IngestResponse:
    return IngestResponse(status, json.dumps(body).encode(), "application/json")


@asynccontextmanager
async def master_client(stand_in: StandIn) -> AsyncIterator[LocalMasterClient]:
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            port = await nursery.start(http_server.serve, stand_in.answer, "127.0.0.1", 0)
            stand_in.url = f"http://127.0.0.1:{port}"
            async with open_master_client(stand_in.url, SECRET) as opened:
                yield opened
            nursery.cancel_scope.cancel()


def classroom(name: str, status: str = "open", rtmp_url: str = "") -> dict[str, Any]:
    return {
        "id": name,
        "status": status,
        "code": name.upper(),
        "join_url": f"http://m/join/{name}",
        "rtmp_url": rtmp_url,
        "rtmp_server": "rtmp://m:1935/live",
    }


async def test_its_tokens_are_an_admins_and_a_monitors() -> None:
    async with master_client(StandIn()) as opened:
        issuer = TokenIssuer(SECRET.encode())
        assert issuer.read(opened.admin_token, (TokenKind.ADMIN,), 0.0)
        assert issuer.read(opened.monitor_token, (TokenKind.MONITOR,), 0.0)


async def test_the_first_open_class_is_taken() -> None:
    known = [classroom("c1", "closed"), classroom("c2", rtmp_url="rtmp://m:1935/live/c2?token=k")]
    async with master_client(StandIn(known)) as opened:
        found = await opened.first_class("x", "en")
    assert (found.id, found.is_open, found.code) == ("c2", True, "C2")
    assert found.rtmp_url == "rtmp://m:1935/live/c2?token=k"


async def test_without_an_open_class_none_is_made_behind_the_operators_back() -> None:
    async with master_client(StandIn([classroom("c1", "retired")])) as opened:
        found = await opened.first_class("x", "en")
        assert (found.id, found.is_open) == ("c1", False)
        assert found.rtmp_url == "rtmp://m:1935/live/c1"
        await opened.until_playable(found, live=True)


async def test_a_refusal_is_a_sentence() -> None:
    async with master_client(StandIn()) as opened:
        with pytest.raises(StartError, match="the master refused POST /api/classrooms with 4"):
            await opened.first_class("x", "en")


async def test_a_dead_master_is_a_sentence() -> None:
    async with open_master_client("http://127.0.0.1:1", SECRET) as opened:
        with trio.fail_after(DEADLINE_S), pytest.raises(StartError, match="does not answer"):
            await opened.call("GET", "/api/users")


async def test_playable_means_that_media_came() -> None:
    stand_in = StandIn([classroom("c1")])
    async with master_client(stand_in) as opened:
        found = await opened.first_class("x", "en")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: opened.until_playable(found, live=True))
            for path, response in (
                ("/t/x/c1/index.m3u8", IngestResponse(503)),
                ("/t/x/c1/index.m3u8", IngestResponse(200, b"#EXTM3U\n#EXT-X-STREAM-INF:X=1\nmain.m3u8\n")),
                ("/t/x/c1/main.m3u8", IngestResponse(200, b"#EXTM3U\n")),
                ("/t/x/c1/main.m3u8", IngestResponse(200, PLAYLIST)),
                ("/t/x/c1/part7.mp4", IngestResponse(404)),
                ("/t/x/c1/part7.mp4", IngestResponse(200, b"media")),
            ):
                stand_in.relay[path] = response
                before = stand_in.tries
                while stand_in.tries < before + 2:
                    await trio.sleep(0.01)
                assert nursery.child_tasks
            stand_in.state = "live"
    assert stand_in.previews == 1


async def test_for_an_installation_it_is_enough_that_the_relay_knows_the_class() -> None:
    stand_in = StandIn([classroom("c1")])
    stand_in.relay["/t/x/c1/index.m3u8"] = IngestResponse(503)
    async with master_client(stand_in) as opened:
        await opened.until_playable(await opened.first_class("x", "en"), live=False)


async def test_a_class_that_has_not_begun_is_ready_with_the_first_relay() -> None:
    stand_in = StandIn([classroom("c1")])
    stand_in.no_seats = True
    async with master_client(stand_in) as opened:
        created = await opened.first_class("Class 1", "ko")
        await opened.until_playable(created, live=False)
    assert stand_in.previews == 2, "the first answer came before a relay did"
