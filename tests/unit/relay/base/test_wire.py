"""Records between relays and master: any version reads any other's."""

from __future__ import annotations

import msgspec
import pytest

from relay.base import wire

RECORDS = [
    wire.EpochBase("s", "k", 1, 2, 3, 0.5),
    wire.EpochAsk("s", "k", 1, 2, 3),
    wire.Register(
        "n", "http://a", "http://b", ("10.0.0.0/8",), 1, 2, "v", 3.0, (wire.EpochBase("s", "k", 0, 0),)
    ),
    wire.StreamReport("s", "live", 1, 0.5, variants=(wire.Variant("v0", "v0.m3u8", "BANDWIDTH=1", True),)),
    wire.Heartbeat("n", 1, 2, True, "", False, "v", 3, viewers=(wire.ViewerReport("s", "x", "t", 1.0, 5),)),
    wire.Watch("n", 3),
    wire.Orders(1, ("k",), (wire.StreamOrder("s", ("http://o",), ended=True),), ("t",), ("c",), drain=True),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_what_is_sent_is_what_is_read(record: msgspec.Struct) -> None:
    text = msgspec.json.encode(record)
    assert msgspec.json.decode(text, type=type(record)) == record
    newer = msgspec.json.decode(text) | {"a_field_of_a_later_version": 1}
    assert msgspec.json.decode(msgspec.json.encode(newer), type=type(record)) == record


def test_what_is_not_said_has_a_meaning() -> None:
    orders = msgspec.json.decode(b'{"version":1}', type=wire.Orders)
    assert orders.known
    assert not orders.drain
    assert orders.streams == ()


@pytest.mark.parametrize("text", [b"", b"{}", b'{"version":"x"}', b'{"version":1,"streams":[{}]}', b"[1]"])
def test_what_is_no_record_is_refused(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=wire.Orders)
