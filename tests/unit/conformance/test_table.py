"""The document tells what was seen, every run of it, and what was not run."""

from __future__ import annotations

from tests.conformance.scenes import Result
from tests.conformance.table import notes_of, page, versions_of

FACTS = {"date": "2026-11-23 21:00 UTC", "cpu": "A CPU", "cores": "2", "kernel": "6.18"}


def line(text: str, heading: str, begins: str) -> str:
    """Return the row that begins so, after a heading."""
    rest = text.partition(heading)[2]
    return next(row for row in rest.splitlines() if row.startswith(begins))


def test_a_cell_tells_all_its_runs() -> None:
    runs = [
        Result("fmp4", "mpv", "restart", plays=True, gap_s=6.0, beyond_s=1.24, load=3),
        Result("fmp4", "mpv", "restart", plays=False, gap_s=7.0, beyond_s=12.0, load=9),
    ]
    text = page(runs, FACTS, {"mpv": "0.35.1"})
    row = line(text, "## The publisher", "| mpv")
    assert row == "| mpv | not run | 1 of 2, beyond 1.2 / 12.0 s (gap 6.0 / 7.0 s), load 9 | not run |"


def test_machine_and_versions_are_named() -> None:
    text = page([], FACTS, {"hls.js": "1.7.4", "mpv": "0.35.1"})
    assert "2026-11-23 21:00 UTC, A CPU, 2 cores, kernel 6.18" in text
    assert "hls.js 1.7.4, mpv 0.35.1." in text


def test_versions_of_an_earlier_document_are_read_back() -> None:
    versions = {"hls.js": "1.7.4", "WebKitGTK": "2.50.6", "mpv": "0.35.1"}
    assert versions_of(page([], FACTS, versions)) == versions
    assert versions_of("no line") == {}


def test_the_days_of_the_runs_are_told() -> None:
    days = [Result("mpegts", "vlc", "plain", plays=True, date=date) for date in ("2026-11-28", "2026-11-23")]
    assert "Runs of 2026-11-23 to 2026-11-28, A CPU" in page(days, FACTS, {})
    assert "Runs of 2026-11-28, A CPU" in page(days[:1], FACTS, {})


def test_what_failed_stands_out_with_its_reason() -> None:
    result = Result("mpegts", "vlc", "restart", plays=False, note="the picture is still 320 wide")
    assert "**no** (the picture is still 320 wide)" in page([result], FACTS, {})


def test_silence_is_told_as_requests_a_second() -> None:
    result = Result("mpegts", "chromium", "silence", plays=True, figure=0.65, beyond_s=0.4)
    row = line(page([result], FACTS, {}), "## Nobody", "| hls.js")
    assert "yes, 0.65 requests/s, beyond 0.4 s" in row


def test_a_takeover_is_told_as_its_gap_and_the_stall() -> None:
    result = Result("two-origins", "chromium", "takeover", plays=True, gap_s=2.41, stall_s=0.33, load=1)
    assert "yes, gap 2.4 s, stall 0.3 s, load 1" in line(
        page([result], FACTS, {}), "## Two origins", "| takeover"
    )


def test_errors_of_players_are_listed() -> None:
    result = Result("mpegts", "firefox", "plain", plays=True, errors={"bufferStalledError": 2})
    assert "- hls.js in Firefox ESR: bufferStalledError × 4" in page([result, result], FACTS, {})
    assert "Nothing." in page([], FACTS, {})


def test_what_was_written_by_hand_stays() -> None:
    notes = "\n\n## What to make of it\n\nThis.\n"
    first = page([], FACTS, {}, notes)
    assert first.endswith(notes)
    assert notes_of(first) == notes
    assert notes_of("no marker") == ""
