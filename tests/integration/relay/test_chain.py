"""A relay whose origin is another relay: the token goes in a header, each object is fetched once a level."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import trio

from relay.base.tokens import mint_viewer
from relay.core.playlist import MediaPlaylist, MultivariantPlaylist, parse
from tests.harness.fake_origin import HlsOrigin
from tests.harness.relays import RelayProcess, relay_running

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 60.0
KEY = "k" * 32
SEGMENTS = 6


def upstream_token() -> str:
    now_s = time.time()
    return mint_viewer(
        KEY.encode(),
        subject="relay-2",
        token_id="relay-2",
        classroom="live",
        issued_at_s=now_s,
        expires_at_s=now_s + 600,
    )


async def listed(relay: RelayProcess, path: str) -> MediaPlaylist:
    index = parse((await relay.get(f"{path}index.m3u8")).text)
    assert isinstance(index, MultivariantPlaylist)
    playlist = parse((await relay.get(path + index.variants[0].uri)).text)
    assert isinstance(playlist, MediaPlaylist)
    return playlist


def newest(playlist: MediaPlaylist) -> int:
    return playlist.media_sequence + len(playlist.segments)


async def test_two_levels(tmp_path: Path) -> None:
    origin = HlsOrigin(segment_s=(1.0,), part_s=0.25)
    token = upstream_token()
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda task_status: origin.server.run(sockets=True, task_status=task_status))
            origin.publish()
            async with (
                relay_running(
                    "--origin", origin.url, folder=tmp_path / "first", env={"VIEWER_KEY": KEY}
                ) as first,
                relay_running(
                    "--origin",
                    f"{first.url}/live/index.m3u8",
                    "--public",
                    folder=tmp_path / "second",
                    env={"HLS_CDN_SECRET": token},
                ) as second,
            ):
                await first.until_live()
                await second.until_live()
                begun = newest(await listed(second, "/live/"))

                async def played() -> bool:
                    return newest(await listed(second, "/live/")) >= begun + SEGMENTS

                await second.until(played)
                above, below = await listed(first, f"/t/{token}/live/"), await listed(second, "/live/")

                # the same numbers, durations and bytes, under names of its own
                here = {s.msn: s for s in below.segments}
                assert (below.target_duration_s, below.part_target_s) == (
                    above.target_duration_s,
                    above.part_target_s,
                )
                both = [(s, here[s.msn]) for s in above.segments if s.msn in here]
                assert len(both) >= SEGMENTS - 1
                for theirs, ours in both:
                    assert ours.program_date_time_s == theirs.program_date_time_s
                    body = (await second.get(f"/live/{ours.uri}")).content
                    assert body == (await first.get(f"/t/{token}/live/{theirs.uri}")).content

                asked = Counter(r.path for r in origin.server.requests if not r.path.endswith(".m3u8"))
                assert set(asked.values()) == {1}
                fetched = [
                    await relay.metric("stream_fetched_objects_total", kind=kind)
                    for relay in (first, second)
                    for kind in ("part", "hint")
                ]
                # the second began later; had it fetched anything twice it would have fetched more
                assert SEGMENTS < fetched[2] + fetched[3] <= fetched[0] + fetched[1]
                for relay in (first, second):
                    assert await relay.metric("stream_gaps_total") == 0
                    assert token not in relay.child.output()
                assert await first.metric("viewers") == 1
            nursery.cancel_scope.cancel()
