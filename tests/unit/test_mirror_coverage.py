"""Which test is a source file's own, and what counts as missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mirror_coverage import CORES, ROOT, own_test, sources


@pytest.mark.parametrize(
    ("source", "test"),
    [
        ("relay/core/stream/window.py", "tests/unit/relay/core/stream/test_window.py"),
        ("relay/core/playlist/keys.py", "tests/unit/relay/core/playlist/test_keys.py"),
        ("airclass/domain/nodes.py", "tests/unit/airclass/domain/test_nodes.py"),
    ],
)
def test_a_source_has_a_test_of_its_name(source: str, test: str) -> None:
    assert own_test(Path(source)) == Path(test)


def test_other_sources_have_none() -> None:
    with pytest.raises(ValueError, match="in no core"):
        own_test(Path("relay/io/origin/puller.py"))


def test_every_file_of_the_cores_is_measured() -> None:
    found = sources()
    assert {
        str(source.parents[-len(core.split("/")) - 1])
        for core in CORES
        for source in found
        if source.is_relative_to(core)
    } == set(CORES)
    assert all((ROOT / source).is_file() for source in found)
    assert Path("relay/core/stream/fetch_queue.py") in found
