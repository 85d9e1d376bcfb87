"""The results chapter of benchmarks/README.md, made from benchmarks/results.

`python -m benchmarks.reports.published` writes it between two marks; a policy test compares them, so every
published figure is that of a file in the tree.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.reports.report import machine_line, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Record = Mapping[str, Any]

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "benchmarks" / "README.md"
BEGIN, END = "<!-- results -->\n", "<!-- /results -->\n"
#: has its own document, docs/chaos.md
ELSEWHERE = ("chaos.json",)
#: columns of words; all others are of figures
WORDS = ("file", "server", "what", "ingest, parts")


def results() -> dict[str, Record]:
    """Return every result file by its name."""
    return {
        path.name: json.loads(path.read_text())
        for path in sorted(RESULTS.glob("*.json"))
        if path.name not in ELSEWHERE
    }


def chapter(records: Mapping[str, Record]) -> str:
    """Return the chapter; ValueError for a file of an unknown kind."""
    kinds = {"viewers": _viewers, "compare": _compare, "first-frame": _first_frame}
    kinds |= {"joins": _joins, "sockets": _sockets}
    sorted_in: dict[str, dict[str, Record]] = {kind: {} for kind in kinds}
    for name, record in records.items():
        sorted_in[_kind(name, record)][name] = record
    lines = [line for kind, table in kinds.items() if sorted_in[kind] for line in table(sorted_in[kind])]
    return "\n".join([*lines, *_machines(records)]) + "\n"


def replaced(document: str, text: str) -> str:
    """Return the document with the text between its marks; ValueError without marks."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the document has no marks for results")
    return before + begin + text + end + after


def _kind(name: str, record: Record) -> str:
    if "viewers" in record.get("result", {}):
        return "viewers"
    for kind in ("compare", "first-frame", "joins", "sockets"):
        if name.startswith(kind):
            return kind
    raise ValueError(f"{name}: no table for this file")


def _table(title: str, head: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    columns = head.split(" | ")
    rule = "|".join("---" if column in WORDS else "---:" for column in columns)
    return [
        *(f"### {title}", "", f"| {head} |", f"|{rule}|"),
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
    ]


def _viewers(records: Mapping[str, Record]) -> list[str]:
    rows = []
    for name, record in sorted(records.items(), key=lambda item: (item[1]["result"]["viewers"], item[0])):
        seen, setup = record["result"], record["setup"]
        relay = seen["relay"]
        rows.append(
            (
                f"`{name}`",
                f"{seen['viewers']:,} for {number(seen['elapsed_s'], 0)} s",
                f"{setup['ingest']}, {setup['part_s']} s",
                f"{seen['stalls']:,}",
                number(seen["startup_s"]["p95"]),
                number(seen["latency_s"]["p50"], 1),
                f"{number(relay['cpu_percent'], 1)} %",
                _memory_mb(relay),
                _long_turns(relay),
                number(relay["fetches_per_object"]),
                _bound(relay["push_p99_ms"]),
                number(seen["spread_ms"]["p99"], 0),
                number(seen["added_ms"]["p99"], 0),
                f"{100 * seen['client_busy']:.0f} %",
                f"{seen['generators']['rest_percent']:.0f} %",
            )
        )
    head = (
        "file | viewers | ingest, parts | stalls | start-up p95 s | latency p50 s | relay, of a core | "
        "MB + media | turns > 5 ms | fetches per object | part in the last socket p99 ms | "
        "after the first viewer p99 ms | after the origin's reader p99 ms | client | rest"
    )
    return _table("Viewers of one relay", head, rows)


def _compare(records: Mapping[str, Record]) -> list[str]:
    rows = []
    for name, record in records.items():
        for servers in record["result"].values():
            for server, facts in servers.items():
                times = facts.get("time_ms") or facts["spread_ms"]
                fair = facts["fair_rounds"]
                rows.append(
                    (
                        f"`{name}`",
                        server,
                        f"{facts.get('connections', record['setup']['ll_viewers']):,}",
                        number(facts["requests"] / facts["elapsed_s"], 0),
                        number(facts["us_per_request"], 1),
                        number(facts["ratio_to_nginx"]),
                        f"{number(times['p50'], 1)} / {number(times['p99'], 1)}",
                        _memory_mb(facts),
                        _long_turns(facts),
                        f"{sum(fair)} of {len(fair)}",
                        f"{100 * facts['client_busy']:.0f} %",
                        f"{facts['rest_percent']:.0f} %",
                    )
                )
    head = (
        "file | server | viewers | requests a second | µs a request | × nginx | ms p50 / p99 | MB + media | "
        "turns > 5 ms | fair rounds | client | rest"
    )
    return _table("The relay beside nginx", head, rows)


def _first_frame(records: Mapping[str, Record]) -> list[str]:
    rows = []
    for name, record in records.items():
        aims = record["aims_p95_s"]
        for what, key, aim in (
            ("first paint of the page", "first_paint_s", aims["paint"]),
            ("code to picture, alone", "alone_s", aims["alone"]),
            (f"code to picture, while {record['others']} others join", "beside_others_s", aims["beside"]),
        ):
            seen = record[key]
            cells = (number(seen["p50"]), number(seen["p95"]), number(seen["max"]), number(aim, 0))
            rows.append((f"`{name}`", what, *cells))
    return _table(
        "From the code to the first picture", "file | what | p50 s | p95 s | max s | aim p95 s", rows
    )


def _joins(records: Mapping[str, Record]) -> list[str]:
    rows = []
    for name, record in records.items():
        for facts in (*record["result"]["herds"], *record["result"]["floods"]):
            seats = facts["seats"].values()
            rows.append(
                (
                    f"`{name}`",
                    f"{facts['students']:,}",
                    number(facts["asked_per_s"], 0),
                    f"{facts['nodes']}",
                    f"{min(seats)} to {max(seats)}",
                    f"{number(facts['join_ms']['p50'], 1)} / {number(facts['join_ms']['p99'], 1)}",
                    f"{number(facts['hook_ms']['p50'], 1)} / {number(facts['hook_ms']['p99'], 1)}",
                    number(facts["master_cpu_ms_per_join"]),
                    "yes" if facts["right"] else "**no**",
                )
            )
    head = (
        "file | students | joins a second | nodes | seats on a node | join ms p50 / p99 | "
        "ingest's hook ms p50 / p99 | master ms/join | as expected"
    )
    return _table("A school comes in", head, rows)


def _sockets(records: Mapping[str, Record]) -> list[str]:
    rows = []
    for name, record in records.items():
        seen = record["result"]
        rows.append(
            (
                f"`{name}`",
                f"{seen['pages']:,}",
                number(seen["kb_per_page"], 1),
                f"{seen['idle']:,}",
                number(seen["kb_per_idle"], 1),
                number(seen["answer_ms_among_idle"], 1),
                f"{seen['let_go']:,}",
            )
        )
    head = "file | pages that wait | kB each | silent connections | kB each | answer among them ms | closed"
    return _table("Pages that wait", head, rows)


def _memory_mb(facts: Record) -> str:
    return f"{number(facts['rss_mb'], 1)} + {number(facts['memfd_mb'], 1)}"


def _long_turns(facts: Record) -> str:
    if "turns" not in facts:
        return "–"
    return f"{number(facts['long_turns'], 0)} of {number(facts['turns'], 0)}"


def _bound(value_ms: float | None) -> str:
    """Return a histogram's upper bound."""
    if value_ms is not None and math.isinf(value_ms):
        return "beyond all buckets"
    return number(value_ms, 0) if value_ms is None else f"≤ {number(value_ms, 0)}"


def _machines(records: Mapping[str, Record]) -> list[str]:
    where: dict[str, list[str]] = {}
    for name, record in records.items():
        machine = record["machine"]
        where.setdefault(machine_line(machine), []).append(f"`{name}` {machine['date'][:10]}")
    return ["### Machines", "", *(f"- {machine}: {', '.join(names)}." for machine, names in where.items())]


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m benchmarks.reports.published",
        description="Write the results chapter of benchmarks/README.md from benchmarks/results.",
    ).parse_args()
    README.write_text(replaced(README.read_text(), chapter(results())))
