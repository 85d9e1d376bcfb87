"""Who may publish: the class's key wherever OBS and FFmpeg put it, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain.classrooms import Classroom, ClassStatus, hash_key
from airclass.domain.ingest import Verdict, decide
from airclass.domain.view import View

VIEW = View(
    1,
    {},
    {
        "c1": Classroom("c1", "Math", "A", key_hash=hash_key("key1")),
        "c2": Classroom("c2", "Art", "B", key_hash=hash_key("key2")),
        "c3": Classroom("c3", "Shut", "C", key_hash=hash_key("key3"), status=ClassStatus.CLOSED),
    },
)


def ask(**changes: str) -> Verdict:
    question = {"action": "publish", "path": "live/c1", "user": "", "password": "", "token": "", "query": ""}
    return decide(**{**question, **changes}, view=VIEW, cluster_tokens=["cluster"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "how",
    [
        {"password": "key1"},
        {"token": "key1"},
        {"query": "token=key1"},
        {"query": "?user=x&pass=key1"},
        {"query": "key=key1&x=y"},
    ],
)
def test_the_key_wherever_it_was_put(how: dict[str, str]) -> None:
    assert ask(**how) == Verdict(True, "", "c1")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({}, "wrong-key"),
        ({"token": "key2"}, "wrong-key"),
        ({"token": "cluster"}, "wrong-key"),
        ({"path": "c1", "token": "key1"}, "unknown-class"),
        ({"path": "live/../live/c1", "token": "key1"}, "unknown-class"),
        ({"path": "live/c9", "token": "key1"}, "unknown-class"),
        ({"path": "live/c3", "token": "key3"}, "class-closed"),
        ({"query": "&".join(f"a{n}=b" for n in range(99)) + "&token=key1"}, "wrong-key"),
        ({"action": "read", "token": "key1"}, "not-cluster"),
        ({"action": "api", "user": "admin", "password": "admin"}, "not-cluster"),
        ({"action": "playback"}, "not-cluster"),
    ],
)
def test_refused_with_a_word(how: dict[str, str], reason: str) -> None:
    assert ask(**how) == Verdict(False, reason)


@pytest.mark.parametrize("action", ["read", "api", "metrics", "pprof", "playback"])
def test_the_cluster_may_read_and_configure(action: str) -> None:
    assert ask(action=action, path="", token="cluster").allowed
    assert ask(action=action, query="token=cluster").allowed


@given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50), st.text(max_size=80))
def test_no_guess_gets_in(path: str, password: str, token: str, query: str) -> None:
    assert not ask(path="live/" + path, password=password, token=token, query=query).allowed
