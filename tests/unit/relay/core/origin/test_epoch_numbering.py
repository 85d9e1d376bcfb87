"""From a request to numbers that can be listed: the master's, higher ones after a refusal, or its own."""

from __future__ import annotations

from relay.base.cluster_protocol import EpochOffset, EpochRequest
from relay.core.origin.epoch_numbering import REPEATED, EpochNumbering, begun_epoch, usable_epoch
from relay.core.stream.timeline import Epoch, Timeline
from tests.harness.builders import begin, playlist, segment

PLAIN = playlist(4, segment(0, duration_s=4.0))


def shown_until(msn: int) -> Timeline:
    """Return a timeline whose viewers have seen this number."""
    timeline = Timeline("class1")
    begin(timeline, "aa", 0, PLAIN)
    timeline.listed(msn, 0)
    return timeline


def asked(timeline: Timeline, key: str = "bb") -> EpochNumbering:
    found = usable_epoch(timeline, key, 0, PLAIN)
    assert isinstance(found, EpochRequest)
    return EpochNumbering(timeline, found)


def offset(key: str, number: int, discontinuity_seq: int, order: int = 2) -> EpochOffset:
    return EpochOffset("class1", key, number, discontinuity_seq, 6, 0.0, order)


def test_an_epoch_that_is_listed_needs_no_numbers() -> None:
    timeline = shown_until(20)
    epoch = begun_epoch(timeline, "aa")
    assert epoch is not None
    assert epoch.key == "aa"
    assert begun_epoch(timeline, "bb") is None


def test_numbers_that_orders_have_brought_are_used() -> None:
    timeline = shown_until(20)
    timeline.learn(offset("bb", 21, 1))
    assert begun_epoch(timeline, "bb") is None
    found = usable_epoch(timeline, "bb", 0, PLAIN)
    assert isinstance(found, Epoch)
    assert found.offset == 21


def test_known_numbers_below_what_viewers_have_seen_are_refused() -> None:
    timeline = shown_until(20)
    timeline.learn(offset("bb", 3, 1))
    found = usable_epoch(timeline, "bb", 0, PLAIN)
    assert isinstance(found, EpochRequest)
    assert found.refused == "bb"


def test_the_masters_answer_holds() -> None:
    numbering = asked(shown_until(20))
    numbering.answered(offset("bb", 30, 1))
    assert numbering.request is None
    assert numbering.offset.offset == 30
    assert numbering.alone == ""
    assert numbering.refused is None


def test_an_answer_below_what_viewers_have_seen_is_refused_once() -> None:
    numbering = asked(shown_until(20))
    numbering.answered(offset("bb", 3, 1))
    assert numbering.refused == offset("bb", 3, 1)
    assert numbering.request is not None
    assert numbering.request.refused == "bb"
    numbering.answered(offset("bb+5", 40, 5, order=3))
    assert numbering.request is None
    assert numbering.offset.key == "bb+5"
    assert numbering.alone == ""


def test_a_master_that_repeats_itself_is_not_asked_again() -> None:
    numbering = asked(shown_until(20))
    numbering.answered(offset("bb", 3, 1))
    numbering.answered(offset("bb", 3, 1))
    assert numbering.request is None
    assert numbering.alone == REPEATED
    assert (numbering.offset.key, numbering.offset.offset) == ("bb+1", 21)


def test_without_an_answer_numbers_go_on_from_what_was_listed() -> None:
    numbering = asked(shown_until(20))
    numbering.unanswered("the master does not answer in time")
    assert numbering.request is None
    assert numbering.alone == "the master does not answer in time"
    assert (numbering.offset.offset, numbering.offset.discontinuity_seq) == (21, 1)


def test_without_a_master_the_first_epoch_keeps_the_origins_numbers() -> None:
    numbering = asked(Timeline("class1"))
    assert numbering.offset.offset == 0
    assert numbering.offset is numbering.offset
