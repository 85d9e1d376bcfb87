"""`python -m relay top`: one relay on one screen, read from its admin port."""

from __future__ import annotations

import argparse
import json
import ssl
from dataclasses import dataclass

import httpx
import trio
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from relay.top.snapshot import MetricsSample, RelaySnapshot, look

ANSWER_S = 3.0
MAX_ANSWER_CHARS = 4_000_000
MAX_STREAMS_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Scrape:
    """One look at the admin port; without a reading, `reasons` says why."""

    reading: MetricsSample | None
    ready: bool
    reasons: list[str]


async def scrape(client: httpx.AsyncClient, url: str) -> Scrape:
    """Read /metrics and /readyz; never raises for a relay that is down or strange."""
    try:
        with trio.fail_after(ANSWER_S):
            metrics = await client.get(f"{url}/metrics")
            readiness = await client.get(f"{url}/readyz")
        if metrics.status_code != 200 or len(metrics.text) > MAX_ANSWER_CHARS:
            return Scrape(None, False, [f"this is no relay's admin port (it answered {metrics.status_code})"])
        families = text_string_to_metric_families(metrics.text)
        samples = [(s.name, s.labels, float(s.value)) for family in families for s in family.samples]
        ready = json.loads(readiness.text)
        reasons = [str(reason) for reason in ready["reasons"]]
        return Scrape(MetricsSample(trio.current_time(), samples), bool(ready["ready"]), reasons)
    except trio.TooSlowError:
        return Scrape(None, False, ["the relay does not answer: is it stopped or overloaded?"])
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        why = f"no relay can be reached at {url} ({type(exc).__name__}): "
        return Scrape(None, False, [why + "start it, or name its admin port with --admin URL"])
    except (ValueError, KeyError, TypeError):
        return Scrape(None, False, ["this is no relay's admin port: its answer cannot be read"])


async def watch(url: str, console: Console, *, interval_s: float, once: bool = False) -> int:
    """Draw until cancelled, or one screen; returns the exit code (1: the one screen had no figures)."""
    before: MetricsSample | None = None
    async with httpx.AsyncClient(verify=ssl.create_default_context(), trust_env=False) as client:
        found = await scrape(client, url)
        if once:
            console.print(screen(url, found, before))
            return 0 if found.reading else 1
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(screen(url, found, before), refresh=True)
                before = found.reading or before
                await trio.sleep(interval_s)
                found = await scrape(client, url)


def screen(url: str, found: Scrape, before: MetricsSample | None) -> Group:
    """Return the whole picture."""
    if found.reading is None:
        return Group(_head(url, found, None))
    snapshot = look(found.reading, before)
    return Group(_head(url, found, snapshot), _figures(snapshot), _streams(snapshot))


def _head(url: str, found: Scrape, snapshot: RelaySnapshot | None) -> Panel:
    words = Text(f"relay{f' {snapshot.version}' if snapshot else ''} at {_plain(url)}  ")
    words.append("READY" if found.ready else "NOT READY", "bold green" if found.ready else "bold red")
    if snapshot:
        words.append("  draining" if snapshot.draining else "", "yellow")
        words.append("  master connected" if snapshot.master_connected else "")
    for reason in found.reasons:
        words.append(f"\n{_plain(reason)}", "red")
    return Panel(words)


def _figures(g: RelaySnapshot) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    full = g.viewers / g.capacity if g.capacity else 0.0
    rows = [
        ("viewers", f"{g.viewers} of {g.capacity} ({full:.0%})", "connections", str(g.connections)),
        ("egress", f"{g.egress_bps / 1e6:.2f} Mb/s", "waiting", str(g.waiters)),
        ("requests", _pairs(g.requests_per_s, "{:.1f}/s"), "answers", _pairs(g.statuses)),
        (
            "turn",
            f"p50 ≤ {_ms(g.turn_p50_s)}, p99 ≤ {_ms(g.turn_p99_s)}",
            "push",
            f"p99 ≤ {_ms(g.push_p99_s)}",
        ),
        ("memory", f"{g.memory_bytes / 2**20:.0f} MiB", "media", f"{g.cache_bytes / 2**20:.1f} MiB"),
        ("cpu", f"{g.cpu_ratio:.1%} of a core", "unsent", f"{g.send_queue_bytes / 1024:.0f} KiB"),
        ("refused", _pairs(g.refused), "slow readers cut", str(g.slow_readers_cut)),
        ("origin failures", _pairs(g.origin_failures), "", ""),
    ]
    for name, value, other, its in rows:
        table.add_row(Text(name, "dim"), Text(value), Text(other, "dim"), Text(its))
    return table


def _streams(g: RelaySnapshot) -> Table:
    table = Table("stream", "state", "viewers", "lag", "media", "sessions", "gaps", "fetched", expand=True)
    for line in g.streams[:MAX_STREAMS_SHOWN]:
        table.add_row(
            Text(_plain(line.name)),
            Text(line.state, "green" if line.state == "live" else "yellow"),
            str(line.viewers),
            f"{line.lag_s:.2f} s" if line.lag_s >= 0 else "-",
            f"{line.cache_bytes / 2**20:.1f} MiB",
            str(line.sessions),
            str(line.gaps),
            f"{line.fetched_per_s:.1f}/s",
        )
    if len(g.streams) > MAX_STREAMS_SHOWN:
        table.caption = f"and {len(g.streams) - MAX_STREAMS_SHOWN} more"
    return table


def _pairs(values: dict[str, float] | dict[str, int], form: str = "{}") -> str:
    return ", ".join(f"{_plain(name)} {form.format(value)}" for name, value in values.items()) or "none"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:g} ms"


def _plain(text: str) -> str:
    """Return text that cannot command the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m relay top", description="Watch one relay live.")
    parser.add_argument("--admin", default="http://127.0.0.1:8081", metavar="URL", help="its admin port")
    parser.add_argument("--interval", type=float, default=1.0, metavar="S", help="seconds between looks")
    parser.add_argument("--once", action="store_true", help="print one screen and end")
    given = parser.parse_args(arguments)
    url, interval_s = given.admin.rstrip("/"), max(0.2, given.interval)

    async def show() -> int:
        return await watch(url, Console(), interval_s=interval_s, once=given.once)

    try:
        return trio.run(show)
    except KeyboardInterrupt:
        return 0
