"""One offset for each epoch, above all numbers that viewers have seen, whoever asks first."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain import epochs as module
from airclass.domain.epochs import (
    COLLECT_S,
    KEEP_EPOCHS,
    LIVE_MARGIN,
    MAX_KEY_CHARS,
    MAX_NUMBER,
    MAX_PENDING,
    MIN_SAVED_MARGIN,
    ORDERED_EPOCHS,
    SAVE_EVERY,
    Epochs,
    StreamNumbers,
)
from relay.base.cluster_protocol import EpochOffset, EpochRequest, StreamReport


def request(
    key: str, first: int = 0, following: int = 0, discontinuity: int = 0, target: int = 2, part: float = 0.5
) -> EpochRequest:
    return EpochRequest("c1", key, first, following, discontinuity, target, part)


def refusal(key: str, first: int, following: int, discontinuity: int, refused: str = "") -> EpochRequest:
    asked = request(key, first, following, discontinuity)
    return msgspec.structs.replace(asked, refused=refused or key)


def carried(*nodes: str, state: str = "reconnecting", next_msn: int = 0) -> dict[str, StreamReport]:
    return {node: StreamReport("c1", state, 0, 1.0, next_msn=next_msn) for node in nodes}


def decided(epochs: Epochs, asked: EpochRequest, node: str = "a") -> EpochOffset:
    """Ask as the only relay that carries the stream."""
    offset = epochs.ask(node, asked, carried(node), 0.0)
    assert offset is not None
    return offset


# -- one answer for all ---------------------------------------------------------------------------


def test_the_first_epoch_keeps_the_origins_own_numbers() -> None:
    assert decided(Epochs(), request("k", first=7)) == EpochOffset("c1", "k", 0, 0, 2, 0.5, 1)


def test_the_answer_waits_for_everybody_and_is_above_what_anyone_has_listed() -> None:
    epochs, both = Epochs(), carried("a", "b")
    assert epochs.ask("a", request("k", 3, 18, 1), both, 0.0) is None
    assert epochs.due_s("c1", "k") == COLLECT_S
    offset = epochs.ask("b", request("k", 2, 20, 2), both, 0.1)
    assert offset == EpochOffset("c1", "k", 18, 2, 2, 0.5, 1)
    assert epochs.ask("late", request("k", 9, 90, 9), carried("a", "b", "late"), 5.0) == offset
    assert epochs.answer("c1", "k", 5.0) == offset
    assert epochs.due_s("c1", "k") is None


def test_the_answer_comes_when_it_is_due_though_not_all_have_asked() -> None:
    epochs = Epochs()
    assert epochs.ask("a", request("k", 0, 10), carried("a", "b"), 0.0) is None
    assert epochs.answer("c1", "k", 0.2) is None
    assert epochs.answer("c1", "k", 0.3) == EpochOffset("c1", "k", 10, 0, 2, 0.5, 1)
    assert epochs.answer("c1", "other", 0.3) is None
    assert epochs.answer("c2", "k", 0.3) is None


def test_asking_again_when_due_decides() -> None:
    epochs = Epochs()
    epochs.ask("a", request("k", 0, 10), carried("a", "b"), 0.0)
    assert epochs.ask("a", request("k", 0, 10), carried("a", "b"), 0.4) is not None


def test_an_offset_that_is_learned_while_requests_are_collected_is_the_answer() -> None:
    epochs = Epochs()
    assert epochs.ask("a", request("k", 0, 10), carried("a", "b"), 0.0) is None
    epochs.learn(EpochOffset("c1", "k", 5, 1))
    assert epochs.answer("c1", "k", 0.3) == EpochOffset("c1", "k", 5, 1, order=1)


def test_a_flood_of_keys_is_answered_at_once() -> None:
    epochs = Epochs()
    answers = [epochs.ask("a", request(f"k{n}"), carried("a", "b"), 0.0) for n in range(MAX_PENDING + 1)]
    assert answers[-1] is not None


def test_each_epoch_has_the_targets_that_relays_propose_for_it() -> None:
    epochs = Epochs()
    decided(epochs, request("k1", target=6, part=1.0))
    offset = decided(epochs, request("k2", 0, 10, 1, target=3, part=0.5))
    assert (offset.target_duration_s, offset.part_target_s) == (3, 0.5)


def test_a_relay_that_has_shown_nothing_cannot_set_the_numbers_back() -> None:
    """A relay that starts while nobody publishes asks first, and alone."""
    epochs = Epochs()
    decided(epochs, request("k1", 0, 30, 1))
    epochs.report("c1", 45, 2)
    assert epochs.ask("new", request("k2"), carried("a", "b", "new"), 9.0) is None
    offset = epochs.answer("c1", "k2", 9.3)
    assert offset is not None
    assert (offset.offset, offset.discontinuity_seq, offset.order) == (45, 2, 2)


def test_every_epoch_takes_a_number_of_each_kind() -> None:
    epochs = Epochs()
    first = decided(epochs, request("k1", first=7))
    second = decided(epochs, request("k2", first=7))
    assert (first.offset, first.discontinuity_seq) == (0, 0)
    assert (7 + second.offset, second.discontinuity_seq) == (8, 1), "7 and 0 may have been shown"


def test_a_live_relay_that_does_not_ask_may_have_listed_more_than_it_reported() -> None:
    epochs = Epochs()
    reports = carried("a", "b") | carried("hung", state="live", next_msn=30)
    assert epochs.ask("a", request("k", 0, 10), reports, 0.0) is None
    assert epochs.ask("b", request("k", 0, 11), reports, 0.1) is None
    offset = epochs.answer("c1", "k", COLLECT_S)
    assert offset is not None
    assert offset.offset == 30 + LIVE_MARGIN
    alike = carried("a", state="live", next_msn=60)
    assert epochs.ask("a", request("k2", 0, 60), alike, 9.0) is not None
    assert epochs.of("c1")[-1].offset == 60, "its request is exact"


def test_a_live_relay_that_has_ended_may_have_listed_more_than_it_reported() -> None:
    epochs = Epochs()
    epochs.report("c1", 28, 1)
    lost = carried("a", state="live", next_msn=30) | carried("b", next_msn=31) | carried("c", state="live")
    epochs.lost([*lost.values(), StreamReport("c2", "live", 0, 1.0, next_msn=9)])
    assert epochs.numbers("c1") == StreamNumbers(30 + LIVE_MARGIN, 1)
    assert epochs.numbers("c2") == StreamNumbers()


def test_absurd_numbers_of_a_relay_are_ignored() -> None:
    epochs = Epochs()
    epochs.report("c1", MAX_NUMBER, 3)
    epochs.report("c1", 12, MAX_NUMBER)
    assert epochs.numbers("c1") == StreamNumbers(12, 3)
    assert epochs.numbers("c2") == StreamNumbers()


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 500), st.integers(0, 5)), min_size=1, max_size=6)
)
def test_no_relay_lists_a_number_twice(asked: list[tuple[int, int, int]]) -> None:
    epochs, reports = Epochs(), carried(*(f"n{n}" for n in range(len(asked))))
    offset = None
    for name, (first, following, discontinuity) in zip(reports, asked, strict=True):
        offset = epochs.ask(name, request("k", first, following, discontinuity), reports, 0.0)
    assert offset is not None
    shown = max(following for _, following, _ in asked)
    for first, following, discontinuity in asked:
        if shown:
            assert first + offset.offset >= following
            assert offset.discontinuity_seq >= discontinuity
        else:
            assert offset.offset == 0


# -- refused offsets --------------------------------------------------------------------------------


def test_a_refused_offset_stays_and_the_session_gets_another_epoch_above_all() -> None:
    epochs = Epochs()
    first = decided(epochs, request("k", 0, 10, 1))
    higher = epochs.ask("b", refusal("k", 0, 30, 1), carried("a", "b", state="live", next_msn=14), 5.0)
    assert higher == EpochOffset("c1", "k+2", 30, 2, 2, 0.5, 2)
    assert epochs.of("c1") == (first, higher)
    again = epochs.ask("c", refusal("k", 0, 29, 1), carried("a", "b", "c"), 6.0)
    assert again == higher, "one epoch for all who refuse"
    above = epochs.ask("d", refusal("k", 0, 99, 1), carried("d"), 7.0)
    assert above is not None
    assert (above.key, above.offset) == ("k+3", 99)
    assert decided(epochs, request("k")) == first, "an epoch has one offset for ever"


def test_the_key_of_a_second_epoch_is_no_longer_than_a_key_may_be() -> None:
    epochs = Epochs()
    key = "k" * MAX_KEY_CHARS
    decided(epochs, request(key))
    second = epochs.ask("b", refusal(key, 0, 30, 1), {}, 5.0)
    assert second is not None
    assert len(second.key) <= MAX_KEY_CHARS


# -- what is known from elsewhere ---------------------------------------------------------------------


def test_learning_keeps_the_first_report_and_gives_each_epoch_its_order() -> None:
    epochs = Epochs()
    assert epochs.learn(EpochOffset("c1", "k", 5, 1))
    assert not epochs.learn(EpochOffset("c1", "k", 6, 2))
    assert epochs.of("c1") == (EpochOffset("c1", "k", 5, 1, order=1),)
    assert epochs.numbers("c1") == StreamNumbers(7, 3), "both may have been shown"
    assert epochs.learn(EpochOffset("c1", "later", 9, 3, order=4))
    assert epochs.learn(EpochOffset("c1", "taken", 8, 2, order=4))
    assert [(e.key, e.order) for e in epochs.of("c1")] == [("k", 1), ("later", 4), ("taken", 5)]


def test_order_numbers_go_on_above_those_of_masters_before_though_the_database_is_lost() -> None:
    epochs = Epochs(first_order=1000)
    assert decided(epochs, request("today")).order == 1000
    epochs.learn(EpochOffset("c1", "yesterday", 9, 1, order=7))
    epochs.learn(EpochOffset("c1", "alone", 60, 3))
    assert [(e.key, e.order) for e in epochs.of("c1")] == [("yesterday", 7), ("today", 1000), ("alone", 1001)]


def test_an_old_epoch_that_is_learned_last_is_not_the_newest() -> None:
    epochs = Epochs()
    epochs.load([EpochOffset("c1", "today", 40, 2, order=7)])
    epochs.learn(EpochOffset("c1", "yesterday", 9, 1, order=3))
    assert [e.key for e in epochs.of("c1")] == ["yesterday", "today"]


def test_the_oldest_epochs_are_forgotten_and_relays_get_the_last_few() -> None:
    epochs = Epochs()
    for n in range(KEEP_EPOCHS + 3):
        epochs.learn(EpochOffset("c1", f"k{n}", n, n))
    assert [e.key for e in epochs.of("c1")] == [
        f"k{n}" for n in range(KEEP_EPOCHS + 3 - ORDERED_EPOCHS, KEEP_EPOCHS + 3)
    ]
    assert epochs.answer("c1", "k2", 0.0) is None
    assert epochs.answer("c1", "k3", 0.0) is not None
    assert len(epochs.unsaved) == KEEP_EPOCHS


def test_whatever_relays_must_hear_of_is_announced() -> None:
    told: list[str] = []
    epochs = Epochs(lambda: told.append("changed"))
    decided(epochs, request("k"))
    epochs.learn(EpochOffset("c1", "l", 5, 1))
    epochs.replace(EpochOffset("c1", "l", 6, 1))
    assert told == ["changed"] * 3
    epochs.learn(EpochOffset("c1", "l", 5, 1))
    epochs.report("c1", 50, 1)
    decided(epochs, request("k"))
    assert told == ["changed"] * 3


# -- the database -------------------------------------------------------------------------------------


def test_after_an_outage_numbers_go_on_above_what_may_have_been_shown() -> None:
    epochs = Epochs()
    epochs.load([EpochOffset("c1", "k", 23, 1, order=2)])
    epochs.load_numbers("c1", StreamNumbers(28, 2), age_s=100.5)
    assert epochs.unsaved == {}
    assert epochs.numbers("c1") == StreamNumbers(28 + MIN_SAVED_MARGIN + 100, 2)
    offset = decided(epochs, request("new"))
    assert (offset.offset, offset.discontinuity_seq, offset.order) == (28 + MIN_SAVED_MARGIN + 100, 2, 3)


def test_a_relay_that_was_there_all_the_time_knows_better_than_the_margin() -> None:
    epochs = Epochs()
    epochs.load_numbers("c1", StreamNumbers(28, 2), age_s=-5.0)
    epochs.learn(EpochOffset("c1", "k", 60, 1))
    epochs.report("c1", 28 + SAVE_EVERY - 1, 2)
    assert epochs.numbers("c1") == StreamNumbers(28 + MIN_SAVED_MARGIN, 2), "another one may have shown more"
    epochs.report("c1", 70, 2)
    assert epochs.numbers("c1") == StreamNumbers(70, 2)


def test_numbers_are_saved_now_and_then_and_discontinuities_at_once() -> None:
    epochs = Epochs()
    epochs.report("c1", SAVE_EVERY - 1, 0)
    assert epochs.unsaved_numbers() == {}
    epochs.report("c1", SAVE_EVERY, 0)
    assert epochs.unsaved_numbers() == {"c1": StreamNumbers(SAVE_EVERY, 0)}
    epochs.saved_numbers("c1", StreamNumbers(SAVE_EVERY, 0))
    assert epochs.unsaved_numbers() == {}
    epochs.report("c1", SAVE_EVERY + 1, 1)
    assert epochs.unsaved_numbers() == {"c1": StreamNumbers(SAVE_EVERY + 1, 1)}
    epochs.saved_numbers("c2", StreamNumbers(1, 1))
    assert epochs.numbers("c2") == StreamNumbers()


def test_an_epoch_is_unsaved_until_the_database_has_it() -> None:
    epochs = Epochs()
    offset = decided(epochs, request("k"))
    assert list(epochs.unsaved.values()) == [offset]
    epochs.saved_epoch(offset)
    assert epochs.unsaved == {}
    other = msgspec.structs.replace(offset, offset=99)
    epochs.learn(EpochOffset("c1", "l", 1, 1))
    epochs.replace(other)
    assert epochs.answer("c1", "k", 0.0) == other, "another master was first"
    assert [o.key for o in epochs.unsaved.values()] == ["l"]


def test_a_deleted_stream_is_forgotten() -> None:
    epochs = Epochs()
    decided(epochs, request("k"))
    epochs.learn(EpochOffset("c2", "k", 1, 1))
    epochs.forget("c1")
    assert epochs.of("c1") == ()
    assert list(epochs.unsaved) == [("c2", "k")]


@pytest.mark.parametrize("margin", [LIVE_MARGIN, MIN_SAVED_MARGIN])
def test_the_margins_are_larger_than_what_they_cover(margin: int) -> None:
    assert margin > 0
    assert MIN_SAVED_MARGIN > SAVE_EVERY
    assert replace(StreamNumbers(1, 1), next_msn=2) == StreamNumbers(2, 1)
    assert module.MAX_NUMBER < 2**53
