"""The picture of one viewer: where it is, when it stands still, how far behind live. No I/O.

Told what is in the buffer and what time it is; computes playback exactly instead of sampling it.
Knows nothing of playlists.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum

START_BUFFER_S = 0.25  # what a browser wants on every track before the picture moves
MIN_STALL_S = 0.1  # shorter standstills are not seen as such
MIN_FORWARD_S = 1.0  # hls.js plays faster only with more than this in its buffer
MIN_BEHIND_S = 0.05
RATE_STEEPNESS = 0.75
RATE_STEPS = 20  # rates are multiples of 1/20
STALL_DISTANCE_S = 1.0  # what hls.js keeps back in addition after each stall
MAX_DATES = 64


class PlaybackState(Enum):
    """What the picture does."""

    STARTING = "starting"
    PLAYING = "playing"
    STALLED = "stalled"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Stall:
    """A standstill: when it began (Unix time) and how long it lasted."""

    at_s: float
    lasted_s: float


@dataclass(frozen=True, slots=True)
class RelayMove:
    """A change of the relay that is played from: when (Unix time) and to which pathway."""

    at_s: float
    to: str


@dataclass(slots=True)
class ViewerResult:
    """What one viewer saw: seconds from play to picture, standstills, latencies, failed requests.

    `plays`: the picture moved, or the class was over, when the viewer stopped watching.
    """

    startup_s: float | None = None
    stalls: list[Stall] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    moves: list[RelayMove] = field(default_factory=list)
    plays: bool = False


class Playback:
    """A playhead on a line of time in seconds; `extra_latency_s` grows with each stall."""

    def __init__(self, max_rate: float) -> None:
        self.facts = ViewerResult()
        self.state = PlaybackState.STARTING
        self.rate = 1.0
        self.position_s = 0.0
        self.extra_latency_s = 0.0
        self._max_rate = max_rate
        self._buffered_to_s = 0.0
        self._complete = False
        self._began_s = self._last_s = self._stalled_s = 0.0
        self._dates: deque[tuple[float, float]] = deque(maxlen=MAX_DATES)

    @property
    def forward_s(self) -> float:
        """How many seconds can be played without anything new."""
        return self._buffered_to_s - self.position_s

    def begin(self, now_s: float) -> None:
        """Press play."""
        self._began_s = self._last_s = now_s

    def dated(self, at_s: float, date_s: float) -> None:
        """Learn which date (Unix time) lies at a position."""
        self._dates.append((at_s, date_s))

    def buffered(self, to_s: float, now_s: float, *, complete: bool, target_s: float) -> None:
        """Learn how far the buffer reaches, and start or go on if that is enough.

        `complete`: nothing more will come; `target_s`: the target duration, the most that stalls add
        to the distance from live.
        """
        self._buffered_to_s, self._complete = to_s, complete
        if self.state in (PlaybackState.PLAYING, PlaybackState.ENDED) or (
            self.forward_s < START_BUFFER_S and not complete
        ):
            return
        if self.state is PlaybackState.STARTING:
            self.facts.startup_s = now_s - self._began_s
        else:
            self._stall_over(now_s)
            self.extra_latency_s = min(self.extra_latency_s, target_s)
        self.state = PlaybackState.PLAYING

    def advance(self, now_s: float) -> None:
        """Let the picture run until now, or to where the buffer ended."""
        elapsed_s, self._last_s = now_s - self._last_s, now_s
        if self.state is not PlaybackState.PLAYING:
            return
        left_s = max(0.0, self.forward_s)
        if elapsed_s * self.rate <= left_s:
            self.position_s += elapsed_s * self.rate
            return
        self.position_s += left_s
        self._stalled_s = now_s - elapsed_s + left_s / self.rate
        self.state = PlaybackState.ENDED if self._complete else PlaybackState.STALLED

    def steer(self, latency_s: float, wanted_s: float, target_s: float) -> None:
        """Play a little faster while behind, by the curve of hls.js' latency controller."""
        behind_s = latency_s - wanted_s
        self.rate = 1.0
        if MIN_BEHIND_S < behind_s < wanted_s + target_s and self.forward_s > MIN_FORWARD_S:
            rate = 2 / (1 + math.exp(-RATE_STEEPNESS * behind_s))
            self.rate = min(self._max_rate, max(1.0, round(rate * RATE_STEPS) / RATE_STEPS))

    def note_latency(self, now_s: float) -> None:
        """Note how old the picture is, if it plays and its date is known."""
        if self.state is not PlaybackState.PLAYING:
            return
        for at_s, date_s in reversed(self._dates):
            if at_s <= self.position_s:
                self.facts.latencies_s.append(now_s - (date_s + self.position_s - at_s))
                return

    def finish(self, now_s: float) -> ViewerResult:
        """Stop and return what was seen; a stall that still lasts is counted."""
        self.advance(now_s)
        self.facts.plays = self.state in (PlaybackState.PLAYING, PlaybackState.ENDED)
        if self.state is PlaybackState.STALLED:
            self._stall_over(now_s)
            self.state = PlaybackState.ENDED
        return self.facts

    def _stall_over(self, now_s: float) -> None:
        lasted_s = now_s - self._stalled_s
        if lasted_s >= MIN_STALL_S:
            self.facts.stalls.append(Stall(self._stalled_s, lasted_s))
            self.extra_latency_s += STALL_DISTANCE_S
