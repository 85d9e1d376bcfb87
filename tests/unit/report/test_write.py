"""The report says what the run said: counts, failures, the eight checks, figures with their machine."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from tests.chaos.faults import ROWS
from tests.report.areas import AREAS, OTHER, PROMISES, PROMISES_PLACE, area
from tests.report.figures import FAULTS, figures
from tests.report.read import FAILED, PASSED, Case
from tests.report.write import LISTING, ReportPicture, RunnerSummary, listing, report

ROOT = Path(__file__).parents[3]
RUN = RunnerSummary("3.0.0", "abc1234", "2026-01-01 00:00 UTC", "2 × CPU", ("Python 3.11.7",))
GOOD = Case("tests.unit.relay.core.test_x", "test_one_thing[a|b]", PASSED, 0.25)
ALSO = Case("tests.unit.relay.core.test_x", "test_one_thing[c]", PASSED, 0.5)
BAD = Case("tests.e2e.test_y", "test_other", FAILED, 61.0, "assert 1 == 2")


def written(*cases: Case, run: RunnerSummary = RUN) -> str:
    return report(run, cases, {}, [ReportPicture("images/x.png", "그림")])


def listed(*cases: Case) -> str:
    return listing(RUN, cases)


def test_cases_with_other_values_are_one_line() -> None:
    text = listed(GOOD, ALSO)
    assert "| `tests.unit.relay.core.test_x` | one thing | 2 | 통과 | 0.75 s |" in text
    assert "시험 2개 가운데 통과 2, 실패 0, 건너뜀 0" in text


def test_the_report_holds_counts_and_names_the_listing() -> None:
    text = written(GOOD, ALSO)
    assert "시험 2개 가운데 통과 2, 실패 0, 건너뜀 0" in text
    assert "| 릴레이 — 단위 | 2 | 2 | 0 | 0 | 0.75 s |" in text
    assert LISTING in text
    assert "one thing" not in text
    assert "실패한 시험" not in text


def test_a_failure_is_told_with_its_message() -> None:
    cases = (GOOD, Case(GOOD.place, "test_one_thing[z]", FAILED, 0.1, "boom"), BAD)
    assert "| one thing | 2 | **실패** |" in listed(*cases)
    text = written(*cases)
    assert "assert 1 == 2" in text
    assert "boom" in text
    assert "| 수업 전체 — 실제 Chromium, 실제 프로세스 | 1 | 0 | 1 | 0 | 61 s |" in text


def test_a_part_that_was_not_run_is_said() -> None:
    assert "실행되지 않은 부분: 계약" in written(
        GOOD,
        run=RunnerSummary(*(RUN.version, RUN.commit, RUN.date, RUN.machine, RUN.versions), missing=["계약"]),
    )


def test_parts_that_were_run_apart_are_in_it_with_their_time() -> None:
    case = Case("tests.machine.test_install", "test_one_pc", PASSED, 150.0)
    facts = (RUN.version, RUN.commit, RUN.date, RUN.machine, RUN.versions)
    text = written(GOOD, case, run=RunnerSummary(*facts, by_hand=["machine 2026-01-01 00:00 UTC"]))
    assert "따로 실행한 부분(`make test-compose`, `make test-install`): machine 2026-01-01 00:00 UTC." in text
    assert "| 설치 — 실제 컴퓨터처럼 부팅한 시스템 | 1 | 1 | 0 | 0 | 150 s |" in text


def test_the_eight_checks_exist_and_are_shown() -> None:
    tree = ast.parse((ROOT / (PROMISES_PLACE.replace(".", "/") + ".py")).read_text())
    functions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert len(PROMISES) == 8
    assert {name for name, _ in PROMISES} <= functions
    text = written(Case(PROMISES_PLACE, PROMISES[4][0], PASSED, 2.0))
    assert "| 복원이 된다 | 통과 | 2.00 s |" in text
    assert text.count("실행되지 않음") == 7


def test_every_test_folder_has_an_area() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        place = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        assert area(Case(place, "test_x", PASSED, 0.0)) != OTHER, place
    assert len({title for _, title in AREAS}) == len(AREAS)


def test_figures_stand_with_their_machine() -> None:
    results = {p.name: json.loads(p.read_text()) for p in (ROOT / "benchmarks/results").glob("*.json")}
    text = "\n".join(figures(results))
    assert results
    for name in results:
        assert f"{name}`" in text or name == "chaos.json"
    assert "Python 3." in text


def test_every_fault_has_a_korean_name() -> None:
    assert set(FAULTS) == {row.name for row in ROWS}


def test_names_cannot_break_the_table() -> None:
    odd = Case("frontend/tests/a.test.ts", "a | b <i> `x`\n*y*", PASSED, 0.0)
    assert "| a \\| b \\<i\\> \\`x\\` \\*y\\* | 1 |" in listed(odd)
