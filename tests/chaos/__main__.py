"""`python -m tests.chaos [ROW …]`: break things under a class and publish what viewers noticed.

Each row (faults.py) is a school of its own (rig.py) with viewers at it (watch.py); verdict.py counts
and judges, table.py writes docs/chaos.md from all rows that are kept in benchmarks/results/chaos.json.
Exit code 1 when a promise was not kept.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cyclopts
import trio

from benchmarks.reports.machine import describe
from benchmarks.reports.report import machine_line
from tests.chaos.chaos_cluster import rig
from tests.chaos.faults import PASSWORD, ROWS, FaultContext, FaultRow
from tests.chaos.history import HistoryWriter
from tests.chaos.table import notes_of, page
from tests.chaos.verdict import Outcome, count, judge
from tests.chaos.viewers import ChaosViewers, FaultWindow
from tests.simulation.history import check

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "benchmarks" / "results" / "chaos.json"
SOAK = KEPT.with_name("soak.json")
DOCUMENT = ROOT / "docs" / "chaos.md"
LEAD_S = 2.0
ROW_S = 240.0
KEEP_LOGS = ROOT / "build" / "chaos"


def chaos(*rows: str, viewers: int = 90, table: bool = False, list_rows: bool = False) -> int:
    """Break things under a class and say what viewers noticed.

    Parameters
    ----------
    rows
        Which faults; all of them if none is named.
    viewers
        How many modelled viewers watch, on three relays.
    table
        Only write the document again from the results that are kept.
    list_rows
        Print the names of the rows and end.
    """
    known = {row.name: row for row in ROWS}
    if list_rows:
        sys.stdout.write("\n".join(known) + "\n")
        return 0
    if unknown := set(rows) - set(known):
        sys.stderr.write(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}\n")
        return 2
    kept: dict[str, dict[str, Any]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    failed = 0
    for name in () if table else rows or known:
        outcome = trio.run(_row, known[name], viewers)
        failed += not outcome.kept
        kept[name] = {"machine": describe(), "outcome": asdict(outcome)}
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")
        _write(kept)
        _say(outcome)
    if table:
        _write(kept)
    return 1 if failed else 0


def _write(kept: dict[str, dict[str, Any]]) -> None:
    notes = notes_of(DOCUMENT.read_text()) if DOCUMENT.exists() else ""
    machines = {n: f"{machine_line(k['machine'])}, {k['machine']['date']}." for n, k in kept.items()}
    outcomes = [Outcome(**record["outcome"]) for record in kept.values()]
    soak = json.loads(SOAK.read_text()) if SOAK.exists() else None
    DOCUMENT.write_text(page(outcomes, machines, notes, [row.name for row in ROWS], soak))


async def _row(row: FaultRow, viewers: int) -> Outcome:
    outcome = Outcome(row.name, row.fault, row.promise.text)
    with tempfile.TemporaryDirectory(prefix="airclass-chaos-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        try:
            with trio.fail_after(ROW_S), row.setting(folder) as setting:
                async with rig(folder, setting.plan) as it:
                    scene = FaultContext(it, "", outcome.notes, setting.net)
                    await _watched(row, scene, viewers, outcome, folder)
        except Exception as exc:  # noqa: BLE001 - one row that fails must not end the run
            outcome.problems.append(f"the row could not be run: {exc!r}")
            traceback.print_exc()
        if outcome.problems:
            _keep_logs(folder, row.name)
    return outcome


async def _watched(row: FaultRow, scene: FaultContext, viewers: int, outcome: Outcome, folder: Path) -> None:
    it = scene.rig
    await it.add_user("kim", PASSWORD)
    await it.playback_urls(1)
    window = FaultWindow(it.student_url)
    await window.playing()
    scene.victim = window.pathway
    seconds = LEAD_S + row.act_s + row.after_s
    crowd = ChaosViewers(await it.playback_urls(viewers), seconds, folder)
    written = _history_file(row.name)
    writer = HistoryWriter(it, written)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(writer.run)
            await crowd.steady()
            await trio.sleep(LEAD_S)
            outcome.load = round(os.getloadavg()[0], 1)
            fault_s = time.time()
            window.note()
            writer.begin(row.name, scene.victim)
            await row.act(scene)
            writer.end(row.name)
            facts = await crowd.facts()
            outcome.watched_s = round(time.time() - fault_s, 1)
            nursery.cancel_scope.cancel()
    finally:
        crowd.close()
    events, violation = check(written)
    outcome.notes["Its history"] = f"{events} events, {violation or 'every invariant held'}"
    if violation is not None:
        outcome.problems.append(str(violation))
    outcome.browser_stalls_ms, outcome.browser_plays = await window.seen()
    outcome.notes["The browser sat at"] = window.pathway
    if window.cures:
        outcome.notes["Its page helped itself by"] = window.cures
    count(outcome, facts["viewers"], fault_s, row.promise.back_s)
    judge(outcome, row.promise)


def _history_file(row: str) -> Path:
    folder = KEEP_LOGS / row
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "history.jsonl").write_text("")
    return folder / "history.jsonl"


def _keep_logs(folder: Path, name: str) -> None:
    kept = KEEP_LOGS / name
    kept.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        (kept / log.name).write_bytes(log.read_bytes())


def _say(o: Outcome) -> None:
    lines = [
        f"{time.strftime('%H:%M:%S')} {o.row}: {'kept' if o.kept else 'NOT KEPT'}; {o.viewers} viewers, "
        f"{o.lost} lost, {o.stalled} stalled, longest {o.longest_s:.1f} s, last back {o.back_s:.1f} s, "
        f"{o.moved} moved, last {o.moved_s:.1f} s; browser {o.browser_stalls_ms} ms; load {o.load}",
        *(f"  {name}: {text}" for name, text in o.notes.items()),
        *(f"  {problem}" for problem in o.problems),
        *([f"  failed requests: {o.failures}"] if o.failures else []),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    app = cyclopts.App(name="python -m tests.chaos", result_action="return_value")
    app.default(chaos)
    sys.exit(app())
