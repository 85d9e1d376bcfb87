"""Figures in the guides are those of the result files that they come from."""

from __future__ import annotations

import json

import pytest

from benchmarks.reports.tables import capacity_row
from tests.policy.tree import ROOT

RESULTS = sorted((ROOT / "benchmarks/results").glob("capacity-*.json"))


@pytest.mark.parametrize("guide", ["docs/PRODUCTION_DEPLOYMENT.md", "docs/ko/PRODUCTION_DEPLOYMENT.md"])
def test_what_one_pc_carries_is_what_was_measured(guide: str) -> None:
    text = (ROOT / guide).read_text()
    assert len(RESULTS) >= 3
    for path in RESULTS:
        record = json.loads(path.read_text())
        assert record["machine"]["cores"] == "2", "the guides speak of a PC with 2 cores"
        assert capacity_row(record, cores=2) in text
