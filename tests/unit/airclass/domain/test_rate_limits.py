"""Rates and wrong passwords: floods are slowed, a school behind one address is not locked out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain import rate_limits
from airclass.domain.rate_limits import Attempt, CodeThrottle, LoginThrottle, RateLimit, RateLimiter


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


def guess(
    p: LoginThrottle, who: str, address: str, now_s: float, what: str = "login", device: str = ""
) -> bool:
    """Make one wrong guess; tell whether it was let through to the password check."""
    attempt = Attempt(what, who, address, device)
    if p.wait_s(attempt, now_s):
        return False
    p.wrong(attempt, now_s)
    return True


def test_one_person_guessing_is_stopped_after_five() -> None:
    p = LoginThrottle()
    assert [guess(p, "kim", "a", 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert guess(p, "kim", "a", rate_limits.PAIR_REFILL_S)


@pytest.mark.parametrize("device", ["", "d1"])
def test_being_right_forgives(device: str) -> None:
    p, attempt = LoginThrottle(), Attempt("login", "kim", "a", device)
    for _ in range(20):
        assert guess(p, "kim", "a", 0.0, device=device)
        p.right(attempt, 0.0)


def test_a_school_behind_one_address_survives_a_guesser_in_it() -> None:
    p, teacher = LoginThrottle(), Attempt("login", "teacher", "school")
    p.right(teacher, 0.0)
    for n in range(500):
        guess(p, f"name{n}", "school", 0.0)
    assert p.wait_s(teacher, 0.0) == 0
    other = Attempt("login", "new teacher", "school")
    assert p.wait_s(other, 0.0) == 0, "everybody has one try"
    assert p.wait_s(other, 0.1) > 0
    assert p.wait_s(other, 11.0) == 0


def test_a_device_of_the_teacher_is_not_locked_out_by_guesses_from_the_same_address() -> None:
    """A student types wrong passwords for the teacher's name, four a second, for a minute."""
    p, teacher = LoginThrottle(), Attempt("login", "teacher", "school", "d1")
    for n in range(240):
        guess(p, "teacher", "school", n / 4)
        assert p.wait_s(teacher, n / 4) == 0
    let_through = sum(guess(p, "teacher", "school", 60.0 + n / 4) for n in range(4 * 3600))
    assert let_through <= 3600 / rate_limits.PAIR_REFILL_S + rate_limits.PAIR_TRIES, "the bound is kept"


def test_a_device_has_the_same_bound_as_everybody_else() -> None:
    p = LoginThrottle()
    assert sum(guess(p, "kim", f"a{n}", 0.0, device="stolen") for n in range(100)) == rate_limits.PAIR_TRIES
    assert guess(p, "kim", "a", rate_limits.PAIR_REFILL_S, device="stolen")
    assert not guess(p, "kim", "a", rate_limits.PAIR_REFILL_S, device="stolen")
    assert guess(p, "kim", "a", 0.0), "what a device does costs the address nothing"


def test_where_the_owner_signed_in_before_there_is_a_try_every_ten_seconds() -> None:
    p, owner = LoginThrottle(), Attempt("login", "kim", "home")
    p.right(owner, 0.0)
    let_through = [guess(p, "kim", "home", n / 4) for n in range(240)]
    assert let_through[:6] == [True] * 6
    assert sum(let_through) <= rate_limits.PAIR_TRIES + 1 + 60 / rate_limits.SLOW_PAIR_S + 1
    assert p.wait_s(owner, 75.0) == 0


def test_guessing_one_account_from_everywhere_is_slowed_but_its_owner_comes_in() -> None:
    p, owner = LoginThrottle(), Attempt("login", "kim", "home")
    p.right(owner, 0.0)
    assert sum(guess(p, "kim", f"bot{n // 5}", 0.0) for n in range(1000)) <= rate_limits.CLASS_TRIES + 1
    assert p.wait_s(owner, 0.0) == 0


def test_a_new_network_for_each_guess_gets_no_further_than_one_address() -> None:
    """With IPv6 everybody has as many addresses as they like."""
    p = LoginThrottle()
    in_one_network = sum(guess(p, "kim", f"2001:db8:0:1::{n:x}", 0.0) for n in range(20_000))
    assert in_one_network == rate_limits.PAIR_TRIES
    everywhere = sum(guess(p, "lee", f"2001:db8:{n >> 8:x}:{n & 255:x}::1", n / 1000) for n in range(20_000))
    assert (
        everywhere
        <= rate_limits.CLASS_TRIES + 20 / rate_limits.CLASS_REFILL_S + 20 / rate_limits.SLOW_PAIR_S + 1
    )


def test_a_whole_school_may_mistype_a_class_password() -> None:
    p = LoginThrottle()
    assert sum(guess(p, "class", "school", 0.0, "class") for _ in range(40)) == 40


def test_a_class_password_guessed_from_everywhere_still_lets_somebody_in_each_second() -> None:
    p = LoginThrottle()
    for n in range(200):
        guess(p, "c1", f"bot{n}", 0.0, "class")
    assert not guess(p, "c1", "home", 0.5, "class")
    assert guess(p, "c1", "home", 0.5 + rate_limits.SLOW_CLASS_S, "class")


def test_who_is_known_is_bounded() -> None:
    p, codes = LoginThrottle(), CodeThrottle()
    for n in range(rate_limits.MAX_KNOWN + 5):
        p.right(Attempt("login", str(n), "a"), 0.0)
        codes.known(str(n), "a")
    assert len(p._known) == len(codes._known) == rate_limits.MAX_KNOWN


def test_trying_class_codes_ends_without_keeping_the_school_out() -> None:
    p, school = CodeThrottle(), "2001:db8:1:2::3"
    p.known("c1", "2001:db8:1:9::1")
    answered = 0
    for n in range(3000):
        if not p.wait_s("", school, n / 100):
            p.wrong(school, n / 100)
            answered += 1
    assert answered <= rate_limits.CODE_TRIES + 30 / rate_limits.CODE_REFILL_S
    assert p.wait_s("c1", school, 30.0) == 0, "the class that the school knows"
    assert p.wait_s("c2", school, 30.0) > 0, "a right code is not told from a wrong one"
    assert p.wait_s("c2", "2001:db8:2::1", 30.0) == 0
    assert p.wait_s("c2", school, 30.0 + 2 * rate_limits.CODE_REFILL_S) == 0
