"""A failure counts at once on a steady machine; after a standstill of the machine the test runs once more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STANDS_STILL = "ctypes.PyDLL(None).usleep(400_000)"  # with the interpreter's lock held, nothing else runs
BODY = """
import ctypes
from pathlib import Path
import pytest

@pytest.mark.timing
def test_judged():
    runs = Path(__file__).with_name("runs")
    number = len(runs.read_text()) if runs.exists() else 0
    runs.write_text("x" * (number + 1))
    {stand}
    assert number >= {good_from}
"""


@pytest.mark.parametrize(
    ("stand", "good_from", "runs", "code"),
    [("pass", 1, 1, 1), (STANDS_STILL, 1, 2, 0), (STANDS_STILL, 2, 2, 1), (STANDS_STILL, 0, 1, 0)],
)
def test_a_failed_test_runs_again_only_after_a_standstill(
    stand: str, good_from: int, runs: int, code: int, tmp_path: Path
) -> None:
    file = tmp_path / "test_sample.py"
    file.write_text(BODY.format(stand=stand, good_from=good_from))
    xml = tmp_path / "timing.xml"
    options = ("-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml", f"--junitxml={xml}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert len((tmp_path / "runs").read_text()) == runs
    assert ("running it once more" in done.stdout) == (runs == 2)
    assert (f"assert 0 >= {good_from}" in done.stdout) == (good_from > 0), "the first traceback is shown"
    assert (f"assert 1 >= {good_from}" in done.stdout) == (good_from > 1)
    assert ("first_failure" in xml.read_text()) == (runs == 2)
