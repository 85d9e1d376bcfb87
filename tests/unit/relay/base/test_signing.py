"""Signed calls between relays and master: genuine, fresh, once."""

from __future__ import annotations

import pytest

from relay.base import signing
from relay.base.errors import ClusterError
from relay.base.signing import (
    Verifier,
    check_answer,
    derive,
    read_call,
    seal,
    sign,
    sign_answer,
    unseal,
)

SECRET = b"s" * 32
CALL = ("POST", "/cluster/heartbeat", b'{"x":1}')


def headers(
    wall_s: float = 1000.0, nonce: str = "n1", secret: bytes = SECRET, node: str = "node1"
) -> dict[str, str]:
    return sign(secret, node, *CALL, wall_s=wall_s, nonce=nonce)


def verify(
    verifier: Verifier,
    given: dict[str, str],
    wall_s: float = 1000.0,
    call: tuple[str, str, bytes] = CALL,
    keys: tuple[bytes, ...] = (SECRET,),
) -> bytes:
    return verifier.verify(read_call(given, wall_s=wall_s), keys, *call, wall_s=wall_s)


def refused(
    verifier: Verifier,
    given: dict[str, str],
    wall_s: float = 1000.0,
    call: tuple[str, str, bytes] = CALL,
    keys: tuple[bytes, ...] = (SECRET,),
) -> str:
    with pytest.raises(ClusterError) as caught:
        verify(verifier, given, wall_s, call, keys)
    return caught.value.reason


def test_a_genuine_call_names_its_node_and_the_key_that_signed_it() -> None:
    assert read_call(headers(), wall_s=1030.0).node == "node1"
    own, shared = b"o" * 32, SECRET
    assert verify(Verifier(), headers(), 1030.0, keys=(own, shared)) == shared
    assert verify(Verifier(), headers(secret=own), keys=(own, shared)) == own
    assert "signature is wrong" in refused(Verifier(), headers(), keys=(own,))
    assert "signature is wrong" in refused(Verifier(), headers(), keys=())


def test_whatever_was_changed_is_noticed() -> None:
    verifier = Verifier()
    for call in (("GET", *CALL[1:]), (CALL[0], "/cluster/epoch", CALL[2]), (*CALL[:2], b"{}")):
        assert "signature is wrong" in refused(verifier, headers(), call=call)
    for name in (signing.HEADER_NODE, signing.HEADER_TIME, signing.HEADER_NONCE, signing.HEADER_SIGNATURE):
        assert "signature is wrong" in refused(verifier, headers() | {name: "1001.000"})
        assert "not signed" in refused(verifier, {k: v for k, v in headers().items() if k != name})
    assert "signature is wrong" in refused(verifier, headers(secret=b"o" * 32))
    assert "signature is wrong" in refused(verifier, headers() | {signing.HEADER_SIGNATURE: "\xe9"})
    assert "cannot be read" in refused(verifier, headers(nonce="n" * 65))


def test_a_call_is_good_for_a_minute_and_once() -> None:
    verifier = Verifier()
    for wall_s in (939.0, 1061.0):
        assert "clocks" in refused(verifier, headers(), wall_s)
    verify(verifier, headers(), 1060.0)
    assert "twice" in refused(verifier, headers(), 1000.0)
    verify(verifier, headers(wall_s=1300.0, nonce="n2"), 1300.0)
    assert len(verifier._seen) == 1
    assert verifier._count == {"node1": 1}


@pytest.mark.parametrize("time_s", ["nan", "inf", "x", "1e400"])
def test_times_that_are_none(time_s: str) -> None:
    with pytest.raises(ClusterError):
        read_call(headers() | {signing.HEADER_TIME: time_s}, wall_s=1000.0)


def test_a_node_that_calls_too_often_is_refused_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(signing, "MAX_NONCES_OF_A_NODE", 2)
    monkeypatch.setattr(signing, "MAX_NONCES", 3)
    verifier = Verifier()
    for nonce in ("a", "b"):
        verify(verifier, headers(nonce=nonce))
    assert "too many" in refused(verifier, headers(nonce="c"))
    verify(verifier, headers(nonce="a", node="node2"))
    assert "too many" in refused(verifier, headers(nonce="a", node="node3")), "the bound of all nodes"
    verify(verifier, headers(wall_s=1300.0, nonce="c"), 1300.0)


def test_an_answer_is_good_for_one_call_of_one_node() -> None:
    def answered(
        given: dict[str, str], key: bytes = SECRET, node: str = "n", nonce: str = "a", body: bytes = b"{}"
    ) -> str:
        try:
            check_answer(given, key, node, "/cluster/watch", nonce, body)
        except ClusterError as exc:
            return exc.reason
        return ""

    signed = sign_answer(SECRET, "n", "/cluster/watch", "a", b"{}")
    assert answered(signed) == ""
    assert "upgrade the master first" in answered({})
    for changed in ({"key": b"o" * 32}, {"node": "m"}, {"nonce": "b"}, {"body": b"{ }"}):
        assert "wrong signature" in answered(signed, **changed)  # type: ignore[arg-type]
    assert "wrong signature" in answered({signing.HEADER_SIGNATURE: "\xe9"})
    call = sign(SECRET, "n", "POST", "/cluster/watch", b"{}", wall_s=1.0, nonce="a")
    assert "wrong signature" in answered(call), "a call's own signature is no answer's"


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
