"""One number line for all relays, whoever asks first and however often."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airclass.domain.epochs import COLLECT_S, KEEP_EPOCHS, MAX_PENDING, Epochs
from relay.base.cluster_protocol import EpochOffset, EpochRequest


def ask(
    key: str, first: int = 0, following: int = 0, discontinuity: int = 0, target: int = 2, part: float = 0.5
) -> EpochRequest:
    return EpochRequest("c1", key, first, following, discontinuity, target, part)


def test_the_first_session_starts_at_the_origins_own_numbers() -> None:
    assert Epochs().ask("a", ask("k", first=7), ["a"], 0.0) == EpochOffset("c1", "k", 0, 0, 2, 0.5)


def test_the_answer_waits_for_everybody_and_is_above_what_anyone_has_listed() -> None:
    epochs = Epochs()
    assert epochs.ask("a", ask("k", 3, 18, 1), ["a", "b"], 0.0) is None
    assert epochs.due_s("c1", "k") == COLLECT_S
    base = epochs.ask("b", ask("k", 2, 20, 2), ["a", "b"], 0.1)
    assert base == EpochOffset("c1", "k", 18, 2, 2, 0.5)
    assert epochs.ask("late", ask("k", 9, 90, 9), ["a", "b", "late"], 5.0) == base
    assert epochs.answer("c1", "k", 5.0) == base
    assert epochs.due_s("c1", "k") is None


def test_the_answer_comes_when_it_is_due_though_not_all_have_asked() -> None:
    epochs = Epochs()
    assert epochs.ask("a", ask("k", 0, 10), ["a", "b"], 0.0) is None
    assert epochs.answer("c1", "k", 0.2) is None
    assert epochs.answer("c1", "k", 0.3) == EpochOffset("c1", "k", 10, 0, 2, 0.5)
    assert epochs.answer("c1", "other", 0.3) is None


def test_asking_again_when_due_decides() -> None:
    epochs = Epochs()
    epochs.ask("a", ask("k", 0, 10), ["a", "b"], 0.0)
    assert epochs.ask("a", ask("k", 0, 10), ["a", "b"], 0.4) is not None


def test_each_session_has_the_longest_targets_that_a_relay_proposes_for_it() -> None:
    epochs = Epochs()
    epochs.ask("a", ask("k1", target=6, part=1.0), ["a"], 0.0)
    epochs.ask("a", ask("k2", 0, 10, 1, target=3, part=0.5), ["a", "b"], 9.0)
    base = epochs.ask("b", ask("k2", 0, 10, 1, target=4, part=0.4), ["a", "b"], 9.0)
    assert base is not None
    assert (base.target_duration_s, base.part_target_s) == (4, 0.5)


def test_learning_keeps_the_first_report_and_the_last_few() -> None:
    epochs = Epochs()
    assert epochs.learn(EpochOffset("c1", "k", 5, 1))
    assert not epochs.learn(EpochOffset("c1", "k", 6, 1))
    assert epochs.of("c1") == (EpochOffset("c1", "k", 5, 1),)
    for n in range(KEEP_EPOCHS + 3):
        epochs.learn(EpochOffset("c1", f"k{n}", n, n))
    assert [b.key for b in epochs.of("c1")] == [f"k{n}" for n in range(3, KEEP_EPOCHS + 3)]
    epochs.replace(EpochOffset("c1", "k5", 99, 9))
    assert EpochOffset("c1", "k5", 99, 9) in epochs.of("c1")
    epochs.forget("c1")
    assert epochs.of("c1") == ()


def test_a_flood_of_keys_is_answered_at_once() -> None:
    epochs = Epochs()
    answers = [epochs.ask("a", ask(f"k{n}"), ["a", "b"], 0.0) for n in range(MAX_PENDING + 1)]
    assert answers[-1] is not None


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 500), st.integers(0, 5)), min_size=1, max_size=6)
)
def test_no_relay_lists_a_number_twice(asks: list[tuple[int, int, int]]) -> None:
    epochs, names = Epochs(), [f"n{n}" for n in range(len(asks))]
    base = None
    for name, (first, following, discontinuity) in zip(names, asks, strict=True):
        base = epochs.ask(name, ask("k", first, following, discontinuity), names, 0.0)
    assert base is not None
    shown = max(following for _, following, _ in asks)
    for first, following, discontinuity in asks:
        if shown:
            assert first + base.offset >= following
            assert base.discontinuity_seq >= discontinuity
        else:
            assert base.offset == 0
