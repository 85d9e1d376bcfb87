"""An origin that does not count its segments: FFmpeg's single file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from relay.core.origin.sequence_repair import SequenceRepair
from relay.core.playlist import ByteRange, MediaPlaylist, Segment, ServerControl, parse
from tests.harness.builders import playlist, segment

DATA = Path(__file__).parents[4] / "data" / "playlists"


def single_file(*numbers: int, session: int = 0) -> MediaPlaylist:
    """Return what FFmpeg lists: one file, MEDIA-SEQUENCE 0 for ever."""
    pieces = [ByteRange(100 + session, 1000 * number) for number in numbers]
    return MediaPlaylist(
        1, tuple(Segment(n, "index.m4s", 1.0, byterange=piece) for n, piece in enumerate(pieces))
    )


def numbers(listed: MediaPlaylist) -> list[int]:
    assert [s.msn for s in listed.segments][:1] == [listed.media_sequence][: len(listed.segments)]
    return [s.msn for s in listed.segments]


def test_what_slides_out_is_counted() -> None:
    counting = SequenceRepair()
    assert numbers(counting.counted(single_file(0, 1))) == [0, 1]
    assert numbers(counting.counted(single_file(0, 1, 2))) == [0, 1, 2]
    assert numbers(counting.counted(single_file(1, 2, 3))) == [1, 2, 3]
    assert numbers(counting.counted(single_file(1, 2, 3))) == [1, 2, 3]
    assert numbers(counting.counted(single_file(3, 4, 5))) == [3, 4, 5]


def test_a_list_with_nothing_in_common_is_another_session() -> None:
    counting = SequenceRepair()
    for listed in (single_file(0, 1), single_file(1, 2), single_file(2, 3)):
        counting.counted(listed)
    assert numbers(counting.counted(single_file(0, session=1))) == [0]
    assert numbers(counting.counted(single_file(0, 1, session=1))) == [0, 1]
    assert numbers(counting.counted(MediaPlaylist(1, ()))) == []
    assert numbers(counting.counted(single_file(0, 1, session=2))) == [0, 1]


def test_an_origin_that_counts_is_left_alone() -> None:
    counting = SequenceRepair()
    for first in range(5):
        listed = playlist(2, *(segment(n) for n in range(first, first + 3)))
        assert counting.counted(listed) is listed
    again = playlist(2, segment(0), segment(1))
    assert counting.counted(again) is again


def test_names_with_changing_tokens_are_the_same() -> None:
    counting = SequenceRepair()
    for token, first in (("a", 0), ("b", 1)):
        listed = tuple(Segment(n, f"s{first + n}.ts?t={token}", 1.0) for n in range(3))
        counted = counting.counted(MediaPlaylist(1, listed))
    assert numbers(counted) == [1, 2, 3]


def test_an_origin_that_blocks_has_to_count() -> None:
    counting = SequenceRepair()
    for first in (0, 1):
        listed = replace(single_file(first, first + 1), server_control=ServerControl(True))
        assert counting.counted(listed) is listed


def test_what_ffmpeg_writes() -> None:
    """FFmpeg 5.1.9 with -hls_flags single_file, three lists a second apart: all begin at 0."""
    counting, seen = SequenceRepair(), []
    for name in ("0", "1", "2"):
        listed = parse((DATA / f"ffmpeg-5.1.9-single_file-{name}.m3u8").read_text())
        assert isinstance(listed, MediaPlaylist)
        assert listed.media_sequence == 0
        seen.append(numbers(counting.counted(listed)))
    assert seen == [[0, 1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7], [2, 3, 4, 5, 6, 7, 8]]
