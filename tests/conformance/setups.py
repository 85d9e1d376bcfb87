"""What stands in front of the clients: an origin, a teacher who can be killed, and relays."""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import trio

from tests.conformance.matrix import FORMATS, STAND_BY
from tests.harness import ingests
from tests.harness.processes import ChildProcess, free_ports, running
from tests.harness.relays import RelayProcess, relay_running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

STREAM = "class"
SIZES = ("320x180", "640x360")
LIVE_S = 60.0
POLL_S = 0.1
FOLDER_SEGMENT_S = 1
RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
NGINX = """\
{modules}
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
{rtmp}
http {{
  access_log {folder}/access.log;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 mp4 m4s; }}
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    root {folder}/www;
    add_header Access-Control-Allow-Origin *;
    location ~ [.]m3u8$ {{ add_header Cache-Control no-cache; add_header Access-Control-Allow-Origin *; }}
  }}
}}
"""
RTMP = """\
rtmp {{
  server {{
    listen 127.0.0.1:{port};
    application live {{
      live on; hls on; hls_path {folder}/www; hls_fragment 2s; hls_playlist_length 14s;
    }}
  }}
}}
"""


@dataclass
class Teacher:
    """Someone who publishes, is killed and comes back in another size; `command` makes the arguments."""

    command: Callable[[str], list[str]]
    folder: Path
    child: ChildProcess | None = None
    count: int = 0

    @property
    def width(self) -> int:
        """Of the picture that is published, or was last."""
        return int(SIZES[(self.count - 1) % 2].partition("x")[0])

    def start(self) -> None:
        """Begin to publish, in the other size."""
        self.count += 1
        self.child = ChildProcess(self.command(SIZES[(self.count - 1) % 2]), self.folder, {})

    async def kill(self) -> None:
        """End without a goodbye."""
        if self.child is not None:
            self.child.kill()
            await self.child.wait()
            self.child.close()
        self.child = None


@dataclass
class PlayerSetup:
    """An origin with its teacher and a relay; `another` runs one more relay for the length of a block."""

    relay: RelayProcess
    teacher: Teacher
    another: Callable[[], AbstractAsyncContextManager[RelayProcess]]
    origin: ChildProcess | None = None  # the one that the relay asks first

    @property
    def url(self) -> str:
        """The multivariant playlist that clients get."""
        return playlist_of(self.relay)

    async def media(self) -> set[str]:
        """Return the names of the segments and parts that the relay lists."""
        answer = await self.relay.get("/live/v0.m3u8")
        return media_names(answer.text) if answer.status_code == 200 else set()

    async def publish(self) -> None:
        """Let the teacher begin and wait until the relay lists media that were not there before."""
        before = await self.media()
        self.teacher.start()
        with trio.fail_after(LIVE_S):
            while not await self.media() - before:
                await trio.sleep(POLL_S)

    async def asked(self) -> float:
        """Return how many requests of viewers the relay has answered."""
        text = (await self.relay.client.get(f"{self.relay.admin}/metrics")).text
        return sum(float(n) for n in re.findall(r"^airclass_relay_requests_total\{.*\} (\S+)$", text, re.M))


def media_names(playlist: str) -> set[str]:
    """Return the names of segments and parts in a relay's playlist."""
    media = [line for line in playlist.splitlines() if not line.startswith(("#EXT-X-PRELOAD", "#EXT-X-MAP"))]
    return set(re.findall(r"v0-[0-9a-f]+-\d+(?:[-.]\d+)?\.\w+", "\n".join(media)))


def epochs_of(media: set[str]) -> set[str]:
    """Return the tags of the sessions that media belong to."""
    return {name.split("-")[1] for name in media}


def playlist_of(relay: RelayProcess) -> str:
    """Return the address of a public relay's multivariant playlist."""
    return f"{relay.url}/live/index.m3u8"


@asynccontextmanager
async def rig(source: str, folder: Path) -> AsyncIterator[PlayerSetup]:
    """Run everything that the cells of one source share, with the teacher on air."""
    async with AsyncExitStack() as stack:
        if source == STAND_BY:
            yield await _two_origins(folder, stack)
            return
        if source in FORMATS or source == "relay":
            url, teacher = await _go_origin(source if source in FORMATS else "lowLatency", folder, stack)
        elif source == "nginx-rtmp":
            url, teacher = await _nginx_rtmp(folder, stack)
        else:
            url, teacher = await _folder(source, folder, stack)
        stack.push_async_callback(teacher.kill)
        if source == "relay":
            first = await stack.enter_async_context(_relay(url, folder=folder))
            url = playlist_of(first)
        relay = await stack.enter_async_context(_relay(url, folder=folder))
        it = PlayerSetup(relay, teacher, lambda: _relay(url, folder=folder))
        await it.publish()
        yield it


@asynccontextmanager
async def _relay(*urls: str, folder: Path) -> AsyncIterator[RelayProcess]:
    own = folder / f"relay-{os.urandom(3).hex()}"
    own.mkdir()
    env = {"HLS_CDN_SECRET": ingests.SECRET, "MAX_ADDRESSES_PER_TOKEN": "0"}
    origins = [word for url in urls for word in ("--origin", url)]
    async with relay_running(*origins, "--public", folder=own, env=env) as relay:
        yield relay


def _rtmp_teacher(url: str, folder: Path) -> Teacher:
    def command(size: str) -> list[str]:
        small = ("--size", size, "--fps", "15", "--bitrate-kbps", "300")
        return [sys.executable, "-m", "airclass.ingest.teacher", "--to", url, *small]

    return Teacher(command, folder)


async def _go_origin(variant: str, folder: Path, stack: AsyncExitStack) -> tuple[str, Teacher]:
    ingest = await _ingest(variant, folder, stack)
    return ingest.base_url(STREAM) + "index.m3u8", _rtmp_teacher(ingest.publish_url(STREAM), folder)


async def _ingest(variant: str, folder: Path, stack: AsyncExitStack) -> ingests.IngestHarness:
    ready = folder / "origin.json"
    command = await trio.to_thread.run_sync(ingests.command, "origin", variant, ready)
    return await stack.enter_async_context(ingests.ingest_running(command, "origin", ready))


async def _two_origins(folder: Path, stack: AsyncExitStack) -> PlayerSetup:
    """Two origins, each with a teacher of its own who sends the same lesson, before one relay."""
    found: list[tuple[ingests.IngestHarness, Teacher]] = []
    for name in ("first", "second"):
        own = folder / name
        own.mkdir()
        ingest = await _ingest("lowLatency", own, stack)
        teacher = _rtmp_teacher(ingest.publish_url(STREAM), own)
        stack.push_async_callback(teacher.kill)
        found.append((ingest, teacher))
    urls = [ingest.base_url(STREAM) + "index.m3u8" for ingest, _ in found]
    relay = await stack.enter_async_context(_relay(*urls, folder=folder))
    rig = PlayerSetup(relay, found[0][1], lambda: _relay(*urls, folder=folder), found[0][0].child)
    await rig.publish()
    found[1][1].start()  # not before: the relay follows the first origin that serves the stream
    return rig


async def _nginx_rtmp(folder: Path, stack: AsyncExitStack) -> tuple[str, Teacher]:
    (port,) = free_ports(1)  # nginx cannot report a port that the kernel chose
    rtmp = RTMP.format(port=port, folder=folder)
    url = await _nginx(folder, stack, modules=f"load_module {RTMP_MODULE};", rtmp=rtmp)
    return f"{url}/{STREAM}.m3u8", _rtmp_teacher(f"rtmp://127.0.0.1:{port}/live/{STREAM}", folder)


async def _folder(source: str, folder: Path, stack: AsyncExitStack) -> tuple[str, Teacher]:
    """FFmpeg writes a folder that nginx serves; when it comes back it begins again at number 0."""
    url = await _nginx(folder, stack)
    www = folder / "www"
    more: dict[str, list[str]] = {
        "folder": ["-hls_flags", "delete_segments"],
        "byteranges": ["-hls_segment_type", "fmp4", "-hls_flags", "single_file"],
        "encrypted": ["-hls_flags", "delete_segments", "-hls_key_info_file", str(folder / "key.info")],
    }
    (www / "enc.key").write_bytes(os.urandom(16))
    (folder / "key.info").write_text(f"{url}/enc.key\n{www / 'enc.key'}\n")
    frames = str(15 * FOLDER_SEGMENT_S)
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"]
    coded += ["-g", frames, "-keyint_min", frames, "-sc_threshold", "0", "-b:v", "300k", "-c:a", "aac"]

    def command(size: str) -> list[str]:
        picture = ["-re", "-f", "lavfi", "-i", f"testsrc2=size={size}:rate=15"]
        sound = ["-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
        hls = ["-f", "hls", "-hls_time", str(FOLDER_SEGMENT_S), "-hls_list_size", "7"]
        quiet = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "warning"]
        return [*quiet, *picture, *sound, *coded, *hls, *more[source], str(www / "index.m3u8")]

    return f"{url}/index.m3u8", Teacher(command, folder)


async def _nginx(folder: Path, stack: AsyncExitStack, modules: str = "", rtmp: str = "") -> str:
    (folder / "www").mkdir()
    (port,) = free_ports(1)  # nginx cannot report a port that the kernel chose
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(NGINX.format(modules=modules, user=user, folder=folder, rtmp=rtmp, port=port))
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    command = (program, "-e", "stderr", "-c", config)
    child = await stack.enter_async_context(running(*command, folder=folder))
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient() as client:
        with trio.fail_after(LIVE_S):
            while True:
                assert child.returncode is None, child.output()
                try:
                    await client.get(url)
                except httpx.TransportError:
                    await trio.sleep(POLL_S)
                else:
                    return url


def missing(sources: set[str]) -> list[str]:
    """Return the Debian packages that these sources lack."""
    found = [name for name in ("ffmpeg",) if shutil.which(name) is None]
    if sources - {*FORMATS, STAND_BY, "relay", "control"} and not (
        shutil.which("nginx") or Path("/usr/sbin/nginx").exists()
    ):
        found.append("nginx-light")
    if "nginx-rtmp" in sources and not RTMP_MODULE.exists():
        found.append("libnginx-mod-rtmp")
    return found
