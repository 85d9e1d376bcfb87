"""Starts what is measured: ingest, teacher, relay. Everything on loopback, every port the kernel's.

Each is a context manager that yields once its server answers and ends it afterwards; a
server that ends by itself is an error with its last lines of output.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from relay.base.errors import StartError
from relay.base.tokens import mint_viewer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
START_DEADLINE_S = 30.0
BUILD_DEADLINE_S = 300.0
END_DEADLINE_S = 8.0
POLL_S = 0.05
TOKEN_S = 4 * 3600
LOG_TAIL_BYTES = 2000
STREAM = "class"

MEDIAMTX = """\
logLevel: warn
rtsp: no
srt: no
webrtc: no
rtmpAddress: 127.0.0.1:{rtmp}
hlsAddress: 127.0.0.1:{hls}
hlsVariant: {variant}
hlsSegmentDuration: {segment_s}s
hlsPartDuration: {part_ms}ms
hlsAlwaysRemux: yes
hlsCDNSecret: {secret}
paths:
  all_others:
"""


@dataclass(frozen=True, slots=True)
class VideoFormat:
    """What is published and how the ingest cuts it; times in seconds."""

    variant: str = "lowLatency"
    part_s: float = 0.5
    segment_s: float = 2.0
    size: str = "1280x720"
    bitrate_kbps: int = 2000


@dataclass(frozen=True, slots=True)
class IngestServer:
    """A running ingest: where to publish, where to pull."""

    pid: int
    rtmp_url: str
    hls_url: str
    secret: str

    @property
    def origin_url(self) -> str:
        """The multivariant playlist of the stream that the teacher publishes."""
        return f"{self.hls_url}/live/{STREAM}/index.m3u8"


@dataclass(frozen=True, slots=True)
class RelayServer:
    """A running relay and the key that it checks tokens with."""

    pid: int
    url: str
    admin_url: str
    key: bytes

    def viewer_urls(self, count: int) -> list[str]:
        """Return one multivariant URL per viewer, each with a token of its own."""
        now_s = time.time()
        tokens = (
            mint_viewer(
                self.key,
                subject=f"viewer {n}",
                token_id=secrets.token_hex(8),
                classroom=STREAM,
                issued_at_s=now_s,
                expires_at_s=now_s + TOKEN_S,
            )
            for n in range(count)
        )
        return [f"{self.url}/t/{token}/{STREAM}/index.m3u8" for token in tokens]


@contextmanager
def child(
    name: str, argv: list[str], folder: Path, env: Mapping[str, str] | None = None, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program with its output in a file; ask it to end, then make it."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tail(folder: Path, name: str) -> str:
    """Return the last lines that a program wrote."""
    return (folder / f"{name}.log").read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()


def _ready(process: subprocess.Popen[bytes], name: str, folder: Path, file: Path) -> dict[str, str]:
    wait_until(lambda: file.exists() or process.poll() is not None)
    if file.exists() and process.poll() is None:
        found: dict[str, str] = json.loads(file.read_text())
        return found
    raise StartError(f"the {name} did not start:\n{tail(folder, name)}")


def python_env(**values: str) -> dict[str, str]:
    """Return the environment of a Python child: nothing of ours but what it is given."""
    return {"PATH": os.defpath, "PYTHONUNBUFFERED": "1", **values}


@contextmanager
def ingest(
    kind: str, picture: VideoFormat, folder: Path, mediamtx: str | None = None
) -> Iterator[IngestServer]:
    """Start the embedded ingest, the Go origin of the tests, or a MediaMTX binary."""
    secret = secrets.token_hex(16)
    if kind == "mediamtx":
        with _mediamtx(picture, folder, mediamtx, secret) as started:
            yield started
        return
    file = folder / "ingest.json"
    if kind == "origin":
        argv = [str(_built_origin(folder)), "-secret", secret, "-part", f"{picture.part_s}s"]
        argv += ["-segment", f"{picture.segment_s}s"]
        flag = "-"
    else:
        argv = [sys.executable, "-m", "airclass.ingest.embedded", "--part-s", str(picture.part_s)]
        argv += ["--segment-s", str(picture.segment_s)]
        flag = "--"
    argv += [f"{flag}variant", picture.variant, f"{flag}rtmp", "127.0.0.1:0", f"{flag}hls", "127.0.0.1:0"]
    argv += [f"{flag}ready-file", str(file)]
    with child("ingest", argv, folder, python_env(HLS_CDN_SECRET=secret)) as process:
        found = _ready(process, "ingest", folder, file)
        yield IngestServer(process.pid, found["rtmp_url"].rstrip("/"), found["hls_url"].rstrip("/"), secret)


def _built_origin(folder: Path) -> Path:
    go = shutil.which("go")
    if go is None:
        raise StartError("Go is missing: install it, or measure with --ingest embedded")
    program = folder / "origin"
    build = [go, "build", "-o", str(program), "."]
    subprocess.run(build, cwd=ROOT / "tests" / "origin", check=True, timeout=BUILD_DEADLINE_S)
    return program


@contextmanager
def _mediamtx(picture: VideoFormat, folder: Path, program: str | None, secret: str) -> Iterator[IngestServer]:
    found = shutil.which(program or "mediamtx")
    if found is None:
        raise StartError("MediaMTX is missing: say where it is with --mediamtx PATH")
    rtmp, hls = free_port(), free_port()
    config = folder / "mediamtx.yml"
    config.write_text(
        MEDIAMTX.format(
            rtmp=rtmp,
            hls=hls,
            secret=secret,
            variant=picture.variant,
            segment_s=picture.segment_s,
            part_ms=round(picture.part_s * 1000),
        )
    )
    with child("ingest", [found, str(config)], folder) as process:
        listening(process, "ingest", folder, hls)
        yield IngestServer(process.pid, f"rtmp://127.0.0.1:{rtmp}", f"http://127.0.0.1:{hls}", secret)


def free_port() -> int:
    """Return a port that was free a moment ago, for programs that cannot be given port 0."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def listening(process: subprocess.Popen[bytes], name: str, folder: Path, port: int) -> None:
    """Return once the port takes connections; raises StartError when the program ends or never does."""
    wait_until(lambda: _connects(port) or process.poll() is not None)
    if process.poll() is not None or not _connects(port):
        raise StartError(f"the {name} did not start:\n{tail(folder, name)}")


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def wait_until(true: Callable[[], bool], deadline_s: float = START_DEADLINE_S) -> bool:
    """Return as soon as `true()`, with True; or False after the deadline."""
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        if true():
            return True
        time.sleep(POLL_S)
    return False


@contextmanager
def exact_origin(folder: Path, segment_bytes: int) -> Iterator[str]:
    """Start the origin whose sizes are exact; yields its address."""
    file = folder / "origin.json"
    argv = [sys.executable, "-m", "benchmarks.servers.origin", str(segment_bytes), str(file)]
    with child("origin", argv, folder, python_env()) as process:
        yield _ready(process, "origin", folder, file)["hls_url"]


@contextmanager
def teacher(to: IngestServer, picture: VideoFormat, folder: Path) -> Iterator[int]:
    """Publish the synthetic picture; yields the teacher's process id."""
    rtmp_url = to.rtmp_url if to.rtmp_url.endswith("/live") else f"{to.rtmp_url}/live"
    argv = [sys.executable, "-m", "airclass.ingest.teacher", "--to", f"{rtmp_url}/{STREAM}"]
    argv += ["--size", picture.size, "--bitrate-kbps", str(picture.bitrate_kbps)]
    argv += ["--keyframe-s", str(picture.segment_s)]
    with child("teacher", argv, folder, python_env()) as process:
        yield process.pid


@contextmanager
def relay(
    origin_url: str, secret: str, folder: Path, *, viewers: int, settings: Mapping[str, str] | None = None
) -> Iterator[RelayServer]:
    """Start a relay that checks a token of each viewer; `settings` are further variables."""
    key = secrets.token_hex(32)
    file = folder / "relay.json"
    argv = [sys.executable, "-m", "relay", "--origin", origin_url, "--name", STREAM]
    argv += ["--ready-file", str(file)]
    env = python_env(
        RELAY_BIND="127.0.0.1:0",
        RELAY_ADMIN_BIND="127.0.0.1:0",
        VIEWER_KEY=key,
        HLS_CDN_SECRET=secret,
        MAX_CONNECTIONS=str(viewers + 50),
        DRAIN_S="0",
        **(settings or {}),
    )
    with child("relay", argv, folder, env) as process:
        found = _ready(process, "relay", folder, file)
        yield RelayServer(process.pid, found["relay_url"], found["relay_admin_url"], key.encode())


def playable(url: str, headers: Mapping[str, str], deadline_s: float) -> None:
    """Return once a multivariant playlist is there; raises StartError with the last answer otherwise."""
    last = "no answer"

    def found() -> bool:
        nonlocal last
        try:
            answer = httpx.get(url, headers=dict(headers), timeout=10.0, verify=False)  # noqa: S501
        except httpx.HTTPError as error:
            last = type(error).__name__
            return False
        last = str(answer.status_code)
        return answer.status_code == 200

    if not wait_until(found, deadline_s):
        raise StartError(f"no picture within {deadline_s:.0f} s: the last answer was {last}")
