"""The results chapter: a table for each kind of file, and nothing outside the marks is touched."""

from __future__ import annotations

import pytest

from benchmarks.reports.published import BEGIN, END, chapter, replaced, results

MACHINE = {
    **{"cpu": "CPU", "cores": "2", "memory": "4 GiB", "kernel": "6.1", "congestion_control": "bbr"},
    **{"python": "3.11.2", "date": "2026-01-02 03:04 UTC"},
}
SOCKETS = {
    "machine": MACHINE,
    "result": {
        **{"pages": 2000, "kb_per_page": 18.55, "idle": 10000, "kb_per_idle": 10.7},
        **{"answer_ms_among_idle": 4.2, "let_go": 10000},
    },
}


def test_a_file_becomes_a_row_with_its_machine() -> None:
    text = chapter({"sockets.json": SOCKETS})
    assert "| `sockets.json` | 2,000 | 18.6 | 10,000 | 10.7 | 4.2 | 10,000 |" in text
    assert "- 2 × CPU, 4 GiB, Linux 6.1 (bbr), Python 3.11.2: `sockets.json` 2026-01-02." in text


def test_every_result_file_has_a_row() -> None:
    text = chapter(results())
    assert [name for name in results() if f"| `{name}` |" not in text] == []


def test_an_unknown_kind_of_file_is_refused() -> None:
    with pytest.raises(ValueError, match=r"odd\.json: no table"):
        chapter({"odd.json": {"machine": MACHINE}})


def test_only_the_text_between_the_marks_changes() -> None:
    assert replaced(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}new\n{END}b\n"
    with pytest.raises(ValueError, match="no marks"):
        replaced("a\n", "new\n")
