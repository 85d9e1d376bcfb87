"""Segments outside the Python heap: one memfd each, sent by `os.sendfile` without a copy.

The last reference closes the descriptor: the window's, or that of a connection still sending.
"""

from __future__ import annotations

import mmap
import os


class MemfdStore:
    """Makes blobs and counts the bytes and descriptors that are alive."""

    def __init__(self) -> None:
        self.live_bytes = 0
        self.live_blobs = 0

    def new(self) -> MemfdBody:
        """Return an empty blob."""
        return MemfdBody(self)


class MemfdBody:
    """Bytes in a memfd, growing at the end."""

    __slots__ = ("_mapped", "_store", "fd", "size_bytes")

    def __init__(self, store: MemfdStore) -> None:
        self.fd = os.memfd_create("airclass-segment", os.MFD_CLOEXEC)
        self.size_bytes = 0
        self._mapped = memoryview(b"")
        self._store = store
        store.live_blobs += 1

    def append(self, data: bytes) -> int:
        """Add bytes and return the offset at which they start."""
        start = self.size_bytes
        view = memoryview(data)
        while view:
            written = os.pwrite(self.fd, view, self.size_bytes)
            self.size_bytes += written
            self._store.live_bytes += written
            view = view[written:]
        return start

    def view(self, offset: int, length: int) -> memoryview:
        """Return a piece as memory, without a copy: what TLS encrypts."""
        if offset + length > len(self._mapped):
            flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
            self._mapped = memoryview(mmap.mmap(self.fd, self.size_bytes, flags, mmap.PROT_READ))
        return self._mapped[offset : offset + length]

    def __del__(self) -> None:
        fd = getattr(self, "fd", -1)
        if fd >= 0:
            os.close(fd)
            self._store.live_blobs -= 1
            self._store.live_bytes -= self.size_bytes
