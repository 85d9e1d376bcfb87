"""The operator's dashboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.e2e.pages import harness, sample_data

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.e2e.pages.harness import FakeMasterProcess

    Open = Callable[..., Page]


# Frames of 50 ms and more, with script, style and layout; the browser tells them itself.
WATCH_ROWS = """() => {
  window.rows = 0;
  const rows = (nodes) => [...nodes].filter((node) => node.nodeName === 'TR').length;
  new MutationObserver((list) => {
    for (const change of list) window.rows += rows(change.addedNodes) + rows(change.removedNodes);
  }).observe(document.body, { childList: true, subtree: true });
}"""


def test_cards_advice_and_nodes(open_page: Open) -> None:
    page = open_page("/admin")
    expect(page.get_by_text("Cluster is well-balanced.")).to_be_visible()
    expect(page.get_by_text("450", exact=True)).to_be_visible()
    row = page.get_by_role("row", name="relay-2")
    expect(row).to_contain_text("74 / 150")
    expect(row).to_contain_text("Active")


@pytest.mark.parametrize(
    ("nodes", "advice"),
    [
        ([sample_data.node(1, connections=140, load=93.3)], "Add a node"),
        (
            [sample_data.node(1, connections=9, load=6.0), sample_data.node(2, connections=3, load=2.0)],
            "You can scale down",
        ),
        (
            [sample_data.node(1, status="offline", **sample_data.SILENT), sample_data.node(2)],
            "1 node needs attention. relay-1: Nothing heard for 42 s.",
        ),
    ],
)
def test_the_recommendation(
    nodes: list[dict[str, object]], advice: str, open_page: Open, master: FakeMasterProcess
) -> None:
    master.set(nodes=nodes, summary=sample_data.summary(nodes))
    expect(open_page("/admin").get_by_text(advice)).to_be_visible()


def test_reasons_are_said_in_the_language_of_the_page(open_page: Open, master: FakeMasterProcess) -> None:
    nodes = [sample_data.node(1), sample_data.node(2, status="offline", **sample_data.SILENT)]
    nodes.append(sample_data.node(3, status="unhealthy", **sample_data.NO_INGEST))
    master.set(nodes=nodes, summary=sample_data.summary(nodes))
    page = open_page("/admin", lang="ko")
    row = page.get_by_role("row", name="relay-2")
    expect(row).to_contain_text("42초 동안 신호가 없습니다")
    expect(row).not_to_contain_text("has sent nothing")
    # what the relay itself has said comes below, marked as English
    expect(page.get_by_role("row", name="relay-3").locator("[lang=en]")).to_have_text(nodes[2]["reason"])
    expect(
        page.get_by_text("노드 2개를 확인해야 합니다. relay-2: 42초 동안 신호가 없습니다.")
    ).to_be_visible()
    page.get_by_role("button", name="English").click()
    expect(row).to_contain_text("Nothing heard for 42 s")


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_all_tabs_and_the_refresh_in_one_line_each(width: int, open_page: Open) -> None:
    page = open_page("/admin", width=width)
    expect(page.get_by_role("row", name="relay-3")).to_be_visible()
    tabs = page.get_by_role("navigation").get_by_role("link").all()
    assert len(tabs) == 5
    for group in (tabs, [page.get_by_role("switch"), page.get_by_role("button", name="Refresh")]):
        boxes = [box for each in group if (box := each.bounding_box()) is not None]
        assert len(boxes) == len(group)
        assert max(box["x"] + box["width"] for box in boxes) <= width
        middles = [box["y"] + box["height"] / 2 for box in boxes]
        assert max(middles) - min(middles) < 4


def test_changes_arrive_by_themselves(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page("/admin")
    heard: list[object] = []  # this page's own socket: one of the test before may still be closing
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(frame)))
    page.reload()
    expect(page.get_by_role("row", name="relay-3")).to_be_visible()
    for _ in range(250):
        if heard:
            break
        page.wait_for_timeout(20)
    assert heard, "the snapshot"
    nodes = [sample_data.node(1), sample_data.node(9, id=sample_data.XSS)]
    master.set(push_monitor={"type": "change", "nodes": nodes, "summary": sample_data.summary(nodes)})
    expect(page.get_by_role("row", name="relay-3")).to_have_count(0)
    expect(page.get_by_text(sample_data.XSS, exact=True)).to_be_visible()
    assert page.locator("img").count() == 0


def test_the_switch_stops_refreshing_and_the_button_refreshes(
    open_page: Open, master: FakeMasterProcess
) -> None:
    master.set(sockets=False)
    page = open_page("/admin", clock=True)
    expect(page.get_by_role("row", name="relay-3")).to_be_visible()
    nodes = [sample_data.node(7)]
    master.set(nodes=nodes, summary=sample_data.summary(nodes))
    page.clock.fast_forward(5000)
    expect(page.get_by_role("row", name="relay-7")).to_be_visible()
    page.get_by_role("switch").uncheck()
    nodes = [sample_data.node(8)]
    master.set(nodes=nodes, summary=sample_data.summary(nodes))
    asked = master.told()["asked"]
    page.clock.fast_forward(20_000)
    page.evaluate("() => fetch('/api/me')")  # whatever the page has asked for came before this
    assert master.told()["asked"] == asked
    expect(page.get_by_role("row", name="relay-8")).to_have_count(0)
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_role("row", name="relay-8")).to_be_visible()


def test_drain_asks_first_then_orders(open_page: Open, master: FakeMasterProcess) -> None:
    nodes = [sample_data.node(1), sample_data.node(2), sample_data.node(3, status="offline")]
    master.set(nodes=nodes, summary=sample_data.summary(nodes))
    page = open_page("/admin")
    page.get_by_role("button", name="Drain: relay-2").click()
    expect(page.get_by_text("Its 74 students move to other nodes")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Drain: relay-2").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain").click()
    page.get_by_role("button", name="Remove: relay-3").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    harness.wait_for(lambda: len(master.told()["calls"]) == 2 or None, 5)
    assert master.told()["calls"] == ["POST /cluster/drain/relay-2", "DELETE /cluster/nodes/relay-3"]


def test_a_draining_node_can_be_used_again(open_page: Open, master: FakeMasterProcess) -> None:
    nodes = [sample_data.node(1, status="draining"), sample_data.node(2)]
    master.set(nodes=nodes, summary=sample_data.summary(nodes))
    page = open_page("/admin")
    page.get_by_role("button", name="Use again: relay-1").click()
    page.get_by_role("dialog").get_by_role("button", name="Use again").click()
    harness.wait_for(lambda: master.told()["calls"] or None, 5)
    assert master.told()["calls"] == ["POST /cluster/undrain/relay-1"]


def test_classes_people_log_and_settings(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page("/admin")
    page.get_by_role("link", name="Classes").click()
    expect(page.get_by_role("row", name="수학 2")).to_contain_text("28 / 30")
    page.get_by_role("link", name="People").click()
    expect(page.get_by_role("button", name="Add person")).to_be_visible()  # classes name their teachers too
    expect(page.get_by_role("row", name="김선생")).to_contain_text("Teacher")
    expect(page.get_by_text(sample_data.XSS)).to_be_visible()
    page.get_by_role("button", name="Add person").click()
    page.get_by_label("User name").fill("lee")
    page.get_by_label("Password").fill("long enough")
    page.get_by_role("dialog").get_by_role("button", name="Add person").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert (
        'POST /api/users {"name":"lee","password":"long enough","role":"teacher"}' in master.told()["calls"]
    )
    page.get_by_role("link", name="Log").click()
    expect(page.get_by_role("row", name="Node drained")).to_contain_text("relay-3")
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("row", name="JWT_SECRET_KEY")).to_contain_text("***")
    assert page.locator("img").count() == 0


def test_accounts_and_classes_are_changed(open_page: Open, master: FakeMasterProcess) -> None:
    page = open_page("/admin#/users")
    page.get_by_role("button", name="Change: 김선생").click()
    page.get_by_label("Role").select_option("monitor")
    page.get_by_label("New password").fill("long enough")
    page.get_by_role("button", name="Make a sign-in link").click()
    expect(page.get_by_text("/login#link=made-once")).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="김선생")).to_contain_text("Monitor")
    page.get_by_role("link", name="Classes").click()
    page.get_by_role("button", name="Change: 수학 2").click()
    page.get_by_label("Most students at once").fill("200")
    page.get_by_label("Language of the class").select_option("en")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("row", name="수학 2")).to_contain_text("28 / 200")
    assert [call for call in master.told()["calls"] if call.startswith("PATCH")] == [
        'PATCH /api/users/u2 {"role":"monitor","password":"long enough"}',
        'PATCH /api/classrooms/c2 {"capacity":200,"language":"en"}',
    ]


def test_the_backup_is_told(open_page: Open, master: FakeMasterProcess) -> None:
    expect(open_page("/admin").get_by_text("The last backup was made")).to_contain_text("1.4 MB")
    master.set(backup={"at": "", "size_bytes": 0})
    expect(open_page("/admin").get_by_text("There is no backup yet.")).to_be_visible()


def test_a_monitor_looks_and_a_teacher_does_not(open_page: Open, master: FakeMasterProcess) -> None:
    master.set(role="monitor")
    page = open_page("/admin")
    expect(page.get_by_text("You may look, but not change anything.")).to_be_visible()
    expect(page.get_by_role("button", name="Drain")).to_have_count(0)
    master.set(role="teacher")
    expect(open_page("/admin").get_by_text("Your account may not do this.")).to_be_visible()


@pytest.mark.timing
def test_updates_of_fifty_nodes_change_cells_and_keep_the_rows(
    open_page: Open, master: FakeMasterProcess
) -> None:
    def crowd(step: int) -> list[dict[str, object]]:
        return [
            sample_data.node(n, connections=(30 * n + step) % 150, load=(20 * n + step) % 100)
            for n in range(1, 51)
        ]

    nodes = crowd(0)
    master.set(nodes=nodes, summary=sample_data.summary(nodes))
    page = open_page("/admin")
    expect(page.get_by_role("row", name="relay-50")).to_be_attached()
    page.evaluate(WATCH_ROWS)
    for step in range(1, 21):
        nodes = crowd(step)
        lines = {
            "history": sample_data.history(360, 50 + step),
            "student_history": sample_data.history(360, 1500 - step),
        }
        news = {"type": "change", "nodes": nodes, "summary": sample_data.summary(nodes), **lines}
        master.set(push_monitor=news)
        expect(page.get_by_role("row", name="relay-50")).to_contain_text(f"{(30 * 50 + step) % 150} / 150")
    assert page.evaluate("window.rows") == 0
