"""Every kind of HLS that an ingest may make plays: one muxed playlist, or pictures and sound apart."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import harness
from tests.e2e.pages.sample_data import CODE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

    from tests.e2e.pages.harness import FakeMasterProcess

pytestmark = pytest.mark.timing
KINDS = ("embedded", "origin")  # the first muxes, the second does not
LATENCY_S = "parseFloat(document.querySelector('video').dataset.latencyS)"
MOST_LATENCY_S = {"mpegts": 8, "fmp4": 8, "lowLatency": 4}


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, str], str]]:
    """All six streams at once: most of the time they only wait for their first segments."""
    with ExitStack() as stack:
        teachers = {
            (kind, variant): stack.enter_context(
                harness.ingest_with_teacher(tmp_path_factory.mktemp(kind), variant, kind, least_segments=0)
            )
            for kind in KINDS
            for variant in MOST_LATENCY_S
        }
        for (_, variant), url in teachers.items():
            harness.wait_for_segments(url, variant)
        yield teachers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", MOST_LATENCY_S)
def test_it_plays(
    kind: str,
    variant: str,
    streams: dict[tuple[str, str], str],
    open_page: Callable[..., Page],
    master: FakeMasterProcess,
) -> None:
    master.set(state="live", origin_url=streams[kind, variant])
    page = open_page(f"/join/{CODE}")
    page.get_by_label("Name").fill("Mina")
    page.get_by_role("button", name="Join").click()
    harness.moving(page, 6)
    video = page.locator("video")
    assert video.get_attribute("data-stalls") == "0"
    harness.until(page, f"{LATENCY_S} <= {MOST_LATENCY_S[variant]}")
    assert page.evaluate("document.querySelector('video').webkitAudioDecodedByteCount") > 0
    master.set(priority=["r2", "r1"])
    harness.until(page, "document.querySelector('video').dataset.pathway === 'r2'", 20)
    harness.moving(page, 5)
    assert video.get_attribute("data-stalls") == "0"
