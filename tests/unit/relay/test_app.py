"""The relay as a process: how it starts, refuses to start, drains and stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from relay.app import Options, check, listen, url_of
from relay.base.errors import ConfigError, StartError
from relay.config import RelaySettings
from tests.harness.relay_parts import StillOrigin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

LIMIT_S = 30.0
COMMAND = [sys.executable, "-m", "relay"]


def settings(**fields: object) -> RelaySettings:
    return RelaySettings.model_validate(fields)


def problems(options: Options, **fields: object) -> str:
    with pytest.raises(ConfigError) as caught:
        check(settings(**fields), options)
    return caught.value.reason


def test_a_relay_needs_a_way_in_and_a_rule_for_viewers() -> None:
    assert "nothing to relay" in problems(Options())
    assert "nobody could watch" in problems(Options())
    cluster = {"master_url": "http://m", "cluster_secret": "s" * 32}
    assert "exclude each other" in problems(Options(origins=("http://a/i.m3u8",)), **cluster)
    assert "--origin file:///etc/passwd" in problems(Options(origins=("file:///etc/passwd",), public=True))
    told = problems(Options(origins=("http://me:secret@h/i.m3u8",), public=True))
    assert "--origin no. 1" in told
    assert "secret" not in told
    check(settings(**cluster), Options())
    check(settings(), Options(origins=("http://a/i.m3u8",), public=True))
    check(settings(viewer_key="k" * 32), Options(origins=("http://a/i.m3u8",)))
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    check(settings(viewer_jwks=json.dumps({"keys": [jwk]})), Options(origins=("http://a/i.m3u8",)))


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1:0") as first:
        port = first.getsockname()[1]
        with pytest.raises(StartError, match=f"127.0.0.1:{port}.*another port"):
            listen(f"127.0.0.1:{port}")


def test_addresses_of_listeners() -> None:
    for bind, wanted in (
        ("127.0.0.1:0", "http://127.0.0.1:"),
        ("0.0.0.0:0", "http://127.0.0.1:"),
        ("[::1]:0", "http://[::1]:"),
    ):
        with listen(bind) as sock:
            assert isinstance(sock, socket.socket)
            assert url_of(sock, tls=False) == f"{wanted}{sock.getsockname()[1]}"
            assert url_of(sock, tls=True).startswith("https://")


@asynccontextmanager
async def process(
    tmp_path: Path, *arguments: str, **environ: str
) -> AsyncIterator[tuple[trio.Process, dict[str, str]]]:
    """Run a relay that follows an origin; yields it and its ready file. It must end by itself."""
    ready = tmp_path / "ready.json"
    origin = StillOrigin()
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            await nursery.start(lambda **k: origin.server.run(sockets=True, **k))
            started = await trio.lowlevel.open_process(
                [*COMMAND, "--origin", origin.url, "--name", "class1", "--host", "127.0.0.1", "--port", "0"]
                + ["--admin-port", "0", "--ready-file", str(ready), *arguments],
                env=dict(os.environ) | environ,
                stderr=subprocess.PIPE,
            )
            try:
                while not ready.exists():
                    assert started.poll() is None, "the relay ended instead of starting"
                    await trio.sleep(0.02)
                yield started, json.loads(ready.read_text())
                await started.wait()
            finally:
                if started.poll() is None:
                    started.kill()
                    await started.wait()
                assert started.stderr is not None
                await started.stderr.aclose()
            nursery.cancel_scope.cancel()


async def until_served(client: httpx.AsyncClient, url: str) -> httpx.Response:
    while (answer := await client.get(url)).status_code == 503:
        await trio.sleep(0.02)
    return answer


async def test_a_relay_starts_serves_drains_and_stops(tmp_path: Path) -> None:
    async with process(tmp_path, "--public", DRAIN_S="20") as (relay, ready), httpx.AsyncClient() as client:
        base = ready["relay_url"]
        assert (await until_served(client, f"{base}/class1/index.m3u8")).status_code == 200
        listed = (await client.get(f"{base}/class1/v0.m3u8")).text
        name = listed.splitlines()[-1]
        assert (await client.get(f"{base}/class1/{name}")).status_code == 200
        assert (await client.get(f"{ready['relay_admin_url']}/readyz")).status_code == 200
        relay.send_signal(signal.SIGTERM)
        while (await client.get(f"{base}/class1/v0.m3u8")).status_code != 410:
            await trio.sleep(0.02)
        assert (await client.get(f"{base}/class1/{name}")).status_code == 200
        assert (await client.get(f"{ready['relay_admin_url']}/readyz")).status_code == 503
        relay.send_signal(signal.SIGTERM)  # the second one: at once
    assert relay.returncode == 0


async def test_a_relay_that_nobody_watches_stops_at_the_first_signal(tmp_path: Path) -> None:
    async with (
        process(tmp_path, VIEWER_KEY="k" * 32, DRAIN_S="25") as (relay, ready),
        httpx.AsyncClient() as client,
    ):
        assert (await client.get(f"{ready['relay_url']}/class1/index.m3u8")).status_code == 401
        relay.send_signal(signal.SIGINT)
    assert relay.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        ([], {}, ["nothing to relay", "nobody could watch"]),
        (["--public", "--origin", "ftp://a/b"], {}, ["only http and https"]),
        (
            ["--public", "--origin", "http://a/b"],
            {"CACHE_MB": "x", "VIEWER_KEY": "short"},
            ["CACHE_MB", "VIEWER_KEY"],
        ),
        (["--public", "--origin", "http://a/b", "--host", "192.0.2.1", "--port", "0"], {}, ["cannot listen"]),
    ],
)
def test_a_relay_that_cannot_start_says_what_to_do(
    arguments: list[str], environ: dict[str, str], words: list[str]
) -> None:
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=dict(os.environ) | environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert "short" not in done.stderr


def test_help_reads_well() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=LIMIT_S, check=True)
    for word in (
        "--origin",
        "--public",
        "examples:",
        "/t/TOKEN/NAME/index.m3u8",
        "HLS_CDN_SECRET",
        "relay top",
    ):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_a_port_that_is_none_is_said_so() -> None:
    for port in ("99999", "-1", "x"):
        done = subprocess.run(
            [*COMMAND, "--port", port], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert done.returncode == 2
        assert "--port" in done.stderr
