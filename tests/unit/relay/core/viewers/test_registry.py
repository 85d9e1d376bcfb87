"""Who watches, and what the master is told about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.viewers.registry import MAX_LEFT_NOTED, Ledger, Viewer

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


def changes(ledger: Ledger, *, full: bool) -> tuple[tuple[ViewerReport, ...], tuple[str, ...]]:
    """Return what a heartbeat says: reports and who left."""
    gone = ledger.gone(full=full)
    return tuple(r for r in ledger.reports(full=full) if r is not None), gone


def test_viewers_are_counted_by_stream() -> None:
    ledger = Ledger()
    for one in (viewer("a"), viewer("b"), viewer("c", "class2")):
        ledger.enter(one)
    assert len(ledger) == 3
    assert (ledger.count("class1"), ledger.count("class2"), ledger.count("class3")) == (2, 1, 0)
    found = ledger.get(b"a")
    assert found is not None
    assert found.subject == "person of a"
    assert ledger.get(b"x") is None


def test_seats_of_a_network_are_counted_while_they_are_taken() -> None:
    ledger = Ledger()
    for token, network in (("a", "192.0.2.1"), ("b", "192.0.2.1"), ("c", "")):
        one = viewer(token)
        one.network = network
        ledger.enter(one)
    found = ledger.get(b"a")
    assert found is not None
    found.last_s = 200.0
    assert ledger.seats("192.0.2.1") == 2
    ledger.sweep(150.0)
    assert (ledger.seats("192.0.2.1"), len(ledger)) == (1, 1)
    ledger.sweep(250.0)
    assert (ledger.seats("192.0.2.1"), len(ledger)) == (0, 0)


def test_a_renewed_token_is_the_same_viewer() -> None:
    ledger = Ledger()
    first, renewed = viewer("a"), viewer("a")
    renewed.key = b"another text"
    ledger.enter(first)
    assert ledger.knows("id of a")
    ledger.enter(renewed)
    assert (len(ledger), ledger.count("class1")) == (1, 1)
    renewed.last_s = 200.0
    assert ledger.sweep(150.0) == [first]
    assert (len(ledger), ledger.count("class1")) == (1, 1)
    assert ledger.gone(full=False) == ()
    ledger.sweep(250.0)
    assert (len(ledger), ledger.knows("id of a")) == (0, False)


def test_the_silent_leave_and_are_reported_as_gone_once() -> None:
    ledger = Ledger()
    quiet, busy = viewer("quiet"), viewer("busy")
    ledger.enter(quiet)
    ledger.enter(busy)
    busy.last_s = 200.0
    assert ledger.sweep(150.0) == [quiet]
    assert list(ledger) == [busy]
    assert ledger.count("class1") == 1
    _, gone = changes(ledger, full=False)
    assert gone == ("id of quiet",)
    assert changes(ledger, full=False) == ((), ())


def test_one_who_is_turned_away_leaves_at_once_and_with_the_last_of_their_tokens() -> None:
    ledger = Ledger()
    first, renewed, other = viewer("a"), viewer("a"), viewer("b")
    renewed.key = b"another text"
    for one in (first, renewed, other):
        ledger.enter(one)
    ledger.leave(first)
    assert ledger.get(first.key) is None
    assert (len(ledger), ledger.count("class1")) == (2, 2)
    ledger.leave(renewed)
    assert (len(ledger), ledger.count("class1")) == (1, 1)
    assert ledger.gone(full=False) == ("id of a",)


def test_one_who_comes_back_has_not_left() -> None:
    ledger = Ledger()
    one = viewer("a")
    ledger.enter(one)
    ledger.sweep(150.0)
    ledger.enter(one)
    reports, gone = changes(ledger, full=False)
    assert [r.token_id for r in reports] == ["id of a"]
    assert gone == ()


def test_a_full_report_names_everyone_and_nobody_as_gone() -> None:
    ledger = Ledger()
    ledger.enter(viewer("a"))
    ledger.enter(viewer("b"))
    changes(ledger, full=False)
    ledger.sweep(50.0)
    reports, gone = changes(ledger, full=True)
    assert [r.token_id for r in reports] == ["id of a", "id of b"]
    assert gone == ()


def test_whoever_comes_or_leaves_while_reports_are_made_belongs_to_the_next_ones() -> None:
    ledger = Ledger()
    stays, leaves = viewer("stays"), viewer("leaves")
    ledger.enter(stays)
    ledger.enter(leaves)
    reports = ledger.reports(full=True)
    first = next(reports)
    ledger.leave(leaves)
    ledger.enter(viewer("comes"))
    assert [r.token_id for r in (first, *reports) if r is not None] == ["id of stays"]
    reported, gone = changes(ledger, full=False)
    assert gone == ("id of leaves",)
    assert "id of comes" in {r.token_id for r in reported}


def test_a_viewer_is_reported_again_when_its_figures_move() -> None:
    ledger = Ledger()
    one = viewer("a")
    ledger.enter(one)
    one.sent_bytes = 500
    one.says(b"CMCD=bl%3D2300%2Cmtp%3D900%2Cedu.lat-ms%3D3200%2Cbs")
    (report,), _ = changes(ledger, full=False)
    assert (report.stream, report.subject, report.since_s) == ("class1", "person of a", 1_790_000_000.0)
    assert (report.sent_bytes, report.buffer_ms, report.throughput_kbps) == (500, 2300, 900)
    assert (report.latency_ms, report.starved) == (3200, 1)
    one.says(b"CMCD=bl%3D2400%2Cmtp%3D900%2Cedu.lat-ms%3D3300")
    assert changes(ledger, full=False) == ((), ())
    one.says(b"CMCD=bl%3D900%2Cedu.lat-ms%3D3300")
    (report,), _ = changes(ledger, full=False)
    assert (report.buffer_ms, report.starved) == (900, 1)


def test_a_viewer_is_reported_again_when_it_watches_another_rendition() -> None:
    ledger = Ledger()
    one = viewer("a")
    ledger.enter(one)
    changes(ledger, full=False)
    one.rendition = "v1"
    (report,), _ = changes(ledger, full=False)
    assert report.rendition == "v1"
    assert changes(ledger, full=False) == ((), ())


def test_silence_of_the_player_keeps_the_last_figures() -> None:
    one = viewer("a")
    one.says(b"CMCD=bl%3D2300")
    one.says(b"_HLS_msn=3")
    assert one.report().buffer_ms == 2300


def test_nothing_grows_for_ever_where_no_master_asks() -> None:
    ledger = Ledger()
    for number in range(MAX_LEFT_NOTED + 50):
        ledger.enter(viewer(f"t{number}", f"stream{number}"))
        ledger.sweep(150.0)
    _, gone = changes(ledger, full=False)
    assert len(gone) == MAX_LEFT_NOTED
    assert gone[-1] == f"id of t{MAX_LEFT_NOTED + 49}"
    assert ledger.count("stream1") == 0
