"""The embedded ingest as a process: what keeps it from starting is one sentence and exit code 2."""

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from airclass.ingest.embedded import serve
from airclass.ingest.hls_server import HlsServer
from airclass.ingest.muxer import HlsFlavour

EMBEDDED = [sys.executable, "-m", "airclass.ingest.embedded"]
DEADLINE_S = 30


def failed(*options: str) -> str:
    """Run it, expect exit code 2, and return what it said."""
    done = subprocess.run(
        [*EMBEDDED, *options], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("address", ["0.0.0.0:1935", "192.168.1.2:0", "127.0.0.1", "127.0.0.1:99999"])
def test_only_loopback_is_served(address: str) -> None:
    said = failed("--rtmp", address, "--hls", address, "--part-s", "3", "--segment-s", "2")
    assert said.count(f" {address}: give") == 2
    assert "--part-s" in said


@pytest.mark.parametrize("which", ["--rtmp", "--hls", "--api"])
def test_a_taken_port_is_named(which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        other = "--hls" if which == "--rtmp" else "--rtmp"
        said = failed(which, address, other, "127.0.0.1:0")
    assert said.strip() == f"the ingest cannot listen on {address}: Address already in use"


def test_ready_file_and_end(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    options = ["--rtmp", "127.0.0.1:0", "--hls", "127.0.0.1:0", "--ready-file", str(ready)]
    with subprocess.Popen([*EMBEDDED, *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "ingest.ready" in process.stderr.readline()
        urls = json.loads(ready.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == -signal.SIGTERM
    assert set(urls) == {"rtmp_url", "hls_url", "api_url"}


async def test_both_doors_are_open_and_close_with_it() -> None:
    origin = HlsServer(path="", flavour=HlsFlavour.FMP4, part_s=0.5, segment_s=2.0)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            urls = await nursery.start(serve, origin, *[("127.0.0.1", 0)] * 3)
            ports = [int(url.rpartition(":")[2]) for url in urls.values()]
            for port in ports:
                async with await trio.open_tcp_stream("127.0.0.1", port):
                    pass
            nursery.cancel_scope.cancel()
        for port in ports:
            with pytest.raises(OSError, match="connect"):
                await trio.open_tcp_stream("127.0.0.1", port)
