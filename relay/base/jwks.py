"""Key sets as they are published (RFC 7517, 8037): the one place that writes and reads them."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING

import jwt
import msgspec

from relay.base.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


PUBLIC_ALGORITHM = "EdDSA"
MAX_PUBLIC_KEYS = 8


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
        Jwks(tuple(Jwk("OKP", "Ed25519", _x(key), PUBLIC_ALGORITHM, "sig", key_id(key)) for key in keys))
    )


def read_jwks(text: str) -> tuple[Ed25519PublicKey, ...]:
    """Return the Ed25519 keys of a JSON Web Key Set (RFC 7517, 8037); ConfigError when it holds none.

    Other kinds of keys in it are for others; a private one must not lie about and is refused.
    """
    try:
        entries = json.loads(text)["keys"]
        mine = [entry for entry in entries if entry.get("kty") == "OKP" and entry.get("crv") == "Ed25519"]
        private = any("d" in entry for entry in mine)
        found = [jwt.PyJWK(entry, PUBLIC_ALGORITHM).key for entry in mine if "d" not in entry]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, jwt.PyJWTError):
        raise ConfigError(['VIEWER_JWKS is no JSON Web Key Set: {"keys": [...]}']) from None
    if private:
        raise ConfigError(["VIEWER_JWKS holds a private key: give the relay the public one only"])
    if not 0 < len(found) <= MAX_PUBLIC_KEYS:
        raise ConfigError([f"VIEWER_JWKS holds {len(found)} Ed25519 keys: it needs 1 to {MAX_PUBLIC_KEYS}"])
    return tuple(found)


def _x(key: Ed25519PublicKey) -> str:
    return _encode(key.public_bytes_raw())


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
