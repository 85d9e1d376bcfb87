"""Answers overtake each other, and the master's interval is bounded."""

from __future__ import annotations

import pytest

from relay.base.cluster_protocol import Orders
from relay.core.cluster.orders_inbox import OrdersInbox


def test_older_orders_do_not_undo_newer_ones() -> None:
    inbox = OrdersInbox()
    for version, is_new in ((5, True), (4, False), (5, False), (6, True)):
        orders = Orders(version=version)
        assert inbox.take(orders) is is_new
        if is_new:
            inbox.carried_out(orders)
    assert inbox.version == 6


def test_orders_that_could_not_be_carried_out_are_tried_again() -> None:
    inbox = OrdersInbox()
    assert inbox.take(Orders(version=5))
    assert inbox.take(Orders(version=5))


def test_a_new_registration_begins_again() -> None:
    inbox = OrdersInbox()
    inbox.carried_out(Orders(version=9))
    assert inbox.next_is_full()
    inbox.registered()
    assert inbox.next_is_full()
    assert inbox.take(Orders(version=1))


def test_all_viewers_are_listed_once_when_the_master_asks() -> None:
    inbox = OrdersInbox()
    assert [inbox.next_is_full() for _ in range(2)] == [True, False]
    inbox.take(Orders(version=1, resync=True))
    inbox.take(Orders(version=1))
    assert [inbox.next_is_full() for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("said_s", "used_s"), [(2.0, 2.0), (0.0, 0.2), (-1.0, 0.2), (99.0, 30.0), (float("nan"), 0.2)]
)
def test_the_masters_interval_is_bounded(said_s: float, used_s: float) -> None:
    inbox = OrdersInbox()
    inbox.take(Orders(version=1, heartbeat_interval_s=said_s))
    assert inbox.interval_s == used_s
