"""The figures of benchmarks/results as Korean tables; each with its machine and date. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.reports.report import machine_line, number
from benchmarks.reports.tables import markdown

if TYPE_CHECKING:
    from collections.abc import Mapping

    Record = Mapping[str, Any]

FAULTS = {
    "relay-killed": "릴레이가 죽음 (`kill -9`)",
    "relay-hung": "릴레이가 12초 동안 멈춤",
    "relay-cut": "릴레이의 네트워크가 끊김",
    "relay-drained": "릴레이를 비움 (drain)",
    "ingest-hung": "수신 서버가 10초 동안 멈춤",
    "teacher-drops-5": "교사가 5초 뒤 다른 화면 크기로 돌아옴",
    "teacher-drops-30": "교사가 30초 뒤 다른 화면 크기로 돌아옴",
    "teacher-drops-60": "교사가 60초 뒤 다른 화면 크기로 돌아옴",
    "ingest-killed": "수신 서버가 죽고 5초 뒤 돌아옴",
    "master-killed": "마스터가 죽고 8초 뒤 돌아옴",
    "master-and-relay": "마스터와 릴레이가 함께 죽음",
    "clock-jumps": "시계가 한 시간 앞으로 감",
    "disk-full": "마스터의 디스크가 가득 참",
    "dns-dead": "이름 서버가 응답하지 않고 마스터가 다시 시작됨",
    "webhook-down": "알림을 받을 곳이 없을 때 릴레이가 죽음",
}


def figures(results: Mapping[str, Record]) -> list[str]:
    """Return the chapter's lines; `results` by file name."""
    viewers = {n: r for n, r in results.items() if "viewers" in r.get("result", {})}
    lines = [*_viewers(viewers)] if viewers else []
    if chaos := results.get("chaos.json"):
        lines += _chaos(chaos)
    for name, record in results.items():
        if name in viewers or name == "chaos.json":
            continue
        lines += _other(name, record)
    return lines


def _viewers(records: Mapping[str, Record]) -> list[str]:
    lines = [
        "### 릴레이 한 대의 학생 수",
        "",
        "실제 HTTP 클라이언트가 hls.js처럼 재생합니다. CPU는 릴레이가 쓴 코어 하나의 비율입니다.",
        "",
        "| 파일 | 학생 | 시작함 | 끊김 | 시작 p95 | 지연 p50 | 릴레이 CPU | 메모리 | 보낸 양 |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, record in sorted(records.items(), key=lambda item: item[1]["result"]["viewers"]):
        seen = record["result"]
        relay = seen.get("relay") or seen.get("ingest") or {}
        mbps = seen["body_bytes"] * 8e-6 / seen["elapsed_s"]
        memory_mb = relay.get("rss_mb", 0) + relay.get("memfd_mb", 0)
        cells = (
            f"`{name}`",
            str(seen["viewers"]),
            str(seen["started"]),
            str(seen["stalls"]),
            f"{number(seen['startup_s']['p95'])} s",
            f"{number(seen['latency_s']['p50'])} s",
            f"{number(relay.get('cpu_percent'), 1)} %",
            f"{number(memory_mb, 0)} MB",
            f"{number(mbps, 0)} Mb/s",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *_machines(records)]


def _chaos(record: Record) -> list[str]:
    lines = [
        "### 수업 중 고장",
        "",
        "자세한 내용과 장애별 기록은 [chaos.md](chaos.md)에 있습니다.",
        "",
        "| 장애 | 약속 지킴 | 학생 | 놓친 학생 | 멈춤을 본 학생 | 가장 긴 멈춤 | 마지막 학생 복귀 |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, row in record.items():
        seen = row["outcome"]
        some = bool(seen["stalled"])
        cells = (
            f"{FAULTS.get(name, seen['fault'])} (`{name}`)",
            "아니요" if seen["problems"] else "예",
            str(seen["viewers"]),
            str(seen["lost"]),
            str(seen["stalled"]),
            f"{seen['longest_s']:.1f} s" if some else "–",
            f"{seen['back_s']:.1f} s" if some else "–",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, "", *_machines(record)]


def _other(name: str, record: Record) -> list[str]:
    """Return a comparison's own table where it is one; else only that there is such a file."""
    try:
        table = markdown(dict(record), name).splitlines()
    except (AttributeError, KeyError, TypeError):
        return [f"`benchmarks/results/{name}`의 표는 `benchmarks/README.md`에 있습니다.", ""]
    return [f"### `{name}`", "", *table, ""]


def _machines(records: Mapping[str, Record]) -> list[str]:
    told: dict[str, list[str]] = {}
    for name, record in records.items():
        machine = record["machine"]
        told.setdefault(machine_line(machine), []).append(f"`{name}` {machine['date']}")
    return [line for machine, where in told.items() for line in (f"{machine}: {', '.join(where)}.", "")]
