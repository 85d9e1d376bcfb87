"""`python -m tests.report`: write docs/TEST_REPORT_KR.md, and the list of every test into build/report, from
the results of a run; `make report` runs both.

The runners leave their results in build/report (Makefile, target test); what is too slow for it is taken in
from build/by-hand, where `make test-compose` and `make test-install` leave it. `--from` takes other files, so
that the report can be written of a run that was made elsewhere.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from benchmarks.reports.machine import describe
from benchmarks.reports.report import machine_line
from relay import __version__
from tests.report.areas import AREAS, grouped
from tests.report.read import FAILED, cases
from tests.report.write import LISTING, ReportPicture, RunnerSummary, listing, report

ROOT = Path(__file__).resolve().parents[2]
LEFT, BY_HAND = ROOT / "build" / "report", ROOT / "build" / "by-hand"
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "TEST_REPORT_KR.md"
EXPECTED = ("pages.xml", "origin.json", "unit.xml", "integration.xml", "e2e.xml", "timing.xml")
PICTURES = (
    ReportPicture("images/student-live-390-light-ko.png", "학생: 휴대폰으로 수업 보기"),
    ReportPicture("images/student-reconnecting-390-light-ko.png", "학생: 선생님이 다시 연결하는 중"),
    ReportPicture("images/teacher-live-1280-light-ko.png", "교사: 수업 중"),
    ReportPicture("images/admin-1280-light-ko.png", "운영자: 대시보드"),
    ReportPicture("images/teacher-dropped-390-light-ko.png", "교사: 영상이 멈췄을 때"),
)
TOOLS = {"pytest": ("pytest", "--version"), "Go": ("go", "version"), "Chromium": ("chromium", "--version")}


def write(
    *,
    source: Annotated[list[Path] | None, Parameter(name="--from", consume_multiple=True)] = None,
    to: Path = DOCUMENT,
    tests_to: Path = ROOT / LISTING,
) -> int:
    """Write the report; exit code 1 when a case failed or a part of the run is missing.

    Parameters
    ----------
    source
        Result files (JUnit XML, Go's JSON lines) instead of those that `make test` left in build/report.
    to
        Where to write the report.
    tests_to
        Where to write the list of every test.
    """
    paths = source if source is not None else [LEFT / name for name in EXPECTED if (LEFT / name).exists()]
    by_hand = sorted(BY_HAND.glob("*.xml")) if source is None else []
    if not paths:
        sys.stderr.write("no results: run make test first, or name files with --from\n")
        return 2
    found = cases([*paths, *by_hand])
    run_areas = grouped(found)
    missing = [title for _, title in AREAS if title not in run_areas]
    results = {path.name: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    pictures = [picture for picture in PICTURES if (DOCUMENT.parent / picture.path).exists()]
    last = max(path.stat().st_mtime for path in paths)
    run = RunnerSummary(
        version=__version__,
        commit=_said("git", "describe", "--always", "--dirty"),
        date=_date(last),
        machine=machine_line(describe()),
        versions=[f"Python {platform.python_version()}", *_versions()],
        missing=missing,
        by_hand=[f"{path.stem} {_date(path.stat().st_mtime)}" for path in by_hand],
    )
    to.write_text(report(run, found, results, pictures))
    tests_to.parent.mkdir(parents=True, exist_ok=True)
    tests_to.write_text(listing(run, found))
    failed = sum(case.result == FAILED for case in found)
    sys.stdout.write(f"{to}: {len(found)} cases, {failed} failed\n")
    return 1 if failed or missing else 0


def _date(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _versions() -> list[str]:
    """Return the tools that can be found, each with the number that it calls itself by."""
    said = {name: re.search(r"\d+(\.\d+)+", _said(*command)) for name, command in TOOLS.items()}
    return [f"{name} {number[0]}" for name, number in said.items() if number]


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    app = cyclopts.App(name="python -m tests.report", result_action="return_value")
    app.default(write)
    sys.exit(app())
