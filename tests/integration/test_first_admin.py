"""A master's very first start: a terminal shows a link that makes one admin, once; no password is known."""

from __future__ import annotations

import os
import re
import sys
from functools import partial
from typing import TYPE_CHECKING

import httpx
import trio

from tests.harness.processes import running

if TYPE_CHECKING:
    from pathlib import Path

WHOLE_S = 40.0
COMMAND = (sys.executable, "-m", "airclass.cli.app", "master", "--bind", "127.0.0.1:0")
LINK = re.compile(rb"(http://127\.0\.0\.1:\d+)/login#link=([\w.-]+)&next=/admin")


def settings(folder: Path) -> dict[str, str]:
    return {"JWT_SECRET_KEY": "j" * 40, "CLUSTER_SECRET": "c" * 40, "DATA_DIR": str(folder / "data")}


async def printed(terminal: int, wanted: re.Pattern[bytes]) -> re.Match[bytes]:
    """Return what a terminal shows once it matches."""
    stream, shown = trio.lowlevel.FdStream(terminal), b""
    while (found := wanted.search(shown)) is None:
        shown += await stream.receive_some(4096)
    return found


async def test_the_link_on_the_terminal_makes_one_admin_once(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    env = {**os.environ, **settings(tmp_path)}
    with trio.fail_after(WHOLE_S):
        async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False) as http:
            run = partial(trio.run_process, COMMAND, env=env, stderr=theirs, check=False)
            await nursery.start(run)
            os.close(theirs)
            url, link = (part.decode() for part in (await printed(ours, LINK)).groups())
            body = {"link_token": link}
            signed_in = await http.post(f"{url}/api/login", json=body)
            assert signed_in.json()["user"]["role"] == "admin"
            assert (await http.post(f"{url}/api/login", json=body)).status_code == 401
            for password in ("", "admin", "password", "airclass"):
                answer = await http.post(f"{url}/api/login", json={"username": "admin", "password": password})
                assert answer.status_code in (400, 401)
            nursery.cancel_scope.cancel()


async def test_a_journal_gets_no_link(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    args = (*COMMAND, "--ready-file", ready)
    with trio.fail_after(WHOLE_S):
        async with running(*args, folder=tmp_path, env=settings(tmp_path)) as child:
            await child.ready(ready)
            assert "airclass token link --user admin" in child.output()
            assert "login#link" not in child.output()
