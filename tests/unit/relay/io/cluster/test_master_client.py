"""The relay's calls to the master, in virtual time against a fake master."""

import logging
import random
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest
import trio
from trio.testing import MockClock

from relay.base.cluster_protocol import EpochOffset, EpochRequest, Heartbeat, Orders, Registration
from relay.base.enrolment import NodeKey, read_node_key
from relay.base.errors import ClusterError
from relay.base.signing import HEADER_NONCE, sign_answer
from relay.io.cluster import master_client
from relay.io.cluster.master_client import MasterClient
from relay.io.cluster.node_key import NodeIdentity
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
    identity = NodeIdentity("n1", key=secret)
    async with connected(master, node, identity) as relay:
        yield master, relay, node


@asynccontextmanager
async def connected(
    master: FakeMaster, node: FakeNode, identity: NodeIdentity
) -> AsyncIterator[MasterClient]:
    relay = MasterClient("http://master:8000/", identity, transport=master, chance=lambda: 1.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(lambda task_status: relay.run(node, task_status=task_status))
        yield relay
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
    assert "409: Another process sends heartbeats as n1: give each node its own NODE_ID." in caplog.text


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


# -- whose answers are believed, and with which key ----------------------------------------------


async def test_orders_that_are_not_signed_are_not_obeyed(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A false master, or one of the version before: it cannot sign, so nothing it says is carried out."""
    async with cluster(signs=False, bases={ASK.key: BASE}) as (_, relay, node):
        await trio.sleep(20)
        assert not relay.connected
        assert node.obeyed == []
        with pytest.raises(ClusterError, match="not signed"):
            await relay.epoch(ASK)
    assert lines(caplog) == ["master.lost"]
    assert "upgrade the master first" in caplog.text


async def test_a_signed_answer_cannot_be_replayed(autojump_clock: MockClock) -> None:
    """Real orders, sealed keys and all, recorded on the line and played to the relay's later calls."""
    async with cluster(orders=Orders(1, heartbeat_interval_s=1.0)) as (master, relay, node):
        await trio.sleep(1.5)
        assert relay.connected
        genuine, recorded = master.handle_async_request, []

        async def record(request: httpx.Request) -> httpx.Response:
            response = await genuine(request)
            body = await response.aread()
            recorded.append((response.headers, body))
            return httpx.Response(response.status_code, headers=response.headers, content=body)

        async def replay(request: httpx.Request) -> httpx.Response:
            headers, body = recorded[-1]
            return httpx.Response(200, headers=headers, content=body)

        master.handle_async_request = record
        master.set(Orders(2))
        await trio.sleep(2)
        assert [o.version for o in node.obeyed] == [1, 2]
        before = len(recorded)
        master.handle_async_request = replay
        await trio.sleep(10)
        assert not relay.connected
        assert len(recorded) == before
        master.handle_async_request = genuine
        await trio.sleep(5)
        assert relay.connected


async def test_a_relay_enrols_once_and_signs_with_its_own_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = tmp_path / "deep" / "n1.key"
    master, node = FakeMaster(SECRET), FakeNode()
    async with connected(master, node, NodeIdentity("n1", cluster_secret=SECRET, file=file)) as relay:
        with trio.fail_after(10):
            while not relay.connected:
                await trio.sleep(0.01)
    assert [verb for _, verb, _ in master.calls][:2] == ["enrol", "register"]
    kept = read_node_key(file.read_text())
    assert kept == NodeKey("n1", master.keys["n1"])
    assert kept.key != SECRET
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert lines(caplog)[0] == "node.enrolled"
    assert kept.key.hex() not in caplog.text


async def test_a_key_that_the_master_does_not_know_is_replaced_by_enrolling_again() -> None:
    master, node = FakeMaster(SECRET), FakeNode()
    lost = NodeIdentity("n1", key=b"l" * 32, cluster_secret=SECRET)
    async with connected(master, node, lost) as relay:
        with trio.fail_after(10):
            while not relay.connected:
                await trio.sleep(0.01)
    assert [verb for _, verb, _ in master.calls][:3] == ["register", "enrol", "register"]
    assert lost.key == master.keys["n1"]


async def test_without_anything_to_enrol_with_a_relay_says_what_to_do(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    master, node = FakeMaster(SECRET), FakeNode()
    for identity in (NodeIdentity("n1", key=b"l" * 32), NodeIdentity("n1")):
        caplog.clear()
        async with connected(master, node, identity) as relay:
            await trio.sleep(20)
            assert not relay.connected
        assert lines(caplog) == ["master.lost"]
        assert "airclass node add" in caplog.text


async def test_an_old_master_gives_no_keys(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    master, node = FakeMaster(SECRET, fault=httpx.Response(404), only_fault="enrol"), FakeNode()
    async with connected(master, node, NodeIdentity("n1", cluster_secret=SECRET)) as relay:
        await trio.sleep(20)
        assert not relay.connected
    assert {verb for _, verb, _ in master.calls} == {"enrol"}
    assert "upgrade the master first" in caplog.text


async def test_a_refusal_is_told_in_the_masters_words(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    said = b'{"detail":"Another node\\nis at work: choose another NODE_ID.","type":"urn:x:conflict"}'
    async with cluster(fault=httpx.Response(409, content=said)):
        await trio.sleep(10)
    assert lines(caplog) == ["master.lost"]
    assert "answered 409: Another node is at work: choose another NODE_ID." in caplog.text


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
            relay = MasterClient(server.url, NodeIdentity("n1", key=SECRET))
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
    nonce = request.headers[HEADER_NONCE.lower()]
    ((name, value),) = sign_answer(SECRET, "n1", request.target, nonce, body).items()
    signed = f"Content-Length: {len(body)}\r\n{name}: {value}\r\nConnection: close"
    head = f"HTTP/1.1 200 OK\r\n{signed}\r\n\r\n"
    await stream.send_all(head.encode() + body)
    await stream.aclose()
