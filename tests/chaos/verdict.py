"""What viewers noticed of a fault: a pure calculation from their facts, and what was promised."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_FAILURES = 6
LOST_S = 5.0  # who stands still so long at the end has been lost


@dataclass(frozen=True)
class Promise:
    """What a student may notice; times in seconds after the fault, None: not promised.

    `back_s`: by when the last viewer's picture moves again. `stalls`: whether any may be seen at all.
    """

    text: str
    stalls: bool = False
    back_s: float | None = None


@dataclass
class Outcome:
    """One row of the table; `stalls` are (seconds after the fault, length) of each standstill, in order.

    `later` are the viewers who stood still once more after the time that was promised for their return.
    """

    row: str
    fault: str
    promise: str
    viewers: int = 0
    started: int = 0
    lost: int = 0
    stalled: int = 0
    longest_s: float = 0.0
    back_s: float = 0.0
    moved: int = 0
    moved_s: float = 0.0
    noise: int = 0
    later: int = 0
    browser_stalls_ms: list[int] = field(default_factory=list)
    browser_plays: bool | None = None
    notes: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    stalls: list[list[float]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    watched_s: float = 0.0
    load: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        return not self.problems


def count(
    outcome: Outcome, viewers: Sequence[Mapping[str, Any]], fault_s: float, within_s: float | None = None
) -> None:
    """Fill in what the viewers' facts say of the time after the fault (Unix time).

    A standstill that was over before the fault is the machine's noise and counted apart; so is one that
    began after `within_s`, when everybody should have been back.
    """
    failures: Counter[str] = Counter()
    for viewer in viewers:
        after = [
            (s["at_s"] - fault_s, s["lasted_s"])
            for s in viewer["stalls"]
            if s["at_s"] + s["lasted_s"] > fault_s
        ]
        soon = [(at_s, lasted_s) for at_s, lasted_s in after if within_s is None or at_s <= within_s]
        moves = [m["at_s"] for m in viewer["moves"] if m["at_s"] > fault_s]
        outcome.noise += len(viewer["stalls"]) - len(after)
        outcome.started += viewer["startup_s"] is not None
        outcome.lost += not viewer["plays"] and (not after or after[-1][1] >= LOST_S)
        outcome.stalled += bool(after)
        outcome.later += len(after) > len(soon)
        outcome.moved += bool(moves)
        outcome.longest_s = max([outcome.longest_s, *(lasted_s for _, lasted_s in after)])
        outcome.back_s = max([outcome.back_s, *(at_s + lasted_s for at_s, lasted_s in soon)])
        outcome.moved_s = max(outcome.moved_s, min(moves, default=fault_s) - fault_s)
        outcome.stalls += [[round(at_s, 1), round(lasted_s, 1)] for at_s, lasted_s in after]
        failures.update(viewer["failures"])
    outcome.stalls.sort()
    outcome.viewers = len(viewers)
    outcome.failures = dict(failures.most_common(MAX_FAILURES))


def judge(outcome: Outcome, promise: Promise) -> None:
    """Add to the outcome's problems what was promised and not kept."""
    said = outcome.problems
    if outcome.started < outcome.viewers:
        said.append(f"{outcome.viewers - outcome.started} viewers never had a picture")
    if outcome.lost:
        said.append(f"{outcome.lost} viewers were lost")
    if outcome.browser_plays is False:
        said.append("the browser stood still at the end")
    if not promise.stalls and outcome.stalled:
        said.append(f"{outcome.stalled} viewers saw a stall, the longest {outcome.longest_s:.1f} s")
    if not promise.stalls and outcome.browser_stalls_ms:
        said.append(f"the browser saw a stall of {max(outcome.browser_stalls_ms)} ms")
    if promise.back_s is not None and outcome.back_s > promise.back_s:
        said.append(f"the last was back after {outcome.back_s:.1f} s")
