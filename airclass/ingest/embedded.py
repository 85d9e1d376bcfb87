"""The embedded ingest: RTMP in, HLS out, for the demo and for tests. Loopback only, no key is checked.

A real class uses MediaMTX. A process of its own: publishers come to the door, FFmpeg remuxes in a
thread, the window numbers what comes out, and a small HTTP server answers the relay.
"""

from __future__ import annotations

import logging
import signal
import sys
from functools import partial
from pathlib import Path

import cyclopts
import trio

from airclass.ingest import http_server, remux
from airclass.ingest.config import IngestSettings
from airclass.ingest.control_api import ControlApi
from airclass.ingest.hls_server import HlsServer, Publication
from airclass.ingest.muxer import HlsFlavour
from airclass.ingest.ports import LOOPBACK
from airclass.ingest.rtmp_gateway import RtmpGateway
from relay.base import logs, settings
from relay.base.errors import AirclassError, ConfigError, OriginError, StartError
from relay.base.process import write_ready_file

log = logging.getLogger("airclass.ingest.embedded")  # it is also run as __main__


def _receive(origin: HlsServer, url: str) -> None:
    """Feed the origin from one publisher (blocking)."""
    publication = Publication(origin)
    try:
        remux.receive(
            url, publication, flavour=origin.flavour, part_s=origin.part_s, segment_s=origin.segment_s
        )
    except OriginError as exc:
        log.warning("publisher.refused %s", exc.reason)
    else:
        if not publication.began:
            log.warning("publisher.left before the first picture")
    finally:
        publication.close()


async def serve(
    origin: HlsServer,
    rtmp: tuple[str, int],
    hls: tuple[str, int],
    api: tuple[str, int],
    *,
    task_status: trio.TaskStatus[dict[str, str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run door and HTTP server until cancelled; reports `rtmp_url`, `hls_url` and `api_url` once bound."""
    door = RtmpGateway(partial(_receive, origin), origin.named)
    urls = {}
    async with trio.open_nursery() as nursery:
        services = (
            ("hls", "http", hls, partial(http_server.serve, origin.answer)),
            ("api", "http", api, partial(http_server.serve, ControlApi(door, origin).answer)),
            ("rtmp", "rtmp", rtmp, door.run),
        )
        for name, scheme, (host, port), service in services:
            try:
                bound = await nursery.start(service, host, port)
            except OSError as exc:
                raise StartError(f"the ingest cannot listen on {host}:{port}: {exc.strerror}") from None
            urls[f"{name}_url"] = f"{scheme}://{host}:{bound}"
        task_status.started(urls)


def embedded(
    *,
    rtmp: str = "127.0.0.1:1935",
    hls: str = "127.0.0.1:8888",
    api: str = "127.0.0.1:0",
    path: str = "",
    part_s: float = 0.5,
    segment_s: float = 1.5,
    variant: HlsFlavour = HlsFlavour.LOW_LATENCY,
    ready_file: str = "",
) -> None:
    """Take RTMP and make HLS, on loopback only (environment: HLS_CDN_SECRET).

    Parameters
    ----------
    rtmp
        Address of the RTMP listener; port 0: the kernel chooses.
    hls
        Address of the HLS server; port 0: the kernel chooses.
    api
        Address of the control API, which answers as MediaMTX's does; port 0: the kernel chooses.
    path
        The one path that is served, `live/<id>`; empty: the publisher's.
    part_s
        Length of a part in seconds.
    segment_s
        Least length of a segment in seconds; it ends before the next key frame.
    variant
        lowLatency, fmp4 or mpegts.
    ready_file
        Where to write the real addresses, as JSON, once they are bound.
    """
    # FFmpeg's thread could hold up an orderly end, and there is nothing to save: end at once.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    secret = settings.load(IngestSettings, settings.environment()).hls_cdn_secret
    problems = [
        f"--{name} {value}: give a loopback address and a port, such as 127.0.0.1:0"
        for name, value in (("rtmp", rtmp), ("hls", hls), ("api", api))
        if not _is_loopback(value)
    ]
    if not 0.1 <= part_s <= segment_s <= 20:
        problems.append("--part-s, --segment-s: a part has at least 0.1 s, a segment a part's to 20 s")
    if problems:
        raise ConfigError(problems)
    origin = HlsServer(
        path=path,
        flavour=variant,
        part_s=part_s,
        segment_s=segment_s,
        secret=secret.get_secret_value() if secret else "",
    )
    trio.run(_main, origin, _address(rtmp), _address(hls), _address(api), ready_file)


async def _main(
    origin: HlsServer,
    rtmp: tuple[str, int],
    hls: tuple[str, int],
    api: tuple[str, int],
    ready_file: str,
) -> None:
    async with trio.open_nursery() as nursery:
        urls: dict[str, str] = await nursery.start(serve, origin, rtmp, hls, api)
        if ready_file:
            write_ready_file(Path(ready_file), urls)
        log.info("ingest.ready %s %s", urls["rtmp_url"], urls["hls_url"])


def _is_loopback(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return host.strip("[]") in LOOPBACK and port.isdecimal() and int(port) < 65536


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def main() -> None:
    """Run `embedded` with the command line of this process; exit code 2 when it cannot start."""
    reasons: list[str] = []
    try:
        logs.set_up_by(settings.environment())
        cyclopts.run(embedded)
    except* AirclassError as group:
        reasons = _reasons(group)
    if reasons:  # not above: Python 3.11.2 makes a traceback of what is raised there
        sys.stderr.write("".join(f"{reason}\n" for reason in reasons))
        sys.exit(2)


def _reasons(group: BaseExceptionGroup[AirclassError]) -> list[str]:
    return [
        line
        for exc in group.exceptions
        for line in (_reasons(exc) if isinstance(exc, BaseExceptionGroup) else [exc.reason])
    ]


if __name__ == "__main__":
    main()
