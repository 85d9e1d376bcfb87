"""All nodes judged together: what one of them fails counts only by what the others show.

    facts per node and stream  ->  faults (who is to blame for which stream)
    faults and each node's own facts  ->  status of each node
                                      ->  per stream, the nodes that its students avoid

Two rules keep classes running. A fault in one stream takes a node out of that stream only; it is out of
the cluster when it fails all that others serve. And no judgement excludes the last node that could take
students: such a node is suspect, and used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airclass.domain.health import SILENT_S, GroupView, Health, Reason, ReasonCode
from airclass.domain.stream_health import (
    BEHIND,
    PROOF_S,
    ServiceState,
    StreamFault,
    StreamHealth,
    fault_of,
    is_behind,
    witnessed,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from airclass.domain.stream_health import ServedStream

# Silence that is longer than between two heartbeats, and the window in which most nodes' lines are cut.
OVERDUE_S = 3.0
CUT_WINDOW_S = 3.0
NO_NODES: frozenset[str] = frozenset()

# The kinds of OriginError for which there is a plainer word.
_OF_KIND = {
    "": ReasonCode.NOT_READY,
    "connect": ReasonCode.NO_INGEST,
    "timeout": ReasonCode.SLOW_INGEST,
    "truncated": ReasonCode.SLOW_INGEST,
    BEHIND: ReasonCode.BEHIND,
}


@dataclass(slots=True)
class Member:
    """What the judgement knows of one node; `drained` is the operator's wish."""

    id: str
    health: Health
    capacity: int
    drained: bool
    streams: Mapping[str, StreamHealth] = field(default_factory=dict)


def code_of(kind: str) -> ReasonCode:
    """Return the code for a kind of OriginError."""
    return _OF_KIND.get(kind, ReasonCode.BAD_INGEST)


class ClusterHealth:
    """Judges the nodes; `avoided` names, per stream, the nodes that its students avoid."""

    def __init__(self) -> None:
        self.faults: dict[str, dict[str, StreamFault]] = {}
        self._avoided: dict[str, frozenset[str]] = {}
        self._behind_since_s: dict[tuple[str, str], float] = {}

    def avoided(self, stream: str) -> frozenset[str]:
        """Return the nodes that are not in a stream's pathways while any other node has room."""
        return self._avoided.get(stream, NO_NODES)

    def judge(self, members: Sequence[Member], now_s: float) -> None:
        """Set every node's status, and what each stream avoids."""
        heard = [m for m in members if m.health.beats(now_s)]
        served = witnessed(m.streams for m in heard if not _drains(m))
        self.faults = self._find_faults(heard, served, now_s)
        out = {m.id: self._fault(m) for m in heard if self._fails_all(m, served)}
        takers, needed = _find_takers(members, out.keys(), now_s)
        line_cut = is_line_cut(members, now_s)
        for member in members:
            fault = out.get(member.id)
            view = GroupView(
                fault=fault,
                remark=self._remark(member, suspect=fault is not None),
                needed=needed and member.id in takers,
                alone=not takers - {member.id},
                line_cut=line_cut,
            )
            member.health.judge(now_s, view, ordered_drain=member.drained)
        self._avoided = self._find_avoided(takers)

    def _find_faults(
        self, heard: Sequence[Member], served: Mapping[str, ServedStream], now_s: float
    ) -> dict[str, dict[str, StreamFault]]:
        faults: dict[str, dict[str, StreamFault]] = {}
        behind: dict[tuple[str, str], float] = {}
        for member in heard:
            for stream, health in member.streams.items():
                service = served.get(stream)
                if service is None:
                    continue
                fault = fault_of(health, service)
                if is_behind(health, service, now_s):
                    since_s = self._behind_since_s.get((member.id, stream), now_s)
                    behind[member.id, stream] = since_s
                    if now_s - since_s >= PROOF_S:
                        fault = StreamFault(BEHIND, "its newest media is older than that of other nodes")
                if fault is not None:
                    faults.setdefault(member.id, {})[stream] = fault
        self._behind_since_s = behind
        return faults

    def _fails_all(self, member: Member, served: Mapping[str, ServedStream]) -> bool:
        """Tell whether a node fails every stream that others serve, and serves none that they do not."""
        faults = self.faults.get(member.id)
        if not faults or any(stream not in faults for stream in served):
            return False
        return all(s in faults for s, h in member.streams.items() if h.state is ServiceState.SERVED)

    def _fault(self, member: Member) -> Reason:
        faults = self.faults[member.id]
        text = "; ".join(f"{stream}: {faults[stream].reason}" for stream in sorted(faults)[:3])
        return Reason(text, code_of(faults[min(faults)].kind))

    def _remark(self, member: Member, *, suspect: bool) -> Reason:
        count = len(self.faults.get(member.id, ()))
        if not count:
            return Reason()
        if suspect:
            text = "fails what other nodes serve, and is used because no other node takes students"
            return Reason(text, ReasonCode.SUSPECT, {"streams": count})
        text = f"fails {count} of its streams, which other nodes serve: their students avoid it"
        return Reason(text, ReasonCode.PARTLY, {"streams": count})

    def _find_avoided(self, takers: set[str]) -> dict[str, frozenset[str]]:
        by_stream: dict[str, set[str]] = {}
        for node_id, faults in self.faults.items():
            for stream in faults:
                by_stream.setdefault(stream, set()).add(node_id)
        return {stream: frozenset(nodes) for stream, nodes in by_stream.items() if takers - nodes}


def is_line_cut(members: Sequence[Member], now_s: float) -> bool:
    """Tell whether most nodes that were heard of lately have fallen silent within one window."""
    lately = [s for m in members if (s := m.health.silent_s(now_s)) < SILENT_S + CUT_WINDOW_S]
    silent = sum(silent_s >= OVERDUE_S for silent_s in lately)
    return silent >= 2 and 2 * silent > len(lately)


def _drains(member: Member) -> bool:
    return member.drained or member.health.draining


def _find_takers(members: Sequence[Member], out: Collection[str], now_s: float) -> tuple[set[str], bool]:
    """Return the nodes that take students, and whether they are used in spite of faults or probation."""
    usable = [m for m in members if m.health.is_usable(now_s) and m.capacity > 0 and not _drains(m)]
    faultless = [m for m in usable if m.id not in out]
    good = {m.id for m in faultless if m.health.probation(now_s) is None}
    return (good, False) if good else ({m.id for m in faultless or usable}, True)
