"""The matrix names each cell once and holds what it promises."""

from __future__ import annotations

from tests.conformance.matrix import (
    CLIENTS,
    FORMATS,
    HLSJS,
    ORIGINS,
    STAND_BY,
    TITLES,
    Cell,
    by_source,
    cells,
    chosen,
    events,
)


def test_each_cell_is_there_once() -> None:
    names = [cell.name for cell in cells()]
    assert len(set(names)) == len(names)


def test_every_client_meets_every_format_with_a_restart() -> None:
    assert {Cell(f, "restart", c) for f in FORMATS for c in CLIENTS} <= set(cells())


def test_every_browser_is_moved_between_relays() -> None:
    assert {Cell(f, "pathways", c) for f in FORMATS for c in HLSJS} <= set(cells())


def test_two_relays_come_before_the_first_restart() -> None:
    for of in by_source(cells()).values():
        scenes = [cell.scene for cell in of]
        assert scenes == sorted(scenes, key=lambda scene: scene != "pathways")


def test_every_name_has_a_title() -> None:
    assert {c.client for c in cells()} | {*FORMATS, *ORIGINS, STAND_BY, "control"} == set(TITLES)


def test_cells_are_chosen_by_a_part_of_their_name() -> None:
    assert chosen("^mpegts/restart/mpv$") == [Cell("mpegts", "restart", "mpv")]
    assert {cell.client for cell in chosen("vlc")} == {"vlc"}
    assert chosen("nonsense") == []


def test_every_cell_brings_results() -> None:
    named = {event for cell in cells() for event in events(cell)}
    assert {"control", "plain", "restart", "restarts 4", "silence", "move", "kill", "takeover"} <= named
