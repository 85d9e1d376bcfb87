"""`python -m benchmarks.compare`: what one request costs the relay, and what it costs nginx, in one run.

Every server gets the same paced work from the same generator on the other core, in turns. The
relay checks a token of each viewer and counts them; nginx does neither. CPU is read from /proc.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urljoin

import cyclopts
import httpx
from cyclopts import Parameter
from rich.table import Table

from benchmarks.load import measure
from benchmarks.load.fixed_rate_worker import RateOrders
from benchmarks.load.viewer_worker import WorkerOrders
from benchmarks.reports import report, scrape
from benchmarks.reports.machine import describe
from benchmarks.reports.round_selection import MAX_BUSY, added_up, kept_pace, ratio
from benchmarks.servers import servers
from benchmarks.servers.certificate import self_signed
from benchmarks.servers.nginx import nginx
from benchmarks.viewers import merged
from relay.base.errors import AirclassError, StartError
from relay.core.playlist import MultivariantPlaylist, parse

BUILD = Path(__file__).parents[1] / "build" / "benchmarks"
SEGMENT_BYTES = 500_000
CONNECTS_PER_S = 800
HANDSHAKES_PER_S = 150
SETTLE_S = 4.0
FIRST_PICTURE_S = 30.0
SERVER_CORE, CLIENT_CORE = 0, 1

Name = Literal["mixed", "segments", "playlists", "ll", "mixed-tls", "segments-tls"]
ALL: tuple[Name, ...] = ("mixed", "segments", "ll", "mixed-tls", "segments-tls")
PLAYLIST_SHARE = {"mixed": 0.5, "segments": 0.0, "playlists": 1.0}
TARGETS = {"mixed": 1.0, "segments": 0.5, "mixed-tls": 1.0, "segments-tls": 1.0}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server under test: its processes and one multivariant URL per viewer, or one for all."""

    name: str
    pids: list[int]
    urls: list[str]
    headers: tuple[tuple[str, str], ...] = ()
    relay: servers.RelayServer | None = None

    def measured(
        self, generator: str, orders: RateOrders | WorkerOrders
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Let a generator work; return what it saw, and what that cost this server."""
        looks: list[dict[str, float]] = []

        def look() -> None:
            if self.relay is not None:
                looks.append(scrape.figures(self.relay))

        (seen,), costs = measure.run(
            generator, [orders], {"server": self.pids}, measure.core_set(CLIENT_CORE), look
        )
        own = scrape.between(*looks) if looks else {}
        return seen, {**costs["server"], "rest_percent": costs["generators"]["rest_percent"], **own}


@dataclass(frozen=True, slots=True)
class Workload:
    """How much is asked of each server; times in seconds."""

    viewers: int
    rate: float
    tls_viewers: int
    tls_rate: float
    seconds: float
    rounds: int
    ll_viewers: int
    part_s: float
    ingest: str
    mediamtx: str | None


def compare(
    *names: Name,
    viewers: int = 4000,
    rate: float = 2000.0,
    tls_viewers: int = 1000,
    tls_rate: float = 500.0,
    seconds: float = 10.0,
    rounds: int = 3,
    ll_viewers: int = 150,
    part_s: float = 0.5,
    ingest: Literal["embedded", "origin", "mediamtx"] = "origin",
    mediamtx: str | None = None,
    result: Annotated[Path | None, Parameter(name="--json")] = None,
) -> int:
    """Compare the relay with nginx, side by side in one run.

    Parameters
    ----------
    names
        What to compare: mixed (half playlists, half segments of 500 kB), segments, playlists, ll (low
        latency, viewers like hls.js), mixed-tls, segments-tls. Without names: all but playlists.
    viewers
        Keep-alive viewers of the paced comparisons.
    rate
        Requests a second that all viewers send together.
    tls_viewers
        Viewers of the comparisons with TLS.
    tls_rate
        Requests a second with TLS, where the client must decrypt every byte.
    seconds
        How long each server is measured in each round.
    rounds
        How often the servers take turns; figures are added up, the ratio is the median of the rounds'.
    ll_viewers
        Viewers of the low-latency comparison.
    part_s
        Length of a part in seconds in the low-latency comparison.
    ingest
        What makes the low-latency HLS.
    mediamtx
        Path of a MediaMTX binary, for --ingest mediamtx.
    result
        Where to write the figures as JSON; a file in build/benchmarks if not given.
    """
    work = Workload(
        viewers, rate, tls_viewers, tls_rate, seconds, rounds, ll_viewers, part_s, ingest, mediamtx
    )
    found: dict[str, Any] = {}
    for name in names or ALL:
        with (
            ExitStack() as stack,
            tempfile.TemporaryDirectory(prefix="airclass-bench-") as folder,
        ):
            candidates = _started(stack, Path(folder), name, work)
            found[name] = _measured(name, work, candidates)
        show(name, found[name])
    record = {"machine": describe(), "setup": asdict(work), "result": found}
    report.save(record, result or BUILD / f"compare-{time.strftime('%Y%m%d-%H%M%S')}.json")
    return 0


def _started(stack: ExitStack, folder: Path, name: Name, work: Workload) -> list[Candidate]:
    """Start origin, relay and nginx for one comparison."""
    tls = name.endswith("-tls")
    certificate = self_signed(folder) if tls else None
    settings = {"TLS_CERT": str(certificate[0]), "TLS_KEY": str(certificate[1])} if certificate else {}
    if name == "ll":
        picture = servers.VideoFormat(part_s=work.part_s)
        source = stack.enter_context(servers.ingest(work.ingest, picture, folder, work.mediamtx))
        stack.enter_context(servers.teacher(source, picture, folder))
        origin_url, secret, count = source.origin_url, source.secret, work.ll_viewers
        servers.playable(origin_url, {"Authorization": f"Bearer {secret}"}, FIRST_PICTURE_S)
    else:
        source = None
        origin_url = stack.enter_context(servers.exact_origin(folder, SEGMENT_BYTES)) + "/live/index.m3u8"
        secret, count = "", work.viewers
    relay = stack.enter_context(servers.relay(origin_url, secret, folder, viewers=count, settings=settings))
    proxy = stack.enter_context(nginx(origin_url, folder, secret=secret, certificate=certificate))
    path = httpx.URL(origin_url).path
    candidates = [
        Candidate("relay", [relay.pid], relay.viewer_urls(count), relay=relay),
        Candidate("nginx", proxy.pids, [proxy.url + path]),
    ]
    if source is not None:
        bearer = ("Authorization", f"Bearer {secret}")
        candidates.append(Candidate("ingest itself", [source.pid], [origin_url], (bearer,)))
    for candidate in candidates:
        servers.playable(candidate.urls[0], dict(candidate.headers), FIRST_PICTURE_S)
        measure.pin(candidate.pids, SERVER_CORE)
    return candidates


def _measured(name: Name, work: Workload, candidates: list[Candidate]) -> dict[str, Any]:
    """Let the servers take turns and add up what each round cost."""
    rounds: dict[str, list[dict[str, Any]]] = {candidate.name: [] for candidate in candidates}
    for _ in range(work.rounds):
        for candidate in candidates:
            run = _watched if name == "ll" else _paced
            rounds[candidate.name].append(run(name, work, candidate))
    found = {server: added_up(parts) for server, parts in rounds.items()}
    for facts in found.values():
        facts["ratio_to_nginx"] = ratio(facts, found["nginx"])
    return found


def _paced(name: Name, work: Workload, candidate: Candidate) -> dict[str, Any]:
    kind = name.removesuffix("-tls")
    tls = name.endswith("-tls")
    viewers = work.tls_viewers if tls else work.viewers
    variant = _variant(candidate.urls[0])
    pace = RateOrders(
        urls=[urljoin(url, variant) for url in candidate.urls],
        viewers=viewers,
        requests_per_s=work.tls_rate if tls else work.rate,
        playlists=PLAYLIST_SHARE[kind],
        ramp_s=viewers / (HANDSHAKES_PER_S if tls else CONNECTS_PER_S),
        seconds=work.seconds,
    )
    seen, cost = candidate.measured("benchmarks.load.fixed_rate_worker", pace)
    return {**seen, **cost, "fair": kept_pace(seen, pace)}


def _variant(url: str) -> str:
    """Return the URI of the media playlist that a multivariant one lists."""
    answer = httpx.get(url, timeout=10.0, verify=False)  # noqa: S501 - loopback, our own certificate
    playlist = parse(answer.text)
    if not isinstance(playlist, MultivariantPlaylist):
        raise StartError("the server gave no multivariant playlist")
    return playlist.variants[0].uri


def _watched(name: Name, work: Workload, candidate: Candidate) -> dict[str, Any]:
    orders = WorkerOrders(
        candidate.urls, work.ll_viewers, 5.0, SETTLE_S, work.seconds, headers=dict(candidate.headers)
    )
    seen, cost = candidate.measured("benchmarks.load.viewer_worker", orders)
    facts = {**merged([seen]), **cost}
    return {**facts, "fair": facts["client_busy"] < MAX_BUSY}


def show(name: str, found: dict[str, Any]) -> None:
    """Print one comparison as a table."""
    target = TARGETS.get(name)
    aim = f" · aim: relay ≤ {target} × nginx" if target else ""
    table = Table(title=f"{name}{aim}", title_justify="left")
    columns = ("server", "requests/s", "Mbit/s", "µs a request", "× nginx", "% of core", "MB")
    for column in (*columns, "ms p50 / p99", "stalls", "failed", "client", "rest"):
        table.add_column(column, justify="left" if column == "server" else "right")
    for server, facts in found.items():
        seconds = facts["elapsed_s"]
        times = facts.get("time_ms") or facts["spread_ms"]
        table.add_row(
            server,
            report.number(facts["requests"] / seconds, 0),
            report.number(facts["body_bytes"] * 8e-6 / seconds, 0),
            report.number(facts["us_per_request"], 1),
            report.number(facts["ratio_to_nginx"]),
            report.number(facts["cpu_percent"], 1),
            report.number(facts["rss_mb"] + facts["memfd_mb"], 0),
            f"{report.number(times['p50'], 1)} / {report.number(times['p99'], 1)}",
            str(facts.get("stalls", "–")),
            str(sum(facts["failures"].values())),
            f"{100 * facts['client_busy']:.0f} %",
            f"{facts['rest_percent']:.0f} %",
        )
    out = report.console()
    out.print(table)
    own = found["relay"]
    if own.get("turns"):
        out.print(
            f"relay: {own['long_turns']:.0f} of {own['turns']:.0f} turns longer than "
            f"{1000 * scrape.LONG_TURN_S:.0f} ms (p99 ≤ {report.number(own['turn_p99_ms'], 1)} ms), "
            f"{own.get('long_turns_cpu', math.nan):.0f} by their CPU, "
            f"{own['media_mb']:.1f} MB of media"
        )
    if found["relay"]["ratio_to_nginx"] is None:
        out.print("[yellow]no round was fair: the machine was too busy for this pace, measure again[/]")


def main() -> None:
    """Run with this process's command line; exit code 2 when something cannot start."""
    app = cyclopts.App(name="python -m benchmarks.compare", result_action="return_value")
    app.default(compare)
    try:
        code = app()
    except AirclassError as error:
        sys.stderr.write(f"{error.reason}\n")
        code = 2
    sys.exit(code)


if __name__ == "__main__":
    main()
