"""Photographs every page in every state, phone and desk, light and dark, Korean and English.

`python -m tests.e2e.screenshots [FOLDER] [--only PREFIX…]`, or `make screenshots`: all of them into
build/screenshots, as small palette PNGs to compare in a review. `--docs`, or `make screenshots DOCS=1`, takes
only the pictures that the documents show, again, into docs/images.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.e2e.pages import harness, sample_data
from tests.e2e.pages.scenes import SCENES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.e2e.pages.harness import FakeMasterProcess
    from tests.e2e.pages.scenes import Scene

SIZES = {390: 844, 1280: 800}
LOOKS = ("light", "dark")
LANGUAGES = ("ko", "en")
COLOURS = 128
SHARP = ("--size", "640x360", "--fps", "15", "--bitrate-kbps", "600")
LONGEST_PX = 2600
ALL = harness.ROOT / "build" / "screenshots"
SHOWN = harness.ROOT / "docs" / "images"
EVERY = [(width, look, lang) for width in SIZES for look in LOOKS for lang in LANGUAGES]
FEW = [(390, "light", "ko"), (1280, "dark", "en")]


def shoot(
    browser: Browser, master: FakeMasterProcess, scene: Scene, width: int, look: str, lang: str
) -> bytes:
    """Return one photograph as PNG."""
    master.set(reset=True)
    master.set(**sample_data.school())
    if scene.stage:
        master.set(**scene.stage)
    context = browser.new_context(
        base_url=master.url,
        locale="ko-KR" if lang == "ko" else "en-GB",
        timezone_id="Asia/Seoul",
        color_scheme="dark" if look == "dark" else "light",
        reduced_motion="reduce",
        viewport={"width": width, "height": SIZES[width]},
        has_touch=width < 600,
    )
    try:
        page = context.new_page()
        page.goto(scene.path)
        if scene.act is not None:
            scene.act(page, master)
        else:
            page.locator("h1").first.wait_for()
        page.mouse.move(0, 0)  # away from whatever lies where the last button was
        if page.locator("video").count() == 0:
            page.wait_for_timeout(150)
        if scene.whole:
            # A window as long as the page: Chromium's own full-page picture leaves videos black.
            length = min(LONGEST_PX, int(page.evaluate("document.documentElement.scrollHeight")))
            page.set_viewport_size({"width": width, "height": max(SIZES[width], length)})
            page.wait_for_timeout(500)
        return page.screenshot()
    finally:
        context.close()


def small(png: bytes) -> bytes:
    """Return the picture with a palette."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    out = io.BytesIO()
    # the colours that fill most of a page must come out as they are; k-means sees to that
    palette = picture.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=3)
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def file_name(scene: Scene, width: int, look: str, lang: str) -> str:
    """Return the name of one picture."""
    return f"{scene.name}-{width}-{look}-{lang}.png"


def main() -> None:
    """Photograph what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=ALL)
    parser.add_argument("--only", nargs="*", default=[""], help="only scenes whose names begin so")
    parser.add_argument("--docs", action="store_true", help="take again what docs/images holds, into it")
    parser.add_argument(
        "--few", action="store_true", help="phone, light, Korean and desk, dark, English only"
    )
    args = parser.parse_args()
    target = SHOWN if args.docs else args.folder
    target.mkdir(parents=True, exist_ok=True)
    total = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        harness.ingest_with_teacher(Path(folder), "lowLatency", lesson=SHARP) as origin_url,
        harness.scripted_master(Path(folder), origin_url) as master,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=harness.CHROMIUM, args=harness.CHROMIUM_ARGS)
        for scene in SCENES:
            takes = FEW if args.few else EVERY
            if args.docs:
                takes = [take for take in EVERY if (SHOWN / file_name(scene, *take)).exists()]
            if not takes or not scene.name.startswith(tuple(args.only)):
                continue
            for width, look, lang in takes:
                png = small(shoot(browser, master, scene, width, look, lang))
                (target / file_name(scene, width, look, lang)).write_bytes(png)
                total += len(png)
            sys.stdout.write(f"{scene.name}\n")
            sys.stdout.flush()
        browser.close()
    sys.stdout.write(f"{total / 1e6:.2f} MB in {target}\n")


if __name__ == "__main__":
    main()
