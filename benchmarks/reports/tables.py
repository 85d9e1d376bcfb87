"""Result files as Markdown: `python -m benchmarks.reports.tables FILE …`, for benchmarks/README.md."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.reports.report import machine_line, number

GIGABIT_BPS = 1e9


def markdown(record: dict[str, Any], name: str) -> str:
    """Return the tables of one result file, with its machine."""
    is_comparison = "viewers" not in record["result"]
    lines = _comparison(record) if is_comparison else _viewers(record)
    return "\n".join(
        (*lines, "", f"{machine_line(record['machine'])}, {record['machine']['date']}, `{name}`.", "")
    )


def capacity_row(record: dict[str, Any], cores: int) -> str:
    """Return what relay and ingest cost of one PC, and of its cable of 1 Gb/s: a row for the guides."""
    seen = record["result"]
    processor = (seen["relay"]["cpu_percent"] + seen["ingest"]["cpu_percent"]) / cores
    network = 100 * seen["body_bytes"] * 8 / seen["elapsed_s"] / GIGABIT_BPS
    latency_s = number(seen["latency_s"]["p50"], 1)
    return f"| {seen['viewers']} | {processor:.1f} % | {network:.0f} % | {seen['stalls']} | {latency_s} s |"


def _comparison(record: dict[str, Any]) -> list[str]:
    lines = [
        "| what | server | requests/s | µs a request | × nginx | ms p50 / p99 | stalls | client | rest |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for what, servers in record["result"].items():
        for server, facts in servers.items():
            times = facts.get("time_ms") or facts["spread_ms"]
            cells = (
                what,
                server,
                number(facts["requests"] / facts["elapsed_s"], 0),
                number(facts["us_per_request"], 1),
                number(facts["ratio_to_nginx"]),
                f"{number(times['p50'], 1)} / {number(times['p99'], 1)}",
                str(facts.get("stalls", "–")),
                f"{100 * facts['client_busy']:.0f} %",
                f"{facts['rest_percent']:.0f} %",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def _viewers(record: dict[str, Any]) -> list[str]:
    seen, setup = record["result"], record["setup"]
    relay = seen.get("relay") or seen.get("ingest", {})
    rows = {
        "viewers, started": f"{seen['viewers']}, {seen['started']}",
        "stalls": str(seen["stalls"]),
        "start-up p50 / p95 / max": _times(seen["startup_s"], ("p50", "p95", "max"), "s"),
        "latency p50 / p95": _times(seen["latency_s"], ("p50", "p95"), "s"),
        "requests a second": number(seen["requests"] / seen["elapsed_s"], 0),
        "relay": f"{number(relay.get('us_per_request'), 1)} µs a request, "
        f"{number(relay.get('cpu_percent'), 1)} % of a core, {number(relay.get('rss_mb'), 0)} MB",
        "fetches per object": number(relay.get("fetches_per_object")),
        "rest of the machine": f"{seen['generators']['rest_percent']:.0f} % of a core",
    }
    if "added_ms" in seen:
        rows["after the origin's reader p50 / p99"] = _times(seen["added_ms"], ("p50", "p99"), "ms")
    title = f"{setup['variant']}, parts of {setup['part_s']} s, ingest {setup['ingest'] or setup['url']}"
    return [f"| {title} | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def _times(values: dict[str, float | None], names: tuple[str, ...], unit: str) -> str:
    return " / ".join(number(values[name]) for name in names) + f" {unit}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reports.tables", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a file of benchmarks/results")
    for path in parser.parse_args().files:
        sys.stdout.write(markdown(json.loads(path.read_text()), path.name) + "\n")
