"""What an operator typed and saw in the tests that are run by hand, kept in docs.

`make test-install` and `make test-compose` leave it in build/machine and build/compose, so that no test
changes the tree; `python -m tests.harness.transcript` takes what is there into docs/install-log.md and
docs/compose-log.md. Do that after a run that was green.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD, DOCS = ROOT / "build", ROOT / "docs"
INSTALL_HEAD = """\
# Installations, as they were typed

What `make test-install` does on machines of its own: a Debian 12 with systemd as its process 1, made by
debootstrap, behind a cable. With MEDIAMTX_PATH the ingest is MediaMTX itself, as its lines below say; else
`tests/origin` stands for it. Kept from a run; keys and tokens are left out. The tests check what is said,
and more: `tests/machine/test_install.py`.

"""
COMPOSE_HEAD = """\
# Docker Compose, as it was typed

What `make test-compose` does on a real Docker engine of its own, with the compose files of this project. No
image registry is asked: images made from packages stand for Python's, Caddy's, PostgreSQL's and Prometheus'
(`tests/compose/images.py`), `tests/origin` for MediaMTX', or with MEDIAMTX_PATH its own program; Grafana
cannot be had from packages and was not started. Kept from a run; keys and tokens are left out. The tests
check what is said here, and more: `tests/compose`.

"""
DOCUMENTS = {
    "install-log.md": (INSTALL_HEAD, ("machine/one-pc.md", "machine/cluster.md")),
    "compose-log.md": (COMPOSE_HEAD, ("compose/log.md",)),
}
PROGRESS = re.compile(r" (?:Container|Network|Volume) \S+ ")


def clean(text: str) -> str:
    """Return the text without tokens and stream keys."""
    text = re.sub(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "(token)", text)
    return re.sub(r"\b[a-z2-7]{32}\b", "(key)", text)


def brief(text: str) -> str:
    """Return the text with the last line alone of what Compose tells about each thing in a block."""
    kept: dict[str, str] = {}
    block = 0
    for number, line in enumerate(text.splitlines()):
        block += line.startswith("```")
        match = PROGRESS.match(line)
        about = f"{block} {match[0]}" if match else f"line {number}"
        kept.pop(about, None)
        kept[about] = line
    return "\n".join(kept.values())


def main() -> None:
    """Write the documents whose parts are all there; SystemExit when there is none."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.harness.transcript",
        description="Take what the last make test-install and make test-compose left in build into docs.",
    )
    parser.parse_args()
    written = []
    for name, (head, parts) in DOCUMENTS.items():
        found = [BUILD / part for part in parts]
        if all(path.is_file() for path in found):
            text = head + "\n".join(brief(path.read_text()).strip() + "\n" for path in found)
            (DOCS / name).write_text("\n".join(line.rstrip() for line in text.splitlines()) + "\n")
            written.append(name)
    if not written:
        raise SystemExit("Nothing is in build: run make test-install or make test-compose first.")
    print("written:", ", ".join(written))


if __name__ == "__main__":
    main()
