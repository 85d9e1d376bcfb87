"""axe-core finds nothing serious on any page in any state, in light and in dark; 320 px hold each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.pages import sample_data
from tests.e2e.pages.scenes import SCENES

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.e2e.pages.harness import FakeMasterProcess
    from tests.e2e.pages.scenes import Scene

RUN = """async () => {
  const found = await axe.run(document, { resultTypes: ['violations'] });
  return found.violations
    .filter((rule) => rule.impact === 'serious' || rule.impact === 'critical')
    .map((rule) => `${rule.id}: ${rule.nodes.map((node) => node.target.join(' ')).join(', ')}`);
}"""

PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_nothing_serious_and_all_on_the_screen(
    scene: Scene, browser: Browser, master: FakeMasterProcess, axe_script: Path
) -> None:
    master.set(**scene.stage)
    # axe has to be put into the page: only for that is the CSP set aside here
    context = browser.new_context(
        base_url=master.url, locale="en-GB", viewport={"width": 390, "height": 844}, bypass_csp=True
    )
    try:
        page = context.new_page()
        page.goto(scene.path)
        if scene.act is not None:
            scene.act(page, master)
        else:
            page.locator("h1").first.wait_for()
        page.add_script_tag(path=axe_script)
        for look in ("light", "dark"):
            page.emulate_media(color_scheme=look, reduced_motion="reduce")  # type: ignore[arg-type]
            page.evaluate(PAINTED)
            assert page.evaluate(RUN) == [], look
        page.set_viewport_size({"width": 320, "height": 568})
        page.evaluate(PAINTED)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
    finally:
        context.close()


def test_every_role_has_a_scene() -> None:
    assert {scene.name.split("-")[0] for scene in SCENES} == {"student", "login", "teacher", "admin"}
    assert sample_data.CODE in "".join(scene.path for scene in SCENES)
