"""The figures are logged when they change, and not every second."""

from __future__ import annotations

from airclass.domain.advice import NodeFigures, summarize
from airclass.domain.health import NodeStatus
from airclass.domain.load_log import EVERY_S, LoadLog, LoadSample


def test_a_change_is_news_once_and_not_too_often() -> None:
    tally = LoadLog()

    def news(
        students: int, at_s: float, status: NodeStatus = NodeStatus.ACTIVE, **more: bool
    ) -> LoadSample | None:
        summary = summarize([NodeFigures("slave-1", status, f"since {at_s}", students, 150)])
        return tally.news(summary, at_s, at_once=more.get("at_once", False))

    assert news(0, 0.0) == LoadSample(0, 150, 1, 1)
    assert news(5, EVERY_S - 1) is None, "the last line is new"
    assert news(7, EVERY_S) == LoadSample(7, 150, 1, 1)
    assert news(7, 3 * EVERY_S) is None, "nothing has changed but the reason's seconds"
    assert news(7, 3 * EVERY_S, NodeStatus.UNHEALTHY, at_once=True) == LoadSample(7, 7, 1, 0)
    assert news(7, 3 * EVERY_S + 1, NodeStatus.ACTIVE, at_once=True) == LoadSample(7, 150, 1, 1)
