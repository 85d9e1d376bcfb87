"""Each object is fetched once, whatever the origin's rhythm and however slow the line is.

The whole puller before a made-up MediaMTX, in virtual time: segments of any lengths, parts that end
early, answers that come late and overtake each other, publishers who come back.
"""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.harness.fake_origin import HlsOrigin
from tests.harness.puller_rig import PullerRig, objects

if TYPE_CHECKING:
    from tests.harness.fake_http import ReceivedRequest

PATH = "/live/class1/index.m3u8"
PLAY_S = 10.0
# Below every deadline of the puller: an answer that is given up is rightly asked for again.
LATE_S = (0.0, 0.0, 0.01, 0.05, 0.2, 0.45)


@given(
    variant=st.sampled_from(["lowLatency", "lowLatency", "fmp4", "mpegts"]),
    segment_s=st.lists(st.sampled_from([0.9, 1.0, 1.2, 2.0, 2.3]), min_size=1, max_size=4),
    part_s=st.sampled_from([0.2, 0.33, 0.5]),
    late_s=st.lists(st.sampled_from(LATE_S), min_size=1, max_size=12),
    away_s=st.lists(st.sampled_from([0.0, 0.7, 2.0]), max_size=2),
    hiccups_s=st.dictionaries(st.integers(9, 25), st.sampled_from([0.4, 1.2, 2.6, 4.5, 9.0]), max_size=3),
)
@example("lowLatency", [2.0], 0.5, [0.0], [], {9: 2.6})
@example("lowLatency", [1.0], 0.2, [0.0], [], {20: 9.0})
@settings(max_examples=40)
def test_each_object_is_fetched_once(
    variant: str,
    segment_s: list[float],
    part_s: float,
    late_s: list[float],
    away_s: list[float],
    hiccups_s: dict[int, float],
) -> None:
    """A teacher's line may hiccup for longer than a blocking request or a hinted part is waited for."""
    origin = HlsOrigin(variant=variant, segment_s=tuple(segment_s), part_s=part_s, hiccups_s=hiccups_s)
    delays_s = cycle(late_s)

    async def dawdle(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
        await trio.sleep(next(delays_s))
        return False

    origin.before = dawdle
    trio.run(_play, origin, away_s, clock=trio.testing.MockClock(autojump_threshold=0))


async def _play(origin: HlsOrigin, away_s: list[float]) -> None:
    with trio.fail_after(600):
        async with trio.open_nursery() as nursery:
            await nursery.start(origin.server.run)
            rig = PullerRig({"origin0": origin.server}, PATH, "")
            nursery.start_soon(rig.puller.run)
            origin.publish("000000000000")
            await rig.until(lambda: rig.state == "live", 60)
            await trio.sleep(PLAY_S)
            for number, pause_s in enumerate(away_s, 1):
                origin.unpublish()
                await trio.sleep(pause_s)
                origin.publish(f"{number:012x}")
                epochs = rig.figures.epochs
                await rig.until(lambda epochs=epochs: rig.figures.epochs > epochs, 60)  # type: ignore[misc]
                await trio.sleep(PLAY_S)
            nursery.cancel_scope.cancel()
    brought = rig.puller.brought
    assert sorted(brought) == sorted(set(brought))
    assert rig.counters.origin.retries == 0
    if not away_s:  # what was under way when a session ended has not been had, and may be asked for again
        assert sorted(objects(origin)) == sorted({*objects(origin)})
        assert len(brought) >= len(objects(origin)) - 2  # but the hints of the last moment
