"""The relay's calls to the master, in virtual time against a fake master."""

import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import msgspec
import pytest
import trio
from trio.testing import MockClock

from relay.base.cluster_protocol import EpochOffset, EpochRequest, Heartbeat, Orders, Registration
from relay.base.errors import ClusterError
from relay.io.cluster import master_client
from relay.io.cluster.master_client import MasterClient
from tests.harness.fake_http import FakeServer, ReceivedRequest
from tests.harness.fake_master import FakeMaster

SECRET = b"s" * 32
ASK = EpochRequest("class1", "aaaaaaaaaaaa", 7, 0, 0)
BASE = EpochOffset("class1", "aaaaaaaaaaaa", 3, 1)


@dataclass
class FakeNode:
    obeyed: list[Orders] = field(default_factory=list)
    refuses: bool = False

    def registration(self) -> Registration:
        return Registration("n1", "http://n1:8080", "http://n1:8081", (), 150, 0, "1", 0.0)

    async def heartbeat(self, *, full: bool) -> Heartbeat:
        version = self.obeyed[-1].version if self.obeyed else 0
        return Heartbeat("n1", 0, 0, True, "", False, "1", version, full=full)

    def obey(self, orders: Orders) -> None:
        if self.refuses:
            raise ClusterError("the master's key cannot be opened")
        self.obeyed.append(orders)


@asynccontextmanager
async def cluster(
    secret: bytes = SECRET, **of_master: object
) -> AsyncIterator[tuple[FakeMaster, MasterClient, FakeNode]]:
    master, node = FakeMaster(SECRET, **of_master), FakeNode()
    relay = MasterClient("http://master:8000/", "n1", secret, transport=master, chance=lambda: 1.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: relay.run(node, task_status=task_status))
        yield master, relay, node
        nursery.cancel_scope.cancel()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage().split(" ")[0] for r in caplog.records if r.name == master_client.__name__]


async def test_registers_then_beats_at_the_masters_interval(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with cluster(orders=Orders(1, heartbeat_interval_s=3.0)) as (master, relay, node):
        await trio.sleep(10)
        assert relay.connected
        assert [verb for _, verb, _ in master.calls].count("register") == 1
        assert [t for t, verb, _ in master.calls if verb == "heartbeat"] == [0.0, 3.0, 6.0, 9.0]
        assert [beat.full for beat in master.seen("heartbeat")] == [True, False, False, False]
        assert node.obeyed == [Orders(1, heartbeat_interval_s=3.0)]
    assert lines(caplog) == ["master.connected"]
    assert not relay.connected


async def test_news_are_told_before_the_next_beat_is_due(autojump_clock: MockClock) -> None:
    async with cluster(orders=Orders(1, heartbeat_interval_s=3.0)) as (master, relay, _node):
        await trio.sleep(4.0)
        relay.beat_now()
        relay.beat_now()
        await trio.sleep(4.9)
        assert [t for t, verb, _ in master.calls if verb == "heartbeat"] == [0.0, 3.0, 4.0, 7.0]


async def test_a_relay_that_leaves_says_so_at_once(autojump_clock: MockClock) -> None:
    async with cluster(orders=Orders(1, heartbeat_interval_s=3.0)) as (master, relay, node):
        await trio.sleep(4.0)
        await relay.goodbye(node)
        assert [t for t, verb, _ in master.calls if verb == "heartbeat"] == [0.0, 3.0, 4.0]


async def test_new_orders_arrive_at_once_and_old_ones_are_ignored(autojump_clock: MockClock) -> None:
    async with cluster() as (master, _, node):
        await trio.sleep(5.5)
        master.set(Orders(2, drain=True))
        await trio.testing.wait_all_tasks_blocked()
        assert [o.version for o in node.obeyed] == [1, 2]
        assert trio.current_time() == 5.5
        master.set(Orders(1))
        await trio.sleep(30)
        assert [o.version for o in node.obeyed] == [1, 2]
        assert master.seen("watch")[-1].orders_version == 2


async def test_a_full_viewer_list_when_the_master_asks(autojump_clock: MockClock) -> None:
    async with cluster() as (master, _, _node):
        await trio.sleep(1)
        master.set(Orders(2, resync=True))
        await trio.sleep(2)
        master.set(Orders(3))
        await trio.sleep(4)
        # Once for the order; a heartbeat's own answer repeats it until the master takes it back.
        assert [beat.full for beat in master.seen("heartbeat")] == [True, True, True, False]


async def test_a_master_that_is_down_is_tried_for_ever_and_logged_once(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with cluster(fault=httpx.ConnectError("refused")) as (master, relay, node):
        await trio.sleep(60)
        times = [t for t, _, _ in master.calls]
        assert times[:5] == [0.0, 0.5, 1.5, 3.5, 7.5]
        assert max(b - a for a, b in zip(times, times[1:], strict=False)) <= master_client.RETRY_MAX_S
        assert not relay.connected
        assert not node.obeyed
        master.fault = None
        await trio.sleep(master_client.RETRY_MAX_S)
        assert relay.connected
        master.fault = httpx.ReadError("reset")
        await trio.sleep(5)
        master.fault = None
        await trio.sleep(5)
        assert relay.connected
    assert lines(caplog) == ["master.lost", "master.connected", "master.lost", "master.connected"]


@pytest.mark.parametrize("told_by", ["watch", "heartbeat"])
async def test_a_master_that_forgot_us_hears_from_us_again(told_by: str, autojump_clock: MockClock) -> None:
    async with cluster() as (master, _, node):
        await trio.sleep(1)
        if told_by == "watch":
            master.set(Orders(0, known=False))
            await trio.sleep(0.1)
        else:
            master.orders = Orders(0, known=False)
            await trio.sleep(1.1)
        master.set(Orders(1))  # a master that restarted may count from the beginning
        await trio.sleep(2)
        assert len(master.seen("register")) == 2
        assert [o.version for o in node.obeyed] == [1, 1]
        assert master.seen("heartbeat")[-1].full


async def test_a_silent_master_is_given_up(autojump_clock: MockClock) -> None:
    async with cluster() as (master, relay, _node):
        await trio.sleep(1)

        class Silent(Exception):
            pass

        async def never(request: httpx.Request) -> httpx.Response:
            await trio.sleep_forever()
            raise Silent

        master.handle_async_request = never
        await trio.sleep(master_client.HEARTBEAT_S + 3)
        assert not relay.connected


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (httpx.Response(401), "CLUSTER_SECRET"),
        (httpx.Response(404), "MASTER_URL"),
        (httpx.Response(503), "busy"),
        (httpx.Response(302, headers={"Location": "http://evil/"}), "302"),
        (httpx.Response(200, content=b"<html>"), "version"),
        (httpx.Response(200, content=b"[" * 100_000), "version"),
        (httpx.Response(200, content=b"{}"), "version"),
        (httpx.Response(200, content=b" " * (master_client.MAX_ANSWER_BYTES + 1)), "larger"),
    ],
)
async def test_answers_that_cannot_be_used(
    answer: httpx.Response, word: str, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(fault=answer) as (_, relay, node):
        await trio.sleep(20)
        assert not relay.connected
        assert not node.obeyed
    assert lines(caplog) == ["master.lost"]
    assert word in caplog.text


async def test_a_refusal_is_logged_with_the_masters_reason(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    detail = "Another process sends heartbeats as n1:\n give each node its own NODE_ID."
    async with cluster(fault=httpx.Response(409, json={"type": "x", "detail": detail})) as (_, relay, _node):
        await trio.sleep(20)
        assert not relay.connected
    assert lines(caplog) == ["master.lost"]
    assert "(409): Another process sends heartbeats as n1: give each node its own NODE_ID." in caplog.text


async def test_every_record_names_the_process(autojump_clock: MockClock) -> None:
    async with cluster() as (master, _, _node):
        await trio.sleep(5)
        records = [r for verb in ("register", "heartbeat", "watch") for r in master.seen(verb)]
    async with cluster() as (other, _, _node):
        await trio.sleep(1)
        (second,) = {r.incarnation for r in other.seen("register")}
    (first,) = {r.incarnation for r in records}
    assert len(first) == len(second) == 16
    assert first != second


async def test_different_secrets(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    async with cluster(secret=b"other" * 8) as (_, relay, _node):
        await trio.sleep(20)
        assert not relay.connected
    assert "CLUSTER_SECRET" in caplog.text
    assert "other" not in caplog.text


async def test_orders_that_cannot_be_carried_out(autojump_clock: MockClock) -> None:
    async with cluster() as (master, relay, node):
        await trio.sleep(1)
        node.refuses = True
        master.set(Orders(2))
        await trio.sleep(1)
        assert not relay.connected
        node.refuses = False
        await trio.sleep(master_client.RETRY_MAX_S)
        assert relay.connected
        assert node.obeyed[-1].version == 2


async def test_a_warning_is_logged_once(autojump_clock: MockClock, caplog: pytest.LogCaptureFixture) -> None:
    async with cluster(orders=Orders(1, warning="nobody reaches\nyou")) as (master, _, _node):
        await trio.sleep(20)
        master.set(Orders(2))
        await trio.sleep(20)
    assert lines(caplog) == ["master.warned"]
    assert "\nyou" not in caplog.text


@pytest.mark.parametrize("interval_s", [0.0, -1.0, 1e308])
async def test_a_mad_interval_is_bounded(interval_s: float, autojump_clock: MockClock) -> None:
    async with cluster(orders=Orders(1, heartbeat_interval_s=interval_s)) as (master, _, _node):
        await trio.sleep(60.1)
        assert 3 <= len(master.seen("heartbeat")) <= 60 / master_client.MIN_HEARTBEAT_INTERVAL_S + 1


async def test_a_watch_that_never_waits_is_paced(autojump_clock: MockClock) -> None:
    async with cluster(watched_at_once=True) as (master, _, _node):
        await trio.sleep(10.5)
        assert len(master.seen("watch")) <= 11


# -- epochs -------------------------------------------------------------------------------------


async def test_an_epoch_is_asked_again_while_the_master_makes_up_its_mind(autojump_clock: MockClock) -> None:
    async with cluster() as (master, relay, _node), trio.open_nursery() as nursery:

        async def decide() -> None:
            await trio.sleep(1)
            master.bases[ASK.key] = BASE

        nursery.start_soon(decide)
        assert await relay.epoch(ASK) == BASE
        assert trio.current_time() < 1.5


@pytest.mark.parametrize("fault", [None, httpx.ConnectError("refused"), httpx.Response(404)])
async def test_no_epoch_without_a_master(fault: object, autojump_clock: MockClock) -> None:
    async with cluster(fault=fault) as (_, relay, _node):
        with pytest.raises(ClusterError):
            await relay.epoch(ASK)
        assert trio.current_time() <= master_client.EPOCH_S


# -- real sockets -------------------------------------------------------------------------------


async def test_cancelled_calls_leave_nothing_behind() -> None:
    """With a bounded pool httpx 0.28 ends with slots stuck in CONNECTING."""
    dice = random.Random(7)

    async def slow(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await trio.sleep(0.005)
        await answer_epoch(request, stream)

    async def impatient(relay: MasterClient) -> None:
        with trio.move_on_after(dice.uniform(0, 0.03)):
            while True:
                await relay.epoch(ASK)

    server = FakeServer(slow)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: server.run(sockets=True, task_status=task_status))
            relay = MasterClient(server.url, "n1", SECRET)
            for _ in range(15):
                async with trio.open_nursery() as calls:
                    for _ in range(20):
                        calls.start_soon(impatient, relay)
            assert await relay.epoch(ASK) == BASE
            pool = relay._client._transport._pool
            assert pool.connections == []
            nursery.cancel_scope.cancel()


async def answer_epoch(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
    body = msgspec.json.encode(BASE)
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    await stream.send_all(head.encode() + body)
    await stream.aclose()
