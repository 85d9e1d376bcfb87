"""The files of the project, as git sees them, for the tests of this folder."""

from __future__ import annotations

import subprocess
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def files() -> tuple[Path, ...]:
    """Return every file that is or would be committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())


def texts(*patterns: str) -> list[tuple[str, str]]:
    """Return name and content of the text files whose path matches a pattern; `*` also matches slashes."""
    found = []
    for path in files():
        name = path.relative_to(ROOT)
        if patterns and not any(fnmatch(str(name), pattern) for pattern in patterns):
            continue
        data = path.read_bytes()
        if b"\0" not in data:
            found.append((str(name), data.decode("utf-8")))
    assert found, f"nothing matches {patterns}"
    return found


def modules() -> list[str]:
    """Return the dotted name of every module of the two packages."""
    names = []
    for path in files():
        name = path.relative_to(ROOT)
        if name.suffix == ".py" and name.parts[0] in {"airclass", "relay"}:
            dotted = ".".join(name.with_suffix("").parts)
            names.append(dotted.removesuffix(".__init__"))
    return sorted(names)
