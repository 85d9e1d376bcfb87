"""Who may publish: the class's key wherever OBS and FFmpeg put it, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain import publish_auth as module
from airclass.domain.classrooms import Classroom, ClassStatus, hash_key
from airclass.domain.publish_auth import TAKEOVER_SHOWN_S, PublishDecision, Publishers, decide
from airclass.domain.snapshot import Snapshot

VIEW = Snapshot(
    1,
    {},
    {
        "c1": Classroom("c1", "Math", "A", key_hash=hash_key("key1")),
        "c2": Classroom("c2", "Art", "B", key_hash=hash_key("key2")),
        "c3": Classroom("c3", "Shut", "C", key_hash=hash_key("key3"), status=ClassStatus.CLOSED),
    },
)


def ask(**changes: str) -> PublishDecision:
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
    assert ask(**how) == PublishDecision(True, "", "c1")


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
    assert ask(**how) == PublishDecision(False, reason)


@pytest.mark.parametrize("action", ["read", "api", "metrics", "pprof", "playback"])
def test_the_cluster_may_read_and_configure(action: str) -> None:
    assert ask(action=action, path="", token="cluster").allowed
    assert ask(action=action, query="token=cluster").allowed


@given(st.text(max_size=50), st.text(max_size=50), st.text(max_size=50), st.text(max_size=80))
def test_no_guess_gets_in(path: str, password: str, token: str, query: str) -> None:
    assert not ask(path="live/" + path, password=password, token=token, query=query).allowed


def test_another_encoder_in_a_live_class_is_shown_for_a_while() -> None:
    seen = Publishers()
    assert seen.taken_over_by("c1", 0.0) == ""
    seen.began("c1", "10.0.0.9", 0.0, is_live=False)
    seen.began("c1", "10.0.0.9", 5.0, is_live=True)
    assert seen.taken_over_by("c1", 5.0) == "", "the teacher's own line had dropped"
    seen.began("c1", "10.0.0.66", 10.0, is_live=True)
    seen.began("c1", "10.0.0.66", 11.0, is_live=True)
    assert seen.taken_over_by("c1", 12.0) == "10.0.0.66"
    assert seen.taken_over_by("c1", 10.0 + TAKEOVER_SHOWN_S) == ""
    seen.began("c2", "10.0.0.9", 0.0, is_live=False)
    assert seen.taken_over_by("c2", 0.0) == ""


def test_publishers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PUBLISHERS", 1)
    seen = Publishers()
    for stream in ("c1", "c2"):
        seen.began(stream, "10.0.0.66", 0.0, is_live=True)
    assert [seen.taken_over_by(stream, 1.0) for stream in ("c1", "c2")] == ["", "10.0.0.66"]
