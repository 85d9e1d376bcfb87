"""What a student does in every browser: join by code, watch, lose a relay, see the class end."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from tests.browsers.remote import VIDEO, browser
from tests.harness.cluster import school
from tests.harness.ingests import command, ingest_running, teacher_running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.browsers.remote import RemotePage
    from tests.harness.cluster import ClusterHarness

TEST_S = 90.0
WATCH_S = 6.0
POSITION = f"{VIDEO}?.currentTime ?? 0"


@asynccontextmanager
async def lesson(folder: Path) -> AsyncIterator[ClusterHarness]:
    """Run a school with two relays and a class that is live; pictures and sound apart, as MediaMTX has it."""
    file = folder / "ingest.json"
    async with (
        ingest_running(command("origin", "lowLatency", file), "origin", file) as ingest,
        school(ingest, folder, relays=2) as it,
        teacher_running(ingest.publish_url(it.classroom["id"]), folder),
    ):
        await it.joined("Lee")
        yield it


async def a_student_joins_and_a_killed_relay_stops_nothing(kind: str, folder: Path) -> None:
    """Run the scenario in one browser."""
    with trio.fail_after(TEST_S):
        async with lesson(folder) as it, browser(kind, folder) as page:
            await page.open(f"{it.master_url}/?lang=en")
            await page.type("main input", it.classroom["code"].lower())
            await page.click("button[type=submit]")
            await page.until("document.body.innerText.includes('What is your name?')")
            await page.type("main input", "Mina")
            await page.click("button[type=submit]")
            await page.until(f"{POSITION} > 0")
            await page.run(f"{VIDEO}.dataset.mark = 'same'")
            await _plays(page)
            relay = await page.run(f"{VIDEO}.dataset.pathway")
            it.relays[relay].kill()
            await page.until(f"{VIDEO}.dataset.pathway !== '{relay}'")
            await _plays(page)
            assert await page.run(f"{VIDEO}.dataset.mark") == "same", "the player was thrown away"
            await it.command("classroom", "retire", it.classroom["id"])
            await page.until("document.body.innerText.includes('Class has ended')")


async def _plays(page: RemotePage) -> None:
    """Wait until the picture has moved on by some seconds, at no less than two thirds of their speed."""
    start_s = await page.run(POSITION)
    await page.until(f"({POSITION}) >= {start_s + WATCH_S}", WATCH_S * 1.5)
    assert await page.run(f"{VIDEO}.videoWidth") > 0
    await page.until(f"{VIDEO}.getVideoPlaybackQuality().totalVideoFrames > 0")
