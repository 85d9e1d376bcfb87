"""Rates and wrong passwords: floods are slowed, a school behind one address is not locked out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airclass.domain import rate_limits
from airclass.domain.rate_limits import LoginThrottle, RateLimit, RateLimiter


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    b, limit = RateLimiter(), RateLimit(2.0, 3)
    assert [b.take(("k",), limit, 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert b.peek(("k",), limit, 0.25) == 0.25
    assert b.take(("k",), limit, 0.5) == 0
    assert b.take(("other",), limit, 0.0) == 0
    b.empty(("k",))
    assert b.peek(("k",), limit, 0.5) == 0


def test_the_number_of_buckets_is_bounded() -> None:
    b = RateLimiter()
    for n in range(rate_limits.MAX_BUCKETS + 10):
        b.take((str(n),), RateLimit(1, 1), 0.0)
    assert b.take(("0",), RateLimit(1, 1), 0.0) == 0, "the oldest was forgotten"


@given(st.lists(st.floats(0, 2), max_size=100))
def test_never_more_than_burst_plus_rate(pauses: list[float]) -> None:
    b, limit, now_s, taken = RateLimiter(), RateLimit(5.0, 10), 0.0, 0
    for pause_s in pauses:
        now_s += pause_s
        taken += b.take(("k",), limit, now_s) == 0
    assert taken <= 10 + 5.0 * now_s + 1e-6


def guess(p: LoginThrottle, who: str, address: str, now_s: float, what: str = "login") -> bool:
    """Make one wrong guess; tell whether it was let through to the password check."""
    if p.wait_s(what, who, address, now_s):
        return False
    p.wrong(what, who, address, now_s)
    return True


def test_one_person_guessing_is_stopped_after_five() -> None:
    p = LoginThrottle()
    assert [guess(p, "kim", "a", 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert guess(p, "kim", "a", rate_limits.PAIR_REFILL_S)


def test_being_right_forgives() -> None:
    p = LoginThrottle()
    for _ in range(20):
        assert guess(p, "kim", "a", 0.0)
        p.right("login", "kim", "a", 0.0)


def test_a_school_behind_one_address_survives_a_guesser_in_it() -> None:
    p = LoginThrottle()
    p.right("login", "teacher", "school", 0.0)
    for n in range(500):
        guess(p, f"name{n}", "school", 0.0)
    assert p.wait_s("login", "teacher", "school", 0.0) == 0
    assert p.wait_s("login", "new teacher", "school", 0.0) == 0, "everybody has one try"
    assert p.wait_s("login", "new teacher", "school", 0.1) > 0
    assert p.wait_s("login", "new teacher", "school", 11.0) == 0


def test_guessing_one_account_from_everywhere_is_slowed_but_its_owner_comes_in() -> None:
    p = LoginThrottle()
    p.right("login", "kim", "home", 0.0)
    let_through = sum(guess(p, "kim", f"bot{n // 5}", 0.0) for n in range(1000))
    assert let_through < 60 + 200 + 1
    assert p.wait_s("login", "kim", "home", 0.0) == 0


def test_a_whole_school_may_mistype_a_class_password() -> None:
    p = LoginThrottle()
    assert sum(guess(p, "class", "school", 0.0, "class") for _ in range(40)) == 40


def test_who_is_known_is_bounded() -> None:
    p = LoginThrottle()
    for n in range(rate_limits.MAX_KNOWN + 5):
        p.right("login", str(n), "a", 0.0)
    assert len(p._known) == rate_limits.MAX_KNOWN
