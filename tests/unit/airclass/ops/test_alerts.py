"""When an alert goes out: changes only, grouped, not too often, with recovery."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from airclass.ops.alerts import MAX_AN_HOUR, MAX_LINES, MIN_GAP_S, AlertPolicy, AlertState, harmless
from airclass.ops.report import CRITICAL, OK, WARNING, Report, down, read
from tests.harness.nodes_response import URL, nodes_response

GAP = MIN_GAP_S + 1


def look(**status: str) -> Report:
    return read(URL, 200, nodes_response({"id": "ok"}, *({"id": k, "status": v} for k, v in status.items())))


def told(alert_policy: AlertPolicy, report: Report, wall_s: float) -> str:
    """Return the body of the message that is due, sending it; empty when there is none."""
    message = alert_policy.look(report, wall_s)
    if message is None:
        return ""
    alert_policy.sent(wall_s)
    return message.body


def test_silence_while_all_is_well() -> None:
    alert_policy = AlertPolicy()
    assert alert_policy.look(look(), 0) is None


def test_a_change_is_told_once_and_its_end_too() -> None:
    alert_policy = AlertPolicy()
    assert "[WARNING] a is offline" in told(alert_policy, look(a="offline"), 0)
    assert told(alert_policy, look(a="offline"), 5 * GAP) == ""
    message = alert_policy.look(look(a="active"), 6 * GAP)
    assert message is not None
    assert (message.level, message.title) == (OK, "AIRClass: all is well again")
    assert message.body.startswith("[RECOVERED] a is offline")
    alert_policy.sent(6 * GAP)
    assert alert_policy.look(look(a="active"), 9 * GAP) is None


def test_what_happens_together_is_one_message() -> None:
    alert_policy = AlertPolicy()
    body = told(alert_policy, look(a="offline", b="unhealthy"), 0)
    assert body.count("[WARNING]") == 2
    assert "1 of 3 nodes active" in body


def test_a_flap_between_two_messages_is_never_told() -> None:
    alert_policy = AlertPolicy()
    told(alert_policy, look(a="offline"), 0)
    assert alert_policy.look(look(b="offline", a="offline"), 10) is None
    assert alert_policy.look(look(a="offline"), GAP) is None


def test_messages_are_rate_limited() -> None:
    alert_policy = AlertPolicy()
    sent = 0
    for second in range(0, 3600, 5):
        report = look(a="offline") if second // 5 % 2 else look()
        sent += bool(told(alert_policy, report, float(second)))
    assert 1 <= sent <= MAX_AN_HOUR


def test_a_worse_level_is_news() -> None:
    alert_policy = AlertPolicy()
    at_85 = read(URL, 200, nodes_response({"id": "a"}, average_load=85.0))
    at_100 = read(URL, 200, nodes_response({"id": "a"}, average_load=100.0))
    told(alert_policy, at_85, 0)
    assert "[CRITICAL]" in told(alert_policy, at_100, GAP)
    assert "[RECOVERED]" not in told(alert_policy, at_85, 2 * GAP)


def test_a_silent_master_is_no_recovery_of_its_nodes() -> None:
    alert_policy = AlertPolicy()
    told(alert_policy, look(a="offline"), 0)
    body = told(alert_policy, down(URL, "gone"), GAP)
    assert body == f"[CRITICAL] {harmless(f'Master is DOWN at {URL}: gone')}"
    assert told(alert_policy, look(a="offline"), 2 * GAP).startswith("[RECOVERED] Master is DOWN")
    assert "[RECOVERED] a" in told(alert_policy, look(), 3 * GAP)


def test_a_failed_message_is_tried_again_with_growing_pauses() -> None:
    alert_policy = AlertPolicy()
    tries = []
    for second in range(0, 7200, 10):
        if alert_policy.look(look(a="offline"), float(second)) is not None:
            alert_policy.failed(float(second))
            tries.append(second)
    pauses = [b - a for a, b in zip(tries, tries[1:], strict=False)]
    assert pauses[:4] == [60, 120, 240, 480]
    assert max(pauses) <= 1800
    assert "[WARNING] a" in told(alert_policy, look(a="offline"), 10_000.0)


def test_what_was_told_outlives_the_process() -> None:
    alert_policy = AlertPolicy()
    told(alert_policy, look(a="offline"), 0)
    again = AlertPolicy(msgspec.json.decode(msgspec.json.encode(alert_policy.state), type=AlertState))
    assert again.look(look(a="offline"), GAP) is None
    assert "[RECOVERED]" in told(again, look(), 2 * GAP)


def test_a_clock_set_back_does_not_silence_it() -> None:
    alert_policy = AlertPolicy()
    told(alert_policy, look(a="offline"), 1_000_000.0)
    assert told(alert_policy, look(), 0.0)


def test_many_lines_are_cut() -> None:
    body = told(AlertPolicy(), look(**{f"n{i}": "offline" for i in range(50)}), 0)
    assert body.count("[WARNING]") == MAX_LINES
    assert "and 30 more" in body


def test_texts_call_nobody() -> None:
    assert harmless("@everyone <!channel> a@b http://evil\x1b[0m") == (
        "(at)everyone ‹!channel› a(at)b http:\u200b//evil[0m"
    )


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abc"), st.sampled_from(["active", "offline", "unhealthy", "draining"])
        ),
        max_size=20,
    )
)
def test_the_receiver_ends_up_knowing_the_truth(states: list[dict[str, str]]) -> None:
    alert_policy = AlertPolicy()
    wall_s = 0.0
    for status in states:
        told(alert_policy, look(**status), wall_s)
        wall_s += 20
    final = look(**(states[-1] if states else {}))
    told(alert_policy, final, wall_s + 3601)
    assert set(alert_policy.state.told) == {t.key for t in final.troubles}
    assert {t.level for t in final.troubles} <= {OK, WARNING, CRITICAL}
