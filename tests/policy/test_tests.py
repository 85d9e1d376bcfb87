"""Nothing is skipped, expected to fail, mocked, or left switched on alone."""

from __future__ import annotations

import re

import pytest

from tests.policy.tree import texts

PYTHON = {
    "a skip": r"(mark|pytest|unittest)\.skip|importorskip|SkipTest|skipTest|skipif|(?<![.\w])skip\(",
    "an expected failure": r"\bxfail\b|expectedFailure",
    "a mock": r"unittest\.mock|\b(Magic|Async)?Mock\(|mocker\b|\bpatch\(",
    "a fixed sleep": r"\btime\.sleep\(\s*[\d.]",
}
TYPESCRIPT = {
    "a skip": r"\b(it|test|describe)\.(skip|todo|fails|skipIf|runIf)\b",
    "a test that runs alone": r"\b(it|test|describe)\.only\b",
}


def offences(sources: list[tuple[str, str]], banned: dict[str, str]) -> list[str]:
    return [
        f"{name}:{number}: {what}: {line.strip()}"
        for name, text in sources
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in banned.items()
        if re.search(pattern, line)
    ]


def test_python_tests_hide_nothing() -> None:
    sources = [s for s in texts("tests/*.py") if not s[0].startswith("tests/policy/")]
    assert offences(sources, PYTHON) == []


def test_page_tests_hide_nothing() -> None:
    assert offences(texts("frontend/tests/*.ts"), TYPESCRIPT) == []


@pytest.mark.parametrize(
    "line",
    [
        "@pytest.mark.skip",
        "@pytest.mark.skipif(True)",
        "pytest.skip('no')",
        "pytest.importorskip('x')",
        "@pytest.mark.xfail",
        "from unittest.mock import Mock",
        "time.sleep(1)",
    ],
)
def test_each_way_to_hide_is_seen(line: str) -> None:
    assert offences([("x", line)], PYTHON)


@pytest.mark.parametrize("line", ["it.only('x')", "describe.skip('x')", "test.todo('x')"])
def test_each_way_to_hide_a_page_test_is_seen(line: str) -> None:
    assert offences([("x", line)], TYPESCRIPT)
