"""Every page in every state: how to bring it onto the screen. For `make screenshots` and the axe tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.e2e.pages import harness, sample_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.e2e.pages.harness import FakeMasterProcess


#: Makes a browser behave as phones do before the first touch.
FORBID_SOUND = """() => {
  const play = HTMLMediaElement.prototype.play;
  let touched = false;
  addEventListener('click', (event) => { touched ||= event.target.closest('.tap') !== null; }, true);
  HTMLMediaElement.prototype.play = function () {
    if (this.muted || touched) return play.call(this);
    return Promise.reject(new DOMException('no', 'NotAllowedError'));
  };
}"""


@dataclass(frozen=True)
class Scene:
    """One page in one state: the stage's fields, the address, then what a person does."""

    name: str
    path: str
    stage: dict[str, Any] = field(default_factory=dict)
    act: Callable[[Page, FakeMasterProcess], None] | None = None
    #: the whole length of the page is shown, not only the first screen
    whole: bool = False


def submit(page: Page) -> None:
    """Press the one button of a form."""
    page.locator("main button[type=submit]").click()


def type_code(page: Page, _: FakeMasterProcess) -> None:
    """Enter a code."""
    page.locator("main input").fill("WRONG123")
    submit(page)
    page.locator(".error", has_text=" ").wait_for()


def enter(page: Page, _: FakeMasterProcess) -> None:
    """Give a name."""
    page.locator("main input").fill("김민아")
    submit(page)


def noticed(page: Page, master: FakeMasterProcess) -> None:
    """Give a name and come to a screen without a form."""
    enter(page, master)
    page.locator(".notice").wait_for()


def listening(page: Page, master: FakeMasterProcess) -> None:
    """Wait for the class until the page hears news: the number of students is the first of them."""
    noticed(page, master)
    page.locator("main.centre > p").wait_for()


def playing(page: Page, master: FakeMasterProcess) -> None:
    """Give a name and watch."""
    enter(page, master)
    harness.moving(page, 1.5)


def reconnecting(page: Page, master: FakeMasterProcess) -> None:
    """Watch until the teacher's line breaks."""
    playing(page, master)
    master.set(state="reconnecting")
    page.locator(".banner").wait_for()


def removed(page: Page, master: FakeMasterProcess) -> None:
    """Be removed by the teacher."""
    listening(page, master)
    master.set(push_student={"type": "kicked"})
    page.get_by_role("heading", name="removed").or_(page.get_by_role("heading", name="나가게")).wait_for()


def ended(page: Page, master: FakeMasterProcess) -> None:
    """Stay until the end."""
    listening(page, master)
    master.set(push_student={"type": "ended"})
    page.get_by_role("heading", name="ended").or_(page.get_by_role("heading", name="끝났")).wait_for()


def silent(page: Page, master: FakeMasterProcess) -> None:
    """Watch in a browser that wants a tap before any sound."""
    page.evaluate(FORBID_SOUND)
    playing(page, master)


def offline(page: Page, master: FakeMasterProcess) -> None:
    """Lose the network while watching."""
    playing(page, master)
    page.context.set_offline(True)
    page.locator(".banner").wait_for()


def behind(page: Page, master: FakeMasterProcess) -> None:
    """Pause until the class has gone on, then play from there."""
    playing(page, master)
    pause = page.locator(".bar button").first
    pause.click()
    harness.until(page, "parseFloat(document.querySelector('video').dataset.latencyS) > 6.5")
    pause.click()
    harness.moving(page, 0.5)


def refused(page: Page, _: FakeMasterProcess) -> None:
    """Sign in with a wrong password."""
    page.locator("#username").fill("kim")
    page.locator("#password").fill("wrong")
    submit(page)
    page.get_by_role("alert").filter(has_text=" ").wait_for()


def ready(page: Page, _: FakeMasterProcess) -> None:
    """Wait until the page has its data."""
    page.locator("h2").first.wait_for()
    page.wait_for_timeout(400)


def previewing(page: Page, master: FakeMasterProcess) -> None:
    """Wait until the teacher sees the class."""
    ready(page, master)
    for second in range(12):
        rate = 2_480_000 + 90_000 * (second % 3)
        master.set(push_teacher={"type": "change", "facts": sample_data.facts(bitrate_bps=rate)})
    harness.moving(page, 2)


def hearing(page: Page, master: FakeMasterProcess) -> None:
    """Let the page measure the sound for some seconds."""
    previewing(page, master)
    page.locator("[role=group] .button.small").first.click()
    page.locator("[role=group] figure").wait_for()
    harness.moving(page, 3)


def dropped(page: Page, master: FakeMasterProcess) -> None:
    """Lose the teacher's picture."""
    previewing(page, master)
    master.set(state="reconnecting")
    page.locator("section.reconnecting").wait_for()


def listed(page: Page, _: FakeMasterProcess) -> None:
    """Wait for the list of classes."""
    page.locator("main li").first.wait_for()


def adding(page: Page, master: FakeMasterProcess) -> None:
    """Begin a new class."""
    listed(page, master)
    page.locator("main .button.primary").click()


def projecting(page: Page, master: FakeMasterProcess) -> None:
    """Show the code to the whole room."""
    ready(page, master)
    page.locator(".code + .field + .row .button").first.click()
    page.wait_for_timeout(300)


def press(selector: str) -> Callable[[Page, FakeMasterProcess], None]:
    """Press a button once the page is there."""

    def act(page: Page, master: FakeMasterProcess) -> None:
        ready(page, master)
        page.locator(selector).first.click()
        page.wait_for_timeout(200)

    return act


def invited(page: Page, master: FakeMasterProcess) -> None:
    """Change an account and make a link for it."""
    press("tr:nth-child(2) td.end .button")(page, master)
    page.locator("dialog form div > .button.small").click()
    page.locator("dialog code").wait_for()


ROOM = f"/join/{sample_data.CODE}"
NODES = [
    sample_data.node(1),
    sample_data.node(2),
    sample_data.node(3, status="draining", **sample_data.DRAINING),
    sample_data.node(
        4,
        status="offline",
        connections=0,
        load=0.0,
        egress_mbps=0.0,
        last_seen_s=42.0,
        **sample_data.SILENT,
    ),
    sample_data.node(5, connections=147, load=98.0, lag_s=2.7, status="unhealthy", **sample_data.NO_INGEST),
]
OVER = sample_data.classroom(status="retired", state="ended")
BETWEEN = sample_data.classroom(state="between-lessons", lesson=sample_data.lesson(ended=True))
SICK = {"nodes": NODES, "summary": sample_data.summary(NODES)}


def _teaching(**changes: Any) -> dict[str, Any]:
    base = {"classroom": sample_data.classroom(), "facts": None, "viewers": [], "history": []}
    return {"teacher": base | changes}


def _live(**changes: Any) -> dict[str, Any]:
    room = sample_data.classroom(state="live", rtmp_key="c1?token=3f9a7be2c1d84e56")
    people = {
        "viewers": sample_data.viewers(9),
        "history": sample_data.history(90, 9),
        "facts": sample_data.facts(),
    }
    return {"state": "live", "classrooms": [room], **_teaching(**({"classroom": room} | people | changes))}


SCENES = [
    Scene("student-code", "/"),
    Scene("student-code-unknown", "/", act=type_code),
    Scene("student-name", ROOM),
    Scene("student-password", ROOM, {"password": "sesame"}, enter),
    Scene("student-waiting", ROOM, {}, noticed),
    Scene("student-closed", ROOM, {"join_problem": {"status": 409, "slug": "class-closed"}}, noticed),
    Scene(
        "student-full",
        ROOM,
        {"join_problem": {"status": 503, "slug": "class-full", "retry_after_s": 30}},
        noticed,
    ),
    Scene(
        "student-too-many",
        ROOM,
        {"join_problem": {"status": 429, "slug": "too-many-tries", "retry_after_s": 40}},
        noticed,
    ),
    Scene("student-unreachable", ROOM, {"join_problem": {"status": 502, "slug": "x"}}, noticed),
    Scene("student-live", ROOM, {"state": "live"}, playing),
    Scene("student-sound", ROOM, {"state": "live"}, silent),
    Scene("student-reconnecting", ROOM, {"state": "live"}, reconnecting),
    Scene("student-offline", ROOM, {"state": "live"}, offline),
    Scene("student-behind", ROOM, {"state": "live"}, behind),
    Scene("student-lesson-over", ROOM, {"state": "between-lessons"}, noticed),
    Scene("student-ended", ROOM, {}, ended),
    Scene("student-removed", ROOM, {}, removed),
    Scene("login", "/login"),
    Scene("login-wrong", "/login", {"signed_in": False}, refused),
    Scene("teacher-classes", "/teach", {}, listed),
    Scene("teacher-no-classes", "/teach", {"classrooms": []}, ready),
    Scene("teacher-new-class", "/teach", {}, adding),
    Scene(
        "teacher-before",
        "/teach#/c1",
        {"classrooms": [sample_data.classroom(rtmp_key="c1?token=3f9a7be2c1d84e56")]},
        ready,
        whole=True,
    ),
    Scene("teacher-live", "/teach#/c1", _live(), previewing, whole=True),
    Scene("teacher-sound", "/teach#/c1", _live(), hearing, whole=True),
    Scene("teacher-dropped", "/teach#/c1", _live(facts=None), dropped),
    Scene(
        "teacher-full",
        "/teach#/c1",
        _live(classroom=sample_data.classroom(state="live", capacity=9)),
        previewing,
        whole=True,
    ),
    Scene(
        "teacher-between",
        "/teach#/c1",
        {
            "state": "between-lessons",
            "classrooms": [BETWEEN],
            **_teaching(classroom=BETWEEN, viewers=sample_data.viewers(4)),
        },
        ready,
        whole=True,
    ),
    Scene("teacher-over", "/teach#/c1", {"classrooms": [OVER], **_teaching(classroom=OVER)}, ready),
    Scene("teacher-projector", "/teach#/c1", {}, projecting),
    Scene("teacher-options", "/teach#/c1", {}, press(".head .quiet")),
    Scene("teacher-end-lesson", "/teach#/c1", _live(), press(".head .primary")),
    Scene("teacher-delete", "/teach#/c1", {}, press("section .danger")),
    Scene("admin", "/admin", {}, ready, whole=True),
    Scene("admin-trouble", "/admin", SICK, ready, whole=True),
    Scene("admin-no-nodes", "/admin", {"nodes": [], "summary": sample_data.summary([])}, ready),
    Scene("admin-drain", "/admin", {}, press("td.end .button")),
    Scene("admin-classes", "/admin#/classrooms", {}, ready),
    Scene("admin-people", "/admin#/users", {}, ready),
    Scene("admin-class", "/admin#/classrooms", {}, press("td.end .button")),
    Scene("admin-person", "/admin#/users", {}, invited),
    Scene("admin-log", "/admin#/events", {}, ready),
    Scene("admin-settings", "/admin#/settings", {}, ready),
]
