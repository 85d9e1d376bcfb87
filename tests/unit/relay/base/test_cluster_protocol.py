"""Records between relays and master: any version reads any other's."""

from __future__ import annotations

import msgspec
import pytest

from relay.base import cluster_protocol

RECORDS = [
    cluster_protocol.EpochOffset("s", "k", 1, 2, 3, 0.5),
    cluster_protocol.EpochRequest("s", "k", 1, 2, 3),
    cluster_protocol.Registration(
        "n",
        "http://a",
        "http://b",
        ("10.0.0.0/8",),
        1,
        2,
        "v",
        3.0,
        (cluster_protocol.EpochOffset("s", "k", 0, 0),),
    ),
    cluster_protocol.StreamReport(
        "s",
        "live",
        1,
        0.5,
        variants=(cluster_protocol.ReportedVariant("v0", "v0.m3u8", "BANDWIDTH=1", True),),
    ),
    cluster_protocol.Heartbeat(
        "n", 1, 2, True, "", False, "v", 3, viewers=(cluster_protocol.ViewerReport("s", "x", "t", 1.0, 5),)
    ),
    cluster_protocol.OrdersPoll("n", 3),
    cluster_protocol.Orders(
        1, ("k",), (cluster_protocol.StreamOrder("s", ("http://o",), ended=True),), ("t",), ("c",), drain=True
    ),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_what_is_sent_is_what_is_read(record: msgspec.Struct) -> None:
    text = msgspec.json.encode(record)
    assert msgspec.json.decode(text, type=type(record)) == record
    newer = msgspec.json.decode(text) | {"a_field_of_a_later_version": 1}
    assert msgspec.json.decode(msgspec.json.encode(newer), type=type(record)) == record


def test_what_is_not_said_has_a_meaning() -> None:
    orders = msgspec.json.decode(b'{"version":1}', type=cluster_protocol.Orders)
    assert orders.known
    assert not orders.drain
    assert orders.streams == ()


def test_the_numbers_of_a_version_before_are_not_known() -> None:
    offset = b'{"stream":"s","key":"k","offset":1,"discontinuity_seq":2}'
    assert msgspec.json.decode(offset, type=cluster_protocol.EpochOffset).order == 0
    request = b'{"stream":"s","key":"k","first_msn":1,"next_msn":2,"next_discontinuity_seq":3}'
    assert msgspec.json.decode(request, type=cluster_protocol.EpochRequest).refused == ""
    report = b'{"stream":"s","state":"live","viewers":1,"lag_s":0.5}'
    shown = msgspec.json.decode(report, type=cluster_protocol.StreamReport)
    assert (shown.next_msn, shown.next_discontinuity_seq) == (0, 0)
    order = msgspec.json.decode(b'{"stream":"s","origins":[]}', type=cluster_protocol.StreamOrder)
    assert (order.next_msn, order.next_discontinuity_seq) == (0, 0)


def test_an_epochs_key_begins_with_its_session() -> None:
    assert [cluster_protocol.session_of(key) for key in ("k", "k+3")] == ["k", "k"]


@pytest.mark.parametrize("text", [b"", b"{}", b'{"version":"x"}', b'{"version":1,"streams":[{}]}', b"[1]"])
def test_what_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=cluster_protocol.Orders)
