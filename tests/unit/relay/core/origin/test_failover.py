"""Which of several origin addresses is asked, and after which pause."""

from __future__ import annotations

from relay.core.origin.failover import OriginFailover


def test_the_next_origin_is_asked_whenever_one_fails() -> None:
    origins = OriginFailover(("a", "b"))
    assert (origins.current, origins.stand_by) == ("a", True)
    waits = []
    for wanted in ("b", "a", "b", "a", "b", "a"):
        waits.append(origins.failed(100.0))
        assert origins.current == wanted
    assert waits == [0.0, 0.25, 0.5, 0.5, 1.0, 1.0]
    origins.worked()
    assert origins.failed(100.9) == 0.25  # they fail in turn: not as fast as they answer


def test_one_that_has_served_for_a_while_is_followed_by_the_next_at_once() -> None:
    origins = OriginFailover(("a", "b"))
    assert origins.failed(100.0) == 0.0
    origins.worked()
    assert origins.failed(101.0) == 0.0
    assert origins.current == "a"


def test_a_single_origin_is_never_asked_again_at_once() -> None:
    origins = OriginFailover(("a",))
    assert [origins.failed(100.0 * n) for n in range(4)] == [0.25, 0.5, 1.0, 1.0]
    assert (origins.current, origins.stand_by) == ("a", False)
