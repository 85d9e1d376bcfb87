"""What each node reports of each stream, and which nodes are to blame for a stream that they fail.

A node that cannot get a stream proves little: the origin may be dead. It is to blame while another
node gets the same stream from the same origins. That is evaluated for every judgement from the newest
reports; nothing is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relay.base.cluster_protocol import Heartbeat, StreamReport

# How long another node must have served a stream since this node began to fail it.
PROOF_S = 5.0
# A node whose newest media is this much older than that of the best other node does not serve the stream.
BEHIND_S = 10.0
MAX_REASON_CHARS = 200
BEHIND = "behind"
# Relays of the version before report one `ready` for all streams, and these sentences.
_OLD_UNKNOWN = "the origin has not answered yet"


class ServiceState(StrEnum):
    """Whether a node gets a stream from its origins: part of `/cluster/nodes`."""

    SERVED = "served"
    UNKNOWN = "unknown"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StreamHealth:
    """One stream at one node; times are the master's.

    `since_s` is when the node says that the state began, `heard_s` when the master heard of it first:
    judgements use the latter, because reports that waited in a socket arrive late. `answered_s` is when
    the origin last answered, `newest_media_s` the arrival of the newest media (None: there is none).
    """

    state: ServiceState
    since_s: float
    heard_s: float
    answered_s: float = float("-inf")
    newest_media_s: float | None = None
    kind: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ServedStream:
    """The best that other nodes show of one stream: the newest answer and the newest media."""

    answered_s: float
    newest_media_s: float


@dataclass(frozen=True, slots=True)
class StreamFault:
    """Why a node is to blame for a stream: the kind of OriginError, or BEHIND, and a sentence."""

    kind: str
    reason: str


def read_report(
    report: StreamReport, beat: Heartbeat, before: StreamHealth | None, now_s: float
) -> StreamHealth:
    """Return a node's newest health for a stream; `before` is what was known of it."""
    state, kind = _state_of(report, beat)
    served = state is ServiceState.SERVED
    heard_s = before.heard_s if before is not None and before.state is state else now_s
    return StreamHealth(
        state=state,
        since_s=min(heard_s, now_s - max(0.0, report.origin_age_s)),
        heard_s=heard_s,
        answered_s=now_s - max(0.0, report.origin_quiet_s) if served else float("-inf"),
        newest_media_s=now_s - report.lag_s if report.lag_s >= 0 else None,
        kind=kind,
        reason=report.problem[:MAX_REASON_CHARS],
    )


def witnessed(nodes: Iterable[Mapping[str, StreamHealth]]) -> dict[str, ServedStream]:
    """Return the streams that at least one of these nodes has served for PROOF_S.

    Only nodes that send heartbeats and do not drain are witnesses.
    """
    found: dict[str, ServedStream] = {}
    for streams in nodes:
        for stream, health in streams.items():
            if health.state is not ServiceState.SERVED or health.answered_s - health.heard_s < PROOF_S:
                continue
            media_s = float("-inf") if health.newest_media_s is None else health.newest_media_s
            best = found.get(stream, ServedStream(health.answered_s, media_s))
            found[stream] = ServedStream(
                max(best.answered_s, health.answered_s), max(best.newest_media_s, media_s)
            )
    return found


def fault_of(health: StreamHealth, service: ServedStream) -> StreamFault | None:
    """Return why a node is to blame for a stream that others serve; None when it is not.

    A node that is behind (see `is_behind`) is to blame only after PROOF_S of it, which the caller counts.
    """
    if health.state is ServiceState.FAILED and service.answered_s - health.heard_s >= PROOF_S:
        return StreamFault(health.kind, health.reason)
    return None


def is_behind(health: StreamHealth, service: ServedStream, now_s: float) -> bool:
    """Tell whether media comes to other nodes now, and a node whose origin answers lacks it.

    Media that came some time ago proves nothing: a relay that nobody watches gives it back.
    """
    if health.state is not ServiceState.SERVED or now_s - service.newest_media_s > BEHIND_S:
        return False
    mine_s = health.heard_s if health.newest_media_s is None else health.newest_media_s
    return service.newest_media_s - mine_s >= BEHIND_S


def _state_of(report: StreamReport, beat: Heartbeat) -> tuple[ServiceState, str]:
    if report.origin:
        try:
            state = ServiceState(report.origin)
        except ValueError:  # a word of a newer relay
            return ServiceState.UNKNOWN, ""
        return state, report.fault if state is ServiceState.FAILED else ""
    if not report.problem:
        return ServiceState.SERVED, ""
    if not beat.ready and f"{report.stream}: {report.problem}" in beat.reason:
        return ServiceState.FAILED, beat.fault
    return (ServiceState.UNKNOWN if report.problem == _OLD_UNKNOWN else ServiceState.SERVED), ""
