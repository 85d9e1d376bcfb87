"""Media that is kept in memory: a piece of a body outside the heap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Body(Protocol):
    """Bytes kept outside the heap; grows at its end, is freed with its last reference."""

    @property
    def size_bytes(self) -> int:
        """Bytes appended so far."""

    def append(self, data: bytes) -> int:
        """Add bytes and return the offset at which they start."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Media:
    """Something that can be sent: `size_bytes` of a body from `offset` on."""

    body: Body
    offset: int
    size_bytes: int
    extension: str
