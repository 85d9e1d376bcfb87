"""What a blocking reload gets: now, hold or too far (RFC 8216bis §6.2.5.2)."""

from __future__ import annotations

import pytest

from relay.core.stream.live_edge import LiveEdge, ReloadDecision

# segment 10 is complete with 4 parts; of segment 11 two parts are listed
EDGE = LiveEdge(last_msn=10, last_parts=4, open_parts=2)


@pytest.mark.parametrize(
    ("msn", "part", "verdict"),
    [
        (3, None, ReloadDecision.NOW),
        (3, 99, ReloadDecision.NOW),
        (10, None, ReloadDecision.NOW),
        (10, 3, ReloadDecision.NOW),
        (10, 4, ReloadDecision.NOW),  # beyond the last part: part 0 of segment 11, which is there
        (11, 1, ReloadDecision.NOW),
        (11, 2, ReloadDecision.HOLD),
        (11, None, ReloadDecision.HOLD),
        (12, None, ReloadDecision.HOLD),
        (12, 0, ReloadDecision.HOLD),
        (13, None, ReloadDecision.TOO_FAR),
        (13, 0, ReloadDecision.TOO_FAR),
    ],
)
def test_verdicts(msn: int, part: int | None, verdict: ReloadDecision) -> None:
    assert EDGE.judge(msn, part, 0.5) is verdict


@pytest.mark.parametrize(
    ("part_target_s", "limit"), [(0.2, 15), (0.5, 6), (0.7, 5), (1.0, 3), (2.0, 3), (0.0, 3)]
)
def test_advance_part_limit_counts_from_the_parts_that_are_there(part_target_s: float, limit: int) -> None:
    assert EDGE.judge(11, 2 + limit - 1, part_target_s) is ReloadDecision.HOLD
    assert EDGE.judge(11, 2 + limit, part_target_s) is ReloadDecision.TOO_FAR
    assert EDGE.judge(12, limit - 1, part_target_s) is ReloadDecision.HOLD
    assert EDGE.judge(12, limit, part_target_s) is ReloadDecision.TOO_FAR


def test_a_part_beyond_the_last_one_waits_for_the_next_segment() -> None:
    live_edge = LiveEdge(last_msn=10, last_parts=4, open_parts=0)
    assert live_edge.judge(10, 4, 0.5) is ReloadDecision.HOLD
    assert live_edge.judge(10, 3, 0.5) is ReloadDecision.NOW


def test_a_segment_listed_without_parts_holds_them_all() -> None:
    assert LiveEdge(last_msn=10, last_parts=0, open_parts=0).judge(10, 2, 0.5) is ReloadDecision.NOW
