"""`python -m benchmarks.viewers 150`: do so many students see a picture without one stall?

Starts a teacher, an ingest and a relay by itself, or takes `--url`. The viewers are real HTTP
clients that behave like hls.js, in processes of their own. Exit code 0 only if all of them started
and none saw a stall.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from benchmarks.load import measure
from benchmarks.load.viewer_worker import WorkerOrders
from benchmarks.reports import leak_check, report, scrape
from benchmarks.reports.machine import describe
from benchmarks.servers import servers
from relay.base.errors import AirclassError

SETTLE_S = 4.0
BUILD = Path(__file__).parents[1] / "build" / "benchmarks"
FIRST_PICTURE_S = 30.0
MOST_A_PROCESS = 500  # viewers that one Python process plays without being late itself


@dataclass(frozen=True, slots=True)
class Target:
    """What the viewers watch, and the processes whose cost is of interest."""

    urls: list[str]
    relay: servers.RelayServer | None = None
    ingest: servers.IngestServer | None = None
    headers: tuple[tuple[str, str], ...] = ()


def run_crowd(target: Target, orders: WorkerOrders, processes: int) -> dict[str, Any]:
    """Let the crowd watch; returns what it saw, with the cost of the relay while all were watching."""
    processes_of = {"relay": target.relay, "ingest": target.ingest}
    pids = {name: [process.pid] for name, process in processes_of.items() if process is not None}
    parts = split(orders, processes)
    if target.relay is None or target.ingest is None:
        seen, costs = measure.run("benchmarks.load.viewer_worker", parts, pids)
        return {**merged(seen), **costs}
    # One more reader, at the origin itself: by how much do the others learn of a new part later?
    bearer = {"Authorization": f"Bearer {target.ingest.secret}"}
    witness = replace(orders, urls=[target.ingest.origin_url], viewers=1, headers=bearer)
    relay, looks = target.relay, list[dict[str, float]]()
    with leak_check.sampled(relay.pid) as samples:
        (at_origin, *seen), costs = measure.run(
            "benchmarks.load.viewer_worker",
            [witness, *parts],
            pids,
            look=lambda: looks.append(scrape.figures(relay)),
        )
    own = scrape.between(*looks)
    per_object = scrape.fetches_per_object(target.ingest)
    arrivals = [tuple(row) for part in seen for row in part["arrivals"]]
    added = report.added_ms([tuple(row) for row in at_origin["arrivals"]], arrivals)
    found = {**merged(seen), **costs, "added_ms": added}
    found["relay"] |= {**own, "fetches_per_object": per_object}
    # a look that falls behind the end would find the viewers' connections closed
    watched = [sample for sample in samples if sample["at_s"] <= found["elapsed_s"]]
    found["endurance"] = {"samples": watched, "growth": leak_check.growth(watched)}
    return found


def split(orders: WorkerOrders, processes: int) -> list[WorkerOrders]:
    """Share the viewers, each with the URL that is meant for it, among processes."""
    counts = [orders.viewers // processes + (n < orders.viewers % processes) for n in range(processes)]
    parts, first = [], 0
    for count in counts:
        urls = orders.urls if len(orders.urls) == 1 else orders.urls[first : first + count]
        parts.append(replace(orders, viewers=count, urls=urls))
        first += count
    return parts


def merged(seen: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up what several crowds saw."""
    elapsed_s = max(part["elapsed_s"] for part in seen)
    asked: dict[str, int] = {}
    for part in seen:
        for kind, count in part["asked"].items():
            asked[kind] = asked.get(kind, 0) + count
    return {
        "elapsed_s": elapsed_s,
        "requests": int(sum(part["requests"] for part in seen)),
        "body_bytes": int(sum(part["body_bytes"] for part in seen)),
        "client_busy": max(part["busy_s"] / part["elapsed_s"] for part in seen),
        "asked": asked,
        **report.summary([viewer for part in seen for viewer in part["viewers"]]),
        "spread_ms": report.spread_ms([spread for part in seen for spread in part["spreads_s"]]),
    }


def viewers(
    count: int = 150,
    *,
    url: str = "",
    seconds: float = 30.0,
    ramp: float = 5.0,
    ingest: Literal["embedded", "origin", "mediamtx"] = "embedded",
    mediamtx: str | None = None,
    variant: Literal["lowLatency", "fmp4", "mpegts"] = "lowLatency",
    part_s: float = 0.5,
    segment_s: float = 2.0,
    size: str = "1280x720",
    bitrate_kbps: int = 2000,
    latency: float | None = None,
    direct: bool = False,
    processes: int = 0,
    result: Annotated[Path | None, Parameter(name="--json")] = None,
) -> int:
    """Let viewers watch a relay and say whether anyone saw a stall.

    Parameters
    ----------
    count
        How many viewers.
    url
        A relay's multivariant playlist, with its token in the path; without it everything is started here.
    seconds
        How long to measure once all viewers are there.
    ramp
        Over how many seconds the viewers arrive.
    ingest
        What makes the HLS: the embedded ingest, the Go origin of the tests, or a MediaMTX binary.
    mediamtx
        Path of a MediaMTX binary, for --ingest mediamtx.
    variant
        Kind of HLS that the ingest makes.
    part_s
        Length of a part in seconds.
    segment_s
        Length of a segment in seconds.
    size
        Size of the picture in pixels.
    bitrate_kbps
        Bit rate of the picture in kilobits a second.
    latency
        How far behind live the viewers stay, in seconds; the playlist's hold-back if not given.
    direct
        Watch the ingest itself, without a relay, for comparison.
    processes
        How many processes the viewers share; 0: one per 500.
    result
        Where to write the figures as JSON; a file in build/benchmarks if not given.
    """
    picture = servers.VideoFormat(variant, part_s, segment_s, size, bitrate_kbps)
    with ExitStack() as stack:
        target = Target([url])
        if not url:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="airclass-bench-")))
            target = _started(stack, folder, count, picture, ingest, mediamtx, direct)
        orders = WorkerOrders(
            target.urls, count, ramp, SETTLE_S, seconds, latency, headers=dict(target.headers)
        )
        seen = run_crowd(target, orders, processes or -(-count // MOST_A_PROCESS))
    setup = {"url": url.partition("/t/")[0] or ("ingest" if direct else "relay"), "viewers": count}
    setup |= {"ingest": "" if url else ingest, **asdict(picture), "latency_s": latency}
    record = {"machine": describe(), "setup": setup, "result": seen}
    report.show_viewers(record)
    report.save(record, result or BUILD / f"viewers-{time.strftime('%Y%m%d-%H%M%S')}.json")
    return 0 if seen["started"] == count and not seen["stalls"] else 1


def _started(
    stack: ExitStack,
    folder: Path,
    count: int,
    picture: servers.VideoFormat,
    kind: str,
    mediamtx: str | None,
    direct: bool,
) -> Target:
    source = stack.enter_context(servers.ingest(kind, picture, folder, mediamtx))
    stack.enter_context(servers.teacher(source, picture, folder))
    bearer = ("Authorization", f"Bearer {source.secret}")
    if direct:
        servers.playable(source.origin_url, dict([bearer]), FIRST_PICTURE_S)
        return Target([source.origin_url], ingest=source, headers=(bearer,))
    relay = stack.enter_context(servers.relay(source.origin_url, source.secret, folder, viewers=count))
    urls = relay.viewer_urls(count)
    servers.playable(urls[0], {}, FIRST_PICTURE_S)
    return Target(urls, relay, source)


def main() -> None:
    """Run with this process's command line; exit code 2 when something cannot start."""
    app = cyclopts.App(name="python -m benchmarks.viewers", result_action="return_value")
    app.default(viewers)
    try:
        code = app()
    except AirclassError as error:
        sys.stderr.write(f"{error.reason}\n")
        code = 2
    sys.exit(code)


if __name__ == "__main__":
    main()
