"""Results of three runners, read as cases: none is lost, none is bettered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.report.read import FAILED, PASSED, SKIPPED, Case, cases

if TYPE_CHECKING:
    from pathlib import Path

JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" tests="4">
<testcase classname="tests.unit.a.test_x" name="test_b[1-x]" time="0.5" />
<testcase classname="tests.unit.a.test_x" name="test_b[2]" time="0.25">
<failure message="no">why</failure></testcase>
<testcase classname="tests.unit.a.test_x" name="test_c" time="1"><skipped message="x" /></testcase>
<testcase classname="tests.unit.a.test_x" name="test_d" time="1"><error message="gone">up</error></testcase>
</testsuite></testsuites>
"""
VITEST = """<?xml version="1.0" encoding="UTF-8" ?>
<testsuites><testsuite name="tests/unit/state/loginUrl.test.ts">
<testcase classname="tests/unit/state/loginUrl.test.ts" name="sign-in URLs &gt; [x]" time="0.002"></testcase>
</testsuite></testsuites>
"""
GO = [
    {"Action": "run", "Test": "TestA"},
    {"Action": "output", "Test": "TestA", "Output": "it broke\n"},
    {"Action": "fail", "Test": "TestA", "Elapsed": 0.5},
    {"Action": "pass", "Test": "TestB", "Elapsed": 0.1},
    {"Action": "fail", "Elapsed": 0.6},
]


def test_every_case_of_every_runner_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(JUNIT)
    (tmp_path / "b.xml").write_text(VITEST)
    (tmp_path / "c.json").write_text("\n".join(map(json.dumps, GO)))
    found = cases(sorted(tmp_path.iterdir()))
    assert found == [
        Case("frontend/tests/unit/state/loginUrl.test.ts", "sign-in URLs > [x]", PASSED, 0.002),
        Case("tests.unit.a.test_x", "test_b[1-x]", PASSED, 0.5),
        Case("tests.unit.a.test_x", "test_b[2]", FAILED, 0.25, "no\nwhy"),
        Case("tests.unit.a.test_x", "test_c", SKIPPED, 1.0),
        Case("tests.unit.a.test_x", "test_d", FAILED, 1.0, "gone\nup"),
        Case("tests/origin", "TestA", FAILED, 0.5, "it broke\n"),
        Case("tests/origin", "TestB", PASSED, 0.1),
    ]
    assert [case.function for case in found[:3]] == ["sign-in URLs > [x]", "test_b", "test_b"]
