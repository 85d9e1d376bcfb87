"""Runs the `airclass` command as an operator would, in a folder of its own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RUN_S = 60.0
SECRET = "c" * 40
ENV = {"JWT_SECRET_KEY": SECRET, "CLUSTER_SECRET": SECRET}


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


async def run(
    *args: str | Path,
    folder: Path,
    env: Mapping[str, str] | None = None,
    input: str = "",
    prefix: tuple[str, ...] = (),
) -> Ran:
    """Run `airclass ARGS` in a folder; AssertionError when it takes longer than RUN_S."""
    return await program(
        *prefix, sys.executable, "-m", "airclass.cli.app", *args, folder=folder, env=env, input=input
    )


async def program(
    *args: str | Path, folder: Path, env: Mapping[str, str] | None = None, input: str = ""
) -> Ran:
    """Run any program in a folder."""
    with trio.move_on_after(RUN_S):
        done = await trio.run_process(
            [str(arg) for arg in args],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=input.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
    raise AssertionError(f"{args} took longer than {RUN_S} s")


def python_path() -> dict[str, str]:
    """Return what lets scripts find this checkout's command."""
    return {"AIRCLASS_BIN": os.path.join(os.path.dirname(sys.executable), "airclass")}
