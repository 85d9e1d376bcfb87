"""When to tell somebody: only changes, grouped, not too often, and again when all is well.

Decides from looks at the cluster what to send; sends nothing. `told` is what the receiver believes;
whatever came and went between two messages is never mentioned.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from airclass.ops.report import CRITICAL, OK, WARNING, clean

if TYPE_CHECKING:
    from airclass.ops.report import Report

MIN_GAP_S = 60.0
MAX_GAP_S = 1800.0
MAX_AN_HOUR = 12
HOUR_S = 3600.0
MAX_LINES = 20
_MENTION = re.compile(r"@(?=\w)|[<>]")
_SAFE = {"@": "(at)", "<": "‹", ">": "›"}


class SentAlert(msgspec.Struct):
    """A trouble that the receiver knows of."""

    level: int
    text: str


class AlertState(msgspec.Struct):
    """What is kept from look to look, also between runs of cron; times are Unix times in seconds."""

    told: dict[str, SentAlert] = {}
    sent_at_s: list[float] = []
    failures: int = 0
    not_before_s: float = 0.0


class AlertMessage(msgspec.Struct, frozen=True):
    """One message; `level` is that of its worst line, 0 when everything is well again."""

    title: str
    body: str
    level: int


class AlertPolicy:
    """Compares looks with what was told."""

    def __init__(self, state: AlertState | None = None) -> None:
        self.state = state or AlertState()
        self._pending: dict[str, SentAlert] = {}

    def look(self, report: Report, wall_s: float) -> AlertMessage | None:
        """Return the message that is due now, if any; say `sent` or `failed` afterwards."""
        state = self.state
        state.sent_at_s = [t for t in state.sent_at_s if wall_s - HOUR_S < t <= wall_s]
        if state.not_before_s > wall_s + MAX_GAP_S:
            state.not_before_s = 0.0  # the clock was set back
        now = {t.key: SentAlert(t.level, t.text) for t in report.troubles}
        if report.summary is None:
            # With the master away nothing is known of the nodes: what was told of them stays.
            now = {**{k: v for k, v in state.told.items() if k not in ("master", "token")}, **now}
        fresh = [k for k, t in now.items() if k not in state.told or state.told[k].level != t.level]
        gone = [k for k in state.told if k not in now]
        if not fresh and not gone:
            return None
        if wall_s < state.not_before_s or len(state.sent_at_s) >= MAX_AN_HOUR:
            return None
        self._pending = now
        return _message(report, [now[k] for k in fresh], [state.told[k] for k in gone], now)

    def sent(self, wall_s: float) -> None:
        """Take note that the message went out."""
        state = self.state
        state.told, state.failures = self._pending, 0
        state.sent_at_s.append(wall_s)
        state.not_before_s = wall_s + MIN_GAP_S

    def failed(self, wall_s: float) -> None:
        """Take note that it did not: it is tried again, with growing pauses."""
        state = self.state
        state.not_before_s = wall_s + min(MIN_GAP_S * 2.0 ** min(state.failures, 16), MAX_GAP_S)
        state.failures += 1


def harmless(text: str) -> str:
    """Return a text that calls nobody and links nowhere in a chat, whatever a node put into it."""
    return _MENTION.sub(lambda m: _SAFE[m[0]], clean(text)).replace("://", ":\u200b//")


def _message(
    report: Report, fresh: list[SentAlert], gone: list[SentAlert], now: dict[str, SentAlert]
) -> AlertMessage:
    marks = {CRITICAL: "[CRITICAL]", WARNING: "[WARNING]"}
    lines = [f"{marks[t.level]} {harmless(t.text)}" for t in sorted(fresh, key=lambda t: -t.level)]
    lines += [f"[RECOVERED] {harmless(t.text)}" for t in gone]
    rest = len(lines) - MAX_LINES
    if rest > 0:
        lines = [*lines[:MAX_LINES], f"… and {rest} more"]
    level = max((t.level for t in fresh), default=OK)
    if not now:
        title = "AIRClass: all is well again"
    else:
        title = f"AIRClass: {len(now)} problem{'s' if len(now) > 1 else ''} now"
    summary = report.summary
    if summary is not None:
        lines.append(
            f"{summary.active_nodes} of {summary.total_nodes} nodes active, "
            f"{summary.current_load} of {summary.total_capacity} students"
        )
    return AlertMessage(title, "\n".join(lines), level)
