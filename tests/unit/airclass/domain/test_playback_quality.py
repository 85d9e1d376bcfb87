"""How well a student's picture arrives, in one word."""

from __future__ import annotations

import pytest

from airclass.domain.playback_quality import quality
from relay.base.cluster_protocol import ViewerReport


@pytest.mark.parametrize(
    ("buffer_ms", "starved", "word"),
    [
        (-1, 0, "unknown"),
        (200, 0, "poor"),
        (2000, 5, "poor"),
        (2000, 0, "good"),
        (2000, 1, "fair"),
        (600, 0, "fair"),
    ],
)
def test_quality_in_a_word(buffer_ms: int, starved: int, word: str) -> None:
    assert quality(ViewerReport("c", "s", "t", 0, 0, buffer_ms, starved=starved)) == word


def test_of_one_who_has_said_nothing_nothing_is_known() -> None:
    assert quality(None) == "unknown"
