"""One node's health: from heartbeats, silence and probes to a status word, with hysteresis.

Decides active, draining, unhealthy or offline and says why: as an English sentence, and as a code with
its figures for pages in other languages. Does not know other nodes; what only a comparison of all nodes
shows comes in as a `GroupView` (see `cluster_health.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

SILENT_S = 6.0
OFFLINE_S = 30.0
GOOD_BEATS = 2
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
    BEHIND = "behind"
    WATCHED = "watched"
    RETURNING = "returning"
    DRAINING = "draining"
    KEEPING = "keeping"
    PARTLY = "partly"
    SUSPECT = "suspect"


WORKING = (NodeStatus.ACTIVE, NodeStatus.DRAINING)
# A node that is back and waits: its students may stay.
ON_PROBATION = (ReasonCode.NEW, ReasonCode.WATCHED, ReasonCode.RETURNING)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a node has its status: the sentence without its subject, its code, and the figures in it."""

    text: str = ""
    code: ReasonCode = ReasonCode.NOTHING
    figures: dict[str, int] = field(default_factory=dict)


_NEW = Reason("has registered and not yet sent a heartbeat", ReasonCode.NEW)
_MOVES = Reason("sends its students to other nodes", ReasonCode.DRAINING)
_KEEPS = Reason(
    "takes no new students and keeps those it has: no other node takes students", ReasonCode.KEEPING
)


@dataclass(frozen=True, slots=True)
class GroupView:
    """What the other nodes show about one.

    `fault` takes the node out; `remark` is shown while it is active. `needed`: no other node could take
    students, so neither a fault nor probation takes it out. `alone`: no other node takes students.
    `line_cut`: most nodes are silent, which is the fault of the master's own line.
    """

    fault: Reason | None = None
    remark: Reason = Reason()
    needed: bool = False
    alone: bool = False
    line_cut: bool = False


@dataclass(slots=True)
class Health:
    """Facts about one node, and the status that follows from them."""

    registered_at_s: float
    status: NodeStatus = NodeStatus.UNHEALTHY
    reason: Reason = _NEW
    last_beat_s: float = float("-inf")
    good_beats: int = 0
    needed_beats: int = 1
    not_ready: str = ""
    draining: bool = False
    unreachable: str = ""
    was_reached: bool = False
    probe_failures: int = 0
    next_probe_s: float = float("-inf")
    flaps: int = 0
    last_active_s: float = float("-inf")
    held_until_s: float = float("-inf")

    def beat(self, now_s: float, *, draining: bool, not_ready: str = "") -> None:
        """Take in a heartbeat; `not_ready` is why the node can serve no stream at all, if it says so."""
        if now_s - self.last_beat_s >= SILENT_S:
            self.good_beats = 0
        self.good_beats += 1
        self.last_beat_s = now_s
        self.draining = draining
        self.not_ready = not_ready

    def probed(self, now_s: float, problem: str, *, interval_s: float) -> None:
        """Take in the result of a probe (empty: reached) and plan the next, with growing pauses."""
        if not problem:
            self.unreachable, self.was_reached, self.probe_failures = "", True, 0
            self.next_probe_s = now_s + interval_s
            return
        # A single failed probe of a node that was reachable may be our own fault: probe again first.
        if self.probe_failures or not self.was_reached:
            self.unreachable = problem
        pause_s = FIRST_PROBE_PAUSE_S * 2.0 ** min(self.probe_failures, 16)
        self.probe_failures += 1
        self.next_probe_s = now_s + min(pause_s, MAX_PROBE_PAUSE_S)

    def pardon(self, deaf_s: float, now_s: float) -> None:
        """Do not count seconds in which the master itself was too busy to read heartbeats."""
        self.last_beat_s = min(self.last_beat_s + deaf_s, now_s)  # one that was read since is not later
        self.registered_at_s = min(self.registered_at_s + deaf_s, now_s)

    def silent_s(self, now_s: float) -> float:
        """Return the seconds since the last sign of life."""
        return now_s - max(self.last_beat_s, self.registered_at_s)

    def beats(self, now_s: float) -> bool:
        """Tell whether the node sends heartbeats."""
        return self.silent_s(now_s) < SILENT_S

    def is_usable(self, now_s: float) -> bool:
        """Tell whether students could be sent here, were it not for faults and probation."""
        heard = self.last_beat_s > float("-inf") and self.beats(now_s)
        return heard and not (self.unreachable or self.not_ready)

    def probation(self, now_s: float) -> Reason | None:
        """Return why a node that is new or back has to wait; None when it need not."""
        if self.last_beat_s == float("-inf"):
            return _NEW
        if now_s < self.held_until_s:
            left_s = round(self.held_until_s - now_s)
            text = f"came and went {self.flaps} times; watched for {left_s} s more"
            return Reason(text, ReasonCode.WATCHED, {"times": self.flaps, "left_s": left_s})
        if self.good_beats < self.needed_beats:
            text = f"is back; {self.good_beats} of {self.needed_beats} good heartbeats"
            figures = {"beats": self.good_beats, "needed": self.needed_beats}
            return Reason(text, ReasonCode.RETURNING, figures)
        return None

    def judge(self, now_s: float, view: GroupView, *, ordered_drain: bool) -> NodeStatus:
        """Return the status that follows from the facts, and remember it.

        `ordered_drain`: an operator wants the node empty.
        """
        before = self.status
        status, reason = self._follow(now_s, view, ordered_drain=ordered_drain)
        if before in WORKING and status not in WORKING:
            self._went_down(now_s, line_cut=view.line_cut)
        elif status in WORKING:
            if before not in WORKING:
                self.last_active_s = now_s
            if now_s - self.last_active_s >= FLAP_MEMORY_S:
                self.flaps = 0
        self.status, self.reason = status, reason
        return status

    def _went_down(self, now_s: float, *, line_cut: bool) -> None:
        if line_cut:
            self.good_beats, self.needed_beats = 0, 1
            return
        self.flaps += 1
        self.good_beats, self.needed_beats = 0, GOOD_BEATS
        # The first fall has no hold; each further one within FLAP_MEMORY_S doubles it.
        hold_s = 0.0 if self.flaps == 1 else FIRST_HOLD_S * 2.0 ** min(self.flaps - 2, 16)
        self.held_until_s = now_s + min(hold_s, MAX_HOLD_S)

    def _follow(self, now_s: float, view: GroupView, *, ordered_drain: bool) -> tuple[NodeStatus, Reason]:
        silent_s = self.silent_s(now_s)
        if silent_s >= SILENT_S:
            figures = {"silent_s": round(silent_s)}
            quiet = Reason(f"has sent nothing for {silent_s:.0f} s", ReasonCode.SILENT, figures)
            return NodeStatus.OFFLINE if silent_s >= OFFLINE_S else NodeStatus.UNHEALTHY, quiet
        if self.unreachable:
            return NodeStatus.UNHEALTHY, Reason(self.unreachable, ReasonCode.UNREACHABLE)
        if self.not_ready:
            return NodeStatus.UNHEALTHY, Reason(self.not_ready, ReasonCode.NOT_READY)
        held_back = view.fault or self.probation(now_s)
        if held_back is not None and not view.needed:
            return NodeStatus.UNHEALTHY, held_back
        if ordered_drain or self.draining:
            return NodeStatus.DRAINING, _KEEPS if view.alone else _MOVES
        return NodeStatus.ACTIVE, view.remark
