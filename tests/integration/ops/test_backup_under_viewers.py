"""A backup is made while a class goes on, and no student sees it.

`VIEWERS=150 pytest tests/integration/ops/test_backup_under_viewers.py` is the full house, by hand.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from benchmarks.load.viewer_worker import WorkerOrders
from tests.harness.ingests import teacher_running
from tests.harness.processes import running
from tests.integration.ops.command import SECRET, run
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

VIEWERS = int(os.environ.get("VIEWERS", "8"))
BACKUPS = 3
WHOLE_S = 120.0
RAMP_S, SETTLE_S = 2.0, 3.0
POLL_S = 0.2
SETTINGS = f"MODE=standalone\nJWT_SECRET_KEY={SECRET}\nCLUSTER_SECRET={SECRET}\nINGEST=embedded\n"


@pytest.mark.timing
async def test_backups_while_a_class_goes_on_stop_nobody(tmp_path: Path) -> None:
    school, ready = tmp_path / "school", tmp_path / "ready.json"
    school.mkdir()
    (school / ".env").write_text(f"{SETTINGS}MAX_CONNECTIONS=300\nDATA_DIR={school}/data\n")
    airclass = (sys.executable, "-m", "airclass.cli.app")
    command = ("env", "-C", school, *airclass, "standalone", "--ports", "0", "--ready-file", ready)
    with trio.fail_after(WHOLE_S):
        async with running(*command, folder=tmp_path, env={"PYTHONPATH": str(ROOT)}) as child:
            record = await child.ready(ready, within_s=60)
            async with teacher_running(record["rtmp_url"], tmp_path):
                urls = await _joined(record)
                seen = await _backups_under(urls, school, record["master_url"])
    viewers = seen["viewers"]
    print(f"{len(viewers)} viewers, {BACKUPS} backups, {sum(len(v['stalls']) for v in viewers)} stalls")
    assert len(viewers) == VIEWERS
    assert all(viewer["startup_s"] is not None for viewer in viewers)
    assert [viewer["stalls"] for viewer in viewers if viewer["stalls"]] == []


async def _joined(record: dict[str, str]) -> list[str]:
    """Return an address to play from for each student, once there is a picture."""
    urls = []
    async with httpx.AsyncClient(timeout=10) as client:
        for n in range(VIEWERS):
            form = {"code": record["join_code"], "name": f"Student {n}"}
            answer = await client.post(f"{record['master_url']}/api/join", json=form)
            assert answer.status_code == 200, answer.text
            urls.append(answer.json()["pathways"][0]["url"])
        while (await client.get(urls[0])).status_code != 200:
            await trio.sleep(POLL_S)
    return urls


async def _backups_under(urls: list[str], school: Path, master_url: str) -> dict[str, Any]:
    """Let everybody watch, make the backups one after another, and return what was seen."""
    orders = WorkerOrders(urls, len(urls), RAMP_S, SETTLE_S, 12.0)
    crowd = await trio.lowlevel.open_process(
        [sys.executable, "-m", "benchmarks.load.viewer_worker"],
        stdin=-1,
        stdout=-1,
        cwd=ROOT,
    )
    assert crowd.stdin is not None
    assert crowd.stdout is not None
    await crowd.stdin.send_all(json.dumps(asdict(orders)).encode() + b"\n")
    said = b""
    while b"\n" not in said:
        said += await crowd.stdout.receive_some()
    for _ in range(BACKUPS):
        ran = await run("backup", folder=school, env={"MASTER_URL": master_url})
        assert ran.code == 0, ran.err
        assert "[WARN]" not in ran.out
    while chunk := await crowd.stdout.receive_some():
        said += chunk
    assert await crowd.wait() == 0
    seen: dict[str, Any] = json.loads(said.splitlines()[-1])
    return seen
