"""The three ingests that tests run against, behind one face: embedded, origin (Go) and mediamtx."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.harness.processes import ChildProcess, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).resolve().parents[2]
SECRET = "a-secret-between-ingest-and-relays"
KINDS = ("embedded", "origin", "mediamtx")
DEFAULT_KINDS = "embedded,origin"


@dataclass(frozen=True)
class IngestHarness:
    """A running ingest; `rtmp_url` and `hls_url` have no path."""

    kind: str
    rtmp_url: str
    hls_url: str
    child: ChildProcess
    api_url: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What a relay sends with every request."""
        return {"authorization": f"Bearer {SECRET}"}

    def publish_url(self, name: str) -> str:
        """Where a teacher pushes this stream to."""
        return f"{self.rtmp_url}/live/{name}"

    def base_url(self, name: str) -> str:
        """The folder of a stream's playlists, with a slash at the end."""
        return f"{self.hls_url}/live/{name}/"


def build_origin() -> Path:
    """Build tests/origin (Go's own cache makes the second time cheap) and return the binary."""
    binary = ROOT / "build" / "origin"
    subprocess.run(
        ["go", "build", "-buildvcs=false", "-o", str(binary), "."],
        cwd=ROOT / "tests" / "origin",
        env={**os.environ, "GONOSUMDB": "github.com/bluenviron/*", "GOTOOLCHAIN": "local"},
        check=True,
    )
    return binary


def command(kind: str, variant: str, ready_file: Path) -> list[str]:
    """Return the command line of an ingest on ports that the kernel chooses."""
    rtmp = hls = "127.0.0.1:0"
    if kind == "origin":
        return [
            *(str(build_origin()), "-rtmp", rtmp, "-hls", hls, "-variant", variant),
            *("-ready-file", str(ready_file)),
        ]
    module = "airclass.ingest.embedded" if kind == "embedded" else "airclass.ingest.mediamtx"
    return [
        *(sys.executable, "-m", module, "--rtmp", rtmp, "--hls", hls, "--variant", variant),
        *("--ready-file", str(ready_file)),
    ]


@asynccontextmanager
async def ingest_running(args: list[str], kind: str, ready_file: Path) -> AsyncIterator[IngestHarness]:
    """Run an ingest for the length of a block."""
    async with running(*args, folder=ready_file.parent, env={"HLS_CDN_SECRET": SECRET}) as child:
        addresses = await child.ready(ready_file)
        yield IngestHarness(
            kind, addresses["rtmp_url"], addresses["hls_url"], child, addresses.get("api_url", "")
        )


@asynccontextmanager
async def teacher_running(
    url: str, folder: Path, *more: str, size: str = "320x180"
) -> AsyncIterator[ChildProcess]:
    """Publish a small synthetic lesson (key frame every 2 s) for the length of a block."""
    small = ("--size", size, "--fps", "15", "--bitrate-kbps", "200")
    teacher = (sys.executable, "-m", "airclass.ingest.teacher", "--to", url, *small, *more)
    async with running(*teacher, folder=folder) as child:
        yield child
