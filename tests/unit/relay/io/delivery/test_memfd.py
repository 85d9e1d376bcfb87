"""Segments outside the heap: bytes, and descriptors that go with the last reference."""

from __future__ import annotations

import os

from relay.io.delivery.memfd import BlobStore


def test_pieces_are_where_append_says() -> None:
    blob = BlobStore().new()
    assert blob.append(b"first") == 0
    assert blob.append(b"") == 5
    assert blob.append(b"second") == 5
    assert blob.size_bytes == 11
    assert blob.view(5, 6) == b"second"
    assert blob.view(0, 11) == b"firstsecond"
    assert blob.append(b"third") == 11  # what is mapped grows with it
    assert blob.view(0, 16) == b"firstsecondthird"
    assert os.fstat(blob.fd).st_size == 16


def test_the_last_reference_frees_descriptor_and_bytes() -> None:
    store = BlobStore()
    blob = store.new()
    blob.append(b"x" * 100)
    sender, fd = blob, blob.fd
    assert (store.live_blobs, store.live_bytes) == (1, 100)
    del blob
    assert store.live_blobs == 1
    assert os.fstat(fd).st_size == 100
    del sender
    assert (store.live_blobs, store.live_bytes) == (0, 0)


def test_a_blob_is_not_inherited_by_children() -> None:
    blob = BlobStore().new()
    assert not os.get_inheritable(blob.fd)
