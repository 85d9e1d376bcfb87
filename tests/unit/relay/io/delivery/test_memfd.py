"""Segments outside the heap: bytes, and descriptors that go with the last reference."""

from __future__ import annotations

import os

from relay.io.delivery.memfd import MemfdStore


def test_pieces_are_where_append_says() -> None:
    body = MemfdStore().new()
    assert body.append(b"first") == 0
    assert body.append(b"") == 5
    assert body.append(b"second") == 5
    assert body.size_bytes == 11
    assert body.view(5, 6) == b"second"
    assert body.view(0, 11) == b"firstsecond"
    assert body.append(b"third") == 11  # what is mapped grows with it
    assert body.view(0, 16) == b"firstsecondthird"
    assert os.fstat(body.fd).st_size == 16


def test_the_last_reference_frees_descriptor_and_bytes() -> None:
    store = MemfdStore()
    body = store.new()
    body.append(b"x" * 100)
    sender, fd = body, body.fd
    assert (store.live_blobs, store.live_bytes) == (1, 100)
    del body
    assert store.live_blobs == 1
    assert os.fstat(fd).st_size == 100
    del sender
    assert (store.live_blobs, store.live_bytes) == (0, 0)


def test_a_blob_is_not_inherited_by_children() -> None:
    body = MemfdStore().new()
    assert not os.get_inheritable(body.fd)
