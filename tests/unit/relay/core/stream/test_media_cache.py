"""What is kept of a rendition: names, bytes and their count."""

from __future__ import annotations

from relay.core.playlist import Map
from relay.core.stream.media_cache import MediaCache
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.stream.segment import InitSection, WindowPart, WindowSegment
from relay.core.stream.timeline import Epoch
from tests.harness.builders import MemoryBody

EPOCH = Epoch("one", 0, 0, "0123abcd")


def new_entry(msn: int = 7, parts: int = 0) -> WindowSegment:
    entry = WindowSegment(msn, EPOCH, 0, False, 0.0, uri=f"s{msn}.mp4")
    entry.parts = [WindowPart(f"p{n}.mp4", None, 0.5, True, False) for n in range(parts)]
    return entry


def text(cache: MediaCache, name: str) -> bytes | None:
    media = cache.get(name)
    if media is None:
        return None
    assert isinstance(media.body, MemoryBody)
    return bytes(media.body.data[media.offset : media.offset + media.size_bytes])


def test_parts_lie_in_one_body_which_becomes_the_segment() -> None:
    cache, entry = MediaCache("v0", MemoryBody, MemoryBudget(10**6)), new_entry(parts=2)
    cache.put_part(entry, 0, b"one")
    cache.put_part(entry, 1, b"three")
    assert (text(cache, "v0-0123abcd-7.0.mp4"), text(cache, "v0-0123abcd-7.1.mp4")) == (b"one", b"three")
    assert cache.get("v0-0123abcd-7.mp4") is None
    cache.join_parts(entry)
    assert text(cache, "v0-0123abcd-7.mp4") == b"onethree"
    assert cache.size_bytes == 8
    cache.forget(entry)
    assert (cache.size_bytes, text(cache, "v0-0123abcd-7.0.mp4"), text(cache, "v0-0123abcd-7.mp4")) == (
        0,
        None,
        None,
    )


def test_a_segment_that_was_fetched_whole_beside_some_of_its_parts_counts_both() -> None:
    cache, entry = MediaCache("v0", MemoryBody, MemoryBudget(10**6)), new_entry(parts=2)
    cache.put_part(entry, 0, b"one")
    cache.put_segment(entry, b"onethree")
    assert cache.size_bytes == 11
    assert entry.media is cache.get("v0-0123abcd-7.mp4")
    cache.forget(entry)
    assert cache.size_bytes == 0


def test_a_segment_of_which_nothing_is_here_is_forgotten_without_a_trace() -> None:
    cache = MediaCache("v0", MemoryBody, MemoryBudget(10**6))
    cache.forget(new_entry())
    assert cache.size_bytes == 0


def test_initialization_sections() -> None:
    cache, init = (
        MediaCache("v0", MemoryBody, MemoryBudget(10**6)),
        InitSection(Map("i.mp4"), "v0-0123abcd-i.mp4"),
    )
    cache.forget_init(init)
    cache.put_init(init, b"init")
    assert init.media is cache.get(init.name)
    assert (text(cache, init.name), cache.size_bytes) == (b"init", 4)
    cache.forget_init(init)
    cache.forget_init(init)
    assert (cache.get(init.name), cache.size_bytes) == (None, 0)


def test_the_budget_counts_what_is_kept_until_it_is_given_back() -> None:
    budget = MemoryBudget(10**6)
    cache, other = MediaCache("v0", MemoryBody, budget), MediaCache("v0", MemoryBody, budget)
    entry, init = new_entry(parts=2), InitSection(Map("init.mp4"), "v0-i1")
    cache.put_part(entry, 0, b"one")
    cache.put_part(entry, 1, b"three")
    cache.join_parts(entry)
    cache.put_init(init, b"head")
    other.put_segment(new_entry(8), b"whole")
    assert (budget.used_bytes, budget.used_bodies) == (17, 3)
    cache.forget(entry)
    cache.forget_init(init)
    assert (budget.used_bytes, budget.used_bodies) == (5, 1)
    other.release()
    other.put_segment(new_entry(9), b"by a puller that ends")
    other.release()
    assert (budget.used_bytes, budget.used_bodies) == (0, 0)
