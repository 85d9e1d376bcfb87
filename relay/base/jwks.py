"""Key sets as they are published (RFC 7517, 8037); `relay.base.tokens` reads them."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class Jwk(msgspec.Struct, frozen=True, omit_defaults=True):
    """One public Ed25519 key for signatures."""

    kty: str
    crv: str = ""
    x: str = ""
    alg: str = ""
    use: str = ""
    kid: str = ""


class Jwks(msgspec.Struct, frozen=True):
    """A key set, current key first."""

    keys: tuple[Jwk, ...]


def key_id(key: Ed25519PublicKey) -> str:
    """Return a key's thumbprint (RFC 7638), which tokens name as `kid`."""
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{_x(key)}"}}'
    return _encode(hashlib.sha256(canonical.encode()).digest())


def write_jwks(keys: Sequence[Ed25519PublicKey]) -> bytes:
    """Return the key set as JSON, in the order given."""
    return msgspec.json.encode(
        Jwks(tuple(Jwk("OKP", "Ed25519", _x(key), "EdDSA", "sig", key_id(key)) for key in keys))
    )


def _x(key: Ed25519PublicKey) -> str:
    return _encode(key.public_bytes_raw())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
