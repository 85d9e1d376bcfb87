"""A browser is known again by its cookie, for one account, and by nothing that somebody could make up."""

from __future__ import annotations

import pytest

from airclass.domain.device_cookies import DEVICE_S, DeviceCookies

DEVICE = "0123456789abcdef01234567"
OLD, NEW = b"o" * 32, b"n" * 32


def test_a_cookie_is_good_for_its_account_and_its_time() -> None:
    cookies = DeviceCookies(NEW)
    value = cookies.make("u1", DEVICE, 1000.0)
    assert len(value) < 64, "a classroom's PC has one for each of its teachers"
    assert cookies.read("u1", value, 1000.0 + DEVICE_S) == DEVICE
    assert cookies.read("u1", value, 1001.0 + DEVICE_S) == ""
    assert cookies.read("u2", value, 1000.0) == ""


def test_a_cookie_survives_one_change_of_the_secret() -> None:
    value = DeviceCookies(OLD).make("u1", DEVICE, 0.0)
    assert DeviceCookies(NEW, OLD).read("u1", value, 1.0) == DEVICE
    assert DeviceCookies(NEW).read("u1", value, 1.0) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda v: "",
        lambda v: v[:-1],
        lambda v: v[:-1] + ("A" if v[-1] != "A" else "B"),
        lambda v: "f" * 24 + v[24:],
        lambda v: v.replace(".", ".9", 1),
        lambda v: v + "\n",
        lambda v: v * 100,
    ],
)
def test_what_was_changed_is_refused(change) -> None:
    cookies = DeviceCookies(NEW)
    assert cookies.read("u1", change(cookies.make("u1", DEVICE, 0.0)), 1.0) == ""
