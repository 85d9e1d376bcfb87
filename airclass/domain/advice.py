"""What an operator or a teacher should do next, as sentences made from plain figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from airclass.domain.health import NodeStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

ADD_ABOVE = 80.0
SCALE_DOWN_BELOW = 30.0
BALANCED = "Cluster is well-balanced."
# A key frame every 4 s measures 3.97 to 4.03 s: advice about it must not come and go.
MAX_KEYFRAME_S = 4.5
RARE_KEYFRAME_S = 3.5
MIN_BITRATE_BPS = 150_000
MAX_BITRATE_BPS = 8_000_000
MIN_FPS = 10.0
# of the shorter side: a phone may be held upright
MAX_LINES = 1080
GOOD_VIDEO = ("H264",)
GOOD_AUDIO = ("MPEG-4 Audio", "AAC")


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """One node for the summary."""

    id: str
    status: NodeStatus
    reason: str
    connections: int
    capacity: int


class NextStep(StrEnum):
    """What the operator should do next: stable codes, part of `/cluster/nodes`."""

    START_NODE = "start-node"
    CHECK_NODE = "check-node"
    NO_CAPACITY = "no-capacity"
    ADD_NODE = "add-node"
    SCALE_DOWN = "scale-down"
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The English sentence, its code and its figures: the node to check and how many others there are."""

    text: str
    code: NextStep
    figures: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ClusterSummary:
    """The cluster in six figures, as `/cluster/nodes` shows it; `average_load` is in percent."""

    total_nodes: int
    active_nodes: int
    total_capacity: int
    current_load: int
    average_load: float
    recommendation: Recommendation


def summarize(nodes: Sequence[NodeFigures]) -> ClusterSummary:
    """Return totals and the recommendation.

    Students of a node that takes no new ones (it drains, or has failed) count until they are seen elsewhere
    or the node is offline, as in the list of nodes and in the metrics. The seats that they hold count as
    capacity, its free seats do not. So capacity minus load is the number of students who can still join.
    """
    there = [n for n in nodes if n.status is not NodeStatus.OFFLINE]
    capacity = sum(n.capacity if n.status is NodeStatus.ACTIVE else n.connections for n in there)
    load = sum(n.connections for n in there)
    average = 100.0 * load / capacity if capacity else (100.0 if load else 0.0)
    return ClusterSummary(
        total_nodes=len(nodes),
        active_nodes=sum(n.status is NodeStatus.ACTIVE for n in nodes),
        total_capacity=capacity,
        current_load=load,
        average_load=round(average, 1),
        recommendation=recommend(nodes, average),
    )


def recommend(nodes: Sequence[NodeFigures], average_load: float) -> Recommendation:
    """Return what to do next: nodes with a problem first, then no capacity, too full, too empty, nothing."""
    if not nodes:
        text = "No node has registered: start one with `airclass slave`, or add a node."
        return Recommendation(text, NextStep.START_NODE)
    broken = [n for n in nodes if _has_problem(n)]
    if broken:
        worst = min(broken, key=lambda n: (_URGENCY[n.status], n.id))
        others = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
        text = f"Check {worst.id} ({worst.status}){others}: {worst.id} {worst.reason}."
        return Recommendation(text, NextStep.CHECK_NODE, {"node": worst.id, "others": len(broken) - 1})
    active = [n for n in nodes if n.status is NodeStatus.ACTIVE and n.capacity > 0]
    if not active:
        text = "No node takes students: use a draining node again, or start another one."
        return Recommendation(text, NextStep.NO_CAPACITY)
    if average_load > ADD_ABOVE:
        return Recommendation(f"Average load is {average_load:.1f} %: add a node.", NextStep.ADD_NODE)
    if average_load < SCALE_DOWN_BELOW and len(active) > 1:
        text = f"Average load is {average_load:.1f} %: the cluster can scale down."
        return Recommendation(text, NextStep.SCALE_DOWN)
    return Recommendation(BALANCED, NextStep.BALANCED)


_URGENCY = {NodeStatus.OFFLINE: 0, NodeStatus.UNHEALTHY: 1, NodeStatus.ACTIVE: 2}


def _has_problem(node: NodeFigures) -> bool:
    """Tell whether a node needs the operator; an active node has a reason when it fails some stream."""
    if node.status is NodeStatus.ACTIVE:
        return bool(node.reason)
    return node.status is not NodeStatus.DRAINING


def advise_teacher(
    *,
    bitrate_bps: float | None,
    keyframe_s: float | None,
    video_codec: str,
    audio_codec: str,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    is_publishing: bool,
    taken_over_by: str = "",
) -> list[str]:
    """Return what the teacher should change in OBS; empty when everything looks right."""
    if not is_publishing:
        return []
    advice = []
    if taken_over_by:
        advice.append(
            f"Another encoder ({taken_over_by}) took over with this class's key: "
            "if it is not yours, make a new stream key."
        )
    if not video_codec:
        advice.append("No picture arrives: add a source in OBS and check that it is visible.")
    elif video_codec not in GOOD_VIDEO:
        advice.append(
            f"The picture is {video_codec}, which many phones and browsers cannot play: "
            "their students see no picture. Choose H.264 as video encoder in OBS."
        )
    if not audio_codec:
        advice.append("No sound arrives: check the microphone in OBS.")
    elif audio_codec not in GOOD_AUDIO:
        advice.append(f"The sound is {audio_codec}: choose AAC in OBS.")
    if keyframe_s is not None and keyframe_s > MAX_KEYFRAME_S:
        advice.append(f"A key frame comes every {keyframe_s:.0f} s: set the key-frame interval to 2 in OBS.")
    elif keyframe_s is not None and keyframe_s > RARE_KEYFRAME_S:
        advice.append(
            f"Segments are {keyframe_s:.0f} s long: set the key-frame interval to 2 in OBS. "
            "If it is 2 already, the encoder's B-frames make two of them count as one: "
            "set its tune to zerolatency, or B-frames to 0."
        )
    if video_codec and bitrate_bps is not None and bitrate_bps < MIN_BITRATE_BPS:
        advice.append(
            f"Only {bitrate_bps / 1000:.0f} kb/s arrive: check the network cable, "
            "or lower the picture size in OBS."
        )
    if fps is not None and fps < MIN_FPS:
        advice.append(
            f"Only {fps:.0f} frames a second arrive: set 30 FPS in OBS under Video, or close other programs."
        )
    if width is not None and height is not None and min(width, height) > MAX_LINES:
        advice.append(
            f"The picture is {width} x {height}, more than phones show: choose 1280 x 720 in OBS under Video."
        )
    if bitrate_bps is not None and bitrate_bps > MAX_BITRATE_BPS:
        advice.append(
            f"{bitrate_bps / 1e6:.1f} Mb/s is more than a class needs: 2.5 Mb/s saves everybody's Wi-Fi."
        )
    return advice
