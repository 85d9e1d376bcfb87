"""Importing a module does nothing: no file written, no socket, no process, no thread."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.policy.tree import ROOT, modules

SCRIPT = Path(__file__).with_name("import_all.py")
RUN_BY_ALEMBIC = "airclass.io.migrations"


def effects(*names: str, folder: Path = ROOT) -> str:
    """Return what importing these modules prints."""
    return subprocess.run(
        [sys.executable, "-B", "-W", "error", str(SCRIPT), *names],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    ).stdout


def test_importing_every_module_does_nothing() -> None:
    names = [name for name in modules() if not name.startswith(RUN_BY_ALEMBIC) and "__main__" not in name]
    assert len(names) > 20
    assert effects(*names) == ""


@pytest.mark.parametrize(
    "source",
    [
        "open('x', 'w').close()",
        "import os; os.mkdir('y')",
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.close()",
        "import subprocess; subprocess.run(['true'])",
        "import threading, time; threading.Thread(target=time.sleep, args=(0.5,)).start()",
        "raise RuntimeError('at import')",
    ],
)
def test_each_effect_is_seen(source: str, tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(source)
    assert effects("sample", folder=tmp_path) != ""
