"""Published figures are those of the result files in the tree."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.reports.published import BEGIN, END, README, chapter, replaced, results
from benchmarks.reports.tables import capacity_row
from tests.policy.tree import ROOT, texts

RESULTS = sorted((ROOT / "benchmarks/results").glob("capacity-*.json"))
#: what only a measurement can say: what a request or a relay costs
MEASURED = re.compile(r"\d (?:µs|% of a core)")
RESULT_FILE = re.compile(r"\b(?:capacity|compare|first-frame|joins|soak|sockets|viewers)[\w-]*\.json\b")


@pytest.mark.parametrize("guide", ["docs/PRODUCTION_DEPLOYMENT.md", "docs/ko/PRODUCTION_DEPLOYMENT.md"])
def test_what_one_pc_carries_is_what_was_measured(guide: str) -> None:
    text = (ROOT / guide).read_text()
    assert len(RESULTS) >= 3
    for path in RESULTS:
        record = json.loads(path.read_text())
        assert record["machine"]["cores"] == "2", "the guides speak of a PC with 2 cores"
        assert capacity_row(record, cores=2) in text


def test_the_benchmarks_chapter_is_that_of_the_files() -> None:
    """When this fails: python -m benchmarks.reports.published."""
    text = README.read_text()
    assert text == replaced(text, chapter(results()))


def test_no_figure_is_published_beside_that_chapter() -> None:
    before, _, rest = README.read_text().partition(BEGIN)
    by_hand = before + rest.partition(END)[2]
    assert MEASURED.findall(by_hand) == []


def test_result_files_that_documents_name_exist() -> None:
    names = {path.name for path in (ROOT / "benchmarks/results").iterdir()}
    named = {(where, name) for where, text in texts("*.md") for name in RESULT_FILE.findall(text)}
    assert {(where, name) for where, name in named if name not in names} == set()
