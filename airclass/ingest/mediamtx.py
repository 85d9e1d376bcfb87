"""MediaMTX, the ingest of real classes: found, checked, started with our configuration, kept running.

A separate process that runs MediaMTX and ends it with itself. The configuration is `mediamtx.yml` beside this
file; addresses and secrets reach MediaMTX in its environment.
"""

from __future__ import annotations

import http.client
import logging
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cyclopts

from airclass.ingest import die_with_parent
from airclass.ingest.config import IngestSettings
from airclass.ingest.muxer import HlsFlavour
from airclass.ingest.ports import LOOPBACK, Reservation
from relay.base import logs, settings
from relay.base.errors import AirclassError, ConfigError, StartError
from relay.base.process import write_ready_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import FrameType

log = logging.getLogger("airclass.ingest.mediamtx")  # it is also run as __main__

CONFIGURATION = Path(__file__).with_name("mediamtx.yml")
OLDEST = (1, 20)
VERSION_S = 10.0
READY_S = 20.0
POLL_S = 0.05
CALL_S = 2.0
PAUSE_FIRST_S = 0.5
PAUSE_MAX_S = 10.0
STEADY_S = 30.0
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
WHERE_FROM = "get MediaMTX 1.20 or newer from its releases, put it on PATH or set MEDIAMTX_PATH"


@dataclass(frozen=True)
class Addresses:
    """Where MediaMTX listens (HOST:PORT), and whom it asks about publishers (empty: nobody)."""

    rtmp: str
    hls: str
    api: str
    auth_url: str


def find_mediamtx(path: Path | None, search: str, *, needed: bool) -> Path | None:
    """Return the program: `path`, or the first on the `search` path; None when there is none.

    Raises StartError when it is too old or cannot be run, and when none is found but `needed`.
    """
    found = str(path) if path else shutil.which("mediamtx", path=search)
    if found is None:
        if needed:
            raise StartError(f"MediaMTX was not found: {WHERE_FROM}")
        return None
    try:
        done = subprocess.run([found, "--version"], capture_output=True, timeout=VERSION_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it does not answer"
        raise StartError(f"MediaMTX at {found} cannot be run ({reason}): {WHERE_FROM}") from None
    version = re.match(rb"v?(\d+)\.(\d+)", done.stdout.strip())
    if version is None:
        raise StartError(f"{found} is not MediaMTX: {WHERE_FROM}")
    if (int(version[1]), int(version[2])) < OLDEST:
        raise StartError(f"MediaMTX {version[0].decode()} at {found} is too old: {WHERE_FROM}")
    return Path(found)


def variables(
    addresses: Addresses, secret: str, variant: HlsFlavour, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return MediaMTX's environment: none of our secrets but the one it needs, and the operator's MTX_*."""
    own = {
        "MTX_RTMPADDRESS": addresses.rtmp,
        "MTX_HLSADDRESS": addresses.hls,
        "MTX_APIADDRESS": addresses.api,
        "MTX_HLSCDNSECRET": secret,
        "MTX_HLSVARIANT": str(variant),
    }
    if addresses.auth_url:
        own["MTX_AUTHHTTPADDRESS"] = addresses.auth_url
    else:
        own["MTX_AUTHMETHOD"] = "internal"
    kept = {k: v for k, v in environ.items() if k in KEPT_VARIABLES or k.startswith("MTX_")}
    form = {"MTX_LOGSTRUCTURED": "yes"} if environ.get("LOG_FORMAT") == "json" else {}
    return {**form, **kept, **own}


def mediamtx(
    *,
    rtmp: str = "0.0.0.0:1935",  # noqa: S104 - teachers come from outside
    hls: str = "127.0.0.1:8888",
    api: str = "127.0.0.1:0",
    auth_url: str = "",
    variant: HlsFlavour = HlsFlavour.LOW_LATENCY,
    ready_file: str = "",
) -> None:
    """Run MediaMTX as ingest (environment: HLS_CDN_SECRET, MEDIAMTX_PATH, any MTX_*).

    Parameters
    ----------
    rtmp
        Address of the RTMP listener; port 0: any free one.
    hls
        Address of the HLS server; port 0: any free one.
    api
        Address of MediaMTX's API, which has no password; port 0: any free one.
    auth_url
        The master's hook, which decides who may publish; without it everybody may, on loopback only.
    variant
        lowLatency, fmp4 or mpegts.
    ready_file
        Where to write the real addresses, as JSON, once MediaMTX answers.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    environ = settings.environment()
    own = settings.load(IngestSettings, environ)
    problems = []
    if own.hls_cdn_secret is None:
        problems.append("HLS_CDN_SECRET is missing: set the one that master and relays have")
    if not auth_url and rtmp.rpartition(":")[0].strip("[]") not in LOOPBACK:
        problems.append("--auth-url is missing: without it everybody could publish")
    if own.hls_cdn_secret is None or problems:
        raise ConfigError(problems)
    program = find_mediamtx(own.mediamtx_path, environ.get("PATH", ""), needed=True)
    with Reservation({"--rtmp": rtmp, "--hls": hls, "--api": api}) as ports:
        addresses = Addresses(ports["--rtmp"].bind, ports["--hls"].bind, ports["--api"].bind, auth_url)
        secret = own.hls_cdn_secret.get_secret_value()
        urls = {
            "rtmp_url": f"rtmp://{ports['--rtmp'].public}",
            "hls_url": f"http://{ports['--hls'].local}",
            "api_url": f"http://{ports['--api'].local}",
        }
        env = variables(addresses, secret, variant, environ)
        _keep([str(program), str(CONFIGURATION)], env, urls, Path(ready_file) if ready_file else None)


def _keep(command: list[str], env: dict[str, str], urls: dict[str, str], ready_file: Path | None) -> None:
    """Run it for ever; StartError when it ends before it has answered once."""
    pause_s, first = PAUSE_FIRST_S, True
    while True:
        since_s = time.monotonic()
        with subprocess.Popen(
            die_with_parent.command(*command), env=env, stdin=subprocess.DEVNULL
        ) as process:
            try:
                if _answers(process, urls["api_url"]):
                    if ready_file:
                        write_ready_file(ready_file, urls)
                    log.info("mediamtx.ready pid=%d %s %s", process.pid, urls["rtmp_url"], urls["hls_url"])
                    first = False
                elif first:
                    raise StartError("MediaMTX did not start: what it said stands above")
                code = process.wait()
            finally:
                # it keeps nothing, so it may end at once; and before us, so that its ports are free then
                process.kill()
        pause_s = PAUSE_FIRST_S if time.monotonic() - since_s > STEADY_S else pause_s
        log.warning("mediamtx.ended code=%d, starts again in %.1f s", code, pause_s)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_MAX_S)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _answers(process: subprocess.Popen[bytes], api_url: str) -> bool:
    """Wait until its API answers; False when it ends, or does not answer in time."""
    end_s = time.monotonic() + READY_S
    while process.poll() is None and time.monotonic() < end_s:
        connection = http.client.HTTPConnection(api_url.removeprefix("http://"), timeout=CALL_S)
        try:
            connection.request("GET", "/v3/config/global/get")
            return connection.getresponse().status < http.HTTPStatus.INTERNAL_SERVER_ERROR
        except OSError:
            time.sleep(POLL_S)
        finally:
            connection.close()
    return False


def main() -> None:
    """Run `mediamtx` with the command line of this process; exit code 2 when it cannot start."""
    try:
        logs.set_up_by(settings.environment())
        cyclopts.run(mediamtx)
    except AirclassError as exc:
        sys.stderr.write(exc.reason + "\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
