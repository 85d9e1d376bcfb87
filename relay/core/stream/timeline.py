"""The numbers that viewers of one stream see, across every restart of the origin.

An *epoch* is one life of the origin's muxer. Each epoch has an offset and a discontinuity sequence
number, so that the media sequence number that viewers see only ever grows (RFC 8216bis §6.2.2). The
timeline also pins the durations that must not change within an epoch (§6.2.1). The rule as a whole is in
docs/relay.md ("Who chooses the offset?").

Holds numbers only. What is listed is decided in `window`, which epoch a playlist belongs to in
`epoch_tracker`, when to ask the master in the puller.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from relay.base.cluster_protocol import SUCCESSOR, EpochOffset, EpochRequest, session_of

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


@dataclass(slots=True)
class Epoch:
    """One epoch; `tag` is in the name of everything that it serves.

    The epoch with the highest `order` is the newest one. The master may correct it, nothing else changes.
    """

    key: str
    offset: int
    discontinuity_seq: int
    tag: str
    order: int = field(default=0, compare=False)
    pins: PinnedDurations | None = field(default=None, compare=False)

    @property
    def session(self) -> str:
        """The origin session; it has several epochs when it was numbered more than once."""
        return session_of(self.key)


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
        self.next_msn = 0  # the lowest numbers that this relay has not yet listed to viewers
        self.next_discontinuity_seq = 0
        self.cluster_msn = 0  # above what other relays have listed, as far as this one knows
        self.cluster_discontinuity_seq = 0
        self._epochs: dict[str, Epoch] = {}
        self._current: Epoch | None = None
        self._disputed = ""
        self._refused: dict[str, tuple[int, int]] = {}  # the cluster's offsets that this relay cannot use

    # -- epochs ---------------------------------------------------------------------------

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """The last epochs, oldest first."""
        return tuple(sorted(self._epochs.values(), key=_order))

    @property
    def newest(self) -> Epoch | None:
        """The epoch that began last anywhere in the cluster."""
        return max(self._epochs.values(), key=_order, default=None)

    @property
    def current(self) -> Epoch | None:
        """The epoch that this relay lists now; None before the first."""
        return self._current

    def known(self, key: str) -> Epoch | None:
        """Return the epoch with this key, or None when it still needs its numbers."""
        return self._epochs.get(key)

    def newest_of(self, session: str) -> Epoch | None:
        """Return the newest epoch of an origin session."""
        return max((e for e in self._epochs.values() if e.session == session), key=_order, default=None)

    def has_begun(self, epoch: Epoch) -> bool:
        """Tell whether this relay lists the epoch already, or is past it."""
        return (
            self._current is not None and epoch.order <= self._current.order and epoch.key != self._disputed
        )

    def begin(self, epoch: Epoch) -> None:
        """Note that this relay lists the epoch from now on."""
        self._current, self._disputed = epoch, ""

    def offsets(self) -> tuple[EpochOffset, ...]:
        """Return the epochs as the records that the master keeps, oldest first."""
        return tuple(self._record(epoch) for epoch in self.epochs)

    # -- numbers for a new epoch ------------------------------------------------------------

    def request(
        self, key: str, first_msn: int, playlist: MediaPlaylist, *, longest_listed_s: float = 0.0
    ) -> EpochRequest:
        """Return what the master must know to give an epoch its numbers.

        For an epoch that is known the request is a refusal: its numbers cannot be used here.
        `longest_listed_s` is the longest segment that viewers are shown now: it stays in the list beside
        those of the new epoch, so the target duration must cover it (RFC 8216bis §4.4.3.1).
        """
        pins = propose_pins(playlist, longest_listed_s)
        return EpochRequest(
            stream=self.stream,
            key=key,
            first_msn=first_msn,
            next_msn=self.next_msn,
            next_discontinuity_seq=self.next_discontinuity_seq,
            target_duration_s=pins.target_duration_s,
            part_target_s=pins.part_target_s,
            refused=key if key in self._epochs else "",
        )

    def accepts(self, offset: Epoch | EpochOffset, first_msn: int) -> bool:
        """Tell whether an epoch can be listed from `first_msn` on: no number may fall."""
        return (
            offset.key != self._disputed
            and first_msn + offset.offset >= self.next_msn
            and offset.discontinuity_seq >= self.next_discontinuity_seq
        )

    def refuse(self, offset: EpochOffset, request: EpochRequest) -> EpochRequest:
        """Return the request for higher numbers than the master's answer to `request` has."""
        self._refused[offset.key] = (offset.offset, offset.discontinuity_seq)
        while len(self._refused) > MAX_EPOCHS_KEPT:
            del self._refused[next(iter(self._refused))]
        return msgspec.structs.replace(request, refused=offset.key)

    def decide_alone(self, request: EpochRequest) -> EpochOffset:
        """Go on above all numbers that this relay knows of: the rule where no master can be asked.

        What this relay lists already keeps its numbers. An offset of the cluster that it cannot use
        stays the offset of that epoch, so the session goes on under another key.
        """
        if self._current is not None and request.refused == self._current.key:
            return self._record(self._current)
        next_msn = max(request.next_msn, self.cluster_msn)
        discontinuity_seq = max(request.next_discontinuity_seq, self.cluster_discontinuity_seq)
        key = f"{session_of(request.key)}{SUCCESSOR}{discontinuity_seq}" if request.refused else request.key
        return EpochOffset(
            stream=request.stream,
            key=key,
            offset=0 if next_msn == 0 else next_msn - request.first_msn,
            discontinuity_seq=discontinuity_seq,
            target_duration_s=request.target_duration_s,
            part_target_s=request.part_target_s,
            order=self._last_order + 1,
        )

    def adopt(self, offset: EpochOffset) -> Epoch:
        """Take an epoch's numbers and durations; returns the epoch."""
        epoch = self._epochs.get(offset.key)
        if epoch is not None and _numbers(epoch) == _numbers(offset):
            epoch.order = offset.order or epoch.order
            return epoch
        order = offset.order or self._last_order + 1
        pins = self.pins
        if offset.target_duration_s:
            pins = PinnedDurations(offset.target_duration_s, offset.part_target_s)
        epoch = Epoch(offset.key, offset.offset, offset.discontinuity_seq, self._tag(offset), order, pins)
        self._epochs[offset.key] = epoch
        if epoch is self.newest:
            self.pins = pins
        while len(self._epochs) > MAX_EPOCHS_KEPT:
            del self._epochs[self.epochs[0].key]
        return epoch

    # -- what the cluster says --------------------------------------------------------------

    def learn(self, offset: EpochOffset) -> bool:
        """Take in an offset from the master's orders; False when what this relay lists differs from it.

        Two relays that decided alone can differ. This one then asks for higher numbers, with the next
        playlist, and the whole cluster moves on to them.
        """
        ours = self._epochs.get(offset.key)
        if ours is not None and ours is self._current and _numbers(ours) != _numbers(offset):
            ours.order = offset.order or ours.order
            if _numbers(offset) == self._refused.get(offset.key):
                return True
            self._disputed = offset.key
            return False
        if ours is not None and _numbers(ours) != _numbers(offset) and self.has_begun(ours):
            return True  # it is over: its numbers stay what viewers have seen
        newest = self.newest
        is_ordered = offset.order or newest is None or offset.discontinuity_seq > newest.discontinuity_seq
        if ours is not None or is_ordered:
            self.adopt(offset)
            self.learn_numbers(offset.offset + 1, offset.discontinuity_seq + 1)
        return True

    def learn_numbers(self, next_msn: int, next_discontinuity_seq: int) -> None:
        """Take in the numbers that viewers elsewhere have not been shown yet."""
        self.cluster_msn = max(self.cluster_msn, next_msn)
        self.cluster_discontinuity_seq = max(self.cluster_discontinuity_seq, next_discontinuity_seq)

    # -- what this relay lists --------------------------------------------------------------

    def listed(self, msn: int, discontinuity_seq: int) -> None:
        """Note that a number was shown to viewers: later epochs start beyond it."""
        self.next_msn = max(self.next_msn, msn + 1)
        self.next_discontinuity_seq = max(self.next_discontinuity_seq, discontinuity_seq + 1)

    def pin(self, playlist: MediaPlaylist) -> PinnedDurations:
        """Return the pinned durations, proposed from this playlist where no offset has brought any."""
        if self.pins is None:
            self.pins = propose_pins(playlist)
        return self.pins

    @property
    def _last_order(self) -> int:
        newest = self.newest
        return 0 if newest is None else newest.order

    def _record(self, epoch: Epoch) -> EpochOffset:
        pins = epoch.pins or self.pins or PinnedDurations(0, 0.0)
        return EpochOffset(
            self.stream,
            epoch.key,
            *_numbers(epoch),
            pins.target_duration_s,
            pins.part_target_s,
            epoch.order,
        )

    def _tag(self, offset: EpochOffset) -> str:
        """Return what names carry; no two contents may ever have one name, since names are cached."""
        text = f"{offset.key}|{offset.offset}|{offset.discontinuity_seq}"
        if offset.key.startswith(COUNTED):
            text += self._salt
        return hashlib.blake2s(text.encode(), digest_size=4).hexdigest()


def _order(epoch: Epoch) -> tuple[int, int]:
    return epoch.order, epoch.discontinuity_seq


def _numbers(epoch: Epoch | EpochOffset) -> tuple[int, int]:
    return epoch.offset, epoch.discontinuity_seq


def propose_pins(playlist: MediaPlaylist, longest_listed_s: float = 0.0) -> PinnedDurations:
    """Return durations with head-room over what the origin lists now, at least what it promises.

    An origin that is a relay itself has its head-room already: nothing is added twice. Nor to the longest
    segment of an earlier epoch that is still listed: its length is known.
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
