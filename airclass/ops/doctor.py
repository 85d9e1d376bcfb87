"""Looks for what will go wrong: one finding a line, each with what to do about it."""

from __future__ import annotations

import errno
import re
import resource
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import jwt
import trio

from airclass.domain.advice import MAX_KEYFRAME_S
from airclass.io.backup_record import read_record
from airclass.ops.freshness import certificate_end_s
from airclass.ops.port_owner import holder
from airclass.ops.report import CRITICAL, NO_TOKEN, OK, WARNING, clean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

    from airclass.ops.config import OpsSettings

CALL_S = 4.0
MAX_SKEW_S = 5.0
WARN_DISK_BYTES = 2 * 1024**3
MIN_DISK_BYTES = 200 * 1024**2
WARN_FILES = 4096
WARN_CERTIFICATE_S = 14 * 86400.0
WARN_TOKEN_S = 30 * 86400.0
WARN_BACKUP_S = 2 * 86400.0
MEDIAMTX_MIN = (1, 20)
_SEGMENT = re.compile(r"^airclass_longest_segment_seconds ([\d.]+)$", re.MULTILINE)
MARKS = {OK: "[OK]", WARNING: "[WARN]", CRITICAL: "[ERROR]"}
BINDS = {
    "standalone": (
        *("MASTER_BIND", "RELAY_BIND", "RELAY_ADMIN_BIND"),
        *("INGEST_RTMP_BIND", "INGEST_HLS_BIND", "INGEST_API_BIND"),
    ),
    "master": ("MASTER_BIND",),
    "slave": ("RELAY_BIND", "RELAY_ADMIN_BIND"),
}
DEFAULTS = {
    "MASTER_BIND": "0.0.0.0:8000",
    "RELAY_BIND": "0.0.0.0:8080",
    "RELAY_ADMIN_BIND": "127.0.0.1:8081",
    "INGEST_RTMP_BIND": "0.0.0.0:1935",
    "INGEST_HLS_BIND": "127.0.0.1:8888",
    "INGEST_API_BIND": "127.0.0.1:9997",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: `level` OK, WARNING or CRITICAL."""

    level: int
    text: str

    def __str__(self) -> str:
        return f"{MARKS[self.level]} {clean(self.text)}"


async def examine(settings: OpsSettings, environ: Mapping[str, str]) -> list[Finding]:
    """Return every finding, in the order in which things depend on each other."""
    findings = [
        *env_file(Path(".env"), environ),
        *disk(settings.data_dir),
        files(),
        *ports(settings.mode, environ),
        *certificate(settings.tls_cert, time.time()),
        *monitor_token(settings.monitor_token, time.time()),
    ]
    program = environ.get("MEDIAMTX_PATH", "")
    if settings.mode == "standalone" or (program and settings.mode == "master"):
        findings.append(await trio.to_thread.run_sync(mediamtx, program))
    if settings.mode != "slave":
        findings.append(backup(settings.data_dir, time.time()))
    trusted = ssl.create_default_context()
    async with httpx.AsyncClient(
        verify=trusted, timeout=CALL_S, follow_redirects=False, trust_env=False
    ) as client:
        findings += await master(settings, client)
        if settings.has_token or settings.mode != "slave":
            findings += await nodes(settings, client)
        if settings.has_token:
            findings.append(await keyframes(settings, client))
        for url in (environ.get("INGEST_HLS_URL") or "").split(",") if settings.mode == "master" else ():
            if url.strip():
                findings.append(await ingest(url.strip(), client))
    return findings


def disk(data_dir: Path) -> list[Finding]:
    """Look at the room for database and backups."""
    place = next((p for p in (data_dir, *data_dir.absolute().parents) if p.is_dir()), data_dir)
    try:
        free = shutil.disk_usage(place).free
    except OSError as exc:
        return [
            Finding(CRITICAL, f"DATA_DIR {data_dir} cannot be looked at ({exc.strerror}): check its owner.")
        ]
    return [room(free, data_dir)]


def room(free_bytes: int, data_dir: Path) -> Finding:
    """Judge what is free."""
    text = f"{free_bytes / 1e9:.1f} GB are free for DATA_DIR {data_dir}"
    if free_bytes < MIN_DISK_BYTES:
        return Finding(CRITICAL, f"{text}: make room now, or the database cannot be written.")
    if free_bytes < WARN_DISK_BYTES:
        return Finding(WARNING, f"{text}: make room soon.")
    return Finding(OK, f"{text}.")


def files() -> Finding:
    """Look at the limit of open files, which bounds the number of students."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < WARN_FILES:
        return Finding(
            WARNING, f"Only {hard} files may be open: raise it (ulimit -Hn, or LimitNOFILE in systemd)."
        )
    return Finding(OK, f"{hard if hard >= 0 else 'Any number of'} files may be open.")


def ports(mode: str, environ: Mapping[str, str]) -> list[Finding]:
    """Look whether the ports of this machine's role can be had, or are ours already."""
    findings = []
    for name in BINDS[mode]:
        bind = environ.get(name) or DEFAULTS[name]
        host, _, port = bind.rpartition(":")
        if port == "0":
            continue
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host.strip("[]"), int(port)))
            except (OSError, ValueError, OverflowError) as exc:
                findings.append(_taken(name, bind, exc))
            else:
                findings.append(Finding(OK, f"{name} {bind} is free."))
    return findings


def _taken(name: str, bind: str, problem: Exception) -> Finding:
    """Judge a port that cannot be had: held by AIRClass that runs, or by something else."""
    if not (isinstance(problem, OSError) and problem.errno == errno.EADDRINUSE):
        reason = getattr(problem, "strerror", None) or "not an address"
        text = f"{name} {bind} cannot be had ({reason}): write HOST:PORT with an address of this machine."
        return Finding(CRITICAL, text)
    held = holder(int(bind.rpartition(":")[2]))
    if held is None:
        text = f"{name} {bind} is held by a process of another user: fine if that is AIRClass (ss -ltnp)."
        return Finding(WARNING, text)
    who = f"{held.name}, process {held.pid}"
    if held.ours:
        return Finding(OK, f"{name} {bind} is held by AIRClass ({who}).")
    return Finding(CRITICAL, f"{name} {bind} is held by {who}: stop that, or choose another port.")


def certificate(path: Path | None, now_s: float) -> list[Finding]:
    """Look when the certificate ends; `now_s` is Unix time."""
    if path is None:
        return []
    left_s = certificate_end_s(path) - now_s
    if left_s < -1e9:
        return [Finding(CRITICAL, f"TLS_CERT {path} cannot be read: it must be a PEM file.")]
    if left_s < 0:
        return [Finding(CRITICAL, "The certificate has ended: renew it, browsers refuse the pages.")]
    days = f"The certificate ends in {left_s / 86400:.0f} days"
    return [
        Finding(WARNING, f"{days}: renew it.") if left_s < WARN_CERTIFICATE_S else Finding(OK, f"{days}.")
    ]


def env_file(path: Path, environ: Mapping[str, str]) -> list[Finding]:
    """Notice a folder that holds no settings, where the environment holds none either."""
    names = ("CLUSTER_SECRET", "NODE_KEY", "JWT_SECRET_KEY")
    if path.exists() or any(environ.get(n) or environ.get(f"{n}_FILE") for n in names):
        return []
    return [Finding(WARNING, "There is no .env in this folder: run this where the settings of AIRClass are.")]


def monitor_token(token: SecretStr | None, now_s: float) -> list[Finding]:
    """Look when MONITOR_TOKEN ends; its signature is for the master to check."""
    if token is None:
        return []
    renew = "make a new one with `airclass token monitor` on the master"
    try:
        claims = jwt.decode(token.get_secret_value(), options={"verify_signature": False})
        left_s = float(claims["exp"]) - now_s
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        return [Finding(CRITICAL, f"MONITOR_TOKEN is no token of AIRClass: {renew}.")]
    if left_s < 0:
        return [Finding(CRITICAL, f"MONITOR_TOKEN has ended: {renew}.")]
    text = f"MONITOR_TOKEN ends in {left_s / 86400:.0f} days"
    return [Finding(WARNING, f"{text}: {renew}.") if left_s < WARN_TOKEN_S else Finding(OK, f"{text}.")]


def backup(data_dir: Path, now_s: float) -> Finding:
    """Look how old the last backup is; `now_s` is Unix time."""
    age_s = now_s - read_record(data_dir).at_s
    if age_s > 1e9:
        return Finding(
            WARNING, "There has never been a backup: run `airclass backup`, and plan it for every night."
        )
    if age_s > WARN_BACKUP_S:
        return Finding(
            WARNING, f"The last backup is {age_s / 86400:.0f} days old: look at its cron job or timer."
        )
    return Finding(OK, f"The last backup is {age_s / 3600:.0f} hours old.")


def mediamtx(path: str) -> Finding:
    """Look for MediaMTX and its version."""
    found = shutil.which(path or "mediamtx")
    if found is None:
        return Finding(
            WARNING, "MediaMTX is not found: set MEDIAMTX_PATH; until then teachers can only use this PC."
        )
    try:
        done = subprocess.run(
            [found, "--version"], capture_output=True, text=True, timeout=CALL_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as exc:
        return Finding(
            CRITICAL, f"MediaMTX at {found} cannot be run ({type(exc).__name__}): install it again."
        )
    return version_of_mediamtx(done.stdout.strip())


def version_of_mediamtx(text: str) -> Finding:
    """Judge what `mediamtx --version` printed."""
    try:
        numbers = tuple(int(part) for part in text.removeprefix("v").split(".")[:2])
    except ValueError:
        return Finding(WARNING, f"MediaMTX tells no version ({text[:40]}): AIRClass needs 1.20 or newer.")
    if numbers < MEDIAMTX_MIN:
        return Finding(CRITICAL, f"MediaMTX is {text[:40]}: install 1.20 or newer.")
    return Finding(OK, f"MediaMTX is {text[:40]}.")


async def master(settings: OpsSettings, client: httpx.AsyncClient) -> list[Finding]:
    """Ask the master, and compare clocks: signed calls are refused beyond a minute."""
    url = settings.master_address
    try:
        answer = await client.get(f"{url}/readyz")
        state = answer.json()
        problems = [str(p) for p in state.get("problems", [])]
        theirs_s = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError, AttributeError) as exc:
        reason = type(exc).__name__
        return [
            Finding(CRITICAL, f"The master at {url} does not answer ({reason}): start it, or set MASTER_URL.")
        ]
    findings = [Finding(CRITICAL, f"The master says: {problem}") for problem in problems]
    findings = findings or [Finding(OK, f"The master at {url} is ready.")]
    skew_s = abs(time.time() - theirs_s)
    if skew_s > MAX_SKEW_S:
        return [
            *findings,
            Finding(CRITICAL, f"This clock and the master's differ by {skew_s:.0f} s: use NTP."),
        ]
    return [*findings, Finding(OK, "The clocks agree.")]


async def nodes(settings: OpsSettings, client: httpx.AsyncClient) -> list[Finding]:
    """Knock at each node's students' door from here: run this where students sit."""
    if not settings.has_token:
        return [Finding(WARNING, f"The nodes were not looked at: {NO_TOKEN}.")]
    headers = settings.auth_headers()
    try:
        answer = await client.get(f"{settings.master_address}/cluster/nodes", headers=headers)
        listed = [(str(n["id"]), str(n["url"]), str(n["status"])) for n in answer.json()["nodes"]]
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return [Finding(WARNING, "The list of nodes cannot be had: set MONITOR_TOKEN.")]
    if not listed:
        return [Finding(CRITICAL, "No node has registered: start `airclass slave` somewhere.")]
    findings = []
    for name, url, status in listed:
        host = urlsplit(url).hostname or ""
        if host in ("localhost", "127.0.0.1", "::1"):
            text = f"{name} tells students to come to {url}: only this machine can. Set NODE_PUBLIC_URL."
            findings.append(Finding(WARNING, text))
        try:
            await client.get(f"{url}/")
            level = OK if status == "active" else WARNING
            findings.append(Finding(level, f"{name} ({status}) can be reached at {url}."))
        except (httpx.HTTPError, httpx.InvalidURL) as exc:
            why = type(exc).__name__
            text = f"{name} cannot be reached from here at {url} ({why}): check its firewall."
            findings.append(Finding(CRITICAL, text))
    return findings


async def keyframes(settings: OpsSettings, client: httpx.AsyncClient) -> Finding:
    """Look how far apart the key frames of the classes are that are live now."""
    headers = settings.auth_headers()
    try:
        answer = await client.get(f"{settings.master_address}/metrics", headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL):
        return judge_keyframes("")
    return judge_keyframes(answer.text)


def judge_keyframes(metrics: str) -> Finding:
    """Judge the master's metrics: a segment ends at the first key frame after its set length."""
    found = _SEGMENT.search(metrics)
    seconds = float(found[1]) if found else 0.0
    if seconds <= 0:
        return Finding(OK, "No class is live: key frames can be judged while one is.")
    if seconds > MAX_KEYFRAME_S:
        text = f"A class has a key frame only every {seconds:.1f} s: set 2 s in OBS, under Output."
        return Finding(WARNING, text)
    return Finding(OK, f"Key frames come at least every {seconds:.1f} s in the classes that are live.")


async def ingest(url: str, client: httpx.AsyncClient) -> Finding:
    """Knock at the ingest."""
    try:
        await client.get(f"{url}/")
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return Finding(
            CRITICAL, f"The ingest at {url} does not answer ({type(exc).__name__}): start MediaMTX."
        )
    return Finding(OK, f"The ingest at {url} answers.")
