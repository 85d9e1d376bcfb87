"""Sharing viewers among processes."""

from __future__ import annotations

from benchmarks.load.viewer_worker import WorkerOrders
from benchmarks.viewers import split


def test_a_crowd_is_split_without_losing_anyone() -> None:
    urls = [f"http://h/{n}" for n in range(7)]
    parts = split(WorkerOrders(urls, 7, 1.0, 1.0, 1.0), 3)
    assert [part.viewers for part in parts] == [3, 2, 2]
    assert [url for part in parts for url in part.urls] == urls
    assert [part.urls for part in split(WorkerOrders(["x"], 5, 1.0, 1.0, 1.0), 2)] == [["x"], ["x"]]
