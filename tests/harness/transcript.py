"""What an operator types and sees in the tests that are run by hand, kept beside their results.

`make test-install` and `make test-compose` write it to build/by-hand; no test changes the tree.
"""

from __future__ import annotations

import re
from pathlib import Path

BY_HAND = Path(__file__).resolve().parents[2] / "build" / "by-hand"
PROGRESS = re.compile(r" (?:Container|Network|Volume) \S+ ")


def keep(name: str, text: str, folder: Path = BY_HAND) -> Path:
    """Write a transcript without secrets and progress lines; `name` without suffix. Returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.md"
    path.write_text("\n".join(line.rstrip() for line in brief(clean(text)).splitlines()) + "\n")
    return path


def clean(text: str) -> str:
    """Return the text without tokens and stream keys."""
    text = re.sub(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "(token)", text)
    return re.sub(r"\b[a-z2-7]{32}\b", "(key)", text)


def brief(text: str) -> str:
    """Return the text with only the last line that Compose prints about each thing in a block."""
    kept: dict[str, str] = {}
    block = 0
    for number, line in enumerate(text.splitlines()):
        block += line.startswith("```")
        match = PROGRESS.match(line)
        about = f"{block} {match[0]}" if match else f"line {number}"
        kept.pop(about, None)
        kept[about] = line
    return "\n".join(kept.values())
