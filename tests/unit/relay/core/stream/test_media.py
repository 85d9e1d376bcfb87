"""Media is told apart by identity and can be a key of a weak dictionary."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from relay.core.stream.media import Media
from tests.harness.builders import MemoryBody


def test_two_pieces_of_one_body_are_two_keys_that_go_with_the_media() -> None:
    body = MemoryBody()
    first, second = (Media(body, 0, 4, "mp4") for _ in range(2))
    assert first != second
    kept: WeakKeyDictionary[Media, str] = WeakKeyDictionary({first: "first", second: "second"})
    del first
    assert list(kept.values()) == ["second"]
