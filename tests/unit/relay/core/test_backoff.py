from hypothesis import given
from hypothesis import strategies as st

from relay.core.backoff import Backoff


def test_waits_double_up_to_a_bound_and_begin_anew() -> None:
    backoff = Backoff(0.5, 4.0)
    assert [backoff.failed(1.0) for _ in range(5)] == [0.5, 1.0, 2.0, 4.0, 4.0]
    backoff.worked()
    assert [backoff.failed(0.0) for _ in range(2)] == [0.25, 0.5]


@given(st.floats(0.01, 10), st.floats(0.01, 60), st.lists(st.floats(0, 1), max_size=60))
def test_no_wait_is_above_the_bound(first_s: float, max_s: float, chances: list[float]) -> None:
    backoff = Backoff(first_s, max_s)
    for chance in chances:
        assert 0 < backoff.failed(chance) <= max_s
