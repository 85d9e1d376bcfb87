"""docs/chaos.md: one line a fault, what went wrong beside it, and what was written by hand kept."""

from __future__ import annotations

from tests.chaos.table import NOTES, notes_of, page
from tests.chaos.verdict import Outcome

GOOD = Outcome("a", "one thing breaks", "nothing", viewers=90, started=90, browser_plays=True, load=1.5)
BAD = Outcome("b", "another", "little", 90, 90, 2, 5, 3.25, 4.0, 30, 0.5, problems=["2 viewers were lost"])
BAD.browser_plays, BAD.browser_stalls_ms = False, [1200]


def test_rows_stand_in_the_order_of_the_plan() -> None:
    text = page([BAD, GOOD], {"a": "On a machine."}, "", ["a", "b"])
    rows = [line for line in text.splitlines() if line.startswith("| ") and "fault |" not in line]
    assert rows == [
        "| one thing breaks | nothing | yes | 90 | 0 | 0 | – | – | 0 | – | 0 stalls | 1.5 |",
        "| another | little | **no** | 90 | 2 | 5 | 3.2 | 4.0 | 30 | 0.5 | 1.2 s, stands still | 0.0 |",
    ]
    assert "(`a`): 90 of 90 played, watched 0 s. On a machine." in text
    assert "    - Not kept: 2 viewers were lost." in text


def test_notes_by_hand_are_kept() -> None:
    text = page([GOOD], {}, NOTES + "\nRead this.\n")
    assert notes_of(text) == NOTES + "\nRead this.\n"
    assert page([GOOD], {}, notes_of(text)) == text
    assert notes_of(page([GOOD], {}, "")) == ""


def test_a_long_run_is_told_beside_the_faults() -> None:
    growth = {"after_s": 600.0, "rss_percent": 0.4, "descriptors": 0.0}
    relay = {"cpu_percent": 6.0, "rss_mb": 60.0, "memfd_mb": 7.0}
    seen = {"viewers": 150, "elapsed_s": 1800, "stalls": 0, "endurance": {"growth": growth}, "relay": relay}
    machine = dict.fromkeys(("cores", "cpu", "memory", "kernel", "congestion_control", "python", "date"), "x")
    text = page([GOOD], {}, "", (), {"result": seen, "machine": machine})
    assert "| 150 | 30.0 | 0 | +0.4 % | +0 | 6.0 % of a core, 60 MB + 7 MB media |" in text
