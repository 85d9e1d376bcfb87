"""Which of several origin addresses to ask."""

from __future__ import annotations

import math

INDEX_RETRY_MIN_S = 0.25
INDEX_RETRY_MAX_S = 1.0
# The next address is asked without a wait, unless the last one was left as recently as this.
TURN_AGAIN_S = 1.0


class OriginFailover:
    """Which of several origin addresses is asked: the next one whenever one fails or stands still."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self.urls = urls
        self._index = 0
        self._failures = 0
        self._turned_s = -math.inf

    @property
    def current(self) -> str:
        """The address to ask now."""
        return self.urls[self._index]

    @property
    def stand_by(self) -> bool:
        """Whether there is another one to turn to."""
        return len(self.urls) > 1

    def worked(self) -> None:
        """Note that the current address serves the stream."""
        self._failures = 0

    def failed(self, now_s: float) -> float:
        """Turn to the next address; returns the seconds to wait before asking it."""
        self._index = (self._index + 1) % len(self.urls)
        rounds = self._failures // len(self.urls)
        self._failures += 1
        turned_s, self._turned_s = self._turned_s, now_s
        if self.stand_by and now_s - turned_s >= TURN_AGAIN_S:
            return 0.0
        return float(min(INDEX_RETRY_MAX_S, INDEX_RETRY_MIN_S * 2 ** min(rounds, 8)))
