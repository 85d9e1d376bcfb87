"""docs/conformance.md from the results. Pure."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from tests.conformance.matrix import (
    CLIENTS,
    FORMATS,
    HLSJS,
    ORIGINS,
    RESTARTS,
    STAND_BY,
    TITLES,
    VARIATIONS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.conformance.scenes import Result

    Cells = Mapping[tuple[str, str, str], Sequence[Result]]
    Show = Callable[[Sequence[Result]], str]

WANTED_S = 0.7
NOTES = "<!-- What is written below this line stays when the tables are written again. -->"
HEAD = """\
# Conformance: players that others wrote, in front of the relay

The tables are written by `make conformance`. Runs of {date}, {cpu}, {cores} cores, kernel {kernel}.
{versions}.

The origin is [tests/origin](../tests/origin/main.go) (gohlslib, the muxer of MediaMTX): segments of
2 s, parts of 0.5 s, a key frame every 2 s. Browsers run without sound and without a screen; hls.js
has the settings of [our pages](../frontend/src/player/hlsConfig.ts), unless a row says otherwise. A
stall counts from 0.1 s on; for VLC, which tells its pictures four times a second, from 0.8 s; for
FFmpeg, which decodes a segment whenever one is there, from 3 s.

How to read a cell: **yes** = the picture moved to the end and went on being decoded. *stall* = for how
long it stood in all. *beyond* = for how long it still stood after the relay had listed the first media
of the new session; wanted ≤ {wanted} s for low latency. A player without low latency learns of that
media by polling, so up to half a target duration (1.5 s here) of its *beyond* is its own wait.
Several figures are several runs of that cell. *load* is the system's load average on its cores while
it ran, the highest of the runs: other work ran on the machine, and a browser decodes in software.
"""
EMPTY = "\n"
RESTART = "In the middle of the session above, without a new one."
CONTROL = """\
For comparison, without a relay: a plain file of HLS that FFmpeg has made, with the same thing in it (after
8 of 16 s an `EXT-X-DISCONTINUITY`, another `EXT-X-MAP` and another size). A player that fails here does
not support new initialization sections; with MPEG-TS, which has none, it goes on."""
CONTROLS = ("chromium", "webkit-native", "mpv", "vlc")
TAKEOVER = """\
hls.js in Chromium at a relay with `--origin A --origin B`, each origin with a teacher of its own; A is
stopped (SIGSTOP). *gap* = until the relay lists media of B; wanted ≤ two target durations of the
origin, 4 s."""
SILENCE = """\
Requests a second that one hls.js makes of the relay, over 20 s, when its buffer has run out, and
whether it goes on by itself when the teacher is back."""


def page(
    results: Sequence[Result], facts: Mapping[str, str], versions: Mapping[str, str], notes: str = ""
) -> str:
    """Return the whole document; `notes` were written by hand and come last."""
    cells: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        cells.setdefault((result.source, result.client, result.event), []).append(result)
    said = ", ".join(f"{name} {number}" for name, number in versions.items())
    dates = sorted({result.date for result in results if result.date}) or [facts["date"]]
    named = {name: facts[name] for name in ("cpu", "cores", "kernel")}
    named["date"] = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    text = [HEAD.format(versions=said, wanted=WANTED_S, **named)]
    rows = (*CLIENTS, *VARIATIONS)
    text += ["## 20 s undisturbed", *_grid(cells, rows, "plain", _plain)]
    text += ["## The publisher is killed and comes back after 3 s in another size", "", RESTART]
    text += _grid(cells, rows, "restart", _beyond)
    text += [
        "",
        CONTROL,
        *_lines(["control"], CONTROLS, lambda _, c: _plain(cells.get(("control", c, "control"), []))),
    ]
    text += ["## Four restarts in one session of hls.js", "", "The teacher is away for 1, 3, 6 and 3 s.", ""]
    events = [f"restarts {number}" for number in range(1, RESTARTS + 1)]
    text += _lines(events, FORMATS, lambda event, f: _beyond(cells.get((f, "chromium", event), [])))
    text += ["## Nobody publishes for half a minute", "", SILENCE]
    text += _grid(cells, ("chromium",), "silence", _silence)
    text += ["## Two relays, one multivariant playlist with two pathways", ""]
    text += ["Moved by `hls.pathwayPriority`:", *_grid(cells, HLSJS, "move", _plain)]
    text += ["The relay that it plays from is killed with SIGKILL:", *_grid(cells, HLSJS, "kill", _plain)]
    text += ["## Other origins", "", "Undisturbed for 8 s:", *_across(cells, "plain", _plain)]
    text += ["Publisher killed, back after 3 s:", *_across(cells, "restart", _beyond)]
    text += ["## Two origins, the first one hangs", "", TAKEOVER, ""]
    text += _lines(["takeover"], (STAND_BY,), lambda e, o: _takeover(cells.get((o, "chromium", e), [])))
    text += ["## What the players said", "", *_errors(results)]
    return "\n".join(text).rstrip() + f"\n\n{NOTES}{notes or EMPTY}"


def _grid(cells: Cells, clients: Sequence[str], event: str, show: Show) -> list[str]:
    return _lines(clients, FORMATS, lambda client, f: show(cells.get((f, client, event), [])))


def _across(cells: Cells, event: str, show: Show) -> list[str]:
    return _lines(ORIGINS, ("chromium", "ffmpeg"), lambda o, client: show(cells.get((o, client, event), [])))


def _lines(rows: Sequence[str], columns: Sequence[str], show: Callable[[str, str], str]) -> list[str]:
    lines = ["", "| | " + " | ".join(TITLES[c] for c in columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        shown = [show(row, column) for column in columns]
        if any(shown):
            lines.append(
                f"| {TITLES.get(row, row)} | " + " | ".join(text or "not run" for text in shown) + " |"
            )
    return [*lines, ""]


def _yes(runs: Sequence[Result]) -> str:
    good = sum(run.plays for run in runs)
    word = "yes" if good == len(runs) else f"{good} of {len(runs)}" if good else "**no**"
    notes = sorted({run.note for run in runs if run.note})
    return word + (f" ({'; '.join(notes)})" if notes else "")


def _each(values: Sequence[float]) -> str:
    return " / ".join(f"{value:.1f}" for value in values)


def _load(runs: Sequence[Result]) -> str:
    return f"load {max(run.load for run in runs):.0f}"


def _plain(runs: Sequence[Result]) -> str:
    return f"{_yes(runs)}, stall {_each([r.stall_s for r in runs])} s, {_load(runs)}" if runs else ""


def _beyond(runs: Sequence[Result]) -> str:
    if not runs:
        return ""
    gaps = _each([r.gap_s for r in runs])
    return f"{_yes(runs)}, beyond {_each([r.beyond_s for r in runs])} s (gap {gaps} s), {_load(runs)}"


def _takeover(runs: Sequence[Result]) -> str:
    if not runs:
        return ""
    gaps = _each([r.gap_s for r in runs])
    return f"{_yes(runs)}, gap {gaps} s, stall {_each([r.stall_s for r in runs])} s, {_load(runs)}"


def _silence(runs: Sequence[Result]) -> str:
    if not runs:
        return ""
    figures = " / ".join(f"{r.figure:.2f}" for r in runs if r.figure is not None)
    return f"{_yes(runs)}, {figures} requests/s, beyond {_each([r.beyond_s for r in runs])} s"


def _errors(results: Sequence[Result]) -> list[str]:
    said: dict[str, Counter[str]] = {}
    for result in results:
        said.setdefault(result.client, Counter()).update(result.errors)
    lines = [
        f"- {TITLES[client]}: " + ", ".join(f"{what} × {count}" for what, count in errors.most_common())
        for client, errors in said.items()
        if errors
    ]
    return lines or ["Nothing."]


def versions_of(document: str) -> dict[str, str]:
    """Return the programs and versions that an earlier document names."""
    line = next((line for line in document.splitlines() if line.startswith("hls.js ")), "")
    return dict(re.findall(r"([A-Za-z.]+) (\d[0-9.]*\d)", line))


def notes_of(document: str) -> str:
    """Return what was written by hand below the marker of an earlier document."""
    return document.partition(NOTES)[2]
