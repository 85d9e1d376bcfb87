"""`python -m benchmarks.joins`: how long does a school wait to be let in, and how even are the nodes?

A real master with nodes that only send heartbeats; every student is a connection of their own, and
each time is counted from the moment a student meant to join, also when this program was late. Three
questions: 450 joins in one second over 3 nodes, 1,500 in five over 10, and the ingest's hook while
students join for seconds on end. Exit code 1 when a seat or an answer was wrong; times do not decide.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import cyclopts
import trio
from cyclopts import Parameter
from rich.table import Table

from benchmarks.reports import report
from benchmarks.reports.machine import cost, describe
from benchmarks.servers.master_process import MasterProcess, master_running

RESULTS = Path(__file__).parent / "results"
RATES = (200, 400, 600, 800, 1000)
HOOKS_PER_S = 20.0
CAPACITY = 150
ROOMY = 20_000
SCHOOLS = 200  # loopback addresses that students come from: the master limits joins by address
SETTLE_S = 1.0


@dataclass
class JoinResult:
    """What the students of one round met; times in seconds."""

    waits_s: list[float] = field(default_factory=list)
    hooks_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    hook_statuses: Counter[int] = field(default_factory=Counter)
    seats: Counter[str] = field(default_factory=Counter)


async def join(master: MasterProcess, number: int, due_s: float, seen: JoinResult) -> None:
    """Join as one student at a moment, and write down how it went."""
    await trio.sleep_until(due_s)
    body = json.dumps({"code": master.code, "name": f"student {number}"}).encode()
    school = number % SCHOOLS
    answer = await master.post("/api/join", body, source=f"127.0.{1 + school // 250}.{1 + school % 250}")
    seen.waits_s.append(trio.current_time() - due_s)
    seen.statuses[answer.status] += 1
    if answer.status == 200:
        joined = json.loads(answer.body)
        seat = next(iter(joined["priority"]), "")  # none: every node was silent for too long
        seen.seats[seat] += 1
        master.watch(seat, joined["token"])


async def knock(master: MasterProcess, due_s: float, seen: JoinResult) -> None:
    """Ask as MediaMTX does whether somebody may publish."""
    await trio.sleep_until(due_s)
    ask = {"action": "publish", "path": f"live/{master.stream}", "ip": "10.0.0.9", "protocol": "rtmp"}
    body = json.dumps({**ask, "query": f"token={master.stream_key}"}).encode()
    answer = await master.post("/hooks/mediamtx/auth", body)
    seen.hooks_s.append(trio.current_time() - due_s)
    seen.hook_statuses[answer.status] += 1


async def round_of(
    master: MasterProcess, students: int, seconds: float, *, hooks: bool = False
) -> dict[str, Any]:
    """Let students join evenly over some seconds; returns the figures."""
    seen = JoinResult()
    before, client_s = cost([master.pid]), time.process_time()
    began_s = trio.current_time() + 0.1
    dice = random.Random(1)
    async with trio.open_nursery() as nursery:
        for number in range(students):
            nursery.start_soon(join, master, number, began_s + seconds * number / students, seen)
        for number in range(int(seconds * HOOKS_PER_S) if hooks else 0):
            nursery.start_soon(knock, master, began_s + (number + dice.random()) / HOOKS_PER_S, seen)
    elapsed_s = trio.current_time() - began_s
    spent_s = cost([master.pid]).cpu_s - before.cpu_s
    return {
        "students": students,
        "asked_per_s": students / seconds,
        "answered_per_s": students / elapsed_s,
        "statuses": dict(seen.statuses),
        "seats": dict(sorted(seen.seats.items())),
        "join_ms": _spread(seen.waits_s),
        "hook_ms": _spread(seen.hooks_s),
        "hook_statuses": dict(seen.hook_statuses),
        "master_cpu_ms_per_join": 1000 * spent_s / students,
        "client_busy": (time.process_time() - client_s) / elapsed_s,
    }


def _spread(values_s: list[float]) -> dict[str, float | None]:
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {k: _ms(report.percentile(values_s, share)) for k, share in shares.items()}


def _ms(value_s: float | None) -> float | None:
    return None if value_s is None else round(1000 * value_s, 2)


async def herd(nodes: int, seconds: float) -> dict[str, Any]:
    """Fill a cluster exactly; one more must be told to wait."""
    async with master_running(nodes, CAPACITY) as master:
        await trio.sleep(SETTLE_S)
        facts = await round_of(master, nodes * CAPACITY, seconds)
        late = JoinResult()
        await join(master, -1, trio.current_time(), late)
        right = facts["seats"] == dict.fromkeys(master.nodes, CAPACITY) and late.statuses == {503: 1}
        return {**facts, "nodes": nodes, "one_more": dict(late.statuses), "right": right}


async def flood(rates: tuple[int, ...], seconds: float) -> list[dict[str, Any]]:
    """Let students join at growing rates, and the ingest ask meanwhile."""
    found = []
    for rate in rates:
        async with master_running(10, ROOMY) as master:
            await trio.sleep(SETTLE_S)
            facts = await round_of(master, int(rate * seconds), seconds, hooks=True)
            right = facts["statuses"] == {200: int(rate * seconds)} and facts["hook_statuses"].keys() == {204}
            found.append({**facts, "nodes": 10, "right": right})
    return found


def show(record: dict[str, Any]) -> None:
    """Print one line per round."""
    table = Table(
        *("round", "asked/s", "answered/s", "join p50 ms", "p99", "max", "hook p50 ms", "p99", "max"),
        *("master ms/join", "client", "seats", "right"),
    )
    for name, facts in rounds(record):
        seats = facts["seats"].values()
        table.add_row(
            name,
            report.number(facts["asked_per_s"], 0),
            report.number(facts["answered_per_s"], 0),
            *(report.number(facts["join_ms"][k], 1) for k in ("p50", "p99", "max")),
            *(report.number(facts["hook_ms"][k], 1) for k in ("p50", "p99", "max")),
            report.number(facts["master_cpu_ms_per_join"]),
            f"{100 * facts['client_busy']:.0f} %",
            f"{min(seats, default=0)}–{max(seats, default=0)}",
            "yes" if facts["right"] else f"[red]NO[/] {facts['statuses']}",
        )
    out = report.console()
    out.print(table)
    out.print(report.machine_line(record["machine"]))


def rounds(record: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return all rounds of a result with their names."""
    result = record["result"]
    herds = [(f"{h['students']} over {h['nodes']} nodes", h) for h in result["herds"]]
    return herds + [(f"hook, {f['asked_per_s']:.0f} joins/s", f) for f in result["floods"]]


def main(
    *rates: int,
    seconds: float = 5.0,
    small: bool = False,
    json_path: Annotated[Path, Parameter(name="--json")] = RESULTS / "joins.json",
) -> None:
    """Let schools join; RATES are joins a second while the ingest's hook is watched.

    Parameters
    ----------
    seconds
        How long each of the rates lasts.
    small
        One herd only, over 3 nodes.
    json_path
        Where the figures go.
    """
    setup = {"rates": rates or RATES, "seconds": seconds, "small": small}

    async def run() -> dict[str, Any]:
        herds = [await herd(3, 1.0)]
        if not small:
            herds.append(await herd(10, 5.0))
        return {"herds": herds, "floods": await flood(rates or RATES, seconds)}

    record = {"machine": describe(), "setup": setup, "result": trio.run(run)}
    show(record)
    report.save(record, json_path)
    sys.exit(0 if all(facts["right"] for _, facts in rounds(record)) else 1)


if __name__ == "__main__":
    cyclopts.run(main)
