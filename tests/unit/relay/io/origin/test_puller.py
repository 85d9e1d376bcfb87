"""Following an origin under a virtual clock: restarts, faults, stand-by origins; each object once."""

from __future__ import annotations

import re
import weakref
from dataclasses import replace
from itertools import pairwise

import pytest
import trio

from relay.base.errors import OriginError
from relay.core.playlist import ByteRange, MediaPlaylist, Segment, render
from relay.io.origin import puller as module
from tests.harness.builders import bytes_of, playlist, segment
from tests.harness.fake_http import FakeServer, ReceivedRequest, reply
from tests.harness.fake_origin import HlsOrigin
from tests.harness.puller_rig import LIMIT_S, PullerRig, objects, pulling


@pytest.mark.parametrize("variant", ["lowLatency", "fmp4", "mpegts"])
async def test_each_object_is_fetched_once(variant: str, autojump_clock: trio.testing.MockClock) -> None:
    origin = HlsOrigin(variant=variant)
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.state == "live")
        await trio.sleep(60)
        asked = objects(origin)
        assert len(asked) == len(set(asked))
        assert rig.state == "live"
        assert rig.figures.epochs == 1
        assert rig.stream.windows["v0"].tally.gaps == 0
        if variant == "lowLatency":
            assert rig.figures.fetched["hint"] > 60
            assert rig.stream.lag_s(trio.current_time()) < 1.0


async def test_a_line_that_hiccups_makes_nothing_fetched_twice(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """For longer than a blocking request waits, and several times that."""
    origin = HlsOrigin(hiccups_s={20: 1.7, 30: 9.0})
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.state == "live")
        await rig.until(lambda: rig.state == "reconnecting")
        await rig.until(lambda: rig.state == "live")
        await trio.sleep(10)
        asked = objects(origin)
        assert len(asked) == len(set(asked))
        assert not any(s.gap for s in rig.text().segments)
        assert "stream.lost" not in caplog.text


async def test_an_origin_that_says_nothing_at_all_is_lost(autojump_clock: trio.testing.MockClock) -> None:
    origin = HlsOrigin()
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.state == "live")

        async def hang(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
            await trio.sleep_forever()
            return True

        origin.before = hang
        # what is under way is still answered, within a part; then nothing for 1.5 target durations
        assert await rig.until(lambda: rig.stream.session_lost) <= 0.5 + 1.5 * 2.0
        assert "did not begin an answer in time" in rig.stream.problem


@pytest.mark.parametrize("listed", [True, False])
async def test_a_hinted_part_that_is_never_sent_stops_nothing(
    listed: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Whether the origin lists it later, or hints at another one in its place."""
    origin = HlsOrigin()
    held: list[str] = []

    async def withhold(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
        if "video1_part30." in request.path and not held:
            held.append(request.path)
            await trio.sleep_forever()
        if not listed and held and "video1_stream" in request.path:
            text = render(origin.playlist("video1")).replace("video1_part30.", "video1_part31.")
            await stream.send_all(reply(text.encode()))
            return True
        return False

    origin.before = withhold
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: held)
        newest_msn = rig.stream.windows["v0"].live_edge.last_msn
        await rig.until(lambda: rig.stream.windows["v0"].live_edge.last_msn > newest_msn + 2, 15)
        if listed:
            assert objects(origin).count(held[0]) == 2
            assert not any(s.gap for s in rig.text().segments)


async def test_a_relay_that_starts_late_lists_the_whole_window(
    autojump_clock: trio.testing.MockClock,
) -> None:
    origin = HlsOrigin(variant="mpegts")
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.stream.ready)
        first = rig.text().media_sequence
        assert first == 0
    late = HlsOrigin(variant="mpegts")
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(late.server.run)
            late.publish()
            await trio.sleep(20)
            rig = PullerRig({"origin0": late.server}, "/live/class1/index.m3u8", "")
            nursery.start_soon(rig.puller.run)
            await rig.until(lambda: rig.stream.ready)
            assert rig.text().media_sequence == late.playlist("main").media_sequence
            assert len(rig.text().segments) == 7
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("variant", ["lowLatency", "mpegts"])
async def test_a_publisher_comes_back(variant: str, autojump_clock: trio.testing.MockClock) -> None:
    origin = HlsOrigin(variant=variant)
    async with pulling(origin) as rig:
        origin.publish("aaaaaaaaaaaa")
        await rig.until(lambda: rig.state == "live")
        await trio.sleep(20)
        origin.unpublish()
        await rig.until(lambda: rig.state == "reconnecting", 10)
        await rig.until(lambda: "nobody is publishing" in rig.stream.problem, 10)
        assert not rig.stream.fault
        before = rig.text()
        await trio.sleep(30)
        assert rig.text() == before, "the last window stays as it was"
        assert not before.ended
        origin.publish("bbbbbbbbbbbb")
        await rig.until(lambda: rig.state == "live", 10)
        after = rig.text()
        assert after.media_sequence >= before.media_sequence
        marks = [s.msn for s in after.segments if s.discontinuity]
        assert marks == [before.media_sequence + len(before.segments) + bool(before.open_segment)]
        assert rig.figures.epochs == 2
        assert len(rig.asks) == 2, "one ask for all renditions"
        assert rig.stream.windows["v0"].tally.gaps == 0
        asked = objects(origin)
        assert len(asked) == len(set(asked))


async def test_an_override_in_the_middle(autojump_clock: trio.testing.MockClock) -> None:
    origin = HlsOrigin()
    async with pulling(origin) as rig:
        for number in range(4):
            origin.publish(f"{number:012x}")
            await rig.until(lambda: rig.state == "live")
            await trio.sleep(9.3)
        listed = rig.text()
        assert listed.discontinuity_sequence + sum(s.discontinuity for s in listed.segments) == 3
        assert rig.text("a0").discontinuity_sequence + sum(
            s.discontinuity for s in rig.text("a0").segments
        ) in (3,)
        assert rig.figures.epochs == 4


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_refusals_of_objects(status: int, autojump_clock: trio.testing.MockClock) -> None:
    origin = HlsOrigin(variant="mpegts")
    hits: list[str] = []

    async def fault(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
        if "seg4" in request.path and len(hits) < 2:
            hits.append(request.path)
            await stream.send_all(reply(b"no", status))
            return True
        return False

    origin.before = fault
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.text().segments[-1].msn >= 6 if rig.stream.ready else False, 60)
        gaps = [s.msn for s in rig.text().segments if s.gap]
        assert gaps == ([4] if status == 404 else [])
        assert len(hits) == (1 if status == 404 else 2)


async def test_a_session_that_was_lost_is_found_again_by_the_index(
    autojump_clock: trio.testing.MockClock,
) -> None:
    origin = HlsOrigin()
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.state == "live")
        origin._asked_index_s = -1e9  # MediaMTX forgets its session: media answers 401
        await trio.sleep(5)
        assert rig.state == "live"
        assert origin.fetches("index.m3u8") == 2
        assert rig.figures.epochs == 1
        assert not any(s.discontinuity for s in rig.text().segments)


async def test_a_fetch_cut_off_by_a_lost_session_is_made_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    origin = HlsOrigin(variant="mpegts")
    stuck = trio.Event()

    async def fault(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
        if "seg3" in request.path and not stuck.is_set():
            stuck.set()
            await trio.sleep(2.5)
            await stream.send_all(reply(b"", 401))
            return True
        if stuck.is_set() and trio.current_time() < until_s[0] and request.path.endswith("_stream.m3u8"):
            await stream.send_all(reply(b"", 500))
            return True
        if stuck.is_set() and not until_s[1:]:
            until_s[:] = [trio.current_time() + 1.0, 0.0]
        return False

    until_s = [0.0]
    origin.before = fault
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.stream.ready and rig.text().segments[-1].msn >= 5, 60)
        assert not any(s.gap for s in rig.text().segments)


@pytest.mark.parametrize(
    ("variant", "wanted_s"),
    [("lowLatency", 0.5 + 2 * 0.5 + 0.5), ("fmp4", 2 * 2.0), ("mpegts", 2 * 2.0)],
)
async def test_a_second_origin_takes_over_within_two_target_durations(
    variant: str, wanted_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    """With low latency as soon as two parts are late and a question of one part's length has no answer."""
    first, second = HlsOrigin(variant=variant), HlsOrigin(variant=variant)
    async with pulling(first, second) as rig:
        first.publish("aaaaaaaaaaaa")
        second.publish("bbbbbbbbbbbb")
        await rig.until(lambda: rig.state == "live")
        await trio.sleep(20)
        assert not second.server.requests

        async def hang(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
            await trio.sleep_forever()
            return True

        first.before = hang
        newest_msn = rig.stream.windows["v0"].live_edge.last_msn
        took_s = await rig.until(lambda: rig.stream.timeline.newest.key == "bbbbbbbbbbbb")  # type: ignore[union-attr]
        assert took_s <= wanted_s + 0.1
        await rig.until(lambda: rig.stream.windows["v0"].live_edge.last_msn > newest_msn + 2)
        assert rig.state == "live"
        # It goes on where viewers were: what they have seen is not listed again, and they see the seam.
        listed = rig.text()
        assert listed.media_sequence <= newest_msn
        assert [s.discontinuity for s in listed.segments].count(True) == 1
        dates_s = [s.program_date_time_s or 0.0 for s in listed.segments]
        assert all(a - 1.0 < b for a, b in pairwise(dates_s))  # half a segment of 2 s twice at most
        assert rig.counters.origin.failed["refused"] == 0  # nothing of the first was asked of the second


async def test_a_hiccup_that_an_origin_can_answer_for_is_no_reason_to_leave_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    first, second = HlsOrigin(hiccups_s={20: 1.2}), HlsOrigin()
    async with pulling(first, second) as rig:
        first.publish("aaaaaaaaaaaa")
        second.publish("bbbbbbbbbbbb")
        await rig.until(lambda: rig.state == "live")
        await trio.sleep(20)
        assert not second.server.requests
        asked = objects(first)
        assert len(asked) == len(set(asked))


async def test_what_is_wrong_with_two_origins_is_said_once_each(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    first, second = HlsOrigin(), HlsOrigin(secret="another")
    async with pulling(first, second) as rig:
        await rig.until(lambda: rig.stream.problem.count(";") == 1)
        await trio.sleep(30)
        said = [(r.levelname, r.getMessage().split()[0]) for r in caplog.records]
        assert said == [("INFO", "stream.idle"), ("WARNING", "stream.lost")]
        assert not rig.stream.fault  # one of them works: there is nothing to follow
        assert rig.stream.problem == (
            "http://origin0: nobody is publishing: the origin's index is not there (404); "
            "http://origin1: the origin answered 401 for the index"
        )
        first.publish()
        await rig.until(lambda: rig.state == "live")
        assert rig.stream.problem == ""


async def test_an_origin_that_stands_still_is_left(autojump_clock: trio.testing.MockClock) -> None:
    first, second = HlsOrigin(variant="mpegts"), HlsOrigin(variant="mpegts")
    async with pulling(first, second) as rig:
        first.publish("aaaaaaaaaaaa")
        second.publish("bbbbbbbbbbbb")
        await rig.until(lambda: rig.state == "live")
        frozen = render(first.playlist("main")).encode()

        async def freeze(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
            if request.path.endswith("_stream.m3u8"):
                await stream.send_all(reply(frozen))
                return True
            return False

        first.before = freeze
        took_s = await rig.until(lambda: rig.stream.timeline.newest.key == "bbbbbbbbbbbb")  # type: ignore[union-attr]
        assert took_s <= 2 * 2.0


async def test_an_origin_whose_session_went_on_can_be_returned_to(
    autojump_clock: trio.testing.MockClock,
) -> None:
    first, second = HlsOrigin(), HlsOrigin()
    async with pulling(first, second) as rig:
        first.publish("aaaaaaaaaaaa")
        second.publish("bbbbbbbbbbbb")
        await rig.until(lambda: rig.state == "live")

        async def refuse(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
            await stream.send_all(reply(b"", 500))
            return True

        first.before = refuse
        await rig.until(lambda: rig.stream.timeline.newest.key == "bbbbbbbbbbbb")  # type: ignore[union-attr]
        await rig.until(lambda: rig.state == "live")
        first.before, second.before = None, refuse
        await rig.until(lambda: rig.stream.timeline.newest.key == "aaaaaaaaaaaa+1")  # type: ignore[union-attr]
        await rig.until(lambda: rig.state == "live")
        newest_msn = rig.stream.windows["v0"].live_edge.last_msn
        await rig.until(lambda: rig.stream.windows["v0"].live_edge.last_msn > newest_msn + 3)
        await rig.until(lambda: rig.stream.windows["a0"].live_edge.last_msn > newest_msn + 3)
        assert rig.figures.epochs == 3


async def test_the_origins_secret_is_sent(autojump_clock: trio.testing.MockClock) -> None:
    origin = HlsOrigin(secret="hush")
    async with pulling(origin, bearer="hush") as rig:
        origin.publish()
        await rig.until(lambda: rig.state == "live")
    with trio.fail_after(LIMIT_S):
        origin = HlsOrigin(secret="hush")
        async with pulling(origin) as rig:
            origin.publish()
            await rig.until(lambda: "401" in rig.stream.problem)
            assert rig.stream.fault


# -- origins of other kinds -----------------------------------------------------------------------


def serving(texts: dict[str, str], status: int = 200) -> FakeServer:
    async def handle(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        text = texts.get(request.path.lstrip("/"))
        if text is None and request.path.endswith(".mp4"):
            await stream.send_all(reply(request.path.encode()))
        else:
            await stream.send_all(reply((text or "").encode(), status if text is not None else 404))

    return FakeServer(handle)


class OvenLike(HlsOrigin):
    """Names as OvenMediaEngine gives them: no prefix, the kind first, a session in each query."""

    OURS = re.compile(r"([0-9a-z]+)_(video1|audio2)_(init|seg|part)(\d*)\.mp4")
    THEIRS = re.compile(r"(init|seg|part)(\d*)_(video1|audio2)_([0-9a-z]+)_llhls\.m4s")

    async def handle(self, request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        path = self.THEIRS.sub(r"\4_\3_\1\2.mp4", request.path)
        status, body = await self._answer(replace(request, target=request.target.replace(request.path, path)))
        if path.endswith(".m3u8"):
            body = self.OURS.sub(r"\3\4_\2_\1_llhls.m4s?session=5", body.decode()).encode()
        await stream.send_all(reply(body, status, chunked=len(body) > 2048))


async def test_an_origin_like_ovenmediaengine(autojump_clock: trio.testing.MockClock) -> None:
    origin = OvenLike()
    async with pulling(origin) as rig:
        origin.publish("jwpr8d")
        await rig.until(lambda: rig.state == "live")
        await trio.sleep(20)
        asked = objects(origin)
        assert all("_llhls.m4s" in path for path in asked)
        assert len(asked) == len(set(asked))
        assert rig.figures.fetched["hint"] > 30
        assert rig.stream.lag_s(trio.current_time()) < 1.0
        origin.unpublish()
        await trio.sleep(3)
        origin.publish("kxqs9e")  # numbers fall back to where they began
        await rig.until(lambda: rig.figures.epochs == 2)
        await rig.until(lambda: rig.state == "live" and any(s.discontinuity for s in rig.text().segments))


async def test_an_origin_that_does_not_count_is_counted_for(autojump_clock: trio.testing.MockClock) -> None:
    """FFmpeg's single file: segments are byte ranges that slide out of a list that stays at 0."""
    window, piece = 3, 100
    ranges: list[str] = []

    async def handle(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        made = int(trio.current_time()) + 1
        if request.path.endswith(".m3u8"):
            first = max(0, made - window)
            listed = MediaPlaylist(
                1,
                tuple(
                    Segment(n, "all.mp4", 1.0, byterange=ByteRange(piece, (first + n) * piece))
                    for n in range(min(window, made))
                ),
            )
            await stream.send_all(reply(render(listed).encode()))
            return
        asked = request.headers["range"]
        ranges.append(asked)
        start = int(asked.removeprefix("bytes=").partition("-")[0])
        headers = [("Content-Range", f"bytes {start}-{start + piece - 1}/*")]
        await stream.send_all(reply((b"%04d" % (start // piece)).ljust(piece), 206, headers))

    async with pulling(origin0=FakeServer(handle)) as rig:
        await rig.until(lambda: rig.stream.ready)
        await trio.sleep(20)
        listed = rig.text()
        assert listed.media_sequence > 15
        assert listed.discontinuity_sequence == 0
        window_of = rig.stream.windows["v0"]
        for shown in listed.segments:
            assert bytes_of(window_of, shown.uri) == (b"%04d" % shown.msn).ljust(piece)
        assert len(ranges) == len(set(ranges)) > 15
        assert rig.figures.epochs == 1


async def test_an_ended_bare_playlist_is_listed_whole_before_it_ends(
    autojump_clock: trio.testing.MockClock,
) -> None:
    listed = playlist(2, *(segment(n) for n in range(4)), ended=True)
    async with pulling(origin0=serving({"index.m3u8": render(listed)})) as rig:
        await rig.until(lambda: rig.stream.ended)
        text = rig.text()
        assert text.ended
        assert [s.msn for s in text.segments] == [0, 1, 2, 3]
        assert rig.published[-1][1] == rig.stream.windows["v0"].version
        assert rig.state == "ended"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense", "line"),
        ("#EXTM3U\n#EXT-X-VERSION:10\n", ""),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nfile:///etc/passwd\n", "only http"),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://169.254.169.254/latest/\n", "another server"),
        ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nindex.m3u8\n", "multivariant"),
    ],
)
async def test_hostile_playlists_are_named_and_harm_nobody(
    text: str, word: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with pulling(origin0=serving({"index.m3u8": text})) as rig:
        await rig.until(lambda: rig.stream.problem != "the origin has not answered yet")
        assert word in rig.stream.problem
        assert rig.stream.fault
        await trio.sleep(5)


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"x" * 2_000_000])
async def test_bytes_that_are_no_text_or_too_many(
    body: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async def handle(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(reply(body))

    async with pulling(origin0=FakeServer(handle)) as rig:
        await rig.until(lambda: rig.stream.fault)


async def test_segments_on_another_server_are_refused(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    listed = playlist(
        2, segment(0, uri="http://127.0.0.1:1/x.mp4"), segment(1, uri="file:///etc/passwd"), segment(2)
    )
    async with pulling(origin0=serving({"index.m3u8": render(listed)})) as rig:
        await rig.until(lambda: rig.stream.ready, 60)
        assert all(s.gap or s.msn == 2 for s in rig.text().segments)
        assert rig.counters.origin.failed["refused"] == 2
        assert caplog.text.count("object.refused") == 1  # said once a session, counted each time


async def test_a_fault_of_ours_ends_a_round_and_is_logged(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    origin = HlsOrigin()
    async with pulling(origin) as rig:
        rig.no_room = True
        origin.publish()
        await rig.until(lambda: "stream.failed" in caplog.text)
        rig.no_room = False
        await rig.until(lambda: rig.state == "live", 60)


async def test_on_demand_pulls_only_while_someone_asks(autojump_clock: trio.testing.MockClock) -> None:
    origin = HlsOrigin()
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(origin.server.run)
            rig = PullerRig({"origin0": origin.server}, "/live/class1/index.m3u8", "")
            nursery.start_soon(rig.puller.run_on_demand)
            origin.publish()
            await trio.sleep(10)
            assert not origin.server.requests
            assert rig.stream.idle
            rig.stream.asked_s = trio.current_time()
            await rig.until(lambda: rig.state == "live")
            assert not rig.stream.idle
            await trio.sleep(module.ON_DEMAND_IDLE_S + 1)
            assert rig.state == "waiting"
            count = len(origin.server.requests)
            await trio.sleep(10)
            assert len(origin.server.requests) == count
            rig.stream.asked_s = trio.current_time()
            await rig.until(lambda: rig.state == "live")
            assert rig.figures.epochs == 1
            nursery.cancel_scope.cancel()


def test_the_first_reason_is_found_in_any_depth() -> None:
    inner = OriginError("deep")
    assert module._first(ExceptionGroup("", [ExceptionGroup("", [inner])])) is inner


async def test_a_stream_that_ended_and_goes_on_is_live_again(autojump_clock: trio.testing.MockClock) -> None:
    texts = {"index.m3u8": render(playlist(2, *(segment(n) for n in range(4)), ended=True))}
    async with pulling(origin0=serving(texts)) as rig:
        await rig.until(lambda: rig.stream.ended)
        texts["index.m3u8"] = render(playlist(2, *(segment(n) for n in range(6))))
        await rig.until(lambda: not rig.stream.ended)
        await rig.until(lambda: [s.msn for s in rig.text().segments][-1] == 5)
        assert not rig.text().ended


async def test_in_a_cluster_the_origins_end_is_not_the_end_of_the_class(
    autojump_clock: trio.testing.MockClock,
) -> None:
    listed = playlist(2, *(segment(n) for n in range(4)), ended=True)
    async with pulling(origin0=serving({"index.m3u8": render(listed)})) as rig:
        rig.puller._ends_with_origin = False
        await rig.until(lambda: rig.state == "reconnecting")
        assert not rig.stream.ended
        assert not rig.text().ended
        assert [s.msn for s in rig.text().segments] == [0, 1, 2, 3]


async def test_a_stream_that_nobody_publishes_costs_nothing_until_somebody_comes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    origin = HlsOrigin()
    async with pulling(origin) as rig:
        rig.puller.announce(False)
        await rig.until(lambda: rig.stream.problem == "nobody is publishing")
        asked, connections = len(origin.server.requests), origin.server.connections
        await trio.sleep(200)
        assert (len(origin.server.requests), origin.server.connections) == (asked, connections)
        assert (rig.state, rig.stream.fault) == ("waiting", False)
        assert rig.stream.origin.state(trio.current_time()) == "unknown", (
            "an origin that is not asked may be dead"
        )
        rig.puller.announce(True)
        assert await rig.until(lambda: len(origin.server.requests) > asked) <= 0.2
        origin.publish()
        await rig.until(lambda: rig.state == "live", 15)


async def test_somebody_who_comes_back_is_pulled_at_once_whatever_was_tried_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    origin = HlsOrigin()
    async with pulling(origin) as rig:
        await trio.sleep(30)  # the tries are a second apart by now
        rig.puller.announce(True)
        asked = len(origin.server.requests)
        assert await rig.until(lambda: len(origin.server.requests) > asked) <= 0.05
        assert await rig.until(lambda: len(origin.server.requests) > asked + 1) <= 0.3


async def test_a_session_that_is_followed_goes_on_whatever_the_master_believes(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    origin = HlsOrigin()
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.state == "live")
        rig.puller.announce(False)
        await trio.sleep(60)
        assert rig.state == "live"
        origin.unpublish()
        await rig.until(lambda: rig.stream.session_lost)
        await trio.sleep(1)
        asked = len(origin.server.requests)
        await trio.sleep(60)
        assert len(origin.server.requests) == asked
    assert caplog.records[-2].getMessage().endswith("reason=nobody is publishing")


async def test_waiting_for_a_publisher_needs_one_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    origin = HlsOrigin()
    async with pulling(origin) as rig:
        await trio.sleep(120)
        assert origin.server.connections == 1
        assert 100 <= len(origin.server.requests) <= 125, "once a second"
        assert rig.stream.problem.startswith("nobody is publishing")


async def test_an_ordinary_stop_is_one_line_and_no_warning(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    origin = HlsOrigin()
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.state == "live")
        await trio.sleep(11.3)
        caplog.clear()
        origin.unpublish()
        await trio.sleep(30)
    said = [(r.levelname, r.getMessage()) for r in caplog.records]
    assert said == [
        (
            "INFO",
            "stream.idle stream=class1 origin=http://origin0 "
            "reason=nobody is publishing: the origin's index is not there (404)",
        )
    ]


async def test_a_refusal_that_passes_is_said_when_the_stream_is_back(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    origin = HlsOrigin()
    refusing = False

    async def before(request: ReceivedRequest, stream: trio.abc.Stream) -> bool:
        nonlocal refusing
        if not (refusing and request.path.endswith(".m3u8")):
            return False
        refusing = False
        await stream.send_all(reply(b"", status=500))
        return True

    origin.before = before
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.state == "live")
        caplog.clear()
        refusing = True
        await rig.until(lambda: rig.stream.session_lost)
        await rig.until(lambda: rig.state == "live")
    events = [r.getMessage().split()[0] for r in caplog.records]
    assert events == ["stream.lost", "stream.live"]


async def test_what_an_interrupted_class_holds_is_given_back_when_nobody_watches(
    autojump_clock: trio.testing.MockClock,
) -> None:
    origin = HlsOrigin()
    async with pulling(origin) as rig:
        origin.publish()
        await rig.until(lambda: rig.state == "live")
        origin.unpublish()
        rig.stream.asked_s = trio.current_time()  # somebody waits for the teacher
        await trio.sleep(module.IDLE_KEEP_S - 2)
        last_msn = rig.stream.windows["v0"].live_edge.last_msn
        kept = [weakref.ref(e.media) for w in rig.stream.windows.values() for e in w.listed if e.media]
        assert kept
        rig.stream.asked_s = trio.current_time()
        await trio.sleep(module.IDLE_KEEP_S - 2)
        assert (rig.state, set(rig.stream.windows)) == ("reconnecting", set(rig.stream.windows))
        assert rig.stream.windows
        await trio.sleep(module.IDLE_LOOK_S + 2)
        assert (rig.state, rig.stream.windows) == ("waiting", {})
        assert [one() for one in kept] == [None] * len(kept), "free without a garbage collection"
        origin.publish("bbbbbbbbbbbb")
        await rig.until(lambda: rig.state == "live")
        assert rig.text().media_sequence > last_msn
