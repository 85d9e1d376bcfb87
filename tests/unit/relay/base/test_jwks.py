"""Key sets are read back as they were written and hold nothing private."""

from __future__ import annotations

import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from relay.base.jwks import key_id, write_jwks
from relay.base.tokens import read_jwks

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
