"""The relay as its master sees it: what it reports, and how it carries out orders."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.base import cluster_protocol
from relay.base.errors import ClusterError, RequestError
from relay.base.jwks import write_jwks
from relay.base.signing import seal
from relay.base.tokens import mint_viewer
from relay.core.delivery.request import Request, RequestHeaders
from relay.core.viewers.registry import LEFT_S
from relay.io.cluster.agent import REPORTS_A_TURN
from tests.harness.relay_parts import SECRET, RelayParts, StillOrigin, running

if TYPE_CHECKING:
    from relay.core.delivery.response import Response
    from tests.harness.fake_http import ReceivedRequest

KEY = b"k" * 32


def orders(version: int, *streams: cluster_protocol.StreamOrder, **fields: object) -> cluster_protocol.Orders:
    keys = (seal(SECRET.encode(), KEY),)
    return cluster_protocol.Orders(version, viewer_keys=keys, streams=streams, **fields)  # type: ignore[arg-type]


def order(origin: StillOrigin, **fields: object) -> cluster_protocol.StreamOrder:
    return cluster_protocol.StreamOrder("class1", (origin.url,), **fields)  # type: ignore[arg-type]


def base(offset: int, discontinuity_seq: int, key: str = "aaaaaaaaaaaa") -> cluster_protocol.EpochOffset:
    return cluster_protocol.EpochOffset("class1", key, offset, discontinuity_seq, 2, 0.0)


def get(
    rig: RelayParts, name: str = "v0.m3u8", token_id: str = "t1", key: bytes | Ed25519PrivateKey = KEY
) -> Response:
    now_s = time.time()
    token = mint_viewer(
        key,
        subject="s1",
        token_id=token_id,
        classroom="class1",
        issued_at_s=now_s - 60,
        expires_at_s=now_s + 3600,
    )
    request = Request(b"GET", f"/t/{token}/class1/{name}".encode(), RequestHeaders())
    result, _ = rig.delivery.answer(request, "192.0.2.1", now_s=trio.current_time(), wall_s=now_s)
    return result  # type: ignore[return-value]


def refused(rig: RelayParts, **options: str) -> int:
    with pytest.raises(RequestError) as caught:
        get(rig, **options)
    return caught.value.status


def test_a_relay_introduces_itself() -> None:
    rig = RelayParts(node_zone="10.1.0.0/16, 10.2.0.0/16", max_egress_mbps=10)
    said = rig.node.registration()
    assert (said.node_id, said.public_url, said.admin_url) == (
        "node1",
        "http://127.0.0.1:1",
        "http://127.0.0.1:2",
    )
    assert said.zone == ("10.1.0.0/16", "10.2.0.0/16")
    assert (said.max_connections, said.max_egress_bps, said.started_at_s) == (40, 10_000_000, 1_790_000_000.0)
    rig.delivery.open_stream("class1").timeline.adopt(base(5, 1))
    assert rig.node.registration().epochs == (msgspec.structs.replace(base(5, 1), order=1),)
    assert (
        RelayParts(node_public_url="https://a.example/").node.registration().public_url == "https://a.example"
    )


async def test_orders_are_carried_out() -> None:
    origin = StillOrigin()
    async with running(RelayParts(master_url="http://master.example"), origin) as rig:
        assert rig.node.readiness() == (False, ["the master has not answered yet"])
        first = orders(1, order(origin, bearer=seal(SECRET.encode(), b"hush")))
        rig.node.obey(first)
        await rig.until(lambda: rig.ready("class1"))
        assert origin.bearers == {"Bearer hush"}
        assert get(rig).status == 200
        assert rig.node.readiness() == (True, [])
        stream = rig.delivery.streams["class1"]
        rig.node.obey(first)
        assert rig.delivery.streams["class1"] is stream
        rig.node.obey(orders(2))
        assert rig.streams.names == ()
        assert refused(rig) == 404


async def test_a_heartbeat_tells_what_is_going_on() -> None:
    origin = StillOrigin()
    async with running(RelayParts(master_url="http://master.example"), origin) as rig:
        rig.node.obey(orders(7, order(origin)))
        await rig.until(lambda: rig.ready("class1"))
        get(rig)
        beat = await rig.node.heartbeat(full=True)
        assert (beat.node_id, beat.connections, beat.orders_version, beat.full) == ("node1", 1, 7, True)
        assert (beat.ready, beat.reason, beat.draining) == (True, "", False)
        assert [v.token_id for v in beat.viewers] == ["t1"]
        (report,) = beat.streams
        assert (report.stream, report.viewers) == ("class1", 1)
        assert (report.origin, report.fault) == ("served", "")
        assert report.origin_age_s >= report.origin_quiet_s >= 0
        assert [v.uri for v in report.variants] == ["v0.m3u8"]


async def test_a_heartbeat_of_many_viewers_lets_others_run_in_between() -> None:
    origin, ran = StillOrigin(), 0
    async with running(RelayParts(max_connections=1000), origin) as rig:
        rig.node.obey(orders(1, order(origin)))
        await rig.until(lambda: rig.ready("class1"))
        for number in range(3 * REPORTS_A_TURN):
            get(rig, token_id=f"t{number}")

        async def others() -> None:
            nonlocal ran
            while True:
                await trio.lowlevel.checkpoint()
                ran += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            await trio.lowlevel.checkpoint()
            before = ran
            beat = await rig.node.heartbeat(full=True)
            assert ran >= before + 2
            assert len(beat.viewers) == beat.connections == 3 * REPORTS_A_TURN
            assert (await rig.node.heartbeat(full=False)).connections == 3 * REPORTS_A_TURN
            nursery.cancel_scope.cancel()


async def test_the_revoked_and_the_closed_are_turned_away() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.node.obey(orders(1, order(origin)))
        await rig.until(lambda: rig.ready("class1"))
        get(rig)
        rig.node.obey(orders(2, order(origin), revoked=("t1",)))
        beat = await rig.node.heartbeat(full=False)
        assert (beat.connections, beat.streams[0].viewers, beat.gone) == (0, 0, ("t1",))
        assert refused(rig) == 403
        assert get(rig, token_id="t2").status == 200
        rig.node.obey(orders(3, order(origin), revoked=("t1",), closed=("class1",)))
        assert refused(rig, token_id="t2") == 403
        rig.node.obey(orders(4, order(origin)))
        assert get(rig).status == 200


async def test_keys_follow_the_master() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.node.obey(orders(1, order(origin)))
        await rig.until(lambda: rig.ready("class1"))
        other = seal(SECRET.encode(), b"o" * 32)
        rig.node.obey(cluster_protocol.Orders(2, viewer_keys=(other,), streams=(order(origin),)))
        assert refused(rig) == 401


async def test_with_public_keys_a_relay_checks_tokens_and_can_make_none() -> None:
    signing = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
    sealed = seal(SECRET.encode(), write_jwks([signing.public_key()]))
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.node.obey(orders(1, order(origin)))
        await rig.until(lambda: rig.ready("class1"))
        rig.node.obey(cluster_protocol.Orders(2, viewer_jwks=sealed, streams=(order(origin),)))
        assert refused(rig) == 401, "made with the shared secret of before"
        assert get(rig, key=signing, token_id="t2").status == 200
        held = rig.delivery.admission.keys
        assert [type(key).__name__ for key in held] == [type(signing.public_key()).__name__]
        with pytest.raises(ClusterError):
            rig.node.obey(
                cluster_protocol.Orders(3, viewer_jwks=seal(SECRET.encode(), b"{}"), streams=(order(origin),))
            )


async def test_draining_is_told_by_the_master_or_the_operator() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.node.obey(orders(1, order(origin)))
        await rig.until(lambda: rig.ready("class1"))
        get(rig)
        rig.node.obey(orders(2, order(origin), drain=True))
        assert refused(rig) == 410
        ready, (reason,) = rig.node.readiness()
        assert not ready
        assert "draining" in reason
        rig.node.obey(orders(3, order(origin)))
        assert get(rig).status == 200
        rig.node.drain(True, reason="signal")
        rig.node.obey(orders(4, order(origin)))
        assert refused(rig) == 410, "a signal counts more than the master's word"


async def test_a_class_that_ends_and_begins_again() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.node.obey(orders(1, order(origin)))
        await rig.until(lambda: rig.ready("class1"))
        assert b"#EXT-X-ENDLIST" not in get(rig).text
        rig.node.obey(orders(2, order(origin, ended=True)))
        assert b"#EXT-X-ENDLIST" in get(rig).text
        rig.node.obey(orders(3, order(origin)))
        assert b"#EXT-X-ENDLIST" not in get(rig).text


async def test_numbers_of_the_cluster_are_taken_newest_last() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        bases = (base(100, 3), base(50, 2, "bbbbbbbbbbbb"))
        rig.node.obey(orders(1, order(origin, epochs=bases)))
        timeline = rig.delivery.streams["class1"].timeline
        assert [e.discontinuity_seq for e in timeline.epochs] == [2, 3]
        await rig.until(lambda: rig.ready("class1"))
        assert b"#EXT-X-MEDIA-SEQUENCE:100\n" in get(rig).text


async def test_epochs_of_the_cluster_have_the_masters_order() -> None:
    """After an outage the newest epoch can have the lower discontinuity number: an old database says so."""
    origin, asked = StillOrigin(), []

    async def decide(request: cluster_protocol.EpochRequest) -> cluster_protocol.EpochOffset:
        asked.append(request)
        return base(500, 9)

    async with running(RelayParts(decide=decide), origin) as rig:
        today = msgspec.structs.replace(base(30, 0), order=2)
        yesterday = msgspec.structs.replace(base(23, 1, "bbbbbbbbbbbb"), order=1)
        rig.node.obey(orders(1, order(origin, epochs=(today, yesterday))))
        timeline = rig.delivery.streams["class1"].timeline
        assert [e.key for e in timeline.epochs] == ["bbbbbbbbbbbb", "aaaaaaaaaaaa"]
        await rig.until(lambda: rig.ready("class1"))
        assert b"#EXT-X-MEDIA-SEQUENCE:30\n" in get(rig).text
        assert asked == [], "today's epoch has its numbers"


async def test_a_relay_that_counts_differently_asks_for_an_epoch_above_both(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It has decided alone, as another relay has; nobody is sent away, and no number falls."""
    origin, asked = StillOrigin(), []

    async def decide(request: cluster_protocol.EpochRequest) -> cluster_protocol.EpochOffset:
        asked.append(request)
        key, offset = ("aaaaaaaaaaaa+5", 100) if request.refused else ("aaaaaaaaaaaa", 50)
        return base(offset, offset // 20, key)

    async with running(RelayParts(decide=decide), origin) as rig:
        rig.node.obey(orders(1, order(origin)))
        await rig.until(lambda: rig.ready("class1"))
        stream = rig.delivery.streams["class1"]
        before = get(rig).text
        rig.node.obey(orders(2, order(origin, epochs=(base(40, 2),))))
        assert "epoch.disputed stream=class1" in caplog.text
        await rig.until(lambda: stream.timeline.current is stream.timeline.known("aaaaaaaaaaaa+5"))
        assert [(r.refused, r.next_msn, r.next_discontinuity_seq) for r in asked] == [
            ("", 0, 0),
            ("aaaaaaaaaaaa", 53, 3),
        ]
        assert get(rig).text == before, "what is listed stays; the next segment gets the new numbers"
        assert rig.delivery.streams["class1"] is stream
        assert not stream.refused
        rig.node.obey(orders(3, order(origin, epochs=(base(40, 2),))))
        assert caplog.text.count("epoch.disputed") == 1


async def test_a_relay_that_registers_late_knows_how_far_the_numbers_are() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.node.obey(orders(1, order(origin, next_msn=31, next_discontinuity_seq=2)))
        await rig.until(lambda: rig.ready("class1"))
        assert b"#EXT-X-MEDIA-SEQUENCE:31\n" in get(rig).text, "no master could be asked"
        (report,) = (await rig.node.heartbeat(full=False)).streams
        assert (report.next_msn, report.next_discontinuity_seq) == (34, 3)


async def test_a_relay_alone_says_why_it_is_not_ready() -> None:
    async with running(RelayParts()) as rig:
        rig.streams.follow("class1", ("http://127.0.0.1:9/index.m3u8",))
        await rig.until(lambda: "connection" in rig.delivery.streams["class1"].problem)
        ready, (reason,) = rig.node.readiness()
        assert not ready
        assert reason.startswith("class1: ")
        beat = await rig.node.heartbeat(full=False)
        assert (beat.fault, beat.streams[0].origin, beat.streams[0].fault) == ("connect", "failed", "connect")


class HungOrigin(StillOrigin):
    """An origin that takes requests and answers none."""

    async def handle(self, request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        self.bearers.add(request.headers.get("authorization", ""))
        await trio.sleep_forever()


async def test_a_relay_whose_origin_has_not_answered_does_not_say_that_it_serves() -> None:
    origin = HungOrigin()
    async with running(RelayParts(master_url="http://master.example"), origin) as rig:
        rig.node.obey(orders(1, order(origin)))
        await rig.until(lambda: origin.bearers)
        beat = await rig.node.heartbeat(full=False)
        assert (beat.ready, beat.streams[0].origin) == (True, "unknown")


async def test_a_relay_on_demand_is_ready_while_nobody_asks() -> None:
    async with running(RelayParts()) as rig:
        stream = rig.delivery.open_stream("class1")
        assert not rig.node.readiness()[0]
        stream.idle = True  # else nobody would ever be sent here to ask
        assert rig.node.readiness() == (True, [])


async def test_figures_are_brought_up_to_date() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.node.obey(orders(1, order(origin)))
        await rig.until(lambda: rig.ready("class1"))
        get(rig)
        rig.delivery.open_stream("class2")
        figures = rig.node.refresh()
        assert (figures.viewers, figures.max_viewers, figures.waiters) == (1, 40, 0)
        assert figures.cache_bytes == rig.bodies.live_bytes > 0
        one = figures.streams["class1"]
        assert (one.viewers, one.epochs, one.gaps, one.cache_bytes) == (1, 1, 0, figures.cache_bytes)
        assert one.lag_s >= 0


async def test_waiting_for_the_last_viewer(autojump_clock: trio.testing.MockClock) -> None:
    rig = RelayParts()
    with trio.fail_after(30):
        await rig.node.empty()
        rig.admission.public = True
        rig.admission.admit_public("class1", "192.0.2.1", b"", now_s=0.0, wall_s=0.0)
        started_s = trio.current_time()
        await rig.node.empty()
        assert trio.current_time() - started_s <= 2, "its connections are closed: it will not come back"
    rig.reactor._epoll.close()


async def test_a_draining_relay_waits_for_a_player_until_it_was_sent_away() -> None:
    """A browser keeps its connection open after the player has moved: that is no reason to wait."""
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.node.obey(orders(1, order(origin)))
        await rig.until(lambda: rig.ready("class1"))
        listener = socket.create_server(("127.0.0.1", 0))  # closed by the reactor
        rig.reactor.listen(listener)
        player = await trio.open_tcp_stream(*listener.getsockname())
        rig.admission.public = True

        async def ask() -> bytes:
            await player.send_all(b"GET /class1/v0.m3u8 HTTP/1.1\r\nHost: x\r\n\r\n")
            return bytes(await player.receive_some()).split(b"\r\n")[0]

        assert await ask() == b"HTTP/1.1 200 OK"
        rig.node.drain(True, reason="test")
        with trio.move_on_after(LEFT_S + 0.5) as waiting:
            await rig.node.empty()
        assert waiting.cancelled_caught, "it has not been told yet"
        assert await ask() == b"HTTP/1.1 410 Gone"
        with trio.fail_after(5):
            await rig.node.empty()
        await player.aclose()


async def test_the_masters_word_that_somebody_publishes_starts_the_pull() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.node.obey(orders(1, order(origin, publishing=False)))
        await rig.until(lambda: rig.delivery.streams["class1"].problem == "nobody is publishing")
        assert not origin.server.requests
        rig.node.obey(orders(2, order(origin, publishing=True)))
        await rig.until(lambda: rig.ready("class1"))
