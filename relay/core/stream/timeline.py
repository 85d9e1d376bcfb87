"""The number line that viewers see, across every restart of the origin.

An *epoch* is one origin session: the time between a publisher's (or the origin's) start and its
end, in which the origin counts its segments up from somewhere. The timeline gives each epoch an
offset and a discontinuity sequence number, so that the media sequence number that viewers see
only ever grows (RFC 8216bis §6.2.2), and pins the durations that must never change (§6.2.1).

Decides numbers only. What is listed is decided in `window`, when to ask whom in `follow`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.base.cluster_protocol import EpochOffset, EpochRequest

if TYPE_CHECKING:
    from relay.core.playlist import MediaPlaylist

MAX_EPOCHS_KEPT = 8
# Keys of sessions that their origin does not name: counted, so another process counts them too.
COUNTED = "session-"
# A teacher who doubles the key-frame distance, or a part that ends one frame late, must still fit.
TARGET_DURATION_HEADROOM = 1.5
PART_TARGET_HEADROOM = 1.1
# A part that is so many times as long as the usual one comes from a hiccup of the publisher's machine.
HICCUP_PARTS = 2.0
MIN_PARTS_TO_JUDGE = 3
PART_HOLD_BACK_PARTS = 3.0
HOLD_BACK_TARGETS = 3.0
# hls.js 1.7 calls a relay dead when a blocking reload takes max(3 parts, 0.8 target durations).
PLAYER_PATIENCE = 0.75


@dataclass(frozen=True, slots=True)
class Epoch:
    """One origin session; `tag` is in the name of everything that it serves."""

    key: str
    offset: int
    discontinuity_seq: int
    tag: str
    pins: PinnedDurations | None = None


@dataclass(frozen=True, slots=True)
class PinnedDurations:
    """Durations that stay for the life of an epoch; `part_target_s` is 0.0 without low latency.

    A new epoch begins with a discontinuity and may bring others: an encoder that was set right, or wrong,
    between two sessions (docs/decisions/target-duration.md).
    """

    target_duration_s: int
    part_target_s: float

    @property
    def part_hold_back_s(self) -> float:
        """Distance from the live edge that a low-latency player keeps (RFC 8216bis §4.4.3.8)."""
        return PART_HOLD_BACK_PARTS * self.part_target_s

    @property
    def hold_back_s(self) -> float:
        """Distance from the live edge that other players keep (at least 3 target durations)."""
        return HOLD_BACK_TARGETS * self.target_duration_s

    @property
    def hold_s(self) -> float:
        """How long a blocking reload is held before the unchanged playlist is its answer."""
        return PLAYER_PATIENCE * max(3 * self.part_target_s, 0.8 * self.target_duration_s)


class Timeline:
    """Numbers of one stream, shared by its renditions.

    `salt` goes into the names of sessions that are only counted; empty where a master counts for all.
    """

    def __init__(self, stream: str, salt: str = "") -> None:
        self.stream = stream
        self._salt = salt
        self.pins: PinnedDurations | None = None
        self._epochs: dict[str, Epoch] = {}
        self._next_msn = 0
        self._next_discontinuity_seq = 0

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """The last epochs, oldest first."""
        return tuple(self._epochs.values())

    @property
    def newest(self) -> Epoch | None:
        """The epoch that was adopted last."""
        return next(reversed(self._epochs.values()), None)

    def known(self, key: str) -> Epoch | None:
        """Return the epoch of an origin session, or None when it still needs its numbers."""
        return self._epochs.get(key)

    def bases(self) -> tuple[EpochOffset, ...]:
        """Return the epochs as the records that the master keeps."""
        none = PinnedDurations(0, 0.0)
        return tuple(
            EpochOffset(
                self.stream,
                e.key,
                e.offset,
                e.discontinuity_seq,
                (e.pins or self.pins or none).target_duration_s,
                (e.pins or self.pins or none).part_target_s,
            )
            for e in self._epochs.values()
        )

    def ask(
        self, key: str, first_msn: int, playlist: MediaPlaylist, *, longest_listed_s: float = 0.0
    ) -> EpochRequest:
        """Return what the master must know to give a new session its numbers.

        `longest_listed_s` is the longest segment that viewers are shown now: it stays in the list beside
        those of the new session, so the target duration of both must cover it (RFC 8216bis §4.4.3.1).
        """
        pins = propose_pins(playlist, longest_listed_s)
        return EpochRequest(
            stream=self.stream,
            key=key,
            first_msn=first_msn,
            next_msn=self._next_msn,
            next_discontinuity_seq=self._next_discontinuity_seq,
            target_duration_s=pins.target_duration_s,
            part_target_s=pins.part_target_s,
        )

    def decide_alone(self, ask: EpochRequest) -> EpochOffset:
        """Continue from what this relay has listed: the rule where no master can be asked."""
        return EpochOffset(
            stream=ask.stream,
            key=ask.key,
            offset=0 if ask.next_msn == 0 else ask.next_msn - ask.first_msn,
            discontinuity_seq=ask.next_discontinuity_seq,
            target_duration_s=ask.target_duration_s,
            part_target_s=ask.part_target_s,
        )

    def adopt(self, base: EpochOffset) -> Epoch:
        """Take a session's numbers and durations; returns the epoch."""
        if base.target_duration_s:
            self.pins = PinnedDurations(base.target_duration_s, base.part_target_s)
        epoch = Epoch(base.key, base.offset, base.discontinuity_seq, self._tag(base), self.pins)
        self._epochs.pop(base.key, None)
        self._epochs[base.key] = epoch
        while len(self._epochs) > MAX_EPOCHS_KEPT:
            del self._epochs[next(iter(self._epochs))]
        return epoch

    def _tag(self, base: EpochOffset) -> str:
        """Return what names carry; no two contents may ever have one name, since names are cached."""
        text = f"{base.key}|{base.offset}|{base.discontinuity_seq}"
        if base.key.startswith(COUNTED):
            text += self._salt
        return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()

    def pin(self, playlist: MediaPlaylist) -> PinnedDurations:
        """Return the pinned durations, proposed from this playlist where no base has brought any."""
        if self.pins is None:
            self.pins = propose_pins(playlist)
        return self.pins

    def disagrees(self, base: EpochOffset) -> bool:
        """Tell whether another relay gave a session that we serve different numbers.

        The rule then: this relay's listing was wrong for the cluster. It drops the stream's
        timeline, answers 410 so that its players move on, and starts again with the base.
        """
        ours = self._epochs.get(base.key)
        return ours is not None and (ours.offset, ours.discontinuity_seq) != (
            base.offset,
            base.discontinuity_seq,
        )

    def listed(self, msn: int, discontinuity_seq: int) -> None:
        """Note that a number was shown to viewers: later epochs start beyond it."""
        self._next_msn = max(self._next_msn, msn + 1)
        self._next_discontinuity_seq = max(self._next_discontinuity_seq, discontinuity_seq + 1)


def propose_pins(playlist: MediaPlaylist, longest_listed_s: float = 0.0) -> PinnedDurations:
    """Return durations with head-room over what the origin lists now, at least what it promises.

    An origin that is a relay itself has its head-room already: nothing is added twice. Nor to the longest
    segment of an earlier session that is still listed: its length is known.
    """
    segments = [s.duration_s for s in playlist.segments if not s.gap] or [playlist.target_duration_s]
    target_s = max(
        playlist.target_duration_s,
        math.ceil(max(segments) * TARGET_DURATION_HEADROOM),
        math.floor(longest_listed_s + 0.5),
    )
    return PinnedDurations(max(1, target_s), round(_part_target_s(playlist), 5))


def _part_target_s(playlist: MediaPlaylist) -> float:
    """Return what to promise of parts; 0.0 without any.

    One part of a machine that stood still for a second must not keep the class seconds further behind
    for the whole lesson: neither it, nor a promise that was stretched for it, is the measure.
    """
    promised_s = playlist.part_target_s
    if not promised_s:
        return 0.0
    listed = [*playlist.segments, *([playlist.open_segment] if playlist.open_segment else [])]
    parts_s = [p.duration_s for s in listed for p in s.parts] or [promised_s]
    # the last part of a segment may be of any length, the others are near the target (RFC 8216bis §4.4.4.9)
    full_s = sorted(p.duration_s for s in listed for p in s.parts[: -1 if s.uri else None])
    if len(full_s) >= MIN_PARTS_TO_JUDGE:
        most_s = HICCUP_PARTS * full_s[len(full_s) // 2]
        parts_s = [part_s for part_s in parts_s if part_s <= most_s]
        promised_s = promised_s if promised_s <= most_s else 0.0
    return max(promised_s, max(parts_s) * PART_TARGET_HEADROOM)
