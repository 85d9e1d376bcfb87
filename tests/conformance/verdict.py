"""From samples of a player to what a viewer saw. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MOVING_SHARE = 0.25  # slower than this share of real time counts as standing still
STALL_LEAST_S = 0.1
LAST_S = 4.0  # a player that does not move in its last seconds is dead
MAX_BLIND_S = 2.0  # no sample for longer: the player said nothing, so it counts as standing


@dataclass(frozen=True, slots=True)
class Sample:
    """Where a player was: wall clock and position in seconds, frames decoded, width of the picture."""

    at_s: float
    position_s: float
    frames: int = 0
    width: int = 0


@dataclass(frozen=True, slots=True)
class ObservedStall:
    """A time in which the picture stood, in seconds of the wall clock."""

    from_s: float
    to_s: float

    def within(self, from_s: float, to_s: float) -> float:
        """Return how much of it lies between two moments."""
        return max(0.0, min(self.to_s, to_s) - max(self.from_s, from_s))


def stalls(samples: Sequence[Sample], until_s: float, least_s: float = STALL_LEAST_S) -> list[ObservedStall]:
    """Return the stalls between the first movement and `until_s`, those of at least `least_s`."""
    found: list[ObservedStall] = []
    moving = False
    open_s: float | None = None
    for before, after in pairwise(samples):
        elapsed_s = after.at_s - before.at_s
        if elapsed_s <= 0 or after.at_s > until_s:
            continue
        if after.position_s - before.position_s >= MOVING_SHARE * elapsed_s:
            moving = True
            if open_s is not None:
                found.append(ObservedStall(open_s, before.at_s))
            open_s = None
        elif moving and open_s is None:
            open_s = before.at_s
    last_s = max((s.at_s for s in samples if s.at_s <= until_s), default=until_s)
    if open_s is None and until_s - last_s > MAX_BLIND_S:
        open_s = last_s
    if open_s is not None and moving:
        found.append(ObservedStall(open_s, until_s))
    return [stall for stall in found if stall.to_s - stall.from_s >= least_s]


def started_s(samples: Sequence[Sample]) -> float | None:
    """Return when the picture first moved."""
    for before, after in pairwise(samples):
        if after.position_s > before.position_s and after.frames + after.position_s > 0:
            return after.at_s
    return None


def alive(samples: Sequence[Sample], until_s: float) -> bool:
    """Tell whether the player still moved, and decoded pictures, in the last seconds."""
    last = [s for s in samples if until_s - LAST_S <= s.at_s <= until_s]
    moved = sum(max(0.0, b.position_s - a.position_s) for a, b in pairwise(last))
    if moved < MOVING_SHARE * LAST_S:
        return False
    return last[-1].frames > last[0].frames or not any(s.frames for s in samples)


@dataclass(frozen=True, slots=True)
class ObservedPlayback:
    """One scene's figures: whether it played to the end, and how long it stood when."""

    plays: bool
    start_s: float | None
    stall_s: float
    gap_s: float = 0.0
    beyond_s: float = 0.0


def plain(
    samples: Sequence[Sample], asked_s: float, until_s: float, least_s: float = STALL_LEAST_S
) -> ObservedPlayback:
    """Judge undisturbed playback."""
    first_s = started_s(samples)
    stood_s = sum(s.within(asked_s, until_s) for s in stalls(samples, until_s, least_s))
    plays = first_s is not None and first_s < until_s and alive(samples, until_s)
    return ObservedPlayback(plays, first_s - asked_s if first_s else None, stood_s)


def disturbed(
    samples: Sequence[Sample], lost_s: float, back_s: float, until_s: float, least_s: float = STALL_LEAST_S
) -> ObservedPlayback:
    """Judge a loss: `back_s` is when the relay listed new media, standing after it is beyond the gap."""
    found = stalls(samples, until_s, least_s)
    return ObservedPlayback(
        plays=alive(samples, until_s),
        start_s=None,
        stall_s=sum(s.within(lost_s, until_s) for s in found),
        gap_s=back_s - lost_s,
        beyond_s=sum(s.within(back_s, until_s) for s in found),
    )
