"""The student's way through a class, in a real browser, every state on its own screen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import harness, sample_data
from tests.e2e.pages.scenes import FORBID_SOUND, behind

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.e2e.pages.harness import FakeMasterProcess

    Open = Callable[..., Page]

ROOM = f"/join/{sample_data.CODE}"
REMEMBER_LOCKS = """
  window.locks = [];
  const request = navigator.wakeLock.request.bind(navigator.wakeLock);
  navigator.wakeLock.request = async (kind) => {
    const lock = await request(kind);
    window.locks.push(lock);
    return lock;
  };
"""


def enter(page: Page, name: str = "Mina") -> None:
    """Give a name and join."""
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Join").click()


def heading(page: Page, text: str) -> None:
    """Expect a screen with this heading."""
    expect(page.get_by_role("heading", name=text)).to_be_visible()


def data(page: Page, name: str) -> str:
    """What the player tells on its video element."""
    return page.locator("video").get_attribute(f"data-{name}") or ""


@pytest.mark.timing
def test_code_name_playing_in_three_taps(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(state="live")
    page = open_page("/")
    page.get_by_label("Class code").fill("k7qf m2xp")
    page.get_by_role("button", name="Next").click()
    enter(page)
    harness.moving(page, 6)
    assert float(data(page, "latency-s")) <= 4
    assert data(page, "stalls") == "0"
    assert data(page, "recovery-actions") == ""
    expect(page.get_by_role("button", name="Live", exact=True)).to_be_visible()
    expect(page.get_by_text("Good connection")).to_be_visible()
    assert not page.evaluate("document.querySelector('video').muted")
    cmcd = unquote(master.told()["cmcd"])
    assert 'cid="c1"' in cmcd
    assert "edu.lat-ms=" in cmcd
    assert "st=ll" in cmcd


def test_a_wrong_code_is_said_in_a_sentence(open_page: Open) -> None:
    page = open_page("/")
    page.get_by_label("Class code").fill("WRONG123")
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("There is no class with this code.")).to_be_visible()
    expect(page.get_by_label("Class code")).to_have_value("WRONG123")


def test_a_password_is_asked_for_only_where_there_is_one(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(password="sesame")
    page = open_page(ROOM)
    enter(page)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Join").click()
    expect(page.get_by_text("That password is not right.")).to_be_visible()
    page.get_by_label("Password").fill("sesame")
    page.get_by_role("button", name="Join").click()
    heading(page, "Class has not started yet")


def test_a_class_that_has_not_started_starts_by_itself(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page(ROOM)
    enter(page)
    heading(page, "Class has not started yet")
    assert master.told()["tokens"] == []  # nothing is loaded before there is a picture
    master.set(state="live")
    harness.moving(page)


def test_a_full_class_lets_in_by_itself(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(join_problem={"status": 503, "slug": "class-full", "retry_after_s": 1})
    page = open_page(ROOM)
    enter(page)
    heading(page, "The class is full")
    master.set(join_problem=None)
    heading(page, "Class has not started yet")


def test_a_closed_class_lets_in_when_it_opens(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(join_problem={"status": 409, "slug": "class-closed", "retry_after_s": 1})
    page = open_page(ROOM)
    enter(page)
    heading(page, "Class is closed")
    master.set(join_problem=None)
    heading(page, "Class has not started yet")


def test_the_teacher_reconnects_and_the_picture_stays(
    watching: Callable[[], Page], master: FakeMasterProcess
) -> None:
    page = watching()
    page.evaluate("document.querySelector('video').dataset.mark = 'same'")
    master.set(state="reconnecting")
    expect(page.get_by_text("Teacher is reconnecting")).to_be_visible()
    expect(page.locator("video")).to_be_visible()
    master.set(state="live")
    expect(page.get_by_text("Teacher is reconnecting")).to_be_hidden()
    harness.moving(page, 2)
    assert data(page, "mark") == "same"


def test_a_lesson_is_played_to_its_end_and_the_next_one_starts_by_itself(
    watching: Callable[[], Page], master: FakeMasterProcess
) -> None:
    page = watching()
    tokens = len(master.told()["tokens"])
    page.evaluate("document.querySelector('video').dataset.mark = 'first lesson'")
    before_s = page.evaluate("document.querySelector('video').currentTime")
    master.set(ended=True, state="between-lessons")
    harness.until(page, f"document.querySelector('video').currentTime > {before_s} + 0.5")
    heading(page, "This lesson is over")
    expect(page.locator("video")).to_have_count(0)
    master.set(ended=False, state="live")
    harness.moving(page, 2)
    assert data(page, "mark") == "", "a new player"
    assert len(master.told()["tokens"]) == tokens, "the token is kept"


@pytest.mark.parametrize(("news", "screen"), [("kicked", "You were removed"), ("ended", "Class has ended")])
def test_the_end_has_its_own_screen(
    news: str, screen: str, watching: Callable[[], Page], master: FakeMasterProcess
) -> None:
    page = watching()
    master.set(push_student={"type": news})
    heading(page, screen)
    expect(page.locator("video")).to_have_count(0)


@pytest.mark.timing
def test_a_move_to_another_relay_goes_unnoticed(
    watching: Callable[[], Page], master: FakeMasterProcess
) -> None:
    page = watching()
    assert data(page, "pathway") == "r1"
    master.set(priority=["r2", "r1"])
    harness.until(page, "document.querySelector('video').dataset.pathway === 'r2'")
    harness.moving(page, 5)  # the two segments in which sound would be missing, and more
    assert data(page, "stalls") == "0"
    assert data(page, "recovery-actions") == ""


@pytest.mark.timing
def test_a_drained_relay_is_left_without_a_stall(
    watching: Callable[[], Page], master: FakeMasterProcess
) -> None:
    page = watching()
    master.set(relays_down=["r1"])
    harness.until(page, "document.querySelector('video').dataset.pathway === 'r2'")
    harness.moving(page, 5)
    assert data(page, "stalls") == "0"


def test_without_websockets_the_steering_manifest_moves(
    watching: Callable[..., Page], master: FakeMasterProcess
) -> None:
    master.set(sockets=False, renew_problem={"status": 503, "slug": "failed"})
    page = watching()
    assert data(page, "pathway") == "r1"
    page.evaluate("document.querySelector('video').dataset.mark = 'same'")
    master.set(priority=["r2", "r1"])
    harness.until(page, "document.querySelector('video').dataset.pathway === 'r2'")
    harness.moving(page, 2)
    assert data(page, "mark") == "same"


def test_both_relays_gone_and_back_without_a_hand(
    watching: Callable[[], Page], master: FakeMasterProcess
) -> None:
    page = watching()
    master.set(relays_down=["r1", "r2"])
    actions = "document.querySelector('video').dataset.recoveryActions ?? ''"
    harness.until(page, f"({actions}).includes('reload')", 40)
    master.set(relays_down=[])
    at = harness.position_s(page)
    harness.until(page, f"document.querySelector('video').currentTime > {at} + 2", 40)


def test_offline_and_back(watching: Callable[[], Page]) -> None:
    page = watching()
    page.context.set_offline(True)
    expect(page.get_by_text("Your device is offline.")).to_be_visible()
    harness.until(page, "parseFloat(document.querySelector('video').dataset.bufferS) < 0.1")
    page.context.set_offline(False)
    expect(page.get_by_text("Your device is offline.")).to_be_hidden()
    at = harness.position_s(page)
    harness.until(page, f"document.querySelector('video').currentTime > {at} + 2", 30)


def test_a_tab_that_slept_plays_near_the_edge_again(watching: Callable[[], Page], origin_url: str) -> None:
    page = watching()
    before = harness.segments_so_far(origin_url)
    slept_from_s = harness.position_s(page)
    with harness.asleep(page):
        harness.wait_for(lambda: harness.segments_so_far(origin_url) >= before + 8 or None)
    goal = f"video.currentTime > {slept_from_s} + 5 && parseFloat(video.dataset.latencyS) < 4"
    harness.until(page, f"(video => {goal})(document.querySelector('video'))", 6)
    at_s = harness.position_s(page)
    harness.until(page, f"document.querySelector('video').currentTime > {at_s} + 1", 4)
    assert "reload" not in data(page, "recovery-actions")


@pytest.mark.timing
def test_pause_fall_behind_and_go_live(watching: Callable[[], Page]) -> None:
    page = watching()
    page.get_by_role("button", name="Pause").click()
    harness.until(page, "parseFloat(document.querySelector('video').dataset.latencyS) > 6.5")
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("group", name="Class video").get_by_text("s behind")).to_be_visible()
    page.get_by_role("button", name="Go live").click()
    harness.until(page, "parseFloat(document.querySelector('video').dataset.latencyS) < 4")


@pytest.mark.timing
def test_rewinding_is_no_stall_and_going_live_ends_it(watching: Callable[[], Page]) -> None:
    page = watching()
    slider = page.get_by_role("slider", name="Position in the last minute")
    harness.until(page, "(seek => seek && seek.max - seek.min > 9)(document.querySelector('.seek'))")
    end_s = float(slider.get_attribute("max") or 0)
    slider.fill(str(round(end_s - 8)))
    behind_by = re.compile(r"\b([6-9]|1\d) s behind")
    expect(page.get_by_role("group", name="Class video").get_by_text(behind_by)).to_be_visible()
    at_s = harness.position_s(page)
    harness.until(page, f"document.querySelector('video').currentTime > {at_s} + 2")
    assert data(page, "recovery-actions") == ""  # nobody who rewound is pulled back
    page.get_by_role("button", name="Go live").click()
    harness.until(page, "parseFloat(document.querySelector('video').dataset.latencyS) < 4")
    expect(page.get_by_role("button", name="Live", exact=True)).to_be_visible()


def test_the_screen_stays_awake_only_while_playing(watching: Callable[..., Page]) -> None:
    page = watching(script=REMEMBER_LOCKS)
    harness.until(page, "locks.length === 1 && !locks[0].released")
    page.get_by_role("button", name="Pause").click()
    harness.until(page, "locks[0].released")
    page.get_by_role("button", name="Play", exact=True).click()
    harness.until(page, "locks.length === 2 && !locks[1].released")
    page.get_by_role("button", name="Leave class").click()
    harness.until(page, "locks[1].released")


def test_a_small_window_beside_other_work(watching: Callable[[], Page]) -> None:
    page = watching()
    page.get_by_role("button", name="Picture in picture").click()
    harness.until(page, "document.pictureInPictureElement === document.querySelector('video')")
    expect(page.get_by_role("button", name="Picture in picture")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Picture in picture").click()
    harness.until(page, "document.pictureInPictureElement === null")


def test_captions_are_offered_where_there_are_some(
    watching: Callable[[], Page], master: FakeMasterProcess
) -> None:
    expect(watching().get_by_role("button", name="Captions")).to_have_count(0)
    master.set(captions=True)
    page = watching()
    button = page.get_by_role("button", name="Captions")
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    shown = "[...document.querySelector('video').textTracks].find(track => track.mode === 'showing')"
    assert (
        harness.until(page, f"[...({shown}?.activeCues ?? [])].map(cue => cue.text).join()") == "안녕하세요"
    )
    button.click()
    assert page.evaluate(f"{shown} === undefined")


def test_tokens_are_renewed_while_playing(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(state="live", token_life_s=2)
    page = open_page(ROOM)
    enter(page)
    harness.moving(page, 4)
    assert data(page, "stalls") == "0"
    assert len(master.told()["tokens"]) >= 3  # the relays saw every new one


def test_without_websockets_the_state_is_asked_for(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(sockets=False)
    page = open_page(ROOM, clock=True)
    enter(page)
    heading(page, "Class has not started yet")
    master.set(state="live")

    def later() -> bool | None:
        page.clock.fast_forward(2000)  # two tries in vain, then it asks every five seconds
        page.wait_for_timeout(50)
        return page.locator("video").is_visible() or None

    harness.wait_for(later, why="the page asks for the state")
    harness.moving(page)


def test_a_reload_comes_straight_back(watching: Callable[[], Page], master: FakeMasterProcess) -> None:
    page = watching()
    page.reload()
    harness.moving(page)
    assert [call for call in master.told()["calls"] if call.startswith("join")] == [
        f"join {sample_data.CODE} Mina"
    ]


def test_the_name_is_remembered(open_page: Open) -> None:
    page = open_page(ROOM)
    enter(page)
    heading(page, "Class has not started yet")
    page.get_by_role("button", name="Leave class").click()
    page.get_by_label("Class code").fill(sample_data.CODE)
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_label("Name")).to_have_value("Mina")


def test_a_browser_without_sound_gets_one_big_button(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(state="live")
    page = open_page(ROOM)
    page.evaluate(FORBID_SOUND)
    enter(page)
    harness.moving(page)
    assert page.evaluate("document.querySelector('video').muted")
    page.get_by_role("button", name="Turn on sound").click()
    assert not page.evaluate("document.querySelector('video').muted")


def test_the_keyboard_is_enough(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(state="live")
    page = open_page("/")
    page.keyboard.type(sample_data.CODE)  # the field has the focus already
    page.keyboard.press("Enter")
    heading(page, "What is your name?")
    page.keyboard.type("Mina")
    page.keyboard.press("Enter")
    harness.moving(page)
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.getAttribute('aria-label')") == "Pause":
            break
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_focused()
    assert page.evaluate("document.querySelector('video').paused")


def test_the_language_switches_and_stays(open_page: Open) -> None:
    page = open_page("/", lang="ko")
    heading(page, "수업 참여하기")
    assert page.evaluate("document.documentElement.lang") == "ko"
    page.get_by_role("button", name="English").click()
    heading(page, "Join a class")
    assert page.evaluate("document.documentElement.lang") == "en"
    page.reload()
    heading(page, "Join a class")


def test_names_cannot_break_out(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(class_name=sample_data.XSS)
    page = open_page(ROOM)
    enter(page, sample_data.XSS[:40])
    heading(page, "Class has not started yet")
    expect(page.get_by_text(sample_data.XSS)).to_be_visible()
    assert page.locator("img").count() == 0


def test_the_page_asks_no_other_host(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(state="live")
    page = open_page("/")
    hosts: set[str] = set()
    page.on(
        "request", lambda request: hosts.add(request.url.split("/")[2]) if request.url[:4] == "http" else None
    )
    page.reload()
    page.goto(ROOM)
    enter(page)
    harness.moving(page)
    assert hosts == {master.url.removeprefix("http://")}


def test_the_way_back_to_live_fits_a_narrow_phone(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(state="live")
    page = open_page(ROOM, lang="ko", width=320, height=568)  # the longer words
    behind(page, master)
    expect(page.get_by_role("button", name="라이브로 이동")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


@pytest.mark.parametrize("size", [(320, 568), (667, 375)])
def test_small_screens_hold_everything(
    size: tuple[int, int], open_page: Open, master: FakeMasterProcess
) -> None:
    master.set(state="live")
    page = open_page(ROOM, width=size[0], height=size[1])
    enter(page)
    harness.moving(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    for name in ("Pause", "Full screen"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
        assert box["y"] + box["height"] <= size[1]
        assert min(box["width"], box["height"]) >= 44
