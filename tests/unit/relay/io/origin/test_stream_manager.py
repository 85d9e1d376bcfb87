"""Which streams are followed: what was asked for last is what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from relay.base.cluster_protocol import EpochOffset
from relay.base.errors import ClusterError
from relay.io.origin import stream_manager as module
from tests.harness.relay_parts import RelayParts, StillOrigin, running

if TYPE_CHECKING:
    from relay.base.cluster_protocol import EpochRequest


async def test_a_stream_is_followed_until_it_is_forgotten() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        stream = rig.streams.follow("class1", (origin.url,), bearer="hush")
        assert rig.streams.names == ("class1",)
        await rig.until(lambda: rig.ready("class1"))
        assert rig.delivery.streams["class1"] is stream
        assert origin.bearers == {"Bearer hush"}
        assert rig.counters.streams["class1"].fetched["segment"] == 3
        assert rig.bodies.live_blobs == 3
        del stream
        rig.streams.forget("class1")
        assert "class1" not in rig.delivery.streams
        assert "class1" not in rig.counters.streams
        await rig.until(lambda: not rig.bodies.live_blobs)
        await rig.until(lambda: not origin.server.open_connections)
        rig.streams.forget("class1")


async def test_a_stream_that_is_forgotten_and_asked_for_again_at_once_runs() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.streams.follow("class1", (origin.url,))
        await rig.until(lambda: rig.ready("class1"))
        rig.streams.forget("class1")
        rig.streams.follow("class1", (origin.url,))
        assert not rig.ready("class1")
        await rig.until(lambda: rig.ready("class1"))


async def test_a_stream_that_is_forgotten_before_it_began_leaves_nothing() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        rig.streams.follow("class1", (origin.url,))
        await trio.lowlevel.checkpoint()
        rig.streams.forget("class1")
        await trio.testing.wait_all_tasks_blocked()
        assert "class1" not in rig.delivery.streams
        assert "class1" not in rig.counters.streams


async def test_another_origin_replaces_the_one_before() -> None:
    first, second = StillOrigin("aaaaaaaaaaaa"), StillOrigin("bbbbbbbbbbbb")
    async with running(RelayParts(), first, second) as rig:
        rig.streams.follow("class1", (first.url,))
        await rig.until(lambda: rig.ready("class1"))
        stream = rig.delivery.streams["class1"]
        rig.streams.follow("class1", (first.url,))
        rig.streams.follow("class1", (second.url,))
        await rig.until(lambda: len(stream.timeline.epochs) == 2)
        await rig.until(lambda: not first.server.open_connections)
        assert rig.delivery.streams["class1"] is stream


class Master:
    """Numbers the first epoch high, and the second one below it: as after a loss of its database."""

    def __init__(self, *, knows_refusals: bool) -> None:
        self.knows_refusals = knows_refusals
        self.asked: list[EpochRequest] = []

    async def decide(self, request: EpochRequest) -> EpochOffset:
        self.asked.append(request)
        if request.key == "aaaaaaaaaaaa":
            return EpochOffset("class1", request.key, 40, 3, 2, 0.0, 1)
        if request.refused and self.knows_refusals:
            return EpochOffset("class1", f"{request.key}+7", 60, 7, 2, 0.0, 3)
        return EpochOffset("class1", request.key, 0, 0, 2, 0.0, 2)


@pytest.mark.parametrize(
    ("knows_refusals", "key", "last"), [(True, "bbbbbbbbbbbb+7", 62), (False, "bbbbbbbbbbbb+4", 43)]
)
async def test_an_offset_below_what_viewers_have_seen_is_refused(
    knows_refusals: bool, key: str, last: int, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = StillOrigin(), StillOrigin("bbbbbbbbbbbb")
    master = Master(knows_refusals=knows_refusals)
    async with running(RelayParts(decide=master.decide), first, second) as rig:
        rig.streams.follow("class1", (first.url,))
        await rig.until(lambda: rig.ready("class1"))
        stream = rig.delivery.streams["class1"]
        rig.streams.follow("class1", (second.url,))
        await rig.until(lambda: stream.windows["v0"].live_edge.last_msn == last)
        assert [(r.key, r.refused, r.next_msn) for r in master.asked] == [
            ("aaaaaaaaaaaa", "", 0),
            ("bbbbbbbbbbbb", "", 43),
            ("bbbbbbbbbbbb", "bbbbbbbbbbbb", 43),
        ]
        assert stream.timeline.current is stream.timeline.known(key)
        assert caplog.text.count("epoch.refused") == 1
        assert ("upgrade the master first" in caplog.text) is not knows_refusals


async def test_only_so_many_streams(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_STREAMS", 2)
    async with running(RelayParts()) as rig:
        for number in range(3):
            rig.streams.follow(f"class{number}", ("http://127.0.0.1:9/index.m3u8",))
        assert rig.streams.names == ("class0", "class1")
        assert "stream.refused stream=class2" in caplog.text


async def test_the_master_gives_the_numbers() -> None:
    async def master(ask: EpochRequest) -> EpochOffset:
        return EpochOffset(ask.stream, ask.key, 1000, 7, 4, 0.0)

    origin = StillOrigin()
    async with running(RelayParts(decide=master), origin) as rig:
        rig.streams.follow("class1", (origin.url,))
        await rig.until(lambda: rig.ready("class1"))
        stream = rig.delivery.streams["class1"]
        listed = stream.media_playlist(stream.windows["v0"])
        assert (listed.media_sequence, listed.discontinuity_sequence) == (1000, 7)
        assert listed.target_duration_s == 4


async def test_without_an_answer_of_the_master_the_relay_goes_on_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def nobody(ask: EpochRequest) -> EpochOffset:
        raise ClusterError("the master does not answer")

    origin = StillOrigin()
    async with running(RelayParts(decide=nobody), origin) as rig:
        rig.streams.follow("class1", (origin.url,))
        await rig.until(lambda: rig.ready("class1"))
        assert "epoch.alone stream=class1" in caplog.text


async def test_a_stream_that_nobody_publishes_is_pulled_as_soon_as_somebody_does() -> None:
    origin = StillOrigin()
    async with running(RelayParts(), origin) as rig:
        stream = rig.streams.follow("class1", (origin.url,), publishing=False)
        await rig.until(lambda: stream.problem == "nobody is publishing")
        assert not origin.server.requests
        rig.streams.follow("class1", (origin.url,), publishing=True)
        await rig.until(lambda: rig.ready("class1"))
