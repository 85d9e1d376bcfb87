"""The teacher's page: am I live, does it look right, who is here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.e2e.pages import harness, sample_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.e2e.pages.harness import FakeMasterProcess

    Open = Callable[..., Page]

CLASS = "/teach#/c1"
# How many of the charts have anything but white paper in them.
DRAWN = """() => [...document.querySelectorAll('canvas')].filter((canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return data.some((value) => value > 0);
}).length"""


def press(page: Page, name: str) -> None:
    """Press a button by its name."""
    page.get_by_role("button", name=name, exact=True).click()


def test_the_list_leads_to_a_class(open_page: Open) -> None:
    page = open_page("/teach")
    page.get_by_role("link", name="물리 1").click()
    expect(page.get_by_role("heading", name="You are not live yet")).to_be_visible()
    page.get_by_role("link", name="All classes").click()
    expect(page.get_by_role("heading", name="My classes")).to_be_visible()


def test_a_new_class_shows_its_key_once(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page("/teach")
    press(page, "New class")
    page.get_by_label("Name of the class").fill("지구과학")
    page.get_by_label("Most students at once").fill("40")
    press(page, "Make class")
    expect(page.get_by_text("Stream key", exact=True)).to_be_visible()
    press(page, "Show key")
    expect(page.get_by_text("c1?token=new-key-41c9e2")).to_be_visible()
    assert 'POST /api/classrooms {"name":"지구과학","capacity":40}' in master.told()["calls"]


def test_going_live_is_noticed_and_previewed(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page(CLASS)
    expect(page.get_by_role("heading", name="You are not live yet")).to_be_visible()
    master.set(state="live")
    expect(page.get_by_role("heading", name="You are live")).to_be_visible()
    harness.moving(page, 2)
    assert page.evaluate("document.querySelector('video').muted")  # no echo in the room


def test_sound_is_measured_on_the_preview(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page(CLASS)
    master.set(state="live")
    harness.moving(page)
    press(page, "Check the sound")
    level = page.get_by_role("meter", name="Sound level")
    harness.until(page, "Number(document.querySelector('[role=meter]').ariaValueNow) > 10")
    expect(level).to_be_visible()
    expect(page.get_by_text("Sound is good.").or_(page.get_by_text("Very quiet."))).to_be_visible()
    expect(page.locator("figcaption", has_text="Sound level")).to_contain_text("dB")


def test_what_arrives_is_drawn_and_one_sentence_says_what_to_change(
    open_page: Open, master: FakeMasterProcess
) -> None:
    page = open_page(CLASS)
    expect(page.get_by_role("heading", name="You are not live yet")).to_be_visible()
    expect(page.get_by_role("heading", name="Your signal")).to_have_count(0)
    master.set(push_teacher={"type": "change", "facts": sample_data.facts()})
    expect(page.get_by_text("Everything looks right.")).to_be_visible()
    for figure in ("2.5 Mbit/s", "1280 × 720", "30", "2.0 s"):
        expect(page.locator("figcaption strong", has_text=figure)).to_be_visible()
    assert page.evaluate(DRAWN) == 4
    master.set(
        push_teacher={"type": "change", "facts": sample_data.facts(width=640, height=360, keyframe_s=8.0)}
    )
    expect(page.locator("figcaption", has_text="Picture size")).to_contain_text("640 × 360")
    expect(page.get_by_text("A key frame comes only every 8 s.")).to_be_visible()
    master.set(push_teacher={"type": "change", "facts": None})
    expect(page.locator("figcaption", has_text="Picture size")).to_contain_text("–")


def test_a_drop_says_what_to_check(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page(CLASS)
    master.set(state="live", push_teacher={"type": "change", "facts": sample_data.facts()})
    expect(page.get_by_text("Everything looks right.")).to_be_visible()
    harness.moving(page)
    master.set(state="reconnecting")
    expect(page.get_by_role("heading", name="Your picture has stopped arriving")).to_be_visible()
    expect(page.get_by_text("Everything looks right.")).to_have_count(0)
    expect(page.get_by_text("Is OBS still streaming?")).to_be_visible()
    expect(page.locator("video")).to_be_visible()


def test_students_appear_and_can_be_removed(open_page: Open, master: FakeMasterProcess) -> None:
    people = sample_data.viewers(3)
    people[1]["name"] = sample_data.XSS
    master.set(teacher={"viewers": people})
    page = open_page(CLASS)
    expect(page.get_by_text("3 of 30 students")).to_be_visible()
    expect(page.get_by_role("cell", name=sample_data.XSS)).to_be_visible()
    assert page.locator("img").count() == 0
    page.get_by_role("row", name=sample_data.NAMES[0]).get_by_role("button").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("2 of 30 students")).to_be_visible()
    assert 'POST /api/classrooms/c1/kick {"subject":"s0","block":false}' in master.told()["calls"]


def test_a_full_class_is_said(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(teacher={"viewers": sample_data.viewers(28)})
    page = open_page(CLASS)
    expect(page.get_by_text("Nearly full: 28 of 30")).to_be_visible()
    master.set(push_teacher={"type": "change", "viewers": sample_data.viewers(30)})
    expect(page.get_by_text("The class is full.")).to_be_visible()


def test_what_hurts_is_asked_first(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page(CLASS)
    press(page, "Close class")
    press(page, "Open class")
    press(page, "Retire class")
    page.get_by_role("button", name="Cancel").click()
    press(page, "Retire class")
    page.get_by_role("dialog").get_by_role("button", name="Retire class").click()
    expect(page.get_by_role("heading", name="This class is retired")).to_be_visible()
    press(page, "Delete class")
    page.get_by_role("dialog").get_by_role("button", name="Delete class").click()
    expect(page.get_by_role("heading", name="My classes")).to_be_visible()
    calls = [call.strip() for call in master.told()["calls"]]
    acts = [f"POST /api/classrooms/c1/{action}" for action in ("close", "open", "retire")]
    assert calls == [*acts, "DELETE /api/classrooms/c1"]


def test_a_lesson_ends_and_the_next_one_begins(open_page: Open, master: FakeMasterProcess) -> None:
    room = sample_data.classroom(state="live", lesson=sample_data.lesson())
    master.set(state="live", classrooms=[room], teacher={"classroom": room})
    page = open_page(CLASS)
    press(page, "End lesson")
    page.get_by_role("dialog").get_by_role("button", name="End lesson").click()
    expect(page.get_by_role("heading", name="The lesson is over")).to_be_visible()
    expect(page.locator("video")).to_have_count(0)
    press(page, "Start next lesson")
    expect(page.get_by_role("heading", name="You are not live yet")).to_be_visible()
    calls = [call.strip() for call in master.told()["calls"] if "lesson" in call]
    assert calls == [f"POST /api/classrooms/c1/{action}" for action in ("end-lesson", "start-lesson")]


def test_options_are_changed_and_escape_changes_nothing(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page(CLASS)
    press(page, "Options")
    page.get_by_label("Most students at once").fill("12")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Options")).to_be_focused()
    press(page, "Options")
    page.get_by_label("Most students at once").fill("25")
    press(page, "Save")
    expect(page.get_by_text("0 of 25 students")).to_be_visible()
    assert 'PATCH /api/classrooms/c1 {"capacity":25}' in master.told()["calls"]
    assert len(master.told()["calls"]) == 1


def test_a_new_code_and_a_new_key(open_page: Open) -> None:
    page = open_page(CLASS)
    press(page, "New code")
    page.get_by_role("button", name="Make new code").click()
    expect(page.get_by_text("N3WC0DE9").first).to_be_visible()
    press(page, "New key")
    page.get_by_role("button", name="Make new key").click()
    press(page, "Show key")
    expect(page.get_by_text("c1?token=new-key-41c9e2")).to_be_visible()


def test_copying_works_without_https(open_page: Open) -> None:
    page = open_page(CLASS)
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    page.get_by_role("button", name="Copy: Server").click()
    expect(page.get_by_role("button", name="Copy: Server")).to_contain_text("Copied")


def test_the_projector_shows_a_square_and_the_code(open_page: Open) -> None:
    page = open_page(CLASS)
    press(page, "Show on projector")
    shown = page.get_by_role("dialog", name="QR code for joining")
    expect(shown.get_by_role("img", name="QR code for joining")).to_be_visible()
    expect(shown.get_by_text(sample_data.CODE)).to_be_visible()
    shown.get_by_role("button", name="Close").click()
    expect(shown).to_be_hidden()


def test_whoever_is_not_signed_in_signs_in_first(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(signed_in=False)
    page = open_page("/teach")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("User name").fill("kim")
    page.get_by_label("Password").fill("wrong")
    press(page, "Sign in")
    expect(page.get_by_text("User name or password is not right.")).to_be_visible()
    master.set(signed_in=True)
    press(page, "Sign in")
    expect(page.get_by_role("heading", name="My classes")).to_be_visible()


def test_a_link_signs_in_and_leaves_no_trace(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page("/login#link=one-time&next=/teach")
    expect(page.get_by_role("heading", name="My classes")).to_be_visible()
    assert 'POST /api/login {"link_token":"one-time"}' in master.told()["calls"]
    assert "one-time" not in page.url


def test_signing_in_never_leads_elsewhere(open_page: Open, master: FakeMasterProcess) -> None:
    for next_page in ("//evil.example", "https://evil.example", "javascript:alert(1)", "/\\evil.example"):
        page = open_page(f"/login#link=x&next={next_page}")
        expect(page.get_by_role("heading", name="Dashboard")).to_be_visible()
        assert page.url.startswith(f"{master.url}/admin")
