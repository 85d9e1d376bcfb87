"""Finding, checking and keeping MediaMTX, with a small stand-in for the program itself."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from airclass.ingest import mediamtx
from airclass.ingest.mediamtx import Addresses, find_mediamtx, variables
from airclass.ingest.muxer import HlsFlavour
from relay.base.errors import StartError

DEADLINE_S = 20
STAND_IN = """#!{python}
import http.server, json, os, sys
if sys.argv[1:] == ["--version"]:
    print("{version}")
    sys.exit()
if {broken}:
    sys.exit("ERR: listen tcp :1935: bind: address already in use")
class Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({{"config": sys.argv[1], "pid": os.getpid(), "env": dict(os.environ)}}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
host, _, port = os.environ["MTX_APIADDRESS"].rpartition(":")
http.server.HTTPServer((host, int(port)), Api).serve_forever()
"""


def stand_in(folder: Path, version: str = "v1.20.1", *, broken: bool = False) -> Path:
    """Write a program that answers as MediaMTX does."""
    path = folder / "mediamtx"
    path.write_text(STAND_IN.format(python=sys.executable, version=version, broken=broken))
    path.chmod(0o755)
    return path


@contextmanager
def ingest(
    program: Path, ready: Path, *more: str, rtmp: str = "127.0.0.1:0", **env: str
) -> Iterator[subprocess.Popen[str]]:
    """Run our process with this program."""
    command = [sys.executable, "-m", "airclass.ingest.mediamtx", "--rtmp", rtmp, "--hls"]
    with subprocess.Popen(
        [*command, "127.0.0.1:0", "--ready-file", str(ready), *more],
        env={**os.environ, "MEDIAMTX_PATH": str(program), "HLS_CDN_SECRET": "cdn", **env},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def told(ready: Path, process: subprocess.Popen[str] | None = None) -> dict[str, object]:
    """Ask the stand-in what it was started with, once `process` has said that it is ready."""
    if process is not None and process.stderr is not None:
        process.stderr.readline()
    url = json.loads(ready.read_text())["api_url"]
    answer: dict[str, object] = httpx.get(url, timeout=DEADLINE_S, trust_env=False).json()
    return answer


def test_found_by_path_and_on_path(tmp_path: Path) -> None:
    program = stand_in(tmp_path)
    assert find_mediamtx(program, "", needed=True) == program
    assert find_mediamtx(None, f"/nowhere:{tmp_path}", needed=False) == program
    assert find_mediamtx(None, "/nowhere", needed=False) is None


def test_missing_or_unfit_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="MediaMTX was not found: get MediaMTX 1.20"):
        find_mediamtx(None, "/nowhere", needed=True)
    with pytest.raises(StartError, match=r"cannot be run \(No such file"):
        find_mediamtx(tmp_path / "none", "", needed=False)
    with pytest.raises(StartError, match="true is not MediaMTX"):
        find_mediamtx(Path("/bin/true"), "", needed=False)


@pytest.mark.parametrize(
    ("version", "fine"), [("v1.19.3", False), ("v1.20.0", True), ("1.21.4", True), ("v2.0.0", True)]
)
def test_versions_below_1_20_are_refused(tmp_path: Path, version: str, fine: bool) -> None:
    program = stand_in(tmp_path, version)
    if fine:
        assert find_mediamtx(program, "", needed=True) == program
    else:
        with pytest.raises(StartError, match=r"1\.19 at .* is too old"):
            find_mediamtx(program, "", needed=True)


def test_it_gets_its_own_secret_and_no_other() -> None:
    environ = {"PATH": "/bin", "JWT_SECRET_KEY": "x", "HLS_CDN_SECRET": "s", "MTX_LOGLEVEL": "debug"}
    addresses = Addresses("0.0.0.0:1935", "127.0.0.1:8888", "127.0.0.1:9997", "http://m/hook")
    assert variables(addresses, "s", HlsFlavour.FMP4, environ) == {
        "PATH": "/bin",
        "MTX_LOGLEVEL": "debug",
        "MTX_RTMPADDRESS": "0.0.0.0:1935",
        "MTX_HLSADDRESS": "127.0.0.1:8888",
        "MTX_APIADDRESS": "127.0.0.1:9997",
        "MTX_HLSCDNSECRET": "s",
        "MTX_HLSVARIANT": "fmp4",
        "MTX_AUTHHTTPADDRESS": "http://m/hook",
    }
    alone = Addresses("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "")
    assert variables(alone, "s", HlsFlavour.FMP4, {})["MTX_AUTHMETHOD"] == "internal"


def test_it_writes_json_when_we_do() -> None:
    addresses = Addresses("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "")
    told_json = variables(addresses, "s", HlsFlavour.FMP4, {"LOG_FORMAT": "json"})
    assert told_json["MTX_LOGSTRUCTURED"] == "yes"
    assert "MTX_LOGSTRUCTURED" not in variables(addresses, "s", HlsFlavour.FMP4, {})
    overruled = {"LOG_FORMAT": "json", "MTX_LOGSTRUCTURED": "no"}
    assert variables(addresses, "s", HlsFlavour.FMP4, overruled)["MTX_LOGSTRUCTURED"] == "no"


def test_ready_when_its_api_answers_and_started_again_when_it_ends(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    with ingest(stand_in(tmp_path), ready, "--auth-url", "http://127.0.0.1:1/hook") as process:
        assert process.stderr is not None
        assert "mediamtx.ready" in process.stderr.readline()
        first = told(ready)
        env = first["env"]
        assert isinstance(env, dict)
        assert first["config"] == str(mediamtx.CONFIGURATION)
        assert env["MTX_AUTHHTTPADDRESS"] == "http://127.0.0.1:1/hook"
        assert "HLS_CDN_SECRET" not in env
        os.kill(int(str(first["pid"])), signal.SIGKILL)
        assert "mediamtx.ended code=-9, starts again in 0.5 s" in process.stderr.readline()
        assert "mediamtx.ready" in process.stderr.readline()
        assert told(ready)["pid"] != first["pid"]


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_it_ends_before_us(asked: signal.Signals, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    with ingest(stand_in(tmp_path), ready) as process:
        told(ready, process)
        process.send_signal(asked)
        assert process.wait(5) == 128 + asked
        with pytest.raises(httpx.ConnectError):
            told(ready)


def test_killed_it_takes_it_along(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    with ingest(stand_in(tmp_path), ready) as process:
        pidfd = os.pidfd_open(int(str(told(ready, process)["pid"])))
        process.kill()
        assert process.wait(5) == -signal.SIGKILL
        assert select.select([pidfd], [], [], 5)[0]
        os.close(pidfd)


def test_one_that_ends_at_once_ends_us_with_code_2(tmp_path: Path) -> None:
    with ingest(stand_in(tmp_path, broken=True), tmp_path / "ready.json") as process:
        _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert "address already in use" in said
    assert said.strip().endswith("MediaMTX did not start: what it said stands above")
    assert not (tmp_path / "ready.json").exists()


def test_nobody_is_let_in_unasked_from_outside(tmp_path: Path) -> None:
    with ingest(stand_in(tmp_path), tmp_path / "r", rtmp="0.0.0.0:0", HLS_CDN_SECRET="") as process:
        _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert "--auth-url is missing" in said
    assert "HLS_CDN_SECRET is missing" in said
