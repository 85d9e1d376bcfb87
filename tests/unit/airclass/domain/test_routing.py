"""Seats: never too many, evenly, near ones first, kept when rejoining."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airclass.domain.routing import (
    LEASE_S,
    MAX_PATHWAYS,
    MAX_RETRY_S,
    NodeSeats,
    SeatBook,
    read_address,
    read_zone,
    retry_after_s,
)


def seating(count: int, capacity: int = 150, **more: object) -> SeatBook:
    s = SeatBook()
    for n in range(count):
        s.sites[f"n{n}"] = NodeSeats(f"n{n}", capacity, takes_students=True, **more)  # type: ignore[arg-type]
    return s


def counts(s: SeatBook) -> list[int]:
    return [site.occupied for site in s.sites.values()]


@pytest.mark.parametrize(("nodes", "students"), [(3, 450), (5, 750), (10, 1500)])
def test_the_cluster_is_filled_exactly_and_one_more_is_turned_away(nodes: int, students: int) -> None:
    s = seating(nodes)
    for n in range(students):
        assert s.reserve(f"s{n}", None, 0.0) is not None
        assert max(counts(s)) - min(counts(s)) <= 1
    assert counts(s) == [150] * nodes
    assert s.reserve("one more", None, 0.0) is None


def test_a_lease_ends_unless_the_relay_confirms_it() -> None:
    s = seating(1, 2)
    s.reserve("a", None, 0.0)
    s.reserve("b", None, 0.0)
    s.confirm("a", "n0")
    assert s.expire(LEASE_S) == ["b"]
    assert counts(s) == [1]
    assert s.seat_of == {"a": "n0"}


def test_everyone_of_a_failed_site_moves_while_there_is_room() -> None:
    s = seating(2, 2)
    for subject in ("a", "b"):
        s.confirm(subject, "n0")
    s.sites["n0"].takes_students = False
    assert s.move("n0", 5.0) == {"a": "n1", "b": "n1"}
    assert s.move("n0", 5.0) == {}


def test_a_student_who_is_here_needs_no_lease() -> None:
    s = seating(1, 2)
    s.reserve("a", None, 0.0)
    s.confirm("a", "n0")
    s.reserve("a", None, 5.0)
    assert s.sites["n0"].leases == {}
    s.sites["n0"].leases["a"] = 1.0  # one that was left over takes no seat away
    assert s.expire(LEASE_S) == []
    assert s.seat_of == {"a": "n0"}


def test_a_seat_is_held_for_whoever_waits_for_the_class_to_begin() -> None:
    s = seating(1)
    s.reserve("a", None, 0.0)
    s.hold("a", 15.0)
    s.hold("nobody", 15.0)
    assert s.expire(LEASE_S) == []
    assert s.expire(15.0 + LEASE_S) == ["a"]


def test_confirming_elsewhere_moves_the_seat() -> None:
    s = seating(2)
    site = s.reserve("a", None, 0.0)
    assert site is not None
    other = next(n for n in s.sites if n != site.id)
    s.confirm("a", other)
    assert s.seat_of["a"] == other
    assert site.occupied == 0
    s.leave("a", site.id)
    assert s.seat_of["a"] == other
    s.leave("a", other)
    assert s.seat_of == {}
    s.leave("a", "unknown")


def test_rejoining_keeps_the_node_while_it_takes_students() -> None:
    s = seating(3)
    first = s.reserve("a", None, 0.0)
    assert first is not None
    assert s.reserve("a", None, 1.0) is first
    assert s.choose(None, kept=first.id) is first
    first.takes_students = False
    second = s.reserve("a", None, 2.0)
    assert second is not None
    assert second is not first
    assert sum(counts(s)) == 1


def test_near_nodes_first_then_the_others() -> None:
    s = seating(3, 2)
    s.sites["n0"].zone = read_zone(["10.0.0.0/8"])
    s.sites["n1"].zone = read_zone(["10.1.0.0/16", "fd00::/8"])
    address = read_address("10.1.2.3")
    order = [s.reserve(f"s{n}", address, 0.0) for n in range(7)]
    assert [site.id if site else None for site in order] == ["n1", "n1", "n0", "n0", "n2", "n2", None]
    assert s.sites["n1"].nearness(read_address("fd00::1")) == 8
    assert s.sites["n1"].nearness(None) == -1


def test_bandwidth_can_be_the_tighter_limit() -> None:
    s = seating(2, 100, max_egress_bps=10_000_000)
    s.sites["n0"].connections, s.sites["n0"].egress_bps = 4, 8_000_000
    assert s.sites["n0"].load == pytest.approx(0.8)
    chosen = [s.reserve(f"s{n}", None, 0.0) for n in range(6)]
    assert [c.id if c else None for c in chosen] == ["n1", "n1", "n1", "n1", "n0", None]


def test_moving_off_a_node_spreads_its_students_and_stops_when_all_is_full() -> None:
    s = seating(3, 10)
    for n in range(21):
        s.reserve(f"s{n}", None, 0.0)
    for subject, site in list(s.seat_of.items()):
        s.confirm(subject, site)
    s.sites["n0"].takes_students = False
    moved = s.move("n0", 1.0)
    assert len(moved) == 6
    assert s.sites["n1"].occupied == s.sites["n2"].occupied == 10
    assert sum(1 for site in s.seat_of.values() if site == "n0") == 1


def test_pathways_start_with_the_own_seat_and_end_with_what_cannot_be_used() -> None:
    s = seating(9, 1)
    s.reserve("a", None, 0.0)
    mine = s.seat_of["a"]
    paths = s.pathways("a")
    assert paths[0] == mine
    assert len(paths) == MAX_PATHWAYS
    s.sites[mine].takes_students = False
    assert s.pathways("a")[0] != mine
    s.sites = {mine: s.sites[mine]}
    assert s.pathways("a") == [mine]


def test_removing_a_site_takes_its_seats() -> None:
    s = seating(1)
    s.reserve("a", None, 0.0)
    s.remove("n0")
    assert s.seat_of == {}
    s.release("a")
    assert s.pathways("a") == []


def test_a_node_without_capacity_takes_nobody() -> None:
    s = seating(1, 0)
    assert s.sites["n0"].load == 1.0
    assert s.choose(None) is None


@pytest.mark.parametrize("text", ["", "x", "1.2.3", "1.2.3.4.5"])
def test_not_an_address(text: str) -> None:
    assert read_address(text) is None


def test_addresses_in_ipv6_clothes_and_with_scopes() -> None:
    assert str(read_address("::ffff:10.0.0.1")) == "10.0.0.1"
    assert str(read_address("fe80::1%eth0")) == "fe80::1"


def test_retry_after_grows_with_the_crowd() -> None:
    assert retry_after_s(0, 450) < retry_after_s(300, 450) <= MAX_RETRY_S
    assert retry_after_s(10**9, 450) == MAX_RETRY_S
    assert retry_after_s(10**9, 0) < 10


STEP = st.tuples(
    st.sampled_from(["join", "confirm", "leave", "expire", "down", "up", "move", "wander"]),
    st.integers(0, 40),
    st.integers(0, 3),
)


@settings(max_examples=200)
@given(st.lists(STEP, max_size=120), st.integers(1, 6))
def test_never_over_capacity_and_books_always_balance(
    steps: list[tuple[str, int, int]], capacity: int
) -> None:
    """Whatever happens, joins never overfill a node, and every seat is in exactly one place."""
    s, now_s = seating(4, capacity), 0.0
    for what, who, where in steps:
        now_s += 1.0
        subject, site = f"s{who}", s.sites[f"n{where}"]
        if what == "join":
            room = {i for i, t in s.sites.items() if t.takes_students and t.occupied < capacity}
            had = s.seat_of.get(subject)
            got = s.reserve(subject, None, now_s)
            if got is not None and got.id != had:
                assert got.id in room
            if got is None:
                assert not room, "turned away although there was room"
        elif what == "confirm" and subject in s.seat_of:
            s.confirm(subject, s.seat_of[subject])
        elif what == "wander" and site.occupied < capacity:
            s.confirm(subject, site.id)
        elif what == "leave":
            for t in s.sites.values():
                s.leave(subject, t.id)
        elif what == "expire":
            s.expire(now_s)
        elif what in ("down", "up"):
            site.takes_students = what == "up"
        elif what == "move" and not site.takes_students:
            s.move(site.id, now_s)
        for t in s.sites.values():
            assert t.leases.keys().isdisjoint(t.present)
            assert all(s.seat_of.get(lease) == t.id for lease in t.leases)
        if what == "join":
            assert all(t.occupied <= capacity for t in s.sites.values() if t.takes_students)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 120))
def test_no_node_starves_and_all_fill_at_the_same_pace(capacities: list[int], joining: int) -> None:
    """Whatever the nodes' sizes: whoever took the last seat of a node had none that was emptier."""
    s = SeatBook()
    for n, capacity in enumerate(capacities):
        s.sites[f"n{n}"] = NodeSeats(f"n{n}", capacity, takes_students=True)
    for number in range(joining):
        got = s.reserve(f"s{number}", None, 0.0)
        assert (got is None) == (number >= sum(capacities))
        for site in s.sites.values():
            for other in s.sites.values():
                assert (other.occupied - 1) / other.capacity <= site.load


@settings(max_examples=100)
@given(st.lists(STEP, max_size=80), st.integers(0, 5))
def test_whoever_has_a_good_seat_keeps_it_whatever_others_do(
    steps: list[tuple[str, int, int]], often: int
) -> None:
    s, now_s = seating(4, 6), 0.0
    mine = s.reserve("mine", None, now_s)
    assert mine is not None
    s.confirm("mine", mine.id)
    for count, (what, who, where) in enumerate(steps):
        now_s += 1.0
        subject, site = f"s{who}", s.sites[f"n{where}"]
        if what in ("join", "wander"):
            s.reserve(subject, None, now_s)
        elif what == "confirm" and subject in s.seat_of:
            s.confirm(subject, s.seat_of[subject])
        elif what == "leave":
            s.leave(subject, site.id)
        elif what == "expire":
            s.expire(now_s)
        elif what in ("down", "up") and site is not mine:
            site.takes_students = what == "up"
        elif what == "move" and not site.takes_students:
            s.move(site.id, now_s)
        if count % (often + 1) == 0:
            assert s.reserve("mine", None, now_s) is mine
        assert s.pathways("mine")[0] == mine.id


def test_a_lease_of_somebody_who_is_there_ends_without_a_word() -> None:
    s = seating(1)
    s.reserve("a", None, 0.0)
    s.sites["n0"].present.add("a")
    assert s.expire(LEASE_S) == []
    assert s.seat_of == {"a": "n0"}


def test_whoever_sits_already_needs_no_lease_and_nobody_unknown_is_released() -> None:
    s = seating(1)
    s.reserve("a", None, 0.0)
    s.confirm("a", "n0")
    s.reserve("a", None, 1.0)
    s.release("nobody")
    assert s.sites["n0"].leases == {}
    assert counts(s) == [1]


def test_a_site_to_avoid_is_used_last() -> None:
    s = seating(3, capacity=2)
    s.reserve("a", None, 0.0)
    mine = s.seat_of["a"]
    others = {"n0", "n1", "n2"} - {mine}
    assert s.pathways("a", avoid={mine}) == sorted(others)
    moved = s.reserve("a", None, 0.0, avoid={mine})
    assert moved is not None
    assert moved.id in others
    assert s.choose(None, kept=mine, avoid={mine}) is not None
    for n in range(3):
        assert s.reserve(f"b{n}", None, 0.0, avoid={mine}).id in others  # type: ignore[union-attr]
    last = s.reserve("c", None, 0.0, avoid={mine})
    assert last is not None
    assert last.id == mine, "no other site has room"
    assert s.reserve("c", None, 0.0, avoid={mine}) is last
    assert s.pathways("c", avoid={mine}) == [*sorted(others), mine]


def test_only_the_selected_students_move_and_never_to_a_site_to_avoid() -> None:
    s = seating(3, capacity=10)
    for subject in ("a1", "a2", "b1"):
        s.confirm(subject, "n0")

    def is_a(subject: str) -> bool:
        return subject.startswith("a")

    assert s.move("n0", 0.0, moves=is_a, avoid=lambda _: {"n1", "n2"}) == {}
    assert s.move("n0", 0.0, moves=is_a, avoid=lambda _: {"n1"}) == {"a1": "n2", "a2": "n2"}
    assert s.seat_of["b1"] == "n0"
