"""Seats: never too many, evenly, near ones first, and only for those who watch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airclass.domain.routing import (
    FIRST_PAUSE_S,
    FORGET_LAPSE_S,
    MAX_PATHWAYS,
    MAX_PAUSE_S,
    MAX_RETRY_S,
    RESERVED_CROWDED_S,
    RESERVED_S,
    STALE_S,
    TURNED_AWAY_S,
    NodeSeats,
    SeatBook,
    network_of,
    read_address,
    read_zone,
    retry_after_s,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airclass.domain.routing import Address

    Script = Callable[[SeatBook, int], None]

SCRIPTED = read_address("10.0.0.7")
HOME = [read_address(f"192.0.2.{n}") for n in range(1, 5)]


def seating(count: int, capacity: int = 150, **more: object) -> SeatBook:
    s = SeatBook()
    for n in range(count):
        s.nodes[f"n{n}"] = NodeSeats(f"n{n}", capacity, takes_students=True, **more)  # type: ignore[arg-type]
    return s


def counts(s: SeatBook) -> list[int]:
    return [node.occupied for node in s.nodes.values()]


@pytest.mark.parametrize(("nodes", "students"), [(3, 450), (5, 750), (10, 1500)])
def test_the_cluster_is_filled_exactly_and_one_more_is_turned_away(nodes: int, students: int) -> None:
    s = seating(nodes)
    for n in range(students):
        assert s.reserve(f"s{n}", None, 0.0) is not None
        assert max(counts(s)) - min(counts(s)) <= 1
    assert counts(s) == [150] * nodes
    assert s.reserve("one more", None, 0.0) is None


def test_a_reservation_ends_unless_the_node_delivers_media() -> None:
    s = seating(1, 10)
    s.reserve("a", None, 0.0)
    s.reserve("b", None, 0.0)
    s.confirm("a", "n0", 0.0)
    assert s.expire(RESERVED_S) == ["b"]
    assert counts(s) == [1]
    assert s.seat_of == {"a": "n0"}


def test_everyone_of_a_failed_site_moves_while_there_is_room() -> None:
    s = seating(2, 2)
    for subject in ("a", "b"):
        s.confirm(subject, "n0", 0.0)
    s.nodes["n0"].takes_students = False
    assert s.move("n0", 5.0) == {"a": "n1", "b": "n1"}
    assert s.move("n0", 5.0) == {}


def test_a_student_who_is_here_needs_no_lease() -> None:
    s = seating(1, 2)
    s.reserve("a", None, 0.0)
    s.confirm("a", "n0", 0.0)
    s.reserve("a", None, 5.0)
    assert s.nodes["n0"].reserved == {}


def test_no_renewal_prolongs_a_reservation() -> None:
    s = seating(1)
    s.reserve("a", None, 0.0)
    for now_s in range(1, int(RESERVED_S)):
        assert s.reserve("a", None, float(now_s)) is s.nodes["n0"]
        assert s.expire(float(now_s)) == []
    assert s.expire(RESERVED_S) == ["a"]


def test_where_seats_are_scarce_a_reservation_ends_sooner() -> None:
    s = seating(1, 10)
    for n in range(9):
        s.reserve(f"s{n}", None, 0.0)
    s.confirm("s0", "n0", 1.0)
    assert s.crowded
    assert s.expire(RESERVED_CROWDED_S - 0.1) == []
    assert s.expire(RESERVED_CROWDED_S) == [f"s{n}" for n in range(1, 9)]
    assert counts(s) == [1]
    s.reserve("slow", None, 10.0)
    assert s.expire(16.0) == []
    assert s.expire(16.0, lambda subject: subject == "slow") == ["slow"], "its class is full"


def test_a_student_who_lets_seats_lapse_waits_longer_each_time() -> None:
    s, now_s, pauses = seating(1, 10), 0.0, []
    for _ in range(5):
        assert s.reserve("a", None, now_s) is not None
        now_s += RESERVED_S
        assert s.expire(now_s) == ["a"]
        pauses.append(s.pause_s("a", now_s))
        assert s.reserve("a", None, now_s + pauses[-1] - 0.1) is None
        now_s += pauses[-1]
    assert pauses == [FIRST_PAUSE_S, 20.0, 40.0, MAX_PAUSE_S, MAX_PAUSE_S]
    s.reserve("a", None, now_s)
    s.confirm("a", "n0", now_s)
    assert s.pause_s("a", now_s) == 0
    s.reserve("b", None, now_s)
    s.expire(now_s + RESERVED_S)
    s.expire(now_s + 1000.0)
    assert s.pause_s("b", now_s + RESERVED_S) == 0, "forgotten"


def test_the_number_of_lapses_that_are_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airclass.domain.routing.MAX_LAPSES", 2)
    s = seating(1, 10)
    for n in range(3):
        s.reserve(f"s{n}", None, 0.0)
    s.expire(RESERVED_S)
    assert [s.pause_s(f"s{n}", RESERVED_S) > 0 for n in range(3)] == [False, True, True]


def play_for_a_minute(
    s: SeatBook, script: Script, honest: dict[str, tuple[float, Address | None]]
) -> dict[str, float]:
    """Return when each honest student got a seat: they ask each 3 s and watch 3 s after they got one."""
    seated: dict[str, float] = {}
    for tick in range(240):
        now_s = tick * 0.25
        s.expire(now_s)
        script(s, tick)
        for name, (since_s, address) in honest.items():
            if name not in seated and now_s >= since_s and (now_s - since_s) % 3.0 == 0:
                if s.reserve(name, address, now_s) is not None:
                    seated[name] = now_s
            elif name in seated and now_s == seated[name] + 3.0:
                s.confirm(name, s.seat_of[name], now_s)
    return seated


def renewing_tokens(s: SeatBook, tick: int) -> None:
    for n in range(150 if tick % 8 == 0 else 0):
        s.reserve(f"bot{n}", SCRIPTED, tick * 0.25)


def joining_again_and_again(s: SeatBook, tick: int) -> None:
    for n in range(40):
        s.reserve(f"bot{tick}-{n}", SCRIPTED, tick * 0.25)


@pytest.mark.parametrize("script", [renewing_tokens, joining_again_and_again])
def test_a_script_with_150_tokens_keeps_nobody_out(script: Script) -> None:
    """Four students come in within 25 s, though a script asks for every seat all the time."""
    s = seating(1, 150)
    for n in range(150):
        assert s.reserve(f"bot{n}", SCRIPTED, 0.0) is not None
    assert s.reserve("one more", HOME[0], 0.0) is None
    honest = {f"kim{n}": (1.0 + n, HOME[n]) for n in range(4)}
    seated = play_for_a_minute(s, script, honest)
    assert seated.keys() == honest.keys()
    assert all(at_s - honest[name][0] <= 25.0 for name, at_s in seated.items())
    assert all(s.seat_of[name] == "n0" for name in honest), "they play on"


def test_a_school_behind_one_address_gets_every_seat_at_once() -> None:
    s = seating(3)
    for n in range(450):
        assert s.reserve(f"s{n}", SCRIPTED, n / 450) is not None
    assert counts(s) == [150, 150, 150]


def test_a_seat_that_becomes_free_is_for_those_who_were_turned_away() -> None:
    s = seating(1, 10)
    for n in range(10):
        s.reserve(f"bot{n}", SCRIPTED, 0.0)
    assert s.reserve("kim", HOME[0], 1.0) is None
    s.release("bot0")
    assert s.reserve("bot0", SCRIPTED, 2.0) is None
    assert s.reserve("kim", HOME[0], 3.0) is not None
    assert len(s.turned_away) == 1
    s.release("bot1")
    assert s.reserve("bot0", SCRIPTED, 4.0) is not None
    s.expire(2.0 + TURNED_AWAY_S)
    assert s.turned_away == {}


def test_the_number_of_addresses_that_were_turned_away_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airclass.domain.routing.MAX_TURNED_AWAY", 1)
    s = seating(0)
    assert s.reserve("a", HOME[0], 0.0) is None
    assert s.reserve("b", HOME[1], 0.0) is None
    assert list(s.turned_away) == [str(HOME[0])]
    s.expire(TURNED_AWAY_S)
    assert s.turned_away == {}


def test_one_household_is_one_network() -> None:
    assert network_of(None) == ""
    assert network_of(read_address("10.0.0.1")) == "10.0.0.1"
    assert network_of(read_address("2001:db8::1")) == network_of(read_address("2001:db8::ffff:1")) != ""


def test_confirming_elsewhere_moves_the_seat() -> None:
    s = seating(2)
    node = s.reserve("a", None, 0.0)
    assert node is not None
    other = next(n for n in s.nodes if n != node.id)
    s.confirm("a", other, 1.0)
    assert s.seat_of["a"] == other
    assert node.occupied == 0
    s.leave("a", node.id)
    assert s.seat_of["a"] == other
    s.leave("a", other)
    assert s.seat_of == {}
    s.leave("a", "unknown")


def test_rejoining_keeps_the_node_while_it_takes_students() -> None:
    s = seating(3)
    first = s.reserve("a", None, 0.0)
    assert first is not None
    assert s.reserve("a", None, 1.0) is first
    first.takes_students = False
    second = s.reserve("a", None, 2.0)
    assert second is not None
    assert second is not first
    assert sum(counts(s)) == 1


def test_a_delayed_list_takes_no_seat_from_the_node_where_the_student_plays() -> None:
    s = seating(2)
    s.confirm("a", "n0", 0.0)
    s.confirm("a", "n1", 10.0)
    s.confirm("a", "n0", 12.0, idle_s=11.0)
    assert s.seat_of["a"] == "n1"
    s.confirm("a", "n0", 60.0, idle_s=STALE_S + 1)
    assert s.seat_of["a"] == "n1", "the newest request is not known, but this one is old"
    s.confirm("a", "n0", 60.0, idle_s=1.0)
    assert s.seat_of["a"] == "n0"
    s.nodes["n0"].takes_students = False
    s.confirm("a", "n1", 70.0, idle_s=STALE_S + 1)
    assert s.seat_of["a"] == "n1", "its node is out of service"


def test_a_moved_student_who_stays_keeps_the_seat_where_they_play() -> None:
    s = seating(2)
    s.confirm("a", "n0", 0.0)
    s.nodes["n0"].takes_students = False
    assert s.move("n0", 5.0) == {"a": "n1"}
    assert s.expire(5.0 + RESERVED_CROWDED_S, lambda _: True) == [], "they have got media before"
    assert s.expire(5.0 + RESERVED_S) == []
    assert s.seat_of == {"a": "n0"}
    assert s.pause_s("a", 30.0) == 0
    s.confirm("a", "n1", 30.0)
    s.leave("a", "n1")
    assert s.seat_of == {"a": "n0"}
    s.confirm("a", "n1", 40.0)
    s.remove("n1")
    assert s.seat_of == {"a": "n0"}


def test_moved_students_stay_in_their_zone_while_it_has_room() -> None:
    s = seating(4, 20)
    for n, zone in enumerate(["10.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "172.16.0.0/12"]):
        s.nodes[f"n{n}"].zone = read_zone([zone])
    for n in range(20):
        s.reserve(f"s{n}", read_address("10.0.0.9"), 0.0)
    s.nodes["n0"].takes_students = False
    assert set(s.move("n0", 1.0).values()) == {"n1"}


def test_a_student_who_is_moved_to_where_they_play_needs_no_reservation() -> None:
    s = seating(2)
    s.confirm("a", "n1", 0.0)
    s.confirm("a", "n0", 1.0)
    s.nodes["n0"].takes_students = False
    assert s.move("n0", 2.0) == {"a": "n1"}
    assert s.nodes["n1"].reserved == {}


def test_a_lapse_is_forgotten_after_a_while() -> None:
    s = seating(1, 10)
    s.reserve("a", None, 0.0)
    s.expire(RESERVED_S)
    s.expire(RESERVED_S + FIRST_PAUSE_S + FORGET_LAPSE_S)
    s.reserve("a", None, 700.0)
    s.expire(700.0 + RESERVED_S)
    assert s.pause_s("a", 700.0 + RESERVED_S) == FIRST_PAUSE_S


def test_a_move_prolongs_no_reservation() -> None:
    s = seating(2)
    s.reserve("a", None, 0.0)
    first = s.seat_of["a"]
    s.nodes[first].takes_students = False
    s.move(first, 19.0)
    assert s.expire(RESERVED_S) == ["a"]


def test_a_student_whose_node_takes_nobody_gets_another_seat_when_they_ask() -> None:
    s = seating(2)
    s.confirm("a", "n0", 0.0)
    s.nodes["n0"].takes_students = False
    got = s.reserve("a", None, 1.0)
    assert got is s.nodes["n1"]
    assert got.reserved["a"].played
    s.nodes["n1"].takes_students = False
    assert s.reserve("a", None, 2.0) is None
    assert s.seat_of["a"] == "n1", "there is none better"


def test_seats_from_before_a_restart_count_when_their_node_is_back() -> None:
    s = SeatBook()
    for subject in "abc":
        s.recall(subject, "n0", -10.0)
    assert s.is_recalled("a")
    assert not s.is_recalled("nobody")
    s.add(NodeSeats("n0", 4, takes_students=True))
    assert counts(s) == [3]
    s.confirm("a", "n0", 1.0)
    assert not s.is_recalled("a")
    assert s.is_recalled("b")
    s.add(s.nodes["n0"])
    s.nodes["n0"].takes_students = False
    s.add(NodeSeats("n1", 4, takes_students=True))
    s.confirm("b", "n1", 2.0)
    assert s.move("n0", 3.0) == {"a": "n1", "c": "n1"}
    assert not s.is_recalled("c"), "they were given a new one"
    assert s.expire(3.0 + RESERVED_S) == ["c"]


def test_a_recalled_seat_ends_if_its_node_stays_away_and_nobody_is_to_blame() -> None:
    s = SeatBook()
    s.recall("a", "n0", -10.0)
    s.recall("b", "n0", -10.0)
    s.add(NodeSeats("n1", 2, takes_students=True))
    assert s.reserve("b", None, 1.0) is s.nodes["n1"]
    assert s.expire(RESERVED_S - 10.0) == ["a"]
    assert s.pause_s("a", RESERVED_S - 10.0) == 0
    s.add(NodeSeats("n0", 2))
    assert s.nodes["n0"].reserved == {}


def test_changed_seats_are_collected_for_the_database() -> None:
    s = seating(1)
    s.reserve("a", None, 0.0)
    s.confirm("a", "n0", 1.0)
    assert s.changed == {"a": "n0"}
    s.leave("a", "n0")
    assert s.changed == {"a": ""}


def test_students_without_a_seat_are_not_all_sent_to_one_node() -> None:
    s = seating(3)
    first = {s.pathways(f"s{n}")[0] for n in range(50)}
    assert first == {"n0", "n1", "n2"}


def test_near_nodes_first_then_the_others() -> None:
    s = seating(3, 2)
    s.nodes["n0"].zone = read_zone(["10.0.0.0/8"])
    s.nodes["n1"].zone = read_zone(["10.1.0.0/16", "fd00::/8"])
    address = read_address("10.1.2.3")
    order = [s.reserve(f"s{n}", address, 0.0) for n in range(7)]
    assert [node.id if node else None for node in order] == ["n1", "n1", "n0", "n0", "n2", "n2", None]
    assert s.nodes["n1"].nearness(read_address("fd00::1")) == 8
    assert s.nodes["n1"].nearness(None) == -1


def test_bandwidth_can_be_the_tighter_limit() -> None:
    s = seating(2, 100, max_egress_bps=10_000_000)
    s.nodes["n0"].connections, s.nodes["n0"].egress_bps = 4, 8_000_000
    assert s.nodes["n0"].load == pytest.approx(0.8)
    chosen = [s.reserve(f"s{n}", None, 0.0) for n in range(6)]
    assert [c.id if c else None for c in chosen] == ["n1", "n1", "n1", "n1", "n0", None]


def test_moving_off_a_node_spreads_its_students_and_stops_when_all_is_full() -> None:
    s = seating(3, 10)
    for n in range(21):
        s.reserve(f"s{n}", None, 0.0)
    for subject, node in list(s.seat_of.items()):
        s.confirm(subject, node, 0.0)
    s.nodes["n0"].takes_students = False
    moved = s.move("n0", 1.0)
    assert len(moved) == 6
    assert s.nodes["n1"].occupied == s.nodes["n2"].occupied == 10
    assert sum(1 for node in s.seat_of.values() if node == "n0") == 1


def test_pathways_start_with_the_own_seat_and_end_with_what_cannot_be_used() -> None:
    s = seating(9, 1)
    s.reserve("a", None, 0.0)
    mine = s.seat_of["a"]
    paths = s.pathways("a")
    assert paths[0] == mine
    assert len(paths) == MAX_PATHWAYS
    s.nodes[mine].takes_students = False
    assert s.pathways("a")[0] != mine
    s.nodes = {mine: s.nodes[mine]}
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
    assert s.nodes["n0"].load == 1.0
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
        subject, node = f"s{who}", s.nodes[f"n{where}"]
        if what == "join":
            room = {i for i, t in s.nodes.items() if t.takes_students and t.occupied < capacity}
            had = s.seat_of.get(subject)
            got = s.reserve(subject, None, now_s)
            if got is not None and got.id != had:
                assert got.id in room
            if got is None:
                assert not room or s.pause_s(subject, now_s) > 0, "turned away although there was room"
        elif what == "confirm" and subject in s.seat_of:
            s.confirm(subject, s.seat_of[subject], now_s)
        elif what == "wander" and node.occupied < capacity:
            s.confirm(subject, node.id, now_s)
        elif what == "leave":
            for t in s.nodes.values():
                s.leave(subject, t.id)
        elif what == "expire":
            s.expire(now_s)
        elif what in ("down", "up"):
            node.takes_students = what == "up"
        elif what == "move" and not node.takes_students:
            s.move(node.id, now_s)
        for t in s.nodes.values():
            assert t.reserved.keys().isdisjoint(t.present)
            assert all(s.seat_of.get(lease) == t.id for lease in t.reserved)
        if what == "join":
            assert all(t.occupied <= capacity for t in s.nodes.values() if t.takes_students)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 120))
def test_no_node_starves_and_all_fill_at_the_same_pace(capacities: list[int], joining: int) -> None:
    """Whatever the nodes' sizes: whoever took the last seat of a node had none that was emptier."""
    s = SeatBook()
    for n, capacity in enumerate(capacities):
        s.nodes[f"n{n}"] = NodeSeats(f"n{n}", capacity, takes_students=True)
    for number in range(joining):
        got = s.reserve(f"s{number}", None, 0.0)
        assert (got is None) == (number >= sum(capacities))
        for node in s.nodes.values():
            for other in s.nodes.values():
                assert (other.occupied - 1) / other.capacity <= node.load


@settings(max_examples=100)
@given(st.lists(STEP, max_size=80), st.integers(0, 5))
def test_whoever_has_a_good_seat_keeps_it_whatever_others_do(
    steps: list[tuple[str, int, int]], often: int
) -> None:
    s, now_s = seating(4, 6), 0.0
    mine = s.reserve("mine", None, now_s)
    assert mine is not None
    s.confirm("mine", mine.id, now_s)
    for count, (what, who, where) in enumerate(steps):
        now_s += 1.0
        subject, node = f"s{who}", s.nodes[f"n{where}"]
        if what in ("join", "wander"):
            s.reserve(subject, None, now_s)
        elif what == "confirm" and subject in s.seat_of:
            s.confirm(subject, s.seat_of[subject], now_s)
        elif what == "leave":
            s.leave(subject, node.id)
        elif what == "expire":
            s.expire(now_s)
        elif what in ("down", "up") and node is not mine:
            node.takes_students = what == "up"
        elif what == "move" and not node.takes_students:
            s.move(node.id, now_s)
        if count % (often + 1) == 0:
            assert s.reserve("mine", None, now_s) is mine
        assert s.pathways("mine")[0] == mine.id


def test_a_lease_of_somebody_who_is_there_ends_without_a_word() -> None:
    s = seating(1)
    s.reserve("a", None, 0.0)
    s.nodes["n0"].present["a"] = 0.0
    assert s.expire(RESERVED_S) == []
    assert s.seat_of == {"a": "n0"}


def test_whoever_sits_already_needs_no_lease_and_nobody_unknown_is_released() -> None:
    s = seating(1)
    s.reserve("a", None, 0.0)
    s.confirm("a", "n0", 0.0)
    s.reserve("a", None, 1.0)
    s.release("nobody")
    assert s.nodes["n0"].reserved == {}
    assert counts(s) == [1]


def test_a_node_to_avoid_is_used_last() -> None:
    s = seating(3, capacity=2)
    s.reserve("a", None, 0.0)
    mine = s.seat_of["a"]
    others = {"n0", "n1", "n2"} - {mine}
    assert s.pathways("a", avoid={mine}) == sorted(others)
    moved = s.reserve("a", None, 0.0, avoid={mine})
    assert moved is not None
    assert moved.id in others
    for n in range(3):
        assert s.reserve(f"b{n}", None, 0.0, avoid={mine}).id in others  # type: ignore[union-attr]
    last = s.reserve("c", None, 0.0, avoid={mine})
    assert last is not None
    assert last.id == mine, "no other node has room"
    assert s.reserve("c", None, 0.0, avoid={mine}) is last
    assert s.pathways("c", avoid={mine}) == [*sorted(others), mine]


def test_only_the_selected_students_move_and_never_to_a_node_to_avoid() -> None:
    s = seating(3, capacity=10)
    for subject in ("a1", "a2", "b1"):
        s.confirm(subject, "n0", 0.0)

    def is_a(subject: str) -> bool:
        return subject.startswith("a")

    assert s.move("n0", 0.0, moves=is_a, avoid=lambda _: {"n1", "n2"}) == {}
    assert s.move("n0", 0.0, moves=is_a, avoid=lambda _: {"n1"}) == {"a1": "n2", "a2": "n2"}
    assert s.seat_of["b1"] == "n0"
