"""The main job, end to end: RTMP in, relay, picture in a real Chromium; for every ingest."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import pytest
import trio

from benchmarks.player.browser import BrowserStudent, chromium
from tests.harness.cluster import school
from tests.harness.ingests import teacher_running

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.player.browser import BrowserResult
    from tests.harness.ingests import IngestHarness

pytestmark = pytest.mark.timing

TEST_S = 90.0
WATCH_S = 12.0
MAX_GLASS_MS = 4000


def _watch(student_url: str, seconds: float) -> BrowserResult:
    with chromium() as browser:
        return BrowserStudent(browser, student_url).watch(seconds)


async def test_a_student_joins_by_code_and_watches(ingest: IngestHarness, tmp_path: Path) -> None:
    """Ten seconds of picture without a stall, at most four seconds behind the teacher, not black."""
    with trio.fail_after(TEST_S):
        async with school(ingest, tmp_path) as it:
            url = ingest.publish_url(it.classroom["id"])
            async with teacher_running(url, tmp_path):
                await it.joined("Lee")
                seen = await trio.to_thread.run_sync(_watch, it.student_url, WATCH_S)
    assert seen.advanced_s >= 10
    assert seen.stalls_ms == ()
    assert min(seen.brightness) > 20
    assert statistics.median(seen.glass_ms) <= MAX_GLASS_MS
    assert "Live" in seen.text


async def test_a_killed_relay_is_not_noticed(ingest: IngestHarness, tmp_path: Path) -> None:
    """The relay that serves the student is killed; the picture goes on from the other one."""
    with trio.fail_after(TEST_S):
        async with school(ingest, tmp_path, relays=2) as it:
            url = ingest.publish_url(it.classroom["id"])
            async with teacher_running(url, tmp_path):
                await it.joined("Lee")

                def watch_and_kill() -> BrowserResult:
                    with chromium() as browser:
                        student = BrowserStudent(browser, it.student_url)
                        student.watch(5)
                        # Lee sits on the first relay, so the student at the browser is on the other
                        it.relays["slave-2"].kill()
                        return student.watch(8)

                seen = await trio.to_thread.run_sync(watch_and_kill)
    assert seen.stalls_ms == ()
    assert seen.advanced_s >= 12


async def test_a_returning_teacher_is_seen_without_a_reload(ingest: IngestHarness, tmp_path: Path) -> None:
    """The teacher's program dies and comes back in another size: the same page plays on."""
    with trio.fail_after(TEST_S):
        async with school(ingest, tmp_path) as it:
            url = ingest.publish_url(it.classroom["id"])
            token = trio.lowlevel.current_trio_token()
            gone, back = trio.Event(), trio.Event()

            async def teach() -> None:
                async with teacher_running(url, tmp_path) as teacher:
                    await gone.wait()
                    teacher.kill()
                    await teacher.wait()
                async with teacher_running(url, tmp_path, size="640x360"):
                    await back.wait()

            def watch() -> BrowserResult:
                with chromium() as browser:
                    student = BrowserStudent(browser, it.student_url)
                    student.watch(4)
                    trio.from_thread.run_sync(gone.set, trio_token=token)
                    return student.watch(16)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(teach)
                await it.joined("Lee")
                seen = await trio.to_thread.run_sync(watch)
                back.set()
    assert len(seen.stalls_ms) == 1
    assert seen.advanced_s >= 8
    assert seen.glass_ms[-1] <= MAX_GLASS_MS + 1000
