"""Every kind of HLS that an ingest may make plays: one muxed playlist, or pictures and sound apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import cast, stagehand

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.calm


@pytest.mark.parametrize("kind", ["embedded", "origin"])  # the first muxes, the second does not
@pytest.mark.parametrize(("variant", "most_latency_s"), [("mpegts", 8), ("fmp4", 8), ("lowLatency", 4)])
def test_it_plays(kind: str, variant: str, most_latency_s: float, browser: Browser, tmp_path: Path) -> None:
    with (
        stagehand.ingest_with_teacher(tmp_path, variant, kind) as origin_url,
        stagehand.fake_master(tmp_path, origin_url) as master,
    ):
        master.set(**cast.school())
        master.set(state="live")
        page = browser.new_context(base_url=master.url, locale="en-GB").new_page()
        page.goto(f"/join/{cast.CODE}")
        page.get_by_label("Name").fill("Mina")
        page.get_by_role("button", name="Join").click()
        stagehand.moving(page, 10)
        video = page.locator("video")
        assert video.get_attribute("data-stalls") == "0"
        assert float(video.get_attribute("data-latency-s") or 99) <= most_latency_s
        heard = page.evaluate("document.querySelector('video').webkitAudioDecodedByteCount")
        assert heard > 0
        master.set(priority=["r2", "r1"])
        stagehand.until(page, "document.querySelector('video').dataset.pathway === 'r2'", 20)
        stagehand.moving(page, 5)
        assert video.get_attribute("data-stalls") == "0"
        page.context.close()
