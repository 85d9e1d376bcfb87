"""How much of the two cores their own tests reach: every file by the test of its name, and no other.

`make coverage` runs it. The cores hold the rules of HLS and of the control plane; a line of theirs that
only an end-to-end test happens to pass is not tested. Statements and branches count.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).resolve().parents[1]
CORES = {"relay/core": "tests/unit/relay/core", "airclass/domain": "tests/unit/airclass/domain"}
# What runs when a module is imported has no test's name: definitions and constants.
AT_IMPORT = r"^$"


def own_test(source: Path) -> Path:
    """Return the test file of a source file: the same path below tests/unit, with `test_` before the name."""
    for core, tests in CORES.items():
        if source.is_relative_to(core):
            return Path(tests) / source.relative_to(core).with_name(f"test_{source.name}")
    raise ValueError(f"{source} is in no core")


def sources() -> list[Path]:
    """Return the files of the cores that hold more than imports."""
    found = [path.relative_to(ROOT) for core in CORES for path in sorted((ROOT / core).rglob("*.py"))]
    return [path for path in found if path.name != "__init__.py"]


def measure(folder: Path) -> tuple[int, Coverage]:
    """Run the cores' unit tests once, noting which test reaches which line."""
    data = folder / "coverage"
    (folder / "rc").write_text(f"[run]\nbranch = true\ndata_file = {data}\nsource = {','.join(CORES)}\n")
    covered = ("--cov", f"--cov-config={folder / 'rc'}", "--cov-context=test", "--cov-report=")
    certain = ("-m", "not hypothesis")  # what only chance reaches is not reached
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *covered, *certain)
    command = (*command, *CORES.values())
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    coverage = Coverage(data_file=str(data), config_file=str(folder / "rc"))
    coverage.load()
    return status, coverage


def missed(coverage: Coverage, source: Path, folder: Path) -> list[str]:
    """Return what a file's own test does not reach, in words."""
    test = own_test(source)
    if not (ROOT / test).is_file():
        return [f"it has no test of its own: {test}"]
    report = folder / "report.json"
    mine = [AT_IMPORT, f"^{re.escape(str(test))}::"]
    with redirect_stdout(io.StringIO()):
        coverage.json_report(morfs=[str(ROOT / source)], contexts=mine, outfile=str(report))
    (figures,) = json.loads(report.read_text())["files"].values()
    lines = [f"line {number}" for number in figures["missing_lines"]]
    skipped = set(figures["missing_lines"])
    branches = [(a, b) for a, b in figures["missing_branches"] if a not in skipped]
    return lines + [f"line {a} never goes to {'its end' if b < 0 else f'line {b}'}" for a, b in branches]


def main() -> int:
    """Print what is missed; returns 0 when nothing is."""
    with tempfile.TemporaryDirectory(prefix="airclass-coverage-") as name:
        folder = Path(name)
        status, coverage = measure(folder)
        if status:
            return status
        files = sources()
        found = {source: missed(coverage, source, folder) for source in files}
    for source, words in found.items():
        for word in words:
            sys.stdout.write(f"{source}: {word}\n")
    whole = sum(not words for words in found.values())
    sys.stdout.write(f"{whole} of {len(files)} files reached whole by their own tests\n")
    return 0 if whole == len(files) else 1


if __name__ == "__main__":
    sys.exit(main())
