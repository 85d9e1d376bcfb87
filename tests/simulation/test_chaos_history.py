"""Real processes write the same history: events of `make chaos` are judged by the same checker."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from tests.chaos.faults import ROWS
from tests.chaos.history import DISTURBANCES, HistoryWriter, listing
from tests.simulation import history
from tests.simulation.invariants import Checker

if TYPE_CHECKING:
    from pathlib import Path

LISTED = """#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-MEDIA-SEQUENCE:40
#EXT-X-DISCONTINUITY-SEQUENCE:3
#EXT-X-MAP:URI="v0-aa11-i123.mp4"
#EXTINF:2.0,
v0-aa11-40.mp4
#EXT-X-DISCONTINUITY
#EXTINF:2.0,
v0-bb22-41.mp4
"""


def writer(file: Path, times: list[float]) -> HistoryWriter:
    cluster: Any = SimpleNamespace(classroom={"id": "c1"})
    return HistoryWriter(cluster, file, lambda: times[0])


def test_the_last_segment_of_a_playlist_is_what_a_relay_lists() -> None:
    assert listing(LISTED) == ("bb22", 41, 4)
    assert listing("") is None
    assert listing("#EXTM3U\n#EXT-X-TARGETDURATION:2\n") is None


def test_every_row_disturbs_what_its_fault_says() -> None:
    names = {row.name for row in ROWS}
    assert set(DISTURBANCES) == {name for name in names if not name.startswith("teacher-drops")}


def test_a_row_is_written_as_the_checker_reads_it(tmp_path: Path) -> None:
    file, times = tmp_path / "history.jsonl", [100.0]
    it = writer(file, times)
    it.write("node", node="slave-1", capacity=5)
    it.begin("relay-hung", "slave-1")
    times[0] = 112.0
    it.end("relay-hung")
    it.begin("relay-drained", "slave-1")
    it.begin("teacher-drops-2", "slave-1")
    it.end("teacher-drops-2")
    it.write("judged", nodes={"slave-1": ["active", 0, 5]})
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(e["at_s"], e["event"]) for e in events] == [
        (0.0, "node"), (0.0, "fault"), (12.0, "fault_over"), (12.0, "drained"), (12.0, "judged"),
    ]  # fmt: skip
    assert all(hasattr(Checker, event["event"]) for event in events)
    assert history.check(file) == (5, None)
    times[0] = 190.0
    it.write("judged", nodes={"slave-1": ["unhealthy", 0, 5]})
    assert "healthy-is-back" in str(history.check(file)[1])
