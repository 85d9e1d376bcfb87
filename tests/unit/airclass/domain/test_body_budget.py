"""Bodies in flight are bounded in all and for each network; relays keep their part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airclass.domain import body_budget
from airclass.domain.body_budget import BodyBudget

MIB = 1024 * 1024


def test_one_network_takes_only_its_part() -> None:
    b = BodyBudget()
    taken = [b.take(f"2001:db8::{n:x}", 4 * MIB) for n in range(100)]
    assert taken == [True] * 3 + [False] * 97
    assert b.bytes_in_flight == 12 * MIB
    assert b.take("192.0.2.1", 4 * MIB)
    b.give_back("2001:db8::ffff", 4 * MIB)
    assert b.take("2001:db8::1", 4 * MIB)


def test_strangers_leave_room_for_relays() -> None:
    b = BodyBudget()
    b.trust("10.0.0.1")
    assert sum(b.take(f"192.0.2.{n}", 4 * MIB) for n in range(100)) == 10
    assert sum(b.take("10.0.0.1", 4 * MIB) for _ in range(100)) == 6
    assert b.bytes_in_flight == body_budget.MAX_BYTES


def test_a_body_of_no_size_always_fits_and_is_not_counted() -> None:
    b = BodyBudget()
    while b.take(f"192.0.2.{b.bytes_in_flight}", MIB):
        pass
    assert b.take("192.0.2.1", 0)
    b.give_back("192.0.2.1", 0)


def test_a_network_that_got_everything_back_is_forgotten() -> None:
    b = BodyBudget()
    assert b.take("192.0.2.1", MIB)
    b.give_back("192.0.2.1", MIB)
    assert (b.bytes_in_flight, dict(b._by_network)) == (0, {})


def test_the_number_of_trusted_networks_is_bounded() -> None:
    b = BodyBudget()
    for n in range(body_budget.MAX_RELAY_NETWORKS + 5):
        b.trust(f"n{n}")
    assert len(b._relays) == body_budget.MAX_RELAY_NETWORKS
    assert "n0" not in b._relays


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "10.0.0.1"]), st.integers(0, 20 * MIB)), max_size=60))
def test_what_is_given_back_is_all_that_was_taken(bodies: list[tuple[str, int]]) -> None:
    b, held = BodyBudget(), []
    b.trust("10.0.0.1")
    for address, size_bytes in bodies:
        if b.take(address, size_bytes):
            held.append((address, size_bytes))
        assert b.bytes_in_flight == sum(size for _, size in held) <= body_budget.MAX_BYTES
    for address, size_bytes in held:
        b.give_back(address, size_bytes)
    assert (b.bytes_in_flight, b._by_network) == (0, {})
