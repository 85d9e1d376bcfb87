"""The clients: how each is started on a playlist, and how its position is read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from glob import glob
from typing import TYPE_CHECKING

import trio

from tests.conformance.page_server import PageServer, hls_js_version
from tests.conformance.verdict import STALL_LEAST_S, Sample
from tests.harness.processes import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.harness.processes import ChildProcess

POLL_S = 0.1
START_S = 30.0
FRAMES_PER_S = 15.0  # of the synthetic teacher in these runs
# VLC tells its pictures four times a second; FFmpeg takes a segment (2 s) whenever one is there.
VLC_STALL_S = 0.8
FFMPEG_STALL_S = 3.0
DEBIAN_VERSION = ("dpkg-query", "-W", "-f", "${Version}")  # of what does not tell its own, or not to root
MINIBROWSER = "/usr/lib/*/webkit2gtk-4.*/MiniBrowser"
FIREFOX_PREFERENCES = {
    "media.volume_scale": "0.0",
    "media.autoplay.default": 0,
    "browser.shell.checkDefaultBrowser": False,
    "browser.aboutwelcome.enabled": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "app.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "services.settings.server": "",
}
CHROMIUM = (
    "--headless=new --no-sandbox --disable-gpu --mute-audio --no-first-run --disable-sync --disable-quic "
    "--autoplay-policy=no-user-gesture-required --disable-background-networking --disable-component-update "
    "--disable-background-timer-throttling --disable-renderer-backgrounding"
).split()


@dataclass
class Watching:
    """A client at work; lists grow while it plays. `least_stall_s`: what its clock can resolve."""

    samples: list[Sample] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    least_stall_s: float = STALL_LEAST_S
    stage: PageServer | None = None
    log: Path | None = None


def minibrowser() -> str | None:
    """Return where WebKitGTK's little browser is."""
    return next(iter(glob(MINIBROWSER)), None)


def missing(clients: set[str]) -> list[str]:
    """Return the Debian packages that these clients lack."""
    needs = {
        "chromium": ("chromium",),
        "firefox": ("firefox-esr",),
        "webkit": ("Xvfb",),
        "mpv": ("mpv",),
        "vlc": ("cvlc",),
        "ffmpeg": ("ffmpeg",),
    }
    packages = {"Xvfb": "xvfb", "cvlc": "vlc-bin vlc-plugin-base"}
    kinds = {client.partition("-")[0] for client in clients}
    lacking = [p for kind in kinds for p in needs[kind] if shutil.which(p) is None]
    found = [packages.get(program, program) for program in lacking]
    if "webkit" in kinds and minibrowser() is None:
        found.append(
            "libwebkit2gtk-4.1-0 gstreamer1.0-libav gstreamer1.0-plugins-good gstreamer1.0-plugins-bad"
        )
    return sorted(found)


def versions() -> dict[str, str]:
    """Return what the programs call themselves; those that are not here are left out."""
    asked = {
        "Chromium": ["chromium", "--version"],
        "Firefox": ["firefox-esr", "--version"],
        "WebKitGTK": [*DEBIAN_VERSION, "libwebkit2gtk-4.1-0"],
        "mpv": ["mpv", "--version"],
        "VLC": [*DEBIAN_VERSION, "vlc-bin"],
        "FFmpeg": ["ffmpeg", "-version"],
        "nginx": ["nginx", "-v"],
    }
    found = {"hls.js": hls_js_version()}
    for name, command in asked.items():
        if shutil.which(command[0]) is None:
            continue
        said = subprocess.run(command, capture_output=True, text=True, check=False, env=_xdg())
        number = re.search(r"\d+\.\d[0-9.]*", said.stdout + said.stderr)
        if number is not None:
            found[name] = number[0]
    return found


def _xdg() -> dict[str, str]:
    return {**os.environ, "GDK_BACKEND": "x11", "LC_ALL": "C.UTF-8"}


@asynccontextmanager
async def watching(client: str, url: str, folder: Path, stage: PageServer) -> AsyncIterator[Watching]:
    """Let a client watch a playlist for the length of a block."""
    kind, _, way = client.partition("-")
    async with AsyncExitStack() as stack:
        if kind in ("chromium", "firefox", "webkit"):
            stage.clear()
            page = stage.page(url, **({way: "1"} if way else {}))
            await _browser(kind, page, folder, stack)
            yield Watching(stage.samples, stage.errors, stage=stage)
            return
        watching = Watching()
        ask = await {"mpv": _mpv, "vlc": _vlc, "ffmpeg": _ffmpeg}[kind](url, folder, stack, watching)
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(_poll, ask, watching)
        yield watching
        nursery.cancel_scope.cancel()


async def _poll(ask: Callable[[], Awaitable[Sample | None]], watching: Watching) -> None:
    while True:
        sample = await ask()
        if sample is not None:
            watching.samples.append(sample)
        await trio.sleep(POLL_S)


# -- browsers ------------------------------------------------------------------------------------


async def _browser(kind: str, page: str, folder: Path, stack: AsyncExitStack) -> None:
    profile = folder / f"profile-{os.urandom(3).hex()}"
    profile.mkdir()
    env = {"HOME": str(profile), "XDG_RUNTIME_DIR": str(profile)}
    if kind == "chromium":
        command = ["chromium", *CHROMIUM, f"--user-data-dir={profile}", page]
    elif kind == "firefox":
        lines = [f'user_pref("{name}", {json.dumps(value)});' for name, value in FIREFOX_PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines))
        command = ["firefox-esr", "--headless", "--no-remote", "--profile", str(profile), page]
    else:
        command = [minibrowser() or "MiniBrowser", "--private", page]
        env |= {
            "DISPLAY": await display(folder, stack),
            "GDK_BACKEND": "x11",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "WEBKIT_GST_ENABLE_HLS_SUPPORT": "1" if "native=1" in page else "0",
        }
    await stack.enter_async_context(running(*command, folder=folder, env=env))


async def display(folder: Path, stack: AsyncExitStack) -> str:
    """Run a screen that nobody sees, and return its name."""
    xvfb = await stack.enter_async_context(
        running("Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp", folder=folder)
    )
    with trio.fail_after(START_S):
        while not (number := re.search(r"^(\d+)$", xvfb.output(), re.M)):
            await trio.sleep(POLL_S)
    return f":{number[1]}"


# -- players -------------------------------------------------------------------------------------


async def _socket(path: Path, child: ChildProcess) -> trio.SocketStream:
    with trio.fail_after(START_S):
        while True:
            assert child.returncode is None, child.output()
            try:
                return await trio.open_unix_socket(str(path))
            except (FileNotFoundError, ConnectionRefusedError, RuntimeError, OSError):
                await trio.sleep(POLL_S)


async def _mpv(
    url: str, folder: Path, stack: AsyncExitStack, watching: Watching
) -> Callable[[], Awaitable[Sample | None]]:
    """mpv with a null screen, asked over its JSON socket."""
    path = folder / f"mpv-{os.urandom(3).hex()}"
    command = ("mpv", "--no-config", "--vo=null", "--ao=null", "--no-terminal", "--msg-level=all=warn")
    log = folder / f"{path.name}.log"
    child = await stack.enter_async_context(
        running(*command, f"--log-file={log}", f"--input-ipc-server={path}", url, folder=folder)
    )
    watching.log = log
    stream = await stack.enter_async_context(await _socket(path, child))
    reader = _Lines(stream)

    async def value(name: str) -> float:
        await stream.send_all(json.dumps({"command": ["get_property", name]}).encode() + b"\n")
        while True:
            answer = json.loads(await reader.line())
            if "event" not in answer:
                return float(answer.get("data") or 0)

    async def ask() -> Sample | None:
        if child.returncode is not None:
            return None
        try:
            position_s = await value("time-pos")
            width = await value("video-params/w")
        except (trio.BrokenResourceError, EOFError):
            return None
        return Sample(time.time(), position_s, 0, int(width))

    return ask


async def _vlc(
    url: str, folder: Path, stack: AsyncExitStack, watching: Watching
) -> Callable[[], Awaitable[Sample | None]]:
    """VLC as an ordinary user, asked over its remote control for the pictures it has shown."""
    home = folder / f"vlc-{os.urandom(3).hex()}"
    home.mkdir()
    for place in (folder, home):
        place.chmod(0o777)
    path = home / "rc"
    command = [
        "cvlc",
        "-I",
        "oldrc",
        "--rc-unix",
        str(path),
        "--rc-fake-tty",
        "--vout=dummy",
        "--aout=adummy",
    ]
    command += ["--no-video-title-show", url]
    if os.geteuid() == 0:
        command = ["runuser", "-u", "nobody", "--", "env", f"HOME={home}", *command]
    child = await stack.enter_async_context(running(*command, folder=folder))
    watching.log, watching.least_stall_s = child.log, VLC_STALL_S
    stream = await stack.enter_async_context(await _socket(path, child))
    reader = _Lines(stream)

    async def ask() -> Sample | None:
        if child.returncode is not None:
            return None
        try:
            await stream.send_all(b"stats\n")
            while not (shown := re.search(r"frames displayed\s*:\s*(\d+)", await reader.line())):
                pass
        except (trio.BrokenResourceError, EOFError):
            return None
        return Sample(time.time(), int(shown[1]) / FRAMES_PER_S, int(shown[1]))

    return ask


async def _ffmpeg(
    url: str, folder: Path, stack: AsyncExitStack, watching: Watching
) -> Callable[[], Awaitable[Sample | None]]:
    """FFmpeg decoding what arrives, asked by its progress file for the pictures it has decoded."""
    progress = folder / f"progress-{os.urandom(3).hex()}"
    command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning", "-stats_period", "0.1"]
    command += ["-progress", str(progress), "-i", url, "-f", "null", "-"]
    child = await stack.enter_async_context(running(*command, folder=folder))
    watching.log, watching.least_stall_s = child.log, FFMPEG_STALL_S

    async def ask() -> Sample | None:
        if child.returncode is not None or not progress.exists():
            return None
        frames = [int(n) for n in re.findall(r"^frame=\s*(\d+)", progress.read_text(), re.M)]
        return Sample(time.time(), frames[-1] / FRAMES_PER_S, frames[-1]) if frames else None

    return ask


class _Lines:
    """Splits a stream into lines."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream, self._buffer = stream, b""

    async def line(self) -> str:
        """Return the next line; EOFError at the end."""
        while b"\n" not in self._buffer:
            data = await self._stream.receive_some()
            if not data:
                raise EOFError
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")
