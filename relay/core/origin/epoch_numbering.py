"""How a relay gets the numbers of an epoch: from the master, or alone when no answer can be used.

No relay may list a number below what its viewers have seen. So an offset that would do that is refused once,
and the master is asked for a higher one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.base.cluster_protocol import EpochOffset, EpochRequest
    from relay.core.playlist import MediaPlaylist
    from relay.core.stream.timeline import Epoch, Timeline

REPEATED = "the master answers numbers that viewers have seen: upgrade the master first"


def begun_epoch(timeline: Timeline, key: str) -> Epoch | None:
    """Return the epoch if this relay lists it already, or is past it."""
    epoch = timeline.known(key)
    return epoch if epoch is not None and timeline.has_begun(epoch) else None


def usable_epoch(
    timeline: Timeline, key: str, first_msn: int, playlist: MediaPlaylist, *, longest_listed_s: float = 0.0
) -> Epoch | EpochRequest:
    """Return the epoch if its numbers are known and can be used here, else what to ask for."""
    epoch = timeline.known(key)
    if epoch is not None and timeline.accepts(epoch, first_msn):
        return epoch
    return timeline.request(key, first_msn, playlist, longest_listed_s=longest_listed_s)


class EpochNumbering:
    """One epoch's way to its numbers.

    While `request` is set, the master is to be asked. Then `offset` holds the numbers, and `alone` says why
    this relay decided them itself, empty when the master did. `refused` is an answer that was not usable.
    """

    def __init__(self, timeline: Timeline, request: EpochRequest) -> None:
        self.request: EpochRequest | None = request
        self.refused: EpochOffset | None = None
        self.alone = ""
        self._timeline = timeline
        self._asked = request
        self._offset: EpochOffset | None = None

    @property
    def offset(self) -> EpochOffset:
        """The numbers of the epoch: decided alone until the master has answered."""
        if self._offset is None:
            self._offset = self._timeline.decide_alone(self._asked)
        return self._offset

    def answered(self, offset: EpochOffset) -> None:
        """Take the master's answer, or refuse it."""
        if self._timeline.accepts(offset, self._asked.first_msn):
            self._offset, self.request = offset, None
        elif self.refused is None:
            self.refused = offset
            self.request = self._asked = self._timeline.refuse(offset, self._asked)
        else:
            self.unanswered(REPEATED)

    def unanswered(self, reason: str) -> None:
        """Go on without the master."""
        self.alone, self.request = reason, None
