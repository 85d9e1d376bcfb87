"""The pages on the real thing: `airclass demo` with its three links, in Chromium."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import harness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A running demo's addresses."""
    folder = tmp_path_factory.mktemp("demo")
    file, log = folder / "ready.json", folder / "demo.log"
    args = [sys.executable, "-m", "airclass.cli.app", "demo", "--ports", "0", "--ready-file", str(file)]
    with harness.child(args, log) as process:
        yield harness.ready(process, file, log)


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open an address in a fresh window; an error of a script or of the CSP fails the test."""
    faults: list[str] = []
    contexts = []

    def open_it(url: str, *, clock: bool = False) -> Page:
        contexts.append(browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 900}))
        page = contexts[-1].new_page()
        if clock:
            page.clock.install()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda line: faults.append(line.text) if "Security Policy" in line.text else None)
        page.goto(url)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert faults == []


def join(page: Page, name: str) -> None:
    """Enter the class and wait for the first picture."""
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Join").click()
    harness.until(page, "document.querySelector('video')?.currentTime > 0")


def test_a_teacher_sees_the_class_and_who_is_in_it(demo: dict[str, str], visit: Callable[..., Page]) -> None:
    student = visit(demo["student_url"])
    join(student, "Mina")
    teacher = visit(demo["teacher_url"])
    teacher.locator("main li a").first.click()
    expect(teacher.get_by_role("heading", name="You are live")).to_be_visible()
    expect(teacher.get_by_role("row", name="Mina")).to_be_visible()
    expect(teacher.get_by_text(demo["join_code"]).first).to_be_visible()
    harness.moving(teacher, 2)
    teacher.get_by_role("button", name="Remove: Mina").click()
    teacher.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(student.get_by_role("heading", name="You were removed")).to_be_visible(timeout=10_000)


def test_closing_sends_out_and_opening_lets_in(demo: dict[str, str], visit: Callable[..., Page]) -> None:
    student = visit(demo["student_url"], clock=True)
    join(student, "Jun")
    teacher = visit(demo["master_url"] + "/login")
    teacher.goto(demo["admin_url"])  # pasted into the open page; a link works once, so not the teacher's
    expect(teacher.get_by_role("heading", name="Dashboard")).to_be_visible()
    expect(teacher.get_by_role("row").nth(1)).to_contain_text("Active")
    teacher.goto(demo["master_url"] + "/teach")
    teacher.locator("main li a").first.click()
    teacher.get_by_role("button", name="Close class").click()
    expect(student.get_by_role("heading", name="Class is closed")).to_be_visible(timeout=10_000)
    teacher.get_by_role("button", name="Open class").click()
    expect(teacher.get_by_role("button", name="Close class")).to_be_visible()
    student.clock.fast_forward(15_000)  # it knocks every 10 to 12 s
    harness.until(student, "document.querySelector('video')?.currentTime > 0", 25)
