"""Runs the blocks of the documents that are marked with `<!-- run -->`, in a school of their own.

`python -m tests.integration.ops.documents` writes what they print into docs/terminal.md; the test beside
this file only looks that all of them work.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tests.harness.processes import running
from tests.integration.ops.command import ENV, Ran, program
from tests.policy.commands import blocks
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.policy.commands import Block

READY_S = 60.0
DOCUMENT = ROOT / "docs" / "terminal.md"
HEAD = """\
# What the commands print

Written by `python -m tests.integration.ops.documents`, which runs the marked commands of the other documents
beside a school on one PC (`airclass standalone`, the embedded ingest) and keeps what they print,
each command once.

"""
EXAMPLE = "20260122_201406"  # the date of the archive in the documents


@dataclass(frozen=True)
class Played:
    """One command of a block, and how it ended."""

    where: str
    command: str
    ran: Ran


@asynccontextmanager
async def school(folder: Path) -> AsyncIterator[dict[str, str]]:
    """Run a school on one PC; yields the environment in which an operator types."""
    settings = {**ENV, "HLS_CDN_SECRET": "d" * 40, "INGEST": "embedded"}
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    (folder / ".env").chmod(0o600)
    ready = folder / "ready.json"
    start = (sys.executable, "-m", "airclass.cli.app", "standalone", "--ports", "0", "--ready-file", ready)
    env = {**settings, "DATA_DIR": str(folder / "data"), "PYTHONPATH": str(ROOT)}
    async with running(*start, folder=folder, env=env) as child:
        record = await child.ready(ready, within_s=READY_S)
        path = os.pathsep.join((os.path.dirname(sys.executable), os.environ["PATH"]))
        yield {"PATH": path, "MASTER_URL": record["master_url"], "COLUMNS": "110", "NO_COLOR": "1"}


async def play(block: Block, folder: Path, env: dict[str, str]) -> list[Played]:
    """Run a block's commands one after another; `/mnt/nas` and the example archive are what is there."""
    played = []
    for line in block.text.replace("\\\n", " ").splitlines():
        archives = sorted(folder.glob("backups/airclass_backup_*.tar.gz"))
        command = line.replace("/mnt/nas", str(folder / "nas"))
        if archives and EXAMPLE in command:
            command = command.replace(EXAMPLE, archives[-1].name[16:31])
        played.append(Played(block.where, line, await program("bash", "-c", command, folder=folder, env=env)))
    return played


def to_run() -> list[Block]:
    """Return the marked blocks, in English: those in Korean hold the same commands."""
    return [block for block in blocks() if block.runs and "docs/ko/" not in block.where]


def first_runs(played: list[Played]) -> list[Played]:
    """Return the first run of each command: several documents hold the same ones."""
    first: dict[str, Played] = {}
    for one in played:
        first.setdefault(one.command, one)
    return list(first.values())


def page(played: list[Played], folder: Path) -> str:
    """Return the document: paths and tokens of this run are replaced by words."""
    lines = [HEAD.rstrip(), ""]
    where = ""
    for one in first_runs(played):
        if one.where != where:
            where = one.where
            lines += [f"## {Path(where).name}", ""]
        code = f"    # exit code {one.ran.code}" if one.ran.code else ""
        shown = (one.ran.out + one.ran.err).replace(str(folder), "~").rstrip()
        shown = re.sub(r"eyJ[\w.-]{20,}", "eyJ…", shown)
        shown = re.sub(r'("stream_key": ")[^"]+|(token=)[\w-]+', lambda m: (m[1] or m[2]) + "…", shown)
        lines += ["```console", f"$ {one.command}{code}", *shown.splitlines(), "```", ""]
    return "\n".join(lines).rstrip() + "\n"


async def main() -> None:
    """Run all of them and write the document."""
    with tempfile.TemporaryDirectory(prefix="airclass-documents-") as name:
        folder = Path(name)
        async with school(folder) as env:
            played = [one for block in to_run() for one in await play(block, folder, env)]
        DOCUMENT.write_text(page(played, folder))


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m tests.integration.ops.documents", description=__doc__
    ).parse_args()
    trio.run(main)
