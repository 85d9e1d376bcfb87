"""What a relay reports of a stream's origins, in virtual time."""

from __future__ import annotations

from relay.core.stream.origin_status import STALE_S, OriginState, OriginStatus


def told(status: OriginStatus, now_s: float) -> tuple[str, float, float, str]:
    return (status.state(now_s).value, status.age_s(now_s), status.quiet_s(now_s), status.kind)


def test_an_origin_that_was_never_heard_of_is_unknown() -> None:
    status = OriginStatus()
    assert told(status, 10.0) == ("unknown", 0.0, 0.0, "")
    status.unasked(10.0)
    assert told(status, 11.0) == ("unknown", 0.0, 0.0, "")


def test_a_state_lasts_from_its_first_to_its_last_sign() -> None:
    status = OriginStatus()
    status.served(10.0)
    status.served(14.0)
    assert told(status, 15.0) == ("served", 5.0, 1.0, "")
    status.failed(16.0, "timeout")
    status.failed(18.0, "connect")
    assert status.has_failed
    assert told(status, 20.0) == ("failed", 4.0, 0.0, "connect")
    status.served(21.0)
    assert not status.has_failed
    assert told(status, 21.5) == ("served", 0.5, 0.5, "")
    status.unasked(22.0)
    assert told(status, 25.0) == ("unknown", 3.0, 0.0, "")


def test_an_old_answer_proves_nothing() -> None:
    status = OriginStatus()
    status.served(10.0)
    assert status.state(10.0 + STALE_S) is OriginState.SERVED
    assert told(status, 12.0 + STALE_S) == ("unknown", 2.0, 0.0, "")
    status.served(20.0 + STALE_S)
    assert told(status, 21.0 + STALE_S) == ("served", 1.0, 1.0, "")
