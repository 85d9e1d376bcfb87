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


@pytest.mark.parametrize("text", [b"", b"{}", b'{"version":"x"}', b'{"version":1,"streams":[{}]}', b"[1]"])
def test_what_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=cluster_protocol.Orders)
