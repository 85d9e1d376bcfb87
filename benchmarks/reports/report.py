"""Figures for people and for files: percentiles, rich tables, JSON."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

BUSY_LIMIT = 0.85
WIDTH = 132
SAME_DATE_S = 0.05
MAX_ERRORS = 10


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value below which `share` (0 … 1) of the values lie, by nearest rank; None without any."""
    if not values:
        return None
    return sorted(values)[round(share * (len(values) - 1))]


def summary(viewers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what all viewers saw together, from their facts."""
    startups = [viewer["startup_s"] for viewer in viewers if viewer["startup_s"] is not None]
    latencies = [latency for viewer in viewers for latency in viewer["latencies_s"]]
    stalls = [stall for viewer in viewers for stall in viewer["stalls"]]
    failures: Counter[str] = Counter()
    for viewer in viewers:
        failures.update(viewer["failures"])
    return {
        "viewers": len(viewers),
        "started": len(startups),
        "stalls": len(stalls),
        "stalled_viewers": sum(bool(viewer["stalls"]) for viewer in viewers),
        "stalled_s": sum(stall["lasted_s"] for stall in stalls),
        "startup_s": _spread(startups),
        "latency_s": _spread(latencies),
        "failures": dict(failures),
    }


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    return {
        "p50": percentile(values, 0.5),
        "p95": percentile(values, 0.95),
        "p99": percentile(values, 0.99),
        "max": percentile(values, 1.0),
    }


def spread_ms(spreads_s: Sequence[float]) -> dict[str, float | None]:
    """Return, in milliseconds, how long after the first waiting viewer the others got a new playlist."""
    return _spread([1000 * spread for spread in spreads_s])


def added_ms(
    at_origin: Sequence[tuple[int, float, float]], at_viewers: Sequence[tuple[int, float, float]]
) -> dict[str, float | None]:
    """Return, in milliseconds, how long after the origin's own reader viewers learned of the same part.

    Both are (track, date at the edge, time of arrival); dates that differ by a rounding are the same.
    """
    known = {track: sorted(row[1:] for row in at_origin if row[0] == track) for track in (0, 1)}
    delays = []
    for track, date_s, seen_s in at_viewers:
        rows = known.get(track, [])
        at = bisect_left(rows, (date_s - SAME_DATE_S, 0.0))
        if at < len(rows) and rows[at][0] <= date_s + SAME_DATE_S:
            delays.append(1000 * (seen_s - rows[at][1]))
    return _spread(delays)


def console() -> Console:
    """Return where tables go: wide enough for them even when the output is a file."""
    return Console(width=WIDTH)


def save(record: dict[str, Any], path: Path) -> None:
    """Write the figures as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    console().print(f"[dim]{path}[/]")


def machine_line(machine: dict[str, str]) -> str:
    """Return the machine in one line."""
    return (
        f"{machine['cores']} × {machine['cpu']}, {machine['memory']}, Linux {machine['kernel']} "
        f"({machine['congestion_control']}), Python {machine['python']}"
    )


def number(value: float | None, digits: int = 2) -> str:
    """Return a figure, or a dash where there is none."""
    return "–" if value is None else f"{value:,.{digits}f}"


def show_viewers(record: dict[str, Any]) -> None:
    """Print what a crowd of viewers saw."""
    seen, setup = record["result"], record["setup"]
    title = f"{seen['viewers']} viewers · {setup['variant']} · parts {setup['part_s']} s · {setup['ingest']}"
    table = Table("what", "p50", "p95", "p99", "max", title=title, title_justify="left")
    for name, key, digits in (
        ("start-up s", "startup_s", 3),
        ("latency s", "latency_s", 2),
        ("new part, after the first viewer ms", "spread_ms", 1),
        ("new part, after the origin's reader ms", "added_ms", 1),
    ):
        if key not in seen:
            continue
        table.add_row(name, *(number(seen[key][column], digits) for column in ("p50", "p95", "p99", "max")))
    out = console()
    out.print(table)
    seconds = seen["elapsed_s"]
    facts = Table.grid(padding=(0, 2))
    facts.add_row("started", f"{seen['started']} of {seen['viewers']}")
    colour = "red" if seen["stalls"] else "green"
    facts.add_row("stalls", f"[{colour}]{seen['stalls']}[/] in {seen['stalled_viewers']} viewers")
    rate, mbps = seen["requests"] / seconds, seen["body_bytes"] * 8e-6 / seconds
    facts.add_row("requests", f"{number(rate, 0)} a second, {number(mbps, 1)} Mbit/s")
    for name in ("relay", "ingest"):
        if name in seen:
            used = seen[name]
            facts.add_row(
                name,
                f"{number(used['cpu_percent'], 1)} % of a core (user {number(used['user_s'])} s, "
                f"system {number(used['system_s'])} s), {number(used['us_per_request'], 1)} µs a request, "
                f"{number(used['rss_mb'], 1)} MB (grown by {number(used['rss_grown_mb'], 1)} MB meanwhile) "
                f"+ {number(used['memfd_mb'], 1)} MB media",
            )
    own = seen.get("relay", {})
    if own.get("fetches_per_object"):
        facts.add_row("fetches per object", number(own["fetches_per_object"]))
    if "push_p99_ms" in own:
        push, turn = number(own["push_p99_ms"], 1), number(own["turn_p99_ms"], 1)
        facts.add_row("relay's own figures", f"new part to last waiter p99 ≤ {push} ms, turn p99 ≤ {turn} ms")
    if growth := seen.get("endurance", {}).get("growth"):
        facts.add_row(
            "relay's growth",
            f"memory {number(growth['rss_percent'], 1)} %, descriptors {number(growth['descriptors'], 0)}, "
            f"after the first {number(growth['after_s'], 0)} s",
        )
    if waits := [
        f"{name} {number(seen[name]['waited_percent'], 1)} %"
        for name in ("relay", "ingest", "generators")
        if "waited_percent" in seen.get(name, {})
    ]:
        facts.add_row("kept from a core", ", ".join(waits) + " of the time")
    rest = seen["generators"]["rest_percent"]
    facts.add_row("client", f"{number(100 * seen['client_busy'], 0)} % busy")
    facts.add_row("rest of the machine", f"{number(rest, 0)} % of a core (teacher and whatever else runs)")
    for what, count in list(seen["failures"].items())[:MAX_ERRORS]:
        facts.add_row("[yellow]failed[/]", f"{count} × {what}")
    facts.add_row("machine", machine_line(record["machine"]))
    out.print(facts)
    if seen["client_busy"] > BUSY_LIMIT:
        out.print("[yellow]the viewers' own process was nearly full: use --processes 2[/]")
