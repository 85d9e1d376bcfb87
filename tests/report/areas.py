"""How cases are grouped: the first area whose beginning fits. And the eight checks of version 2.0."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.report.read import Case

AREAS = (
    ("tests.e2e.pages", "화면 — 실제 Chromium"),
    ("tests.e2e", "수업 전체 — 실제 Chromium, 실제 프로세스"),
    ("tests.browsers", "화면 — 실제 Firefox와 WebKit"),
    ("tests.compose", "Docker Compose — 실제 엔진"),
    ("tests.machine", "설치 — 실제 컴퓨터처럼 부팅한 시스템"),
    ("tests.integration.ops", "운영 도구 — 실제로 실행"),
    ("tests.integration.network", "나쁜 네트워크 — 손실, 단절, 지연"),
    ("tests.integration", "통합 — 실제 프로세스와 소켓"),
    ("tests.contract", "계약 — 같은 시험을 여러 구현에"),
    ("tests.property", "속성 — 무작위 입력으로 규칙 확인"),
    ("tests.policy", "프로젝트 규칙과 문서"),
    ("tests.simulation", "가상 시간 시뮬레이션 — 마스터와 릴레이의 무작위 일정"),
    ("tests.unit.relay", "릴레이 — 단위"),
    ("tests.unit.airclass.domain", "마스터의 판단 규칙 — 단위"),
    ("tests.unit.airclass.web", "마스터의 웹과 API — 단위"),
    ("tests.unit.airclass.ops", "운영 도구 — 단위"),
    ("tests.unit.airclass.ingest", "내장 수신 서버 — 단위"),
    ("tests.unit.airclass", "마스터와 감독 프로세스 — 단위"),
    ("tests.unit", "시험 도구와 벤치마크 — 단위"),
    ("frontend/", "화면 — 단위 (vitest)"),
    ("tests/origin", "시험용 수신 서버 (Go)"),
)
OTHER = "그 밖"

PROMISES_PLACE = "tests.integration.ops.test_promises"
PROMISES = (
    ("test_the_files_are_there", "필요한 파일이 있다"),
    ("test_scripts_have_the_run_bit", "스크립트에 실행 권한이 있다"),
    ("test_the_monitor_runs_and_has_help", "모니터가 실행되고 도움말이 있다"),
    ("test_backup_makes_an_archive", "백업이 압축 파일을 만든다"),
    ("test_restore_works", "복원이 된다"),
    ("test_there_are_nine_metrics", "지표 9개가 나온다"),
    ("test_the_dashboard_answers", "대시보드가 열린다"),
    ("test_the_documents_are_there", "문서가 있다"),
)


def area(case: Case) -> str:
    """Return the title of a case's area."""
    return next((title for start, title in AREAS if case.place.startswith(start)), OTHER)


def grouped(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Return the cases by area, in the order of AREAS; those without cases are left out."""
    found: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        found[area(case)].append(case)
    titles = [*(title for _, title in AREAS), OTHER]
    return {title: found[title] for title in titles if title in found}
