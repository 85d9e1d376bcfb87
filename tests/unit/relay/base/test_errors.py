"""Errors by whose fault they are."""

from __future__ import annotations

import pytest

from relay.base import errors
from relay.base.errors import StartError, told_by


def test_each_error_says_what_a_peer_is_told() -> None:
    assert errors.RequestError(404, "no", close=True).status == 404
    assert errors.RequestError(404, "no", close=True).close
    assert not errors.TokenError(401, "no").close
    assert errors.OriginError("late", "timeout").kind == "timeout"
    assert errors.OriginError("x").status == 502
    assert errors.ClusterError("x").status == 401
    assert issubclass(errors.StartError, errors.AirclassError)


def test_all_problems_of_a_configuration_are_one_error() -> None:
    error = errors.ConfigError(["one", "two"])
    assert error.problems == ["one", "two"]
    assert error.reason == str(error) == "one\ntwo"


def test_a_playlist_error_names_its_line() -> None:
    error = errors.PlaylistError(7, "no such tag")
    assert (error.line_no, error.kind, error.reason) == (7, "playlist", "line 7: no such tag")


def test_a_group_of_our_errors_tells_its_first() -> None:
    first, second = StartError("a"), StartError("b")
    assert told_by(BaseExceptionGroup("", [ExceptionGroup("", [first]), second])) is first


@pytest.mark.parametrize("other", [ValueError(), KeyboardInterrupt()])
def test_a_group_with_anything_else_stays_whole(other: BaseException) -> None:
    group = BaseExceptionGroup("", [StartError("a"), other])
    assert told_by(group) is group
