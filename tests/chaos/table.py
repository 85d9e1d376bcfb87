"""docs/chaos.md from the outcomes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.reports.report import machine_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.chaos.verdict import Outcome

HEAD = """\
# Faults under a class, measured

Written by `make chaos`, never by hand. Each row is a class of its own: a real master, real relays, the Go
ingest of the tests (the muxer that MediaMTX uses), a synthetic teacher (RTMP), and viewers who play while
something breaks.

- **Viewers** are HTTP clients that joined by code; they ask, wait and move between relays as hls.js does with
  our page's settings (`benchmarks/player/hlsjs_model.py`). They get no push from the page socket: a page
  moves sooner.
- **Browser** is one real Chromium on our page, beside them; a standstill counts from 250 ms.
- A viewer's **stall** counts from 0.1 s. *Longest* is the longest one; *last back* is when the last picture
  moved again; *last moved* is when the last viewer first changed the relay: seconds after the fault. *Lost*
  viewers stood still at the end.
- Everything runs on one machine; *load* is its load average at the fault. A busy machine's figures are worse.

"""

COLUMNS = ("fault", "promise", "kept", "viewers", "lost", "stalled", "longest s", "last back s", "moved")
COLUMNS += ("last moved s", "browser", "load")


def page(
    outcomes: Sequence[Outcome],
    machines: Mapping[str, str],
    notes: str,
    order: Sequence[str] = (),
    soak: Mapping[str, Any] | None = None,
) -> str:
    """Return the document; `machines` says on what and when each row was measured, `soak` how it went."""
    rank = {name: n for n, name in enumerate(order)}
    rows = sorted(outcomes, key=lambda o: rank.get(o.row, len(rank)))
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---|---:|",
        *(_row(outcome) for outcome in rows),
    ]
    details = [line for outcome in rows for line in _details(outcome, machines.get(outcome.row, ""))]
    endured = ["", *_soak(soak)] if soak else []
    return HEAD + "\n".join([*lines, *endured, "", "## Row by row", "", *details, ""]) + notes


def _soak(record: Mapping[str, Any]) -> list[str]:
    """Return what a long run of viewers at one relay came to (`make soak`)."""
    seen, machine = record["result"], record["machine"]
    growth, relay = seen["endurance"]["growth"], seen["relay"]
    cells = (
        str(seen["viewers"]),
        f"{seen['elapsed_s'] / 60:.1f}",
        str(seen["stalls"]),
        f"{growth['rss_percent']:+.1f} %",
        f"{growth['descriptors']:+.0f}",
        f"{relay['cpu_percent']:.1f} % of a core, {relay['rss_mb']:.0f} MB"
        f" + {relay['memfd_mb']:.0f} MB media",
    )
    return [
        "## For long",
        "",
        "Promised: memory grows by less than 5 % after ten minutes, no descriptor is lost, no stall.",
        "",
        "| viewers | minutes | stalls | memory after the start | descriptors | relay |",
        "|---:|---:|---:|---:|---:|---|",
        f"| {' | '.join(cells)} |",
        "",
        f"{machine_line(machine)}, {machine['date']}; compared from second {growth['after_s']:.0f} on.",
    ]


def _row(o: Outcome) -> str:
    cells = (
        o.fault,
        o.promise,
        "yes" if o.kept else "**no**",
        o.viewers,
        o.lost,
        o.stalled,
        f"{o.longest_s:.1f}" if o.stalled else "–",
        f"{o.back_s:.1f}" if o.stalled else "–",
        o.moved,
        f"{o.moved_s:.1f}" if o.moved else "–",
        _browser(o),
        f"{o.load:.1f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _browser(o: Outcome) -> str:
    if o.browser_plays is None:
        return "–"
    if not o.browser_stalls_ms:
        return "0 stalls" if o.browser_plays else "stands still"
    stalls = ", ".join(f"{ms / 1000:.1f} s" for ms in o.browser_stalls_ms)
    return stalls if o.browser_plays else f"{stalls}, stands still"


def _details(o: Outcome, machine: str) -> list[str]:
    lines = [f"**{o.fault}** (`{o.row}`): {o.started} of {o.viewers} played, watched {o.watched_s:.0f} s."]
    if o.noise:
        lines.append(f"{o.noise} standstills lay before the fault.")
    if o.later:
        lines.append(f"{o.later} viewers stood still once more after the time of the promise.")
    if o.failures:
        lines.append("Failed requests: " + ", ".join(f"{n} × {what}" for what, n in o.failures.items()) + ".")
    lines += [f"{name}: {value}" for name, value in o.notes.items()]
    if o.problems:
        lines.append("Not kept: " + "; ".join(o.problems) + ".")
    return [f"- {lines[0]} {machine}", *(f"    - {line}" for line in lines[1:])]


NOTES = "\n## Notes by hand\n"


def notes_of(document: str) -> str:
    """Return what was written by hand under the table, with its heading; it is kept."""
    _, heading, text = document.partition(NOTES)
    return heading + text
