"""Every test that docs/threats.md names exists, and every row names one."""

from __future__ import annotations

import re

from tests.policy.tree import ROOT, texts

NAMED = re.compile(r"`(test_\w+\.py)(?:::(test_\w+))?`")


def rows() -> list[str]:
    """Return the rows of the two tables of attacks and faults."""
    text = (ROOT / "docs/threats.md").read_text().partition("## Fuzzing")[0]
    return [
        line
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith(("|---", "| what is", "| fault |"))
    ]


def test_every_row_names_a_test() -> None:
    assert len(rows()) > 20
    assert [row for row in rows() if not NAMED.search(row)] == []


def test_every_test_that_is_named_exists() -> None:
    known = {
        (name.rpartition("/")[2], test)
        for name, text in texts("tests/*.py")
        for test in ["", *re.findall(r"def (test_\w+)\(", text)]
    }
    named = {found for row in rows() for found in NAMED.findall(row)}
    assert named - known == set()
