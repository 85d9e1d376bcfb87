"""docs/TEST_REPORT_KR.md and the list of every test, from cases and figures. Pure; holds the Korean words."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.report.areas import PROMISES, PROMISES_PLACE, grouped
from tests.report.figures import figures
from tests.report.read import FAILED, PASSED, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.report.read import Case

WORDS = {PASSED: "통과", FAILED: "**실패**", SKIPPED: "건너뜀"}
FENCE = "~~~~"
#: where the list of every test is written: it is long, and true of one run only
LISTING = "build/report/tests.md"


@dataclass(frozen=True)
class RunnerSummary:
    """What was run, on what; `missing`: areas without a case; `by_hand`: parts run apart, and when."""

    version: str
    commit: str
    date: str
    machine: str
    versions: Sequence[str]
    missing: Sequence[str] = ()
    by_hand: Sequence[str] = ()


@dataclass(frozen=True)
class ReportPicture:
    """A screenshot and what it shows."""

    path: str
    title: str


def report(
    run: RunnerSummary,
    cases: Sequence[Case],
    results: Mapping[str, Mapping[str, Any]],
    pictures: Sequence[ReportPicture],
) -> str:
    """Return the summary: counts, the eight checks, areas, failures, figures and pictures."""
    areas = grouped(cases)
    lines = [
        "# 시험 보고서",
        "",
        "이 문서는 `make report`가 실제 실행 결과로 만듭니다. 손으로 고치지 않습니다.",
        f"모든 시험의 이름과 결과는 같은 명령이 `{LISTING}`에 씁니다.",
        "",
        "| | |",
        "|---|---|",
        f"| 버전 | AIRClass {run.version}, 커밋 `{run.commit}` |",
        f"| 실행한 때 | {run.date} |",
        f"| 컴퓨터 | {run.machine} |",
        f"| 도구 | {', '.join(run.versions)} |",
        f"| 결과 | {_totals(cases)} |",
        "",
    ]
    if run.by_hand:
        lines += [
            f"따로 실행한 부분(`make test-compose`, `make test-install`): {', '.join(run.by_hand)}.",
            "",
        ]
    if run.missing:
        lines += [f"실행되지 않은 부분: {', '.join(run.missing)}. 이 보고서는 완전하지 않습니다.", ""]
    lines += ["## 2.0의 여덟 가지 확인", "", *_promises(cases), ""]
    lines += ["## 영역별 결과", "", *_summary(areas), ""]
    failed = [case for case in cases if case.result == FAILED]
    if failed:
        lines += ["## 실패한 시험", "", *_failures(failed)]
    lines += ["## 측정값", "", *figures(results)]
    lines += ["## 화면", "", *_pictures(pictures), ""]
    return "\n".join(lines).rstrip() + "\n"


def listing(run: RunnerSummary, cases: Sequence[Case]) -> str:
    """Return the list of every test by area; tests that differ by their values alone are one line."""
    lines = [
        "# 모든 시험",
        "",
        f"AIRClass {run.version}, 커밋 `{run.commit}`, {run.date}. {_totals(cases)}.",
        "",
        "이름은 코드에 있는 그대로입니다. 값만 다른 시험은 한 줄로 묶고 개수를 적었습니다.",
        "",
    ]
    for title, of in grouped(cases).items():
        lines += _area(title, of)
    return "\n".join(lines).rstrip() + "\n"


def _totals(cases: Iterable[Case]) -> str:
    counts = Counter(case.result for case in cases)
    parts = [f"시험 {counts.total():,}개 가운데 통과 {counts[PASSED]:,}", f"실패 {counts[FAILED]:,}"]
    return ", ".join([*parts, f"건너뜀 {counts[SKIPPED]:,}"])


def _promises(cases: Sequence[Case]) -> list[str]:
    lines = ["| 확인 | 결과 | 시간 |", "|---|---|---:|"]
    for function, title in PROMISES:
        of = [c for c in cases if c.place == PROMISES_PLACE and c.function == function]
        result = WORDS[_worst(of)] if of else "실행되지 않음"
        lines.append(f"| {title} | {result} | {_seconds(of) if of else '–'} |")
    return lines


def _summary(areas: Mapping[str, Sequence[Case]]) -> list[str]:
    lines = ["| 영역 | 시험 | 통과 | 실패 | 건너뜀 | 시간 |", "|---|---:|---:|---:|---:|---:|"]
    for title, of in areas.items():
        counts = Counter(case.result for case in of)
        cells = (title, len(of), counts[PASSED], counts[FAILED], counts[SKIPPED], _seconds(of))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def _failures(failed: Sequence[Case]) -> list[str]:
    lines: list[str] = []
    for case in failed:
        lines += [f"### `{case.place}` {_cell(case.name)}", "", FENCE, case.message, FENCE, ""]
    return lines


def _pictures(pictures: Sequence[ReportPicture]) -> list[str]:
    lines: list[str] = []
    for picture in pictures:
        lines += [f"**{picture.title}**", "", f"![{picture.title}]({picture.path})", ""]
    return lines


def _area(title: str, of: Sequence[Case]) -> list[str]:
    counts = Counter(case.result for case in of)
    what = f"{len(of):,}개, 통과 {counts[PASSED]:,}"
    lines = [f"## {title}", "", f"{what}, {_seconds(of)}.", ""]
    lines += ["| 파일 | 시험 | 개수 | 결과 | 시간 |", "|---|---|---:|---|---:|"]
    groups: dict[tuple[str, str], list[Case]] = defaultdict(list)
    for case in of:
        groups[case.place, case.function].append(case)
    for (place, function), alike in groups.items():
        cells = (f"`{place}`", _cell(function), len(alike), WORDS[_worst(alike)], _seconds(alike))
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return [*lines, ""]


def _worst(of: Sequence[Case]) -> str:
    found = {case.result for case in of}
    return next(result for result in (FAILED, SKIPPED, PASSED) if result in found)


def _seconds(of: Iterable[Case]) -> str:
    seconds = sum(case.seconds for case in of)
    return f"{seconds:,.0f} s" if seconds >= 10 else f"{seconds:.2f} s"


def _cell(text: str) -> str:
    """Return a name as it may stand in a table: test_a_student_plays → a student plays."""
    words = text.removeprefix("test_").replace("_", " ") if " " not in text else text
    plain = "".join(sign if sign.isprintable() else " " for sign in words)
    for sign in "\\|<>*`[]":
        plain = plain.replace(sign, f"\\{sign}")
    return plain
