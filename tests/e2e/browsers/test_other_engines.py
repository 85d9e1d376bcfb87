"""Joining and playing in the other two engines: Firefox ESR and WebKitGTK, on the real pages and relays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.e2e.browsers.remote import browser
from tests.e2e.school import school
from tests.ingests import command, ingest_running, teacher_running

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.calm
TEST_S = 120.0
POSITION = "document.querySelector('video')?.currentTime ?? 0"
SEEN = """(video => ({...video.dataset, position: video.currentTime, rate: video.playbackRate,
  frames: video.getVideoPlaybackQuality().totalVideoFrames}))(document.querySelector('video'))"""


@pytest.mark.parametrize("kind", ["firefox", "webkit"])
async def test_a_student_joins_and_a_killed_relay_stops_nothing(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "ingest.json"
    with trio.fail_after(TEST_S):
        async with (
            ingest_running(command("origin", "lowLatency", file), "origin", file) as ingest,
            school(ingest, tmp_path, relays=2) as it,
            teacher_running(ingest.publish_url(it.classroom["id"]), tmp_path),
            browser(kind, tmp_path) as page,
        ):
            await it.joined("Lee")
            await page.open(f"{it.master_url}/?lang=en")
            await page.type("input.code", it.classroom["code"])
            await page.click("button[type=submit]")
            await page.until("document.body.innerText.includes('What is your name?')")
            await page.type("main input", "Mina")
            await page.click("button[type=submit]")
            await page.until(f"{POSITION} > 0")
            for _ in range(12):
                await trio.sleep(1)
                print(await page.run(SEEN))
            first = await page.run(SEEN)
            it.relays[first["pathway"]].kill()
            for _ in range(12):
                await trio.sleep(1)
                print(await page.run(SEEN))
