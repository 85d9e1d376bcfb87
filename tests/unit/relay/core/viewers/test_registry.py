"""Who watches, and what the master is told about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.viewers.registry import LEFT_S, MAX_LEFT_NOTED, PLAYING_BYTES, Viewer, ViewerRegistry

if TYPE_CHECKING:
    from relay.base.cluster_protocol import ViewerReport


def viewer(token: str, stream: str = "class1", now_s: float = 100.0) -> Viewer:
    return Viewer(
        token.encode(),
        subject=f"person of {token}",
        token_id=f"id of {token}",
        stream=stream,
        expires_s=1000.0,
        now_s=now_s,
        wall_s=1_790_000_000.0,
    )


def changes(registry: ViewerRegistry, *, full: bool) -> tuple[tuple[ViewerReport, ...], tuple[str, ...]]:
    """Return what a heartbeat says: reports and who left."""
    gone = registry.gone(full=full)
    return tuple(r for r in registry.reports(150.0, full=full) if r is not None), gone


def test_viewers_are_counted_by_stream() -> None:
    registry = ViewerRegistry()
    for one in (viewer("a"), viewer("b"), viewer("c", "class2")):
        registry.enter(one)
    assert len(registry) == 3
    assert (registry.count("class1"), registry.count("class2"), registry.count("class3")) == (2, 1, 0)
    found = registry.get(b"a")
    assert found is not None
    assert found.subject == "person of a"
    assert registry.get(b"x") is None


def test_seats_of_a_network_are_counted_while_they_are_taken() -> None:
    registry = ViewerRegistry()
    for token, network in (("a", "192.0.2.1"), ("b", "192.0.2.1"), ("c", "")):
        one = viewer(token)
        one.network = network
        registry.enter(one)
    found = registry.get(b"a")
    assert found is not None
    found.last_s = 200.0
    assert registry.seats("192.0.2.1") == 2
    registry.sweep(150.0)
    assert (registry.seats("192.0.2.1"), len(registry)) == (1, 1)
    registry.sweep(250.0)
    assert (registry.seats("192.0.2.1"), len(registry)) == (0, 0)


def test_a_renewed_token_is_the_same_viewer() -> None:
    registry = ViewerRegistry()
    first, renewed = viewer("a"), viewer("a")
    renewed.key = b"another text"
    registry.enter(first)
    assert registry.knows("id of a")
    registry.enter(renewed)
    assert (len(registry), registry.count("class1")) == (1, 1)
    renewed.last_s = 200.0
    assert registry.sweep(150.0) == [first]
    assert (len(registry), registry.count("class1")) == (1, 1)
    assert registry.gone(full=False) == ()
    registry.sweep(250.0)
    assert (len(registry), registry.knows("id of a")) == (0, False)


def test_the_silent_leave_and_are_reported_as_gone_once() -> None:
    registry = ViewerRegistry()
    quiet, busy = viewer("quiet"), viewer("busy")
    registry.enter(quiet)
    registry.enter(busy)
    busy.last_s = 200.0
    assert registry.sweep(150.0) == [quiet]
    assert list(registry) == [busy]
    assert registry.count("class1") == 1
    _, gone = changes(registry, full=False)
    assert gone == ("id of quiet",)
    assert changes(registry, full=False) == ((), ())


def test_one_who_is_turned_away_leaves_at_once_and_with_the_last_of_their_tokens() -> None:
    registry = ViewerRegistry()
    first, renewed, other = viewer("a"), viewer("a"), viewer("b")
    renewed.key = b"another text"
    for one in (first, renewed, other):
        registry.enter(one)
    registry.leave(first)
    assert registry.get(first.key) is None
    assert (len(registry), registry.count("class1")) == (2, 2)
    registry.leave(renewed)
    assert (len(registry), registry.count("class1")) == (1, 1)
    assert registry.gone(full=False) == ("id of a",)


def test_one_who_comes_back_has_not_left() -> None:
    registry = ViewerRegistry()
    one = viewer("a")
    registry.enter(one)
    registry.sweep(150.0)
    registry.enter(one)
    reports, gone = changes(registry, full=False)
    assert [r.token_id for r in reports] == ["id of a"]
    assert gone == ()


def test_a_full_report_names_everyone_and_nobody_as_gone() -> None:
    registry = ViewerRegistry()
    registry.enter(viewer("a"))
    registry.enter(viewer("b"))
    changes(registry, full=False)
    registry.sweep(50.0)
    reports, gone = changes(registry, full=True)
    assert [r.token_id for r in reports] == ["id of a", "id of b"]
    assert gone == ()


def test_whoever_comes_or_leaves_while_reports_are_made_belongs_to_the_next_ones() -> None:
    registry = ViewerRegistry()
    stays, leaves = viewer("stays"), viewer("leaves")
    registry.enter(stays)
    registry.enter(leaves)
    reports = registry.reports(150.0, full=True)
    first = next(reports)
    registry.leave(leaves)
    registry.enter(viewer("comes"))
    assert [r.token_id for r in (first, *reports) if r is not None] == ["id of stays"]
    reported, gone = changes(registry, full=False)
    assert gone == ("id of leaves",)
    assert "id of comes" in {r.token_id for r in reported}


def test_a_viewer_is_reported_again_when_its_figures_move() -> None:
    registry = ViewerRegistry()
    one = viewer("a")
    registry.enter(one)
    one.sent_bytes = 500
    one.says(b"CMCD=bl%3D2300%2Cmtp%3D900%2Cedu.lat-ms%3D3200%2Cbs")
    (report,), _ = changes(registry, full=False)
    assert (report.stream, report.subject, report.since_s) == ("class1", "person of a", 1_790_000_000.0)
    assert (report.sent_bytes, report.buffer_ms, report.throughput_kbps) == (500, 2300, 900)
    assert (report.latency_ms, report.starved) == (3200, 1)
    one.says(b"CMCD=bl%3D2400%2Cmtp%3D900%2Cedu.lat-ms%3D3300")
    assert changes(registry, full=False) == ((), ())
    one.says(b"CMCD=bl%3D900%2Cedu.lat-ms%3D3300")
    (report,), _ = changes(registry, full=False)
    assert (report.buffer_ms, report.starved) == (900, 1)


def test_a_viewer_is_reported_again_when_it_watches_another_rendition() -> None:
    registry = ViewerRegistry()
    one = viewer("a")
    registry.enter(one)
    changes(registry, full=False)
    one.rendition = "v1"
    (report,), _ = changes(registry, full=False)
    assert report.rendition == "v1"
    assert changes(registry, full=False) == ((), ())


def test_a_viewer_plays_once_media_was_delivered() -> None:
    registry = ViewerRegistry()
    one, renewed = viewer("a"), viewer("a2")
    renewed.token_id = one.token_id
    registry.enter(one)
    ((report,), _) = changes(registry, full=False)
    assert (report.has_media, report.idle_s) == (False, 50.0)
    registry.delivered(one, PLAYING_BYTES - 1)
    assert changes(registry, full=False) == ((), ())
    registry.enter(renewed)
    registry.delivered(one, 1)
    assert [r.has_media for r in changes(registry, full=False)[0]] == [True, True]
    registry.delivered(one, 1)
    third = viewer("a3")
    third.token_id = one.token_id
    registry.enter(third)
    assert third.has_media, "the same seat"
    for text in (one, renewed, third):
        registry.leave(text)
    registry.delivered(one, PLAYING_BYTES)
    again = viewer("a")
    registry.enter(again)
    assert not again.has_media


def test_a_viewer_without_media_gives_way_after_a_while() -> None:
    registry = ViewerRegistry()
    plays, asks, twice, fresh = viewer("p"), viewer("a"), viewer("t"), viewer("f", now_s=109.0)
    again = viewer("t2")
    again.token_id = twice.token_id
    for one in (plays, twice, again, asks, fresh):
        registry.enter(one)
    registry.delivered(plays, PLAYING_BYTES)
    assert registry.make_room(100.0) is None
    assert registry.make_room(105.0) is asks
    assert registry.make_room(105.0) is None, "a seat under two tokens, and one who has just come"
    assert {v.key for v in registry} == {b"p", b"t", b"t2", b"f"}


def test_silence_of_the_player_keeps_the_last_figures() -> None:
    one = viewer("a")
    one.says(b"CMCD=bl%3D2300")
    one.says(b"_HLS_msn=3")
    assert one.report(100.0).buffer_ms == 2300


def test_nothing_grows_for_ever_where_no_master_asks() -> None:
    registry = ViewerRegistry()
    for number in range(MAX_LEFT_NOTED + 50):
        registry.enter(viewer(f"t{number}", f"stream{number}"))
        registry.sweep(150.0)
    _, gone = changes(registry, full=False)
    assert len(gone) == MAX_LEFT_NOTED
    assert gone[-1] == f"id of t{MAX_LEFT_NOTED + 49}"
    assert registry.count("stream1") == 0


def test_a_viewer_has_left_a_draining_relay_when_it_is_silent_and_cut_off_or_sent_away() -> None:
    one = viewer("a", now_s=100.0)
    assert not one.has_left(100.0 + LEFT_S - 0.1, connected=False), "between two requests"
    assert one.has_left(100.0 + LEFT_S, connected=False)
    assert not one.has_left(1000.0, connected=True), "it does not know yet that it must move"
    one.sent_away = True
    assert one.has_left(100.0 + LEFT_S, connected=True)
    one.last_s = 200.0
    assert not one.has_left(200.0, connected=True), "it still fetches segments"
