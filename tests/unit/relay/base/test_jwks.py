"""Key sets are read back as they were written and hold nothing private."""

from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.base.errors import ConfigError
from relay.base.jwks import key_id, read_jwks, write_jwks

PRIVATE = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(3)]
PUBLIC = [key.public_key() for key in PRIVATE]


def raw(keys: object) -> list[bytes]:
    return [key.public_bytes_raw() for key in keys]  # type: ignore[attr-defined]


def test_what_is_written_is_read_in_its_order() -> None:
    assert raw(read_jwks(write_jwks(PUBLIC).decode())) == raw(PUBLIC)


def test_a_set_holds_nothing_private() -> None:
    (key,) = json.loads(write_jwks(PUBLIC[:1]))["keys"]
    assert set(key) == {"kty", "crv", "x", "alg", "use", "kid"}
    assert PRIVATE[0].private_bytes_raw().hex() not in write_jwks(PUBLIC[:1]).hex()
    assert key["kid"] == key_id(PUBLIC[0])


def test_a_thumbprint_is_the_standards() -> None:
    """RFC 8037 appendix A.3."""
    published = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    (key,) = read_jwks(json.dumps({"keys": [published]}))
    assert key_id(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no JSON Web Key Set"),
        ("{}", "no JSON Web Key Set"),
        ("[1]", "no JSON Web Key Set"),
        ('{"keys": [1]}', "no JSON Web Key Set"),
        ('{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "short"}]}', "no JSON Web Key Set"),
        ("[" * 100_000, "no JSON Web Key Set"),
        ('{"keys": []}', "0 Ed25519 keys"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', "0 Ed25519 keys"),
        (json.dumps({"keys": json.loads(write_jwks(PUBLIC[:1]))["keys"] * 9}), "9 Ed25519 keys"),
    ],
)
def test_sets_that_cannot_be_used(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_jwks(text)
    assert problem in caught.value.problems[0]


def test_a_private_key_is_refused_and_not_shown() -> None:
    jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate()))
    with pytest.raises(ConfigError) as caught:
        read_jwks(json.dumps({"keys": [jwk]}))
    assert "private" in caught.value.problems[0]
    assert jwk["d"] not in caught.value.problems[0]
