"""One node's health: from beats, silence and probes to a status word, with hysteresis.

Decides active, draining, unhealthy or offline and says why: as an English sentence, and as a code with
its figures for pages in other languages. Does not know other nodes; whether a missing ingest is this
node's own fault comes in as `excused`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

SILENT_S = 6.0
OFFLINE_S = 30.0
GOOD_BEATS = 2
NOT_READY_S = 5.0
FLAP_MEMORY_S = 300.0
FIRST_HOLD_S = 5.0
MAX_HOLD_S = 120.0
FIRST_PROBE_PAUSE_S = 5.0
MAX_PROBE_PAUSE_S = 300.0


class NodeStatus(StrEnum):
    """The four words that users' scripts rely on."""

    ACTIVE = "active"
    DRAINING = "draining"
    UNHEALTHY = "unhealthy"
    OFFLINE = "offline"


class ReasonCode(StrEnum):
    """What is behind a status: stable codes, part of `/cluster/nodes`."""

    NOTHING = ""
    NEW = "new"
    SILENT = "silent"
    UNREACHABLE = "unreachable"
    NOT_READY = "not-ready"
    NO_INGEST = "no-ingest"
    SLOW_INGEST = "slow-ingest"
    BAD_INGEST = "bad-ingest"
    WATCHED = "watched"
    RETURNING = "returning"
    DRAINING = "draining"


# A relay names the fault of its origin as its counters do (OriginError.kind).
_OF_FAULT = {
    "": ReasonCode.NOT_READY,
    "connect": ReasonCode.NO_INGEST,
    "timeout": ReasonCode.SLOW_INGEST,
    "truncated": ReasonCode.SLOW_INGEST,
}


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a node has its status: the sentence without its subject, its code, and the figures in it."""

    text: str = ""
    code: ReasonCode = ReasonCode.NOTHING
    figures: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Health:
    """Facts about one node, and the status that follows from them."""

    registered_at_s: float
    status: NodeStatus = NodeStatus.UNHEALTHY
    reason: Reason = Reason("has registered and not yet sent a beat", ReasonCode.NEW)
    last_beat_s: float = float("-inf")
    good_beats: int = 0
    needed_beats: int = 1
    not_ready_since_s: float | None = None
    not_ready_reason: str = ""
    not_ready_fault: str = ""
    last_ready_s: float = float("-inf")
    draining: bool = False
    unreachable: str = ""
    was_reached: bool = False
    probe_failures: int = 0
    next_probe_s: float = float("-inf")
    flaps: int = 0
    last_active_s: float = float("-inf")
    held_until_s: float = float("-inf")

    def beat(self, now_s: float, *, ready: bool, reason: str, draining: bool, fault: str = "") -> None:
        """Take in a heartbeat; `fault` is the kind of its origin's failure, empty when it is another."""
        if now_s - self.last_beat_s >= SILENT_S:
            self.good_beats = 0
        self.good_beats += 1
        self.last_beat_s = now_s
        self.draining = draining
        if ready or draining:
            self.not_ready_since_s, self.not_ready_reason, self.last_ready_s = None, "", now_s
        else:
            self.not_ready_reason, self.not_ready_fault = reason, fault
            if self.not_ready_since_s is None:
                self.not_ready_since_s = now_s

    def probed(self, now_s: float, problem: str, *, interval_s: float) -> None:
        """Take in the result of a probe (empty: reached) and plan the next, with growing pauses."""
        if not problem:
            self.unreachable, self.was_reached, self.probe_failures = "", True, 0
            self.next_probe_s = now_s + interval_s
            return
        # One missed knock at a door that was open before may be ours: knock again before judging.
        if self.probe_failures or not self.was_reached:
            self.unreachable = problem
        pause_s = FIRST_PROBE_PAUSE_S * 2.0 ** min(self.probe_failures, 16)
        self.probe_failures += 1
        self.next_probe_s = now_s + min(pause_s, MAX_PROBE_PAUSE_S)

    def pardon(self, deaf_s: float) -> None:
        """Do not count seconds in which the master itself was too busy to listen."""
        self.last_beat_s += deaf_s
        self.registered_at_s += deaf_s

    def silent_s(self, now_s: float) -> float:
        """Return the seconds since the last sign of life."""
        return now_s - max(self.last_beat_s, self.registered_at_s)

    def judge(self, now_s: float, *, excused: bool, ordered_drain: bool) -> NodeStatus:
        """Return the status that follows from the facts, and remember it.

        `excused`: not being ready is the ingest's fault. `ordered_drain`: an operator wants it empty.
        """
        before = self.status
        status, reason = self._follow(now_s, excused=excused, ordered_drain=ordered_drain)
        if before in _WORKING and status not in _WORKING:
            self._went_down(now_s)
        elif status in _WORKING:
            if before not in _WORKING:
                self.last_active_s = now_s
            if now_s - self.last_active_s >= FLAP_MEMORY_S:
                self.flaps = 0
        self.status, self.reason = status, reason
        return status

    def _went_down(self, now_s: float) -> None:
        self.flaps += 1
        self.good_beats, self.needed_beats = 0, GOOD_BEATS
        # The first fall is forgiven at once; each further one within FLAP_MEMORY_S doubles the watch.
        hold_s = 0.0 if self.flaps == 1 else FIRST_HOLD_S * 2.0 ** min(self.flaps - 2, 16)
        self.held_until_s = now_s + min(hold_s, MAX_HOLD_S)

    def _follow(self, now_s: float, *, excused: bool, ordered_drain: bool) -> tuple[NodeStatus, Reason]:
        silent_s = self.silent_s(now_s)
        if silent_s >= SILENT_S:
            quiet = Reason(
                f"has sent nothing for {silent_s:.0f} s", ReasonCode.SILENT, {"silent_s": round(silent_s)}
            )
            return NodeStatus.OFFLINE if silent_s >= OFFLINE_S else NodeStatus.UNHEALTHY, quiet
        if self.unreachable:
            return NodeStatus.UNHEALTHY, Reason(self.unreachable, ReasonCode.UNREACHABLE)
        if self.not_ready_since_s is not None and not excused:
            told = self.not_ready_reason or "says that it is not ready"
            return NodeStatus.UNHEALTHY, Reason(
                told, _OF_FAULT.get(self.not_ready_fault, ReasonCode.BAD_INGEST)
            )
        if now_s < self.held_until_s:
            left_s = round(self.held_until_s - now_s)
            text = f"came and went {self.flaps} times; watched for {left_s} s more"
            return NodeStatus.UNHEALTHY, Reason(
                text, ReasonCode.WATCHED, {"times": self.flaps, "left_s": left_s}
            )
        if self.good_beats < self.needed_beats:
            text = f"is back; {self.good_beats} of {self.needed_beats} good beats"
            figures = {"beats": self.good_beats, "needed": self.needed_beats}
            return NodeStatus.UNHEALTHY, Reason(text, ReasonCode.RETURNING, figures)
        if ordered_drain or self.draining:
            return NodeStatus.DRAINING, Reason("sends its students to other nodes", ReasonCode.DRAINING)
        return NodeStatus.ACTIVE, Reason()


_WORKING = (NodeStatus.ACTIVE, NodeStatus.DRAINING)


def blames_ingest(mine: Health, others: list[Health]) -> bool:
    """Tell whether a node's "not ready" is excused: nobody else has the stream either.

    It is the node's own fault only when another one was ready NOT_READY_S after its trouble began.
    """
    since_s = mine.not_ready_since_s
    if since_s is None:
        return True
    return not any(other.last_ready_s >= since_s + NOT_READY_S for other in others)
