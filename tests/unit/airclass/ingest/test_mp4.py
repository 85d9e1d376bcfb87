"""Boxes are found however the bytes arrive, and a fragment's samples are counted by hand."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.ingest.mp4 import MAX_BOX_BYTES, BoxSplitter, SampleRun, run_of
from relay.base.errors import OriginError


def box(kind: bytes, *payload: bytes) -> bytes:
    body = b"".join(payload)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, flags: int, *words: int) -> bytes:
    return box(kind, struct.pack(f">{1 + len(words)}I", flags, *words))


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 30))
def test_boxes_are_whole_whatever_the_pieces(payloads: list[bytes], step: int) -> None:
    data = b"".join(box(b"mdat", payload) for payload in payloads)
    splitter, found = BoxSplitter(), []
    for at in range(0, len(data), step):
        found += splitter.feed(data[at : at + step])
    assert [body for _, body in found] == [box(b"mdat", payload) for payload in payloads]


@pytest.mark.parametrize("size", [0, 1, 7, MAX_BOX_BYTES + 1])
def test_impossible_sizes_are_refused(size: int) -> None:
    with pytest.raises(OriginError, match="too large"):
        BoxSplitter().feed(struct.pack(">I4s", size, b"mdat"))


def test_each_sample_with_its_own_duration_and_size() -> None:
    trun = full(b"trun", 0x301 | 0x4, 3, 99, 0x02000000, 500, 11, 600, 12, 700, 13)
    moof = box(b"moof", full(b"mfhd", 0, 1), box(b"traf", full(b"tfhd", 0x20000, 1), trun))
    assert run_of(moof, 1) == SampleRun(3, 1800)


def test_default_duration_stands_behind_the_optional_fields() -> None:
    tfhd = full(b"tfhd", 0x1 | 0x2 | 0x8 | 0x10, 2, 0, 0, 1, 512, 4)
    traf = box(b"traf", tfhd, full(b"trun", 0x1, 5, 99), full(b"trun", 0x1, 2, 99))
    other = box(b"traf", full(b"tfhd", 0x8, 1, 1000), full(b"trun", 0, 9))
    moof = box(b"moof", other, traf)
    assert run_of(moof, 2) == SampleRun(7, 7 * 512)
    assert run_of(moof, 1) == SampleRun(9, 9000)
    assert run_of(moof, 3) == SampleRun(0, 0)


def test_a_box_longer_than_its_parent_is_refused() -> None:
    with pytest.raises(OriginError, match="cannot be read"):
        run_of(box(b"moof", struct.pack(">I4s", 99, b"traf")), 1)
