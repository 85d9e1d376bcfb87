"""Builders of origin playlists and of what stands around a window in tests.

`playlist(3, segment(7), segment(8))` reads as it is: target duration 3 s, two segments. Bodies of
objects follow from their names (`data`), so that whoever fetched them can be checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.playlist import Map, MediaPlaylist, Part, PreloadHint, Segment, ServerControl
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.stream.timeline import Timeline
from relay.core.stream.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.core.stream.segment import Fetch
    from relay.core.stream.timeline import Epoch

INIT = Map("init.mp4")
WALL_S = 1_790_000_000.0


class MemoryBody:
    """Bytes of a segment in the heap: what a memfd is to the running relay."""

    def __init__(self) -> None:
        self.data = bytearray()

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def append(self, data: bytes) -> int:
        start = len(self.data)
        self.data += data
        return start


def data(uri: str, size: int = 0) -> bytes:
    """Return the bytes of an origin's object; their beginning tells its name."""
    return f"<{uri}>".encode().ljust(size, b".")


def part(uri: str, duration_s: float = 0.5, *, independent: bool = True, gap: bool = False) -> Part:
    return Part(uri, duration_s, independent, gap)


def parts(msn: int, count: int, duration_s: float = 0.5) -> tuple[Part, ...]:
    """Return the first parts of a segment."""
    return tuple(part(f"p{msn}.{i}.mp4", duration_s) for i in range(count))


def segment(
    msn: int,
    *,
    duration_s: float = 2.0,
    uri: str | None = None,
    parts: tuple[Part, ...] = (),
    init: Map | None = INIT,
    pdt_s: float | None = None,
    discontinuity: bool = False,
    gap: bool = False,
    keys: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
) -> Segment:
    return Segment(
        msn,
        f"s{msn}.mp4" if uri is None else uri,
        duration_s,
        parts,
        discontinuity,
        gap,
        init,
        keys,
        pdt_s,
        tags=tags,
    )


def opened(msn: int, *listed: Part, init: Map | None = INIT) -> Segment:
    """Return the segment that is still being made."""
    return Segment(msn, "", 0.0, tuple(listed), map=init)


def playlist(
    target_duration_s: int,
    *segments: Segment,
    hint: str = "",
    part_target_s: float | None = None,
    ended: bool = False,
    discontinuity_sequence: int = 0,
    blocking: bool = False,
) -> MediaPlaylist:
    """Return what an origin lists; a last segment without URI is the open one."""
    complete = tuple(s for s in segments if s.uri)
    return MediaPlaylist(
        target_duration_s,
        complete,
        segments[0].msn if segments else 0,
        discontinuity_sequence,
        part_target_s,
        ServerControl(can_block_reload=blocking),
        next((s for s in segments if not s.uri), None),
        (PreloadHint("PART", hint),) if hint else (),
        ended=ended,
    )


def ll(*segments: Segment, hint: str = "", **more: bool) -> MediaPlaylist:
    """Return a low-latency playlist: segments of 2 s, parts of 0.5 s."""
    return playlist(2, *segments, hint=hint, part_target_s=0.5, blocking=True, **more)


def begin(
    timeline: Timeline, key: str = "one", first_msn: int = 0, like: MediaPlaylist | None = None
) -> Epoch:
    """Begin an epoch as a relay without a master does."""
    request = timeline.request(key, first_msn, like or ll(segment(first_msn)))
    epoch = timeline.adopt(timeline.decide_alone(request))
    timeline.begin(epoch)
    return epoch


def new_window(
    timeline: Timeline | None = None, *, budget: MemoryBudget | None = None, audio: bool = False
) -> Window:
    budget = budget or MemoryBudget(1_000_000)
    return Window("v0", timeline or Timeline("class1"), MemoryBody, budget=budget, audio_only=audio)


def wanted(window: Window, now_s: float) -> Iterator[Fetch]:
    """Yield everything that the window asks for, without answering."""
    while (fetch := window.wanted(now_s)) is not None:
        yield fetch


def fetch_all(window: Window, now_s: float, *, size: int = 0) -> list[str]:
    """Bring the window all that it wants; returns the URIs in the order in which it asked."""
    asked = []
    while (fetch := window.wanted(now_s)) is not None:
        asked.append(fetch.uri)
        window.arrived(fetch, data(fetch.uri, size), now_s)
    return asked


def bytes_of(window: Window, name: str) -> bytes | None:
    """Return what a viewer gets under this name."""
    media = window.lookup(name)
    if media is None:
        return None
    body = media.body
    assert isinstance(body, MemoryBody)
    return bytes(body.data[media.offset : media.offset + media.size_bytes])
