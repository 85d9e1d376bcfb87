"""MediaMTX's API is polled; whatever it answers, the master goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from airclass.domain.classrooms import Classroom, ClassStatus, hash_key
from airclass.domain.cluster import Cluster
from airclass.domain.publish_auth import ANNOUNCED_S, rules_changed
from airclass.domain.snapshot import Snapshot
from airclass.io import http_client, mediamtx
from airclass.io.clock import Clock
from airclass.io.http_client import HttpClient
from airclass.io.mediamtx import MediaMtxApi
from airclass.io.notifier import Notifier
from tests.harness.fake_mediamtx import FakeMediaMtx
from tests.harness.master_in_process import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


KEY = "key1"
MATH = Classroom("c1", "Math", "AAAAAAA", key_hash=hash_key(KEY))


class Master:
    """The parts of a master that look at one or two ingests."""

    def __init__(self, folder: Path, *fakes: FakeMediaMtx, ingests: int = 0) -> None:
        self.fakes = fakes
        hosts = {f"mtx{n}": fake.transport() for n, fake in enumerate(fakes)}
        routes = {f"all://{host}": transport for host, transport in hosts.items()}
        origins = ",".join(f"http://o{n}:8888" for n in range(max(1, ingests or len(fakes))))
        apis = ",".join(f"http://{host}:9997" for host in hosts)
        self.changes: list[str] = []
        self.cluster = Cluster(0.0, self.changes.append)
        self.see(MATH)
        self.api = MediaMtxApi(
            settings(folder, INGEST_API_URL=apis, INGEST_HLS_URL=origins),
            HttpClient(httpx.AsyncClient(mounts=routes)),
            Clock(),
            Notifier(),
            self.cluster,
        )

    def see(self, *classes: Classroom) -> None:
        before = self.cluster.view
        view = Snapshot(before.revision + 1, {}, {c.id: c for c in classes})
        self.cluster.see(view, 0.0)
        changed = rules_changed(before, view)
        if changed:
            self.api.cut(changed)


def ingest(folder: Path, answer: Callable[[httpx.Request], httpx.Response]) -> MediaMtxApi:
    client = HttpClient(httpx.AsyncClient(transport=httpx.MockTransport(answer)))
    return MediaMtxApi(
        settings(folder, INGEST_API_URL="http://mtx:9997"), client, Clock(), Notifier(), Cluster(0.0, str)
    )


async def run_for(ingest: MediaMtxApi, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await ingest.run()


async def test_all_pages_are_read_with_the_clusters_token(tmp_path: Path, autojump_clock: object) -> None:
    fake = FakeMediaMtx()
    for number in range(mediamtx.ITEMS_PER_PAGE + 1):
        fake.publish(f"live/c{number}", "")
    fake.publish("other", "")
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer {it.api_token}"
        asked.append(f"{request.url.path} {request.url.params['page']}")
        return httpx.Response(200, json=fake.respond("GET", request.url.path, dict(request.url.params))[1])

    it = ingest(tmp_path, answer)
    await run_for(it, 0.5)
    assert asked == [f"/v3/{what}/list {page}" for what in ("rtmpconns", "paths") for page in (0, 1)]
    assert it.intakes.keys() == {f"c{number}" for number in range(mediamtx.ITEMS_PER_PAGE + 1)}
    assert it.intakes["c0"].video_codec == "H264"


async def test_a_rate_needs_two_looks(tmp_path: Path, autojump_clock: object) -> None:
    master = Master(tmp_path, fake := FakeMediaMtx())
    publisher = fake.publishers[fake.publish("live/c1", f"token={KEY}")]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.api.run)
        await trio.sleep(mediamtx.POLL_S / 2)
        assert master.api.intakes["c1"].bitrate_bps is None
        publisher["inboundBytes"] += 250_000
        await trio.sleep(mediamtx.POLL_S)
        nursery.cancel_scope.cancel()
    assert master.api.intakes["c1"].bitrate_bps == pytest.approx(2_000_000, rel=0.01)


@pytest.mark.parametrize("event", ["new key", "close", "delete"])
async def test_a_class_that_changes_loses_its_publisher_at_once_at_every_ingest(
    tmp_path: Path, autojump_clock: object, event: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also one that took over with the old key: it is the path's publisher by then."""
    caplog.set_level("INFO")
    one, two = FakeMediaMtx(), FakeMediaMtx()
    master = Master(tmp_path, one, two)
    one.publish("live/c1", f"token={KEY}")
    other = one.publish("live/c2", "token=key2")
    after = {
        "new key": [replace(MATH, key_hash=hash_key("new"))],
        "close": [replace(MATH, status=ClassStatus.CLOSED)],
        "delete": [],
    }[event]
    art = Classroom("c2", "Art", "BBBBBBB", key_hash=hash_key("key2"))
    master.see(MATH, art)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.api.run)
        await trio.sleep(10)
        assert one.kicked == two.kicked == []
        taken = one.publish("live/c1", f"token={KEY}", "10.0.0.66:1")
        second = two.publish("live/c1", f"jwt={KEY}", "10.0.0.66:2")
        began_s = trio.current_time()
        master.see(*after, art)
        while not (one.kicked and two.kicked):
            await trio.sleep(0.01)
        assert trio.current_time() - began_s < mediamtx.CUT_AGAIN_S
        nursery.cancel_scope.cancel()
    assert (one.kicked, two.kicked) == ([taken], [second])
    assert list(one.publishers) == [other]
    said = [r.getMessage() for r in caplog.records if r.name == mediamtx.__name__]
    assert sorted(said) == [f"publisher.cut class=c1 address=10.0.0.66:{n}" for n in (1, 2)]


async def test_one_that_comes_in_while_the_class_changes_is_cut_too(
    tmp_path: Path, autojump_clock: object
) -> None:
    master = Master(tmp_path, fake := FakeMediaMtx())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.api.run)
        await trio.sleep(5)
        master.see(replace(MATH, key_hash=hash_key("new")))
        await trio.sleep(0.1)
        late = fake.publish("live/c1", f"token={KEY}")
        await trio.sleep(mediamtx.CUT_AGAIN_S)
        assert fake.kicked == [late]
        fake.publish("live/c1", "token=new")
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert fake.kicked == [late]
    assert len(fake.publishers) == 1


async def test_after_a_restart_the_master_knows_who_publishes_and_cuts_who_may_not(
    tmp_path: Path, autojump_clock: object
) -> None:
    fake = FakeMediaMtx()
    fake.publish("live/c1", f"token={KEY}")
    stranger = fake.publish("live/c9", "token=any")
    master = Master(tmp_path, fake)
    assert master.cluster.has_publisher("c1") is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.api.run)
        await trio.sleep(0.5)
        assert (master.cluster.has_publisher("c1"), master.cluster.has_publisher("c2")) == (True, False)
        await trio.sleep(2 * mediamtx.POLL_S)
        nursery.cancel_scope.cancel()
    assert fake.kicked == [stranger]


async def test_the_hooks_word_is_passed_on_at_once_and_ends_when_nobody_came(
    tmp_path: Path, autojump_clock: object
) -> None:
    master = Master(tmp_path, FakeMediaMtx())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.api.run)
        await trio.sleep(5)
        master.changes.clear()
        master.api.accepted("c1", "10.0.0.9", is_live=False)
        assert master.changes == ["orders"]
        assert master.cluster.has_publisher("c1") is True
        await trio.sleep(ANNOUNCED_S + 2)
        nursery.cancel_scope.cancel()
    assert master.cluster.has_publisher("c1") is False
    assert master.changes == ["orders"] * 2


async def test_while_an_ingest_does_not_answer_nobody_is_said_to_be_absent(
    tmp_path: Path, autojump_clock: object
) -> None:
    one, two = FakeMediaMtx(), FakeMediaMtx()
    master = Master(tmp_path, one, two)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(master.api.run)
        await trio.sleep(5)
        assert master.cluster.has_publisher("c1") is False
        two.down = True
        await trio.sleep(5)
        assert master.cluster.has_publisher("c1") is None
        nursery.cancel_scope.cancel()


async def test_an_ingest_without_an_api_is_named_and_never_called_idle(
    tmp_path: Path, autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    master = Master(tmp_path, FakeMediaMtx(), ingests=2)
    await run_for(master.api, 5)
    assert master.cluster.has_publisher("c1") is None
    assert [r.getMessage().split()[0] for r in caplog.records] == ["ingest.api_missing"]


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
    await MediaMtxApi(settings(tmp_path), client, Clock(), Notifier(), Cluster(0.0, str)).run()


async def test_an_endless_answer_is_cut_off(tmp_path: Path) -> None:
    huge = b"x" * (http_client.MAX_ANSWER_BYTES + 1)
    client = HttpClient(
        httpx.AsyncClient(transport=httpx.MockTransport(lambda r: httpx.Response(200, content=huge)))
    )
    with pytest.raises(http_client.CallFailed, match="too long"):
        await client.get("http://x/")
    with pytest.raises(http_client.CallFailed):
        await client.get("http://[bad/")
