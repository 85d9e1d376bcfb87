"""MediaMTX's API is polled; whatever it answers, the master goes on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from airclass.io import http_client, mediamtx
from airclass.io.clock import Clock
from airclass.io.http_client import HttpClient
from airclass.io.mediamtx import MediaMtxApi
from airclass.io.notifier import Notifier
from tests.harness.master_in_process import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def path(n: int, **more: Any) -> dict[str, Any]:
    return {"name": f"live/c{n}", "ready": True, "inboundBytes": 0, "tracks2": [{"codec": "H264"}], **more}


def ingest(folder: Path, answer: Callable[[httpx.Request], httpx.Response]) -> MediaMtxApi:
    client = HttpClient(httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    return MediaMtxApi(settings(folder, INGEST_API_URL="http://mtx:9997"), client, Clock(), Notifier())


async def run_for(ingest: MediaMtxApi, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await ingest.run()


async def test_all_pages_are_read_with_the_clusters_token(tmp_path: Path, autojump_clock: object) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer {it.api_token}"
        asked.append(request.url.params["page"])
        items = [path(int(asked[-1])), {"name": "other", "ready": True}, "rubbish", {"name": 5}]
        return httpx.Response(200, json={"pageCount": 2, "items": items})

    it = ingest(tmp_path, answer)
    await run_for(it, 1.0)
    assert asked == ["0", "1"]
    assert it.intakes.keys() == {"c0", "c1"}
    assert it.intakes["c0"].video_codec == "H264"


async def test_a_rate_needs_two_looks(tmp_path: Path, autojump_clock: object) -> None:
    count = iter(range(100))

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, json={"pageCount": 1, "items": [path(1, inboundBytes=500_000 * next(count))]}
        )

    it = ingest(tmp_path, answer)
    await run_for(it, mediamtx.POLL_S + 1)
    assert it.intakes["c1"].bitrate_bps == pytest.approx(2_000_000, rel=0.01)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"items": null}',
        b'{"pageCount": "x", "items": []}',
        b"[" * 1000,
        json.dumps({"pageCount": 10**9, "items": []}).encode(),
    ],
)
async def test_odd_answers_are_survived(tmp_path: Path, autojump_clock: object, body: bytes) -> None:
    it = ingest(tmp_path, lambda request: httpx.Response(200, content=body))
    await run_for(it, 1.0)
    assert it.intakes == {}


async def test_trouble_is_said_once_and_then_that_it_is_over(
    tmp_path: Path, autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    up = False

    def answer(request: httpx.Request) -> httpx.Response:
        if not up:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"pageCount": 1, "items": []})

    it = ingest(tmp_path, answer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(it.run)
        await trio.sleep(20)
        assert it.problem
        up = True
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert it.problem == ""
    lines = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "airclass.io.mediamtx"]
    assert [level for level, _ in lines] == ["WARNING", "INFO"]
    assert lines[0][1].startswith("ingest.lost url=http://mtx:9997 reason=MediaMTX's API does not answer")
    assert lines[1][1] == "ingest.recovered url=http://mtx:9997"


async def test_without_an_address_there_is_nothing_to_do(tmp_path: Path) -> None:
    client = HttpClient(httpx.AsyncClient(transport=httpx.MockTransport(lambda r: httpx.Response(500))))
    await MediaMtxApi(settings(tmp_path), client, Clock(), Notifier()).run()


async def test_an_endless_answer_is_cut_off(tmp_path: Path) -> None:
    huge = b"x" * (http_client.MAX_ANSWER_BYTES + 1)
    client = HttpClient(
        httpx.AsyncClient(transport=httpx.MockTransport(lambda r: httpx.Response(200, content=huge)))
    )
    with pytest.raises(http_client.CallFailed, match="too long"):
        await client.get("http://x/")
    with pytest.raises(http_client.CallFailed):
        await client.get("http://[bad/")
