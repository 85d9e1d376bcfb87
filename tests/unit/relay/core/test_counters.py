from relay.core.counters import Counters, Histogram, OriginCounters


def test_a_histogram_counts_up_to_each_bound() -> None:
    seen = Histogram((0.001, 0.005))
    for value in (0.0005, 0.001, 0.002, 1.0):
        seen.observe(value)
    assert seen.cumulative() == [("0.001", 2), ("0.005", 3), ("+Inf", 4)]
    assert seen.sum == 0.0005 + 0.001 + 0.002 + 1.0


def test_counters_start_at_nothing_and_are_not_shared() -> None:
    one, other = Counters(), Counters()
    one.requests["segment", 200] += 1
    one.origin.failed["timeout"] += 1
    one.refused["capacity"] += 1
    one.turn_s.observe(0.1)
    assert (other.requests, other.origin, other.refused) == ({}, OriginCounters(), {})
    assert sum(other.turn_s.counts) == 0
