"""Players that others wrote, in front of the relay; `make conformance` runs it, by hand.

One cell is one client, one format and one scene (matrix.py). A client is started on the relay's
playlist and sampled (clients.py, player.html); while it plays, something happens to the teacher or to
a relay (scenes.py, rigs.py); what the samples say is a pure calculation (verdict.py), and
docs/conformance.md is written from the results (table.py).

Results are kept in results.json, beside this file, after each cell, so that a part of the matrix can be
run alone. A run adds its results to what is there, and all runs of a cell are told; with --fresh it
takes the place of the earlier ones (of another version, or of a machine that was busy).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

import cyclopts
import trio

from benchmarks.reports.machine import describe
from tests.conformance import clients, map_change_file, setups
from tests.conformance.matrix import Cell, by_source, chosen, events
from tests.conformance.page_server import PageServer, stage_running
from tests.conformance.scenes import PlayerScene, Result
from tests.conformance.table import notes_of, page, versions_of

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(__file__).parent / "results.json"
DOCUMENT = ROOT / "docs" / "conformance.md"
CELL_S = 240.0
HLSJS_FILE = ROOT / "frontend/node_modules/hls.js/dist/hls.min.js"


def conformance(only: str = "", *, fresh: bool = False, table: bool = False) -> int:
    """Let other people's players watch the relay.

    Parameters
    ----------
    only
        Regular expression over source/scene/client; without it the whole matrix.
    fresh
        Forget the earlier results of these cells first.
    table
        Only write the document again from the results that are kept.
    """
    results = [Result(**r) for r in json.loads(KEPT.read_text())]
    if table:
        _write(results)
        return 0
    cells = chosen(only)
    if not cells:
        return _fail(
            f"no cell matches {only!r}: give a part of source/scene/client, such as mpegts/restart/mpv"
        )
    lacking = [*clients.missing({c.client for c in cells}), *setups.missing({c.source for c in cells})]
    if lacking:
        return _fail(
            f"Missing: {' '.join(lacking)}. Install them first (apt-get install {' '.join(lacking)})."
        )
    if not HLSJS_FILE.exists():
        return _fail("hls.js is missing: run npm --prefix frontend ci first.")
    if fresh:
        again = {(cell.source, cell.client, event) for cell in cells for event in events(cell)}
        results = [r for r in results if (r.source, r.client, r.event) not in again]
    failed = trio.run(_all, cells, results)
    _write(results)
    return 1 if failed else 0


async def _all(cells: list[Cell], results: list[Result]) -> int:
    failed = 0
    async with stage_running() as stage:
        for source, of in by_source(cells).items():
            with tempfile.TemporaryDirectory(prefix="airclass-conformance-") as name:
                folder = Path(name)
                folder.chmod(0o755)
                try:
                    failed += await _source(source, of, folder, stage, results)
                except Exception as exc:  # noqa: BLE001 - one origin that fails must not end the run
                    failed += len(of)
                    _say(f"{source}: {exc!r}")
    return failed


async def _source(
    source: str, cells: list[Cell], folder: Path, stage: PageServer, results: list[Result]
) -> int:
    failed = 0
    async with AsyncExitStack() as stack:
        rig = None
        if source == "control":
            stage.files |= await map_change_file.make(folder)
        else:
            rig = await stack.enter_async_context(setups.rig(source, folder))
        for cell in cells:
            scene = PlayerScene(cell, rig, stage, folder)
            try:
                with trio.fail_after(CELL_S):
                    await scene.run()
            except Exception as exc:  # noqa: BLE001 - nor may one cell
                _say(f"{cell.name}: {exc!r}")
                failed += 1
            if rig is not None and rig.teacher.child is None:
                await rig.publish()
            for result in scene.results:
                failed += not result.plays
                _say(
                    f"{cell.name} {result.event}: plays={result.plays} start={result.start_s} "
                    f"stall={result.stall_s} gap={result.gap_s} beyond={result.beyond_s} "
                    f"figure={result.figure} {result.errors} {result.note} load={result.load}"
                )
            results += scene.results
            KEPT.write_text(json.dumps([asdict(r) for r in results], indent=1, ensure_ascii=False) + "\n")
    return failed


def _write(results: list[Result]) -> None:
    before = DOCUMENT.read_text()
    # a part of the matrix needs a part of the programs: the others were as they were then
    versions = versions_of(before) | clients.versions()
    DOCUMENT.write_text(page(results, describe(), versions, notes_of(before)))


def _say(text: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def _fail(text: str) -> int:
    sys.stderr.write(text + "\n")
    return 2


if __name__ == "__main__":
    app = cyclopts.App(name="python -m tests.conformance", result_action="return_value")
    app.default(conformance)
    sys.exit(app())
