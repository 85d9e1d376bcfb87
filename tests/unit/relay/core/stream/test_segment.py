"""Records of a window and the names under which viewers find them."""

from __future__ import annotations

import pytest

from relay.core.playlist import ByteRange, Map
from relay.core.stream.media import Media
from relay.core.stream.segment import (
    InitSection,
    WindowPart,
    WindowSegment,
    extension,
    init_name,
    is_init_name,
    part_name,
    segment_name,
)
from relay.core.stream.timeline import Epoch
from tests.harness.builders import MemoryBody

EPOCH = Epoch("aaaaaaaaaaaa", 0, 0, "0123abcd")


def entry(**fields: object) -> WindowSegment:
    made = WindowSegment(7, EPOCH, 0, False, 0.0, uri="x_seg7.mp4", duration_s=1.0)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def media() -> Media:
    return Media(MemoryBody(), 0, 0, "mp4")


def part(*, here: bool = True) -> WindowPart:
    return WindowPart("x_part1.m4s", None, 0.5, True, False, media() if here else None)


@pytest.mark.parametrize(
    ("uri", "wanted"),
    [
        ("a/b.ts", "ts"),
        ("a/b.MP4?session=1.ts", "mp4"),
        ("b.mp", "mp4"),  # MediaMTX lists it so on request
        ("b.m4s", "m4s"),
        ("b.php", "bin"),
        ("b", "bin"),
        ("b.ts/../x", "bin"),
        ("../../etc/passwd", "bin"),
    ],
)
def test_only_extensions_of_media_are_kept(uri: str, wanted: str) -> None:
    assert extension(uri) == wanted


def test_names_carry_session_and_number_and_nothing_of_the_origins_name() -> None:
    assert segment_name("v0", entry(uri="../../x.ts")) == "v0-0123abcd-7.ts"
    assert part_name("v0", EPOCH, 7, 2, "mp4") == "v0-0123abcd-7.2.mp4"


def test_segments_have_the_extension_of_their_parts() -> None:
    assert segment_name("v0", entry(parts=[part()])) == "v0-0123abcd-7.m4s"


def test_initialization_sections_are_named_by_what_they_are() -> None:
    names = {
        init_name("v0", EPOCH, init)
        for init in (
            Map("a.mp4"),
            Map("b.mp4"),
            Map("a.mp4", ByteRange(10, 0)),
            Map("a.mp4", ByteRange(10, 5)),
        )
    }
    assert len(names) == 4
    assert init_name("v0", EPOCH, Map("a.mp4")) == init_name("v0", EPOCH, Map("a.mp4"))
    assert init_name("v0", EPOCH, Map("a.mp4")).endswith(".mp4")
    assert is_init_name(init_name("v0", EPOCH, Map("a.mp4")))
    assert not is_init_name(part_name("v0", EPOCH, 5, 0, "mp4"))


def test_what_is_resolved_and_what_can_be_listed() -> None:
    assert not entry(media=media()).resolved
    assert entry(closed=True, media=media()).listable
    assert entry(closed=True, gap=True).listable
    assert not entry(closed=True).resolved
    init = InitSection(Map("i.mp4"), "v0-i.mp4")
    assert not entry(closed=True, media=media(), init=init).listable
    assert entry(closed=True, gap=True, init=init).listable
    init.media = media()
    assert entry(closed=True, media=media(), init=init).listable


def test_parts_count_up_to_the_first_hole() -> None:
    assert entry().arrived() == 0
    assert entry(parts=[part(), part(here=False), part()]).arrived() == 1
    assert entry(parts=[part(), part()]).arrived() == 2


def test_a_segment_that_was_closed_early_tells_how_many_parts_it_holds() -> None:
    assert segment_name("v0", entry(sealed_parts=3)) == "v0-0123abcd-7-3.mp4"


def test_a_part_has_a_place_in_an_open_segment_without_holes() -> None:
    assert entry().takes_parts
    assert not entry(closed=True).takes_parts
    assert not entry(parts_broken=True).takes_parts


def test_a_gap_may_borrow_the_initialization_section_that_is_listed_with_it() -> None:
    own, other = InitSection(Map("i.mp4"), "v0-i.mp4"), InitSection(Map("j.mp4"), "v0-j.mp4")
    assert entry(init=own).listed_init is own
    assert entry(init=own, borrows=True, stand_in=other).listed_init is other
    assert entry(init=own, borrows=True).listed_init is None
