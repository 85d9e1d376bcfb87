"""A playlist on a line of time: pieces, blocking directives, alignment of versions and renditions."""

from __future__ import annotations

import pytest

from benchmarks.player.listing import Listing, aligned_s, slide_s
from relay.core.playlist import Map, MediaPlaylist, Part, Segment, ServerControl

DATE_S = 1_795_449_132.0


def low_latency(first: int, *, complete: int = 3, opened: int = 2, date_s: float | None = DATE_S) -> Listing:
    """Segments of 2 s in parts of 0.5 s; parts are listed for the last complete one and the open one."""

    def parts(msn: int, count: int) -> tuple[Part, ...]:
        return tuple(Part(f"p{msn}.{n}", 0.5, independent=n == 0) for n in range(count))

    last = first + complete - 1
    segments = tuple(
        Segment(
            msn,
            f"s{msn}",
            2.0,
            parts=parts(msn, 4) if msn == last else (),
            map=Map("init"),
            program_date_time_s=None if date_s is None or msn != last else date_s + 2.0 * msn,
        )
        for msn in range(first, last + 1)
    )
    return Listing(
        MediaPlaylist(
            2,
            segments,
            first,
            part_target_s=0.5,
            server_control=ServerControl(True, 1.5),
            open_segment=Segment(last + 1, "", 0.0, parts(last + 1, opened), map=Map("init"))
            if opened
            else None,
        )
    )


def plain(first: int, count: int, *, gap: int | None = None, ended: bool = False) -> Listing:
    """Segments of 2 s, no parts, no dates."""
    segments = tuple(Segment(msn, f"s{msn}", 2.0, gap=msn == gap) for msn in range(first, first + count))
    return Listing(MediaPlaylist(2, segments, first, ended=ended))


def test_pieces_are_parts_where_listed_and_segments_elsewhere() -> None:
    listing = low_latency(10)
    assert [piece.uri for piece in listing.pieces] == [
        "s10",
        "s11",
        *("p12.0", "p12.1", "p12.2", "p12.3"),
        *("p13.0", "p13.1"),
    ]
    assert listing.edge_s == pytest.approx(7.0)
    assert listing.pieces[3].date_s == DATE_S + 24.5
    assert listing.pieces[0].date_s is None
    assert listing.pieces[0].map_uri == "init"


def test_a_piece_is_wanted_until_no_more_than_a_rounding_is_missing() -> None:
    listing = low_latency(10)
    wanted = {offset_s: listing.piece_at(offset_s) for offset_s in (-5.0, 0.0, 3.98, 4.0, 6.4, 6.98, 7.0)}
    assert [piece and piece.uri for piece in wanted.values()] == [
        "s10",
        "s10",
        "p12.0",
        "p12.0",
        "p13.0",
        None,
        None,
    ]


@pytest.mark.parametrize(("offset_s", "uri"), [(5.9, "p12.0"), (6.0, "p13.0"), (6.9, "p13.0"), (-1.0, "s10")])
def test_one_begins_with_what_can_be_decoded_alone(offset_s: float, uri: str) -> None:
    assert low_latency(10).start_at(offset_s).uri == uri


def test_one_does_not_begin_with_a_gap() -> None:
    assert plain(0, 3, gap=2).start_at(5.0).uri == "s1"
    assert plain(0, 1, gap=0).start_at(0.0).uri == "s0"


def test_directives_ask_for_the_next_part_or_segment() -> None:
    assert low_latency(10).directives() == "_HLS_msn=13&_HLS_part=2"
    assert low_latency(10, opened=0).directives() == "_HLS_msn=13&_HLS_part=0"
    assert plain(5, 3).directives() == "_HLS_msn=8"


def test_the_hold_back_is_the_playlist_s_or_three_target_durations() -> None:
    assert low_latency(1).hold_back_s == 1.5
    assert plain(1, 3).hold_back_s == 6.0


def test_versions_align_by_number_then_by_date_then_end_to_end() -> None:
    assert slide_s(low_latency(10), low_latency(11)) == 2.0
    assert slide_s(low_latency(10), low_latency(30)) == 40.0
    assert slide_s(plain(0, 3), plain(9, 3)) == 6.0


def test_renditions_align_by_date_then_by_number() -> None:
    assert aligned_s(low_latency(10), low_latency(110, date_s=DATE_S - 200.5)) == -0.5
    assert aligned_s(plain(0, 3), plain(1, 3)) == 2.0
    assert aligned_s(plain(0, 3), plain(9, 3)) == 0.0


def test_an_empty_playlist_has_no_pieces() -> None:
    empty = plain(0, 0)
    assert empty.piece_at(0.0) is None
    assert empty.edge_s == 0.0
