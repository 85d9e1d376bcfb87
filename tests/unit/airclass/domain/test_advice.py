"""The words that operators and teachers read."""

from __future__ import annotations

import pytest

from airclass.domain.advice import (
    BALANCED,
    NextStep,
    NodeFigures,
    Recommendation,
    advise_teacher,
    recommend,
    summarize,
)
from airclass.domain.health import NodeStatus


def node(n: int, load: int, status: NodeStatus = NodeStatus.ACTIVE, reason: str = "") -> NodeFigures:
    return NodeFigures(f"slave-{n}", status, reason, load, 150)


@pytest.mark.parametrize(
    ("loads", "word", "code"),
    [
        ([45, 40, 35], "scale down", NextStep.SCALE_DOWN),
        ([60, 60, 60], BALANCED, NextStep.BALANCED),
        ([120, 120, 120], BALANCED, NextStep.BALANCED),
        ([121, 121, 121], "add a node", NextStep.ADD_NODE),
        ([10], BALANCED, NextStep.BALANCED),
        ([], "start one", NextStep.START_NODE),
    ],
)
def test_recommendation_follows_the_average(loads: list[int], word: str, code: NextStep) -> None:
    found = summarize([node(n, load) for n, load in enumerate(loads)]).recommendation
    assert word in found.text
    assert (found.code, found.figures) == (code, {})


def test_broken_nodes_come_first_with_their_reason() -> None:
    nodes = [
        node(1, 150),
        node(2, 0, NodeStatus.UNHEALTHY, "has sent nothing for 7 s"),
        node(3, 0, NodeStatus.OFFLINE, "has sent nothing for 41 s"),
    ]
    assert recommend(nodes, 100.0) == Recommendation(
        "Check slave-3 (offline) and 1 more: slave-3 has sent nothing for 41 s.",
        NextStep.CHECK_NODE,
        {"node": "slave-3", "others": 1},
    )
    assert recommend(nodes[:2], 100.0) == Recommendation(
        "Check slave-2 (unhealthy): slave-2 has sent nothing for 7 s.",
        NextStep.CHECK_NODE,
        {"node": "slave-2", "others": 0},
    )


def test_an_active_node_with_a_reason_is_checked_after_the_broken_ones() -> None:
    partly = node(1, 50, reason="fails 1 of its streams")
    assert recommend([partly, node(2, 50)], 33.0).text == (
        "Check slave-1 (active): slave-1 fails 1 of its streams."
    )
    broken = node(2, 0, NodeStatus.UNHEALTHY, "has sent nothing for 7 s")
    assert recommend([partly, broken], 33.0).figures == {"node": "slave-2", "others": 1}


def test_no_capacity_is_not_balanced() -> None:
    draining = node(1, 0, NodeStatus.DRAINING, "sends its students to other nodes")
    for nodes in ([draining], [draining, NodeFigures("slave-2", NodeStatus.ACTIVE, "", 0, 0)]):
        found = summarize(nodes)
        assert found.total_capacity == 0
        assert found.recommendation == Recommendation(
            "No node takes students: use a draining node again, or start another one.",
            NextStep.NO_CAPACITY,
        )
    assert recommend([draining, node(2, 10)], 6.7).code is NextStep.BALANCED, "one node cannot scale down"


def test_seats_of_students_who_cannot_stay_count_as_capacity_too() -> None:
    left = [node(3, 99, NodeStatus.OFFLINE), node(4, 69, NodeStatus.UNHEALTHY, "has sent nothing for 7 s")]
    summary = summarize([node(1, 150), node(2, 150), *left])
    assert (summary.total_nodes, summary.active_nodes) == (4, 2)
    assert (summary.total_capacity, summary.current_load, summary.average_load) == (369, 369, 100.0)
    assert summarize([node(1, 5, NodeStatus.DRAINING)]).average_load == 100.0
    over = [NodeFigures("slave-1", NodeStatus.ACTIVE, "", 5, 0)]
    assert summarize(over).average_load == 100.0
    assert summarize([]).average_load == 0.0


GOOD = {
    "bitrate_bps": 2e6,
    "keyframe_s": 2.0,
    "video_codec": "H264",
    "audio_codec": "AAC",
    "is_publishing": True,
}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"keyframe_s": 10.0}, "A key frame comes every 10 s: set the key-frame interval to 2 in OBS."),
        ({"keyframe_s": 3.96674}, "the encoder's B-frames make two of them count as one"),
        ({"keyframe_s": 4.00004}, "the encoder's B-frames make two of them count as one"),
        ({"keyframe_s": 4.5}, "Segments are 4 s long: set the key-frame interval to 2 in OBS."),
        ({"video_codec": "H265"}, "their students see no picture. Choose H.264"),
        ({"video_codec": "AV1"}, "The picture is AV1"),
        ({"video_codec": ""}, "No picture"),
        ({"video_codec": "", "bitrate_bps": 134_000.0}, "No picture"),  # that is much for sound alone
        ({"audio_codec": "Opus"}, "AAC"),
        ({"audio_codec": ""}, "microphone"),
        ({"bitrate_bps": 50_000.0}, "50 kb/s"),
        ({"bitrate_bps": 20e6}, "20.0 Mb/s"),
        ({"taken_over_by": "10.0.0.66"}, "Another encoder (10.0.0.66) took over"),
        ({"fps": 5.0}, "Only 5 frames a second arrive: set 30 FPS"),
        ({"width": 2160, "height": 3840}, "2160 x 3840"),
    ],
)
def test_one_sentence_for_each_thing_to_change(change: dict[str, object], word: str) -> None:
    (sentence,) = advise_teacher(**{**GOOD, **change})  # type: ignore[arg-type]
    assert word in sentence


def test_nothing_to_say_when_all_is_well_or_nobody_publishes() -> None:
    assert advise_teacher(**GOOD) == []  # type: ignore[arg-type]
    assert advise_teacher(**{**GOOD, "keyframe_s": 3.4}) == []  # type: ignore[arg-type]
    usual = {"fps": 10.0, "width": 1920, "height": 1080}
    assert advise_teacher(**{**GOOD, **usual}) == []  # type: ignore[arg-type]
    assert advise_teacher(**{**GOOD, "width": 4000}) == []  # type: ignore[arg-type]
    assert advise_teacher(**{**GOOD, "bitrate_bps": None, "keyframe_s": None}) == []  # type: ignore[arg-type]
    assert advise_teacher(**{**GOOD, "video_codec": "", "is_publishing": False}) == []  # type: ignore[arg-type]
