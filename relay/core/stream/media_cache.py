"""The objects of one rendition that are here, by the names under which viewers find them.

Keeps names, bytes and their count together. What is fetched, listed and forgotten is decided in
`fetching` and `window`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.stream.media import Media
from relay.core.stream.segment import extension, part_name, segment_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.core.stream.media import Body
    from relay.core.stream.memory_budget import MemoryBudget
    from relay.core.stream.segment import InitSection, WindowSegment


class MediaCache:
    """Named media and its size. The parts of a segment lie one after the other in one body."""

    def __init__(self, rendition: str, new_body: Callable[[], Body], budget: MemoryBudget) -> None:
        self.size_bytes = 0
        self._bodies = 0
        self._budget: MemoryBudget | None = budget
        self._rendition = rendition
        self._new_body = new_body
        self._objects: dict[str, Media] = {}

    def get(self, name: str) -> Media | None:
        """Return the object of this name."""
        return self._objects.get(name)

    def put_part(self, entry: WindowSegment, index: int, data: bytes) -> None:
        """Append a part to its segment's body."""
        if entry.parts_body is None:
            entry.parts_body = self._new_body()
            self._count(0, 1)
        offset = entry.parts_body.append(data)
        self._count(len(data), 0)
        media = Media(entry.parts_body, offset, len(data), entry.extension)
        entry.parts[index].media = media
        self._objects[self._part_name(entry, index)] = media

    def put_segment(self, entry: WindowSegment, data: bytes) -> None:
        """Keep a segment that was fetched whole."""
        self._name(entry, Media(self._filled(data), 0, len(data), entry.extension))

    def join_parts(self, entry: WindowSegment) -> None:
        """Let the parts that are here be the segment: not a byte is copied."""
        assert entry.parts_body is not None
        self._name(entry, Media(entry.parts_body, 0, entry.parts_body.size_bytes, entry.extension))

    def put_init(self, init: InitSection, data: bytes) -> None:
        """Keep an initialization section."""
        init.media = Media(self._filled(data), 0, len(data), extension(init.map.uri))
        self._objects[init.name] = init.media

    def forget(self, entry: WindowSegment) -> None:
        """Drop a segment and its parts; whoever is being sent one keeps its bytes alive."""
        bodies = {id(b): b.size_bytes for b in (entry.parts_body, entry.media and entry.media.body) if b}
        self._count(-sum(bodies.values()), -len(bodies))
        self._objects.pop(segment_name(self._rendition, entry), None)
        for index in range(len(entry.parts)):
            self._objects.pop(self._part_name(entry, index), None)

    def forget_init(self, init: InitSection) -> None:
        """Drop an initialization section that no segment needs any more."""
        if self._objects.pop(init.name, None) is not None and init.media is not None:
            self._count(-init.media.size_bytes, -1)

    def release(self) -> None:
        """Give back to the budget what is kept: the window is given up."""
        self._count(-self.size_bytes, -self._bodies)
        self._budget = None

    def _count(self, size_bytes: int, bodies: int) -> None:
        if self._budget is not None:
            self.size_bytes += size_bytes
            self._bodies += bodies
            self._budget.changed(size_bytes, bodies)

    def _filled(self, data: bytes) -> Body:
        body = self._new_body()
        body.append(data)
        self._count(len(data), 1)
        return body

    def _name(self, entry: WindowSegment, media: Media) -> None:
        entry.media = media
        self._objects[segment_name(self._rendition, entry)] = media

    def _part_name(self, entry: WindowSegment, index: int) -> str:
        return part_name(self._rendition, entry.epoch, entry.msn, index, entry.extension)
