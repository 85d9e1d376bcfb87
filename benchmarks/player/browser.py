"""One student in a real browser: joins by code, watches, and is measured from the picture itself.

Drives the system's Chromium by Playwright (synchronous: call it in a thread). A probe in the page
samples the video every 50 ms and reads the clock that the synthetic teacher burns into its
picture (layout: `airclass.ingest.test_pattern.timecode`), so that latency is glass to glass and not a model.
"""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from relay.base.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

ARGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --autoplay-policy=no-user-gesture-required"
).split()
FIRST_FRAME_S = 15.0
POLL_MS = 25
STALL_MS = 250
# The position moves before anything is drawn: a frame counts when it is handed to the screen.
PAINTED = """() => {
  const video = document.querySelector('video');
  if (video && !video.dataset.asked) {
    video.dataset.asked = 'yes';
    video.requestVideoFrameCallback(() => { video.dataset.painted = 'yes'; });
  }
  return video?.dataset.painted === 'yes' && video.currentTime > 0;
}"""
# A stall is a run of at least 250 ms (what a person notices) in which the picture advances by less
# than a quarter of the time. A tick that came late itself says nothing: the machine was busy.
PROBE = """() => {
  const video = document.querySelector('video');
  const canvas = document.createElement('canvas');
  canvas.width = 480; canvas.height = 270;
  const paint = canvas.getContext('2d', {willReadFrequently: true});
  const probe = window.probe = {stalls_ms: [], glass_ms: [], brightness: [], positions: []};
  const readClock = () => {
    paint.drawImage(video, 0, 0, 480, 270);
    const px = paint.getImageData(0, 0, 480, 270).data;
    let sum = 0;
    for (let i = 0; i < px.length; i += 400) sum += px[i] + px[i + 1] + px[i + 2];
    probe.brightness.push(sum / (px.length / 400) / 3);
    const w = 480 * 0.9 / 24, h = 270 * 0.24 / 4, levels = [];
    for (let r = 0; r < 4; r++) for (let c = 0; c < 24; c++) {
      const x = Math.floor(480 * 0.05 + (c + 0.5) * w), y = Math.floor(270 * 0.5 + (r + 0.5) * h);
      const at = (y * 480 + x) * 4;
      levels.push((px[at] + px[at + 1] + px[at + 2]) / 3);
    }
    const mid = (Math.min(...levels) + Math.max(...levels)) / 2;
    const bytes = [];
    for (let i = 0; i < 12; i++) {
      let b = 0;
      for (let k = 0; k < 8; k++) b = b * 2 + (levels[i * 8 + k] > mid ? 1 : 0);
      bytes.push(b);
    }
    let crc = 0xFFFF;
    for (const b of bytes.slice(0, 10)) {
      crc ^= b << 8;
      for (let k = 0; k < 8; k++) crc = ((crc & 0x8000) ? (crc << 1) ^ 0x1021 : crc << 1) & 0xFFFF;
    }
    if (bytes[9] !== 0xA5 || crc !== bytes[10] * 256 + bytes[11]) return null;
    return bytes.slice(0, 6).reduce((n, b) => n * 256 + b, 0);
  };
  let last = video.currentTime, at = performance.now(), still = 0, tick = 0;
  setInterval(() => {
    const now = performance.now();
    if (now - at > 200) { last = video.currentTime; at = now; return; }
    if ((video.currentTime - last) * 1000 < 0.25 * (now - at)) still += now - at;
    else { if (still >= 250) probe.stalls_ms.push(Math.round(still)); still = 0; }
    last = video.currentTime; at = now;
    probe.still_ms = still;
    if (tick++ % 5 === 0) {
      const drawn_ms = readClock();
      if (drawn_ms !== null) probe.glass_ms.push(Date.now() - drawn_ms);
      probe.positions.push(last);
    }
  }, 50);
}"""


@dataclass(frozen=True, slots=True)
class BrowserResult:
    """What the student saw; times in the unit of their name, `glass_ms` sample by sample."""

    first_frame_s: float
    advanced_s: float
    stalls_ms: tuple[int, ...]
    glass_ms: tuple[int, ...]
    brightness: tuple[float, ...]
    text: str


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the system's Chromium without a window; StartError when there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise StartError("Chromium is missing: install it (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        try:
            yield browser
        finally:
            browser.close()


class BrowserStudent:
    """One page that has joined a class and plays."""

    def __init__(
        self, browser: Browser, student_url: str, *, name: str = "Kim", width: int = 1280, height: int = 800
    ) -> None:
        self.page: Page = browser.new_page(
            viewport={"width": width, "height": height}, locale="en-GB", color_scheme="light"
        )
        self.page.goto(student_url)
        box = self.page.get_by_role("textbox").first
        box.fill(name)
        started_s = time.monotonic()
        box.press("Enter")
        while not self.page.evaluate(PAINTED):
            if time.monotonic() - started_s > FIRST_FRAME_S:
                raise AssertionError(f"no picture in {FIRST_FRAME_S} s: {self.page.inner_text('body')[:500]}")
            self.page.wait_for_timeout(POLL_MS)
        self.first_frame_s = time.monotonic() - started_s
        self._started_at_s = self._position_s()
        self.page.evaluate(PROBE)

    def _position_s(self) -> float:
        return float(self.page.evaluate("() => document.querySelector('video')?.currentTime ?? 0"))

    def watch(self, seconds: float) -> BrowserResult:
        """Watch on and return everything seen since the start."""
        self.page.wait_for_timeout(seconds * 1000)
        probe: dict[str, Any] = self.page.evaluate("() => window.probe")
        still_ms = round(probe["still_ms"])
        stalls = [*probe["stalls_ms"], *([still_ms] if still_ms >= STALL_MS else [])]
        return BrowserResult(
            first_frame_s=self.first_frame_s,
            advanced_s=self._position_s() - self._started_at_s,
            stalls_ms=tuple(stalls),
            glass_ms=tuple(probe["glass_ms"]),
            brightness=tuple(probe["brightness"]),
            text=self.page.inner_text("body"),
        )

    def screenshot(self, path: Path) -> None:
        """Save the page as it looks now."""
        self.page.screenshot(path=str(path))
