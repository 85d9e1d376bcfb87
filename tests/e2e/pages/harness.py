"""Starts what the pages need for a test: an ingest, a synthetic teacher, the scripted master, a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.harness.ingests import SECRET, command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[3]
PAGES = ROOT / "airclass" / "_pages"
READY_S = 30.0
SMALL = ("--size", "320x180", "--fps", "15", "--bitrate-kbps", "200")  # cheap to make and to show
# with fewer, a plain stream has no room for its usual distance from the edge
LEAST_SEGMENTS = {"mpegts": 4, "fmp4": 4, "lowLatency": 2}
POLL_S = 0.05
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


def wait_for(what: Callable[[], Any], within_s: float = READY_S, why: str = "") -> Any:
    """Ask until the answer is not None; AssertionError after the deadline."""
    deadline = time.monotonic() + within_s
    while (answer := what()) is None:
        assert time.monotonic() < deadline, f"not within {within_s} s: {why}"
        time.sleep(POLL_S)
    return answer


@contextmanager
def child(args: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process for the length of a block; its standard input ends with the block."""
    env = {**os.environ, "HLS_CDN_SECRET": SECRET}
    with log.open("wb") as out:
        process = subprocess.Popen(
            args, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=ROOT
        )
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def ready(process: subprocess.Popen[bytes], file: Path, log: Path) -> dict[str, str]:
    """Return the ready file of a child; AssertionError with its output if it ends first."""

    def look() -> str | None:
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        return file.read_text() if file.exists() else None

    return dict(json.loads(wait_for(look, why=f"{file.name}")))


class FakeMasterProcess:
    """The fake master from outside."""

    def __init__(self, url: str) -> None:
        self.url = url

    def set(self, **order: Any) -> None:
        """Change its stage."""
        body = json.dumps(order).encode()
        headers = {"Content-Type": "application/json"}
        ask = urllib.request.Request(f"{self.url}/_fake", body, headers)  # noqa: S310  our own server
        with urllib.request.urlopen(ask, timeout=READY_S) as answer:  # noqa: S310
            assert answer.status == 200

    def told(self) -> dict[str, Any]:
        """What it was asked for."""
        with urllib.request.urlopen(f"{self.url}/_fake", timeout=5) as answer:  # noqa: S310
            return dict(json.load(answer))


def until(page: Page, expression: str, within_s: float = 15.0) -> Any:
    """Return the first truthy value of a JavaScript expression; polls, as the CSP forbids eval in pages."""
    deadline = time.monotonic() + within_s
    while not (value := page.evaluate(expression)):
        assert time.monotonic() < deadline, f"not within {within_s} s: {expression}"
        page.wait_for_timeout(50)
    return value


def position_s(page: Page) -> float:
    """Where the video is, 0 without one."""
    return float(page.evaluate("document.querySelector('video')?.currentTime ?? 0"))


def moving(page: Page, by_s: float = 1.0) -> None:
    """Wait for a picture, then until it has moved on by some seconds."""
    until(page, "(document.querySelector('video')?.currentTime ?? 0) > 0")
    goal = position_s(page) + by_s
    until(page, f"document.querySelector('video').currentTime > {goal}", by_s + 15)


@contextmanager
def asleep(page: Page) -> Iterator[None]:
    """Put all tabs to sleep, as a closed lid does: no script, no timer and no picture goes on."""
    browser = page.context.browser
    assert browser is not None
    told = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    tabs = [process["id"] for process in told["processInfo"] if process["type"] == "renderer"]
    assert tabs
    try:
        for pid in tabs:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in tabs:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def ingest_with_teacher(
    folder: Path,
    variant: str,
    kind: str = "embedded",
    lesson: tuple[str, ...] = SMALL,
    least_segments: int | None = None,
) -> Iterator[str]:
    """Run an ingest and a teacher; yields the URL of the stream's folder, when one can play from it."""
    file, log = folder / f"{variant}.json", folder / f"{variant}.log"
    with child(command(kind, variant, file), log) as ingest:
        urls = ready(ingest, file, log)
        teacher = [sys.executable, "-m", "airclass.ingest.teacher", "--to", f"{urls['rtmp_url']}/live/c1"]
        with child([*teacher, *lesson], folder / "teacher.log"):
            url = f"{urls['hls_url']}/live/c1/"
            wait_for_segments(url, variant, least_segments)
            yield url


def wait_for_segments(url: str, variant: str, least: int | None = None) -> None:
    """Wait until a stream's first playlist is long enough to play from, or has `least` segments."""
    wanted = LEAST_SEGMENTS[variant] if least is None else least
    wait_for(lambda: wanted == 0 or _window(url, wanted) or None, why=f"{wanted} segments at {url}")


def segments_so_far(url: str) -> int:
    """How many segments a stream has had, of those that its playlist counts."""
    playlist = _first_playlist(url)
    first = re.search(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", playlist)
    return int(first[1] if first else 0) + playlist.count("#EXTINF")


def _window(url: str, least_segments: int) -> bool:
    """Tell whether the stream's first media playlist is long enough to play from."""
    return _first_playlist(url).count("#EXTINF") >= least_segments


def _first_playlist(url: str) -> str:
    names = [line for line in _answers(f"{url}index.m3u8").splitlines() if line[:1] not in ("", "#")]
    return _answers(url + names[0]) if names else ""


def _answers(url: str) -> str:
    """Return the body, empty while there is none."""
    ask = urllib.request.Request(url, headers={"Authorization": f"Bearer {SECRET}"})  # noqa: S310
    try:
        with urllib.request.urlopen(ask, timeout=5) as answer:  # noqa: S310
            return str(answer.read().decode())
    except OSError:
        return ""


@contextmanager
def scripted_master(folder: Path, origin_url: str) -> Iterator[FakeMasterProcess]:
    """Run the scripted master on a port of its own."""
    assert (PAGES / "index.html").exists(), "build the pages first: make pages"
    file, log = folder / "master.json", folder / "master.log"
    args = [
        sys.executable,
        "-m",
        "tests.e2e.pages.scripted_master",
        str(PAGES),
        origin_url,
        SECRET,
        str(file),
    ]
    with child(args, log) as process:
        yield FakeMasterProcess(ready(process, file, log)["master_url"])
