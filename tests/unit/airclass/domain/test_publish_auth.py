"""Who may publish: the class's key wherever OBS and FFmpeg put it, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain import publish_auth as module
from airclass.domain.classrooms import Classroom, ClassStatus, hash_key
from airclass.domain.publish_auth import (
    TAKEOVER_SHOWN_S,
    PublishDecision,
    PublisherConnection,
    PublisherCuts,
    Publishers,
    decide,
    read_connection,
    rules_changed,
)
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
    ("how", "reason", "classroom_id"),
    [
        ({}, "no-key", "c1"),
        ({"token": "key2"}, "wrong-key", "c1"),
        ({"token": "cluster"}, "wrong-key", "c1"),
        ({"path": "c1", "token": "key1"}, "wrong-path", "c1"),
        ({"path": "app/c1", "token": "key1"}, "wrong-path", "c1"),
        ({"path": "live/c1/", "token": "key1"}, "wrong-path", "c1"),
        ({"path": "live/c1%20", "token": "key1"}, "wrong-path", "c1"),
        ({"path": "live/c1/key1"}, "wrong-path", "c1"),
        ({"path": "live/key1"}, "unknown-class", ""),
        ({"path": "live/c9", "token": "key1"}, "unknown-class", ""),
        ({"path": "live/c3", "token": "key3"}, "class-closed", "c3"),
        ({"query": "&".join(f"a{n}=b" for n in range(99)) + "&token=key1"}, "no-key", "c1"),
        ({"action": "read", "token": "key1"}, "not-cluster", ""),
        ({"action": "api", "user": "admin", "password": "admin"}, "not-cluster", ""),
        ({"action": "playback"}, "not-cluster", ""),
    ],
)
def test_refused_with_a_word_and_the_class_that_was_meant(
    how: dict[str, str], reason: str, classroom_id: str
) -> None:
    assert ask(**how) == PublishDecision(False, reason, classroom_id)


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


def connection(classroom_id: str = "c1", query: str | None = "token=key1", number: int = 1) -> object:
    return {
        "id": f"00000000-{number}",
        "remoteAddr": "10.0.0.9:50000",
        "state": "publish",
        "path": f"live/{classroom_id}",
        **({} if query is None else {"query": query}),
    }


def present(*items: object) -> list[PublisherConnection]:
    return [c for c in map(read_connection, items) if c is not None]


@pytest.mark.parametrize(
    "odd",
    [
        None,
        [],
        {},
        {"state": "read", "id": "1", "path": "live/c1"},
        {"state": "publish", "id": "../x", "path": "live/c1"},
        {"state": "publish", "id": 5, "path": "live/c1"},
        {"state": "publish", "id": "1", "path": "other"},
        {"state": "publish", "id": "1", "path": None},
    ],
)
def test_only_publishers_of_classes_are_read(odd: object) -> None:
    assert read_connection(odd) is None
    bare = read_connection({"state": "publish", "id": "1", "path": "live/c1"})
    assert bare == PublisherConnection("1", "c1", "", None)


@pytest.mark.parametrize(
    ("item", "refused"),
    [
        (connection(), False),
        (connection(query=None), False),
        (connection(query="token=key2"), True),
        (connection(query=""), True),
        (connection("c3", "token=key3"), True),
        (connection("c9"), True),
    ],
)
def test_a_publisher_who_would_be_refused_now_is_cut_at_the_second_look(item: object, refused: bool) -> None:
    cuts = PublisherCuts()
    assert cuts.due("http://a", present(item), VIEW, 0.0) == [], "another master may know more"
    assert cuts.due("http://b", present(item), VIEW, 1.0) == [], "each ingest has its own connections"
    assert cuts.due("http://a", present(item), VIEW, 2.0) == (present(item) if refused else [])


def test_after_a_change_of_the_class_it_is_cut_at_the_first_look() -> None:
    cuts = PublisherCuts()
    old, new = connection(query="token=old"), connection(number=2)
    cuts.want({"c1"}, 10.0)
    assert cuts.pending(10.0)
    assert cuts.due("http://a", present(old, new), VIEW, 10.0) == present(old)
    assert not cuts.pending(10.0 + module.CUT_S)


def test_where_no_key_is_checked_the_publisher_goes_when_the_key_changes() -> None:
    cuts = PublisherCuts()
    keyless, closed = connection(query=None), connection("c3", None, 2)
    cuts.want({"c1", "c3"}, 0.0)
    assert sorted(c.classroom_id for c in cuts.due("a", present(keyless, closed), VIEW, 0.0)) == ["c1", "c3"]


def test_what_takes_a_publishers_right_away() -> None:
    math, art, shut = VIEW.classrooms.values()
    changed = {
        "c1": replace(math, key_hash=hash_key("new"), name="Maths"),
        "c2": replace(art, name="Arts"),
    }
    assert rules_changed(VIEW, Snapshot(2, {}, changed)) == {"c1", "c3"}
    changed["c3"] = replace(shut, status=ClassStatus.OPEN)
    assert rules_changed(VIEW, Snapshot(2, {}, changed)) == {"c1", "c3"}


def test_a_publisher_is_announced_until_the_ingest_must_list_it() -> None:
    seen = Publishers()
    assert seen.announced(0.0) == frozenset()
    seen.began("c1", "10.0.0.9", 0.0, is_live=False)
    assert seen.announced(module.ANNOUNCED_S - 1) == {"c1"}
    assert seen.announced(module.ANNOUNCED_S) == frozenset()
    seen.began("c1", "10.0.0.9", 100.0, is_live=True)
    assert seen.announced(100.0) == {"c1"}
