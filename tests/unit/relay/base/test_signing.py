"""Signed calls between relays and master: genuine, fresh, once."""

from __future__ import annotations

import pytest

from relay.base import signing
from relay.base.errors import ClusterError
from relay.base.signing import Verifier, derive, seal, sign, unseal

SECRET = b"s" * 32
CALL = ("POST", "/cluster/heartbeat", b'{"x":1}')


def headers(wall_s: float = 1000.0, nonce: str = "n1", secret: bytes = SECRET) -> dict[str, str]:
    return sign(secret, "node1", *CALL, wall_s=wall_s, nonce=nonce)


def refused(verifier: Verifier, given: dict[str, str], wall_s: float = 1000.0, call: tuple = CALL) -> str:  # type: ignore[type-arg]
    with pytest.raises(ClusterError) as caught:
        verifier.verify(given, *call, wall_s=wall_s)
    return caught.value.reason


def test_a_genuine_call_names_its_node() -> None:
    assert Verifier(SECRET).verify(headers(), *CALL, wall_s=1030.0) == "node1"


def test_whatever_was_changed_is_noticed() -> None:
    verifier = Verifier(SECRET)
    for call in (("GET", *CALL[1:]), (CALL[0], "/cluster/epoch", CALL[2]), (*CALL[:2], b"{}")):
        assert "signature is wrong" in refused(verifier, headers(), call=call)
    for name in (signing.HEADER_NODE, signing.HEADER_TIME, signing.HEADER_NONCE, signing.HEADER_SIGNATURE):
        assert "signature is wrong" in refused(verifier, headers() | {name: "1001.000"})
        assert "not signed" in refused(verifier, {k: v for k, v in headers().items() if k != name})
    assert "signature is wrong" in refused(verifier, headers(secret=b"o" * 32))
    assert "signature is wrong" in refused(verifier, headers() | {signing.HEADER_SIGNATURE: "\xe9"})
    assert "not signed" in refused(verifier, headers(nonce="n" * 65))


def test_a_call_is_good_for_a_minute_and_once() -> None:
    verifier = Verifier(SECRET)
    for wall_s in (939.0, 1061.0):
        assert "clocks" in refused(verifier, headers(), wall_s)
    verifier.verify(headers(), *CALL, wall_s=1060.0)
    assert "twice" in refused(verifier, headers(), 1000.0)
    verifier.verify(headers(wall_s=1300.0, nonce="n2"), *CALL, wall_s=1300.0)
    assert len(verifier._seen) == 1


@pytest.mark.parametrize("time_s", ["nan", "inf", "x", "1e400"])
def test_times_that_are_none(time_s: str) -> None:
    mac = signing._mac(SECRET, "node1", *CALL[:2], time_s, "n1", CALL[2])
    given = headers() | {signing.HEADER_TIME: time_s, signing.HEADER_SIGNATURE: mac}
    assert refused(Verifier(SECRET), given)


def test_only_so_many_calls_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "MAX_NONCES", 2)
    verifier = Verifier(SECRET)
    for nonce in ("a", "b"):
        verifier.verify(headers(nonce=nonce), *CALL, wall_s=1000.0)
    assert "too many" in refused(verifier, headers(nonce="c"))


def test_no_key_serves_two_uses() -> None:
    assert len({derive(SECRET, purpose) for purpose in ("a", "b")}) == 2
    assert derive(SECRET, "a") == derive(SECRET, "a")
    assert len(derive(SECRET, "a", 64)) == 64


def test_what_is_sealed_opens_with_the_same_secret_alone() -> None:
    sealed = seal(SECRET, b"key")
    assert "key" not in sealed
    assert unseal(SECRET, sealed) == b"key"
    for secret, text in ((b"o" * 32, sealed), (SECRET, sealed[:-4]), (SECRET, "")):
        with pytest.raises(ClusterError):
            unseal(secret, text)
