"""Viewer tokens; whatever else is tried on them stands in tests/property/test_relay_requests.py."""

from __future__ import annotations

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.base import tokens
from relay.base.errors import TokenError
from relay.base.jwks import key_id, read_jwks
from relay.base.tokens import Key, ViewerClaims, mint_viewer, token_generation, verify_viewer, viewer_token_id

KEY, OTHER = b"k" * 32, b"o" * 32


def mint(*, key: bytes | Ed25519PrivateKey = KEY, lifetime_s: float = 60) -> str:
    now_s = time.time()
    return mint_viewer(
        key,
        subject="s1",
        token_id="t1",
        classroom="class1",
        issued_at_s=now_s - 90,
        expires_at_s=now_s + lifetime_s,
    )


def reason(token: str, keys: tuple[Key, ...] = (KEY,)) -> str:
    with pytest.raises(TokenError) as caught:
        verify_viewer(token, keys, wall_s=time.time())
    assert caught.value.status == 401
    return caught.value.reason


def with_claims(**changes: object) -> str:
    claims = jwt.decode(mint(), KEY, ["HS256"], audience=tokens.AUDIENCE) | changes
    return jwt.encode(claims, KEY, "HS256")


def test_a_token_says_who_watches_what_until_when() -> None:
    claims = verify_viewer(mint(), (KEY,), wall_s=time.time())
    assert claims == ViewerClaims("s1", "t1", "class1", claims.expires_at_s)
    assert claims.expires_at_s - time.time() == pytest.approx(60, abs=5)


def test_either_key_will_do() -> None:
    assert verify_viewer(mint(), (OTHER, KEY), wall_s=time.time()).token_id == "t1"
    assert verify_viewer(mint(), (KEY, OTHER), wall_s=time.time()).token_id == "t1"


def pair() -> tuple[Ed25519PrivateKey, dict[str, object]]:
    """Return a signing key and its public half as a JWK."""
    private = Ed25519PrivateKey.generate()
    jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(private.public_key()))
    return private, jwk


def signed(private: Ed25519PrivateKey) -> str:
    claims = jwt.decode(mint(), KEY, ["HS256"], audience=tokens.AUDIENCE)
    return jwt.encode(claims, private, "EdDSA")


def test_public_keys_of_a_set_check_tokens_too() -> None:
    (old, old_jwk), (new, new_jwk) = pair(), pair()
    foreign = {"kty": "RSA", "n": "AQAB", "e": "AQAB"}
    keys = read_jwks(json.dumps({"keys": [new_jwk, foreign, old_jwk]}))
    assert len(keys) == 2
    for private in (old, new):
        assert verify_viewer(signed(private), keys, wall_s=time.time()).token_id == "t1"
    assert verify_viewer(mint(), (*keys, KEY), wall_s=time.time()).token_id == "t1"
    assert "signature is wrong" in reason(signed(pair()[0]), keys)
    # a public key is no secret: whoever signs with its bytes is refused
    public = keys[0].public_bytes_raw()
    assert reason(mint(key=public), keys)
    assert reason(signed(new), (KEY,))


def test_clocks_may_differ_by_a_little() -> None:
    assert verify_viewer(mint(lifetime_s=-5), (KEY,), wall_s=time.time()).token_id == "t1"
    assert "expired" in reason(mint(lifetime_s=-15))


def test_each_refusal_says_why() -> None:
    assert "no viewer key" in reason(mint(), ())
    assert "signature is wrong" in reason(mint(), (OTHER,))
    assert "too long" in reason("x" * 5000)
    assert "not valid" in reason("x.y.z")
    assert "not a viewer's" in reason(with_claims(typ="teacher"))
    assert "names no class" in reason(with_claims(classroom=7))
    assert "names no class" in reason(with_claims(jti=""))
    assert "no end" in reason(with_claims(exp=10**300))


def test_times_are_checked_against_the_callers_clock() -> None:
    token, now_s = mint(), time.time()
    with pytest.raises(TokenError, match="expired"):
        verify_viewer(token, (KEY,), wall_s=now_s + 60 + tokens.LEEWAY_S + 1)
    with pytest.raises(TokenError, match="not valid yet"):
        verify_viewer(token, (KEY,), wall_s=now_s - 90 - tokens.LEEWAY_S - 1)
    assert "not valid yet" in reason(with_claims(nbf=now_s + 600))
    assert "not valid yet" in reason(with_claims(iat="yesterday"))


def test_a_private_key_signs_and_names_itself() -> None:
    private = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
    token = mint(key=private)
    public = private.public_key()
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "JWT", "kid": key_id(public)}
    assert verify_viewer(token, (public,), wall_s=time.time()).token_id == "t1"
    assert "expired" in reason(mint(key=private, lifetime_s=-15), (public,))


@pytest.mark.parametrize(
    ("token_id", "generation"),
    [("0-ab", 0), ("17-ab", 17), ("x-ab", -1), ("", -1), ("9" * 30, -1), ("²-a", -1)],
)
def test_a_token_id_names_the_generation(token_id: str, generation: int) -> None:
    assert token_generation(token_id) == generation
    assert token_generation(viewer_token_id(4, "n")) == 4
