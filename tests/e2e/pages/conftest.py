"""Fixtures for the pages in a real browser, against the fake master."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

from tests.e2e.pages import harness, sample_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

DEADLINE_MS = 15_000


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=harness.CHROMIUM, args=harness.CHROMIUM_ARGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def origin_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A low-latency stream with a teacher in it."""
    with harness.ingest_with_teacher(tmp_path_factory.mktemp("ingest"), "lowLatency") as url:
        yield url


@pytest.fixture(scope="session")
def one_master(
    tmp_path_factory: pytest.TempPathFactory, origin_url: str
) -> Iterator[harness.FakeMasterProcess]:
    """One fake master for all tests; `master` sets its stage anew for each."""
    with harness.scripted_master(tmp_path_factory.mktemp("master"), origin_url) as running:
        yield running


@pytest.fixture
def master(one_master: harness.FakeMasterProcess) -> harness.FakeMasterProcess:
    """A fake master with a small school on its stage."""
    one_master.set(reset=True)
    one_master.set(**sample_data.school())
    return one_master


@pytest.fixture
def open_page(browser: Browser, master: harness.FakeMasterProcess) -> Iterator[Callable[..., Page]]:
    """Open a page of the fake master in a fresh, private browser window; scripts' errors fail the test."""
    faults: list[str] = []
    contexts = []

    def open_it(
        path: str,
        *,
        lang: str = "en",
        width: int = 1280,
        height: int = 800,
        clock: bool = False,
        script: str = "",
    ) -> Page:
        context = browser.new_context(
            base_url=master.url,
            locale="ko-KR" if lang == "ko" else "en-GB",
            viewport={"width": width, "height": height},
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(DEADLINE_MS)
        if clock:
            page.clock.install()  # goes on by itself, and can be put forward
        page.add_init_script(script)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda line: faults.append(line.text) if "Content Security Policy" in line.text else None,
        )
        page.goto(path)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def watching(open_page: Callable[..., Page], master: harness.FakeMasterProcess) -> Callable[..., Page]:
    """Join the live class and wait for a moving picture."""

    def join(**how: Any) -> Page:
        master.set(state="live")
        page = open_page(f"/join/{sample_data.CODE}", **how)
        page.get_by_label("Name").fill("Mina")
        page.get_by_role("button", name="Join").click()
        harness.moving(page)
        return page

    return join


@pytest.fixture(scope="session")
def axe_script() -> Path:
    """axe-core, from the pages' own development dependencies."""
    return harness.ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
