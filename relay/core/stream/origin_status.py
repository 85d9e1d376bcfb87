"""Whether the origins of a stream answer, and since when: what the master judges this relay by."""

from __future__ import annotations

from enum import StrEnum

# An answer older than this proves nothing: nobody may have asked since.
STALE_S = 30.0


class OriginState(StrEnum):
    """`served`: an origin answers, if only that nobody publishes; `unknown`: none did lately."""

    SERVED = "served"
    UNKNOWN = "unknown"
    FAILED = "failed"


class OriginStatus:
    """The state of a stream's origins; `kind` is that of the failure (OriginError.kind)."""

    def __init__(self) -> None:
        self.kind = ""
        self._state = OriginState.UNKNOWN
        self._since_s: float | None = None
        self._answered_s = float("-inf")

    def served(self, now_s: float) -> None:
        """An origin has answered: with new media, or that nobody publishes."""
        if self.state(now_s) is not OriginState.SERVED:
            self._change(OriginState.SERVED, now_s)
        self._answered_s = now_s

    def failed(self, now_s: float, kind: str) -> None:
        """No origin answers as it should."""
        if self._state is not OriginState.FAILED:
            self._change(OriginState.FAILED, now_s)
        self.kind = kind

    def unasked(self, now_s: float) -> None:
        """The origins are not asked for a while."""
        if self._state is not OriginState.UNKNOWN:
            self._change(OriginState.UNKNOWN, now_s)

    def state(self, now_s: float) -> OriginState:
        """Return the state now."""
        stale = self._state is OriginState.SERVED and now_s - self._answered_s > STALE_S
        return OriginState.UNKNOWN if stale else self._state

    @property
    def has_failed(self) -> bool:
        """Whether the last attempt failed."""
        return self._state is OriginState.FAILED

    def age_s(self, now_s: float) -> float:
        """Return how long the state has lasted; 0 while no origin was ever asked."""
        if self._since_s is None:
            return 0.0
        if self.state(now_s) is not self._state:
            return now_s - self._answered_s - STALE_S
        return now_s - self._since_s

    def quiet_s(self, now_s: float) -> float:
        """Return the time since an origin last answered; 0 unless it serves."""
        return now_s - self._answered_s if self.state(now_s) is OriginState.SERVED else 0.0

    def _change(self, state: OriginState, now_s: float) -> None:
        self._state, self._since_s, self.kind = state, now_s, ""
