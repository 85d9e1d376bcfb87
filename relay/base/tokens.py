"""Viewer tokens: the one kind of JWT that a relay can read.

Decides whether a token is genuine, of the right kind and still valid. Whether its bearer is
revoked, or the class full, is decided elsewhere. A key is a secret (HS256) or the public half of a
pair (EdDSA, from a JWKS): its kind, never the token, says which algorithm is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from relay.base.errors import TokenError
from relay.base.jwks import PUBLIC_ALGORITHM, key_id

if TYPE_CHECKING:
    from jwt.types import Options

ISSUER = "airclass"
AUDIENCE = "relay"
TYPE = "viewer"
ALGORITHM = "HS256"
Key = bytes | Ed25519PublicKey
MAX_TOKEN_BYTES = 2048
MIN_KEY_BYTES = 32
LEEWAY_S = 10
MAX_TIME_S = 2**40
_REQUIRED = ["iss", "aud", "sub", "jti", "iat", "exp"]
_OPTIONS: Options = {
    "require": _REQUIRED,
    "strict_aud": True,
    "enforce_minimum_key_length": True,
    "verify_exp": False,  # times are checked below, against the caller's clock
    "verify_iat": False,
    "verify_nbf": False,
}


@dataclass(frozen=True, slots=True)
class ViewerClaims:
    """Who watches what, until when (`expires_at_s`: Unix time)."""

    subject: str
    token_id: str
    classroom: str
    expires_at_s: float


def mint_viewer(
    key: bytes | Ed25519PrivateKey,
    *,
    subject: str,
    token_id: str,
    classroom: str,
    issued_at_s: float,
    expires_at_s: float,
) -> str:
    """Return a signed viewer token: HS256 with a secret of at least 32 bytes, EdDSA with a private key."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "typ": TYPE,
        "sub": subject,
        "jti": token_id,
        "iat": int(issued_at_s),
        "exp": int(expires_at_s),
        "classroom": classroom,
    }
    if isinstance(key, Ed25519PrivateKey):
        return jwt.encode(claims, key, PUBLIC_ALGORITHM, {"kid": key_id(key.public_key())})
    return jwt.encode(claims, key, ALGORITHM)


def verify_viewer(token: str, keys: tuple[Key, ...], *, wall_s: float) -> ViewerClaims:
    """Return the claims of a token signed with one of `keys` (current first, then previous).

    `kid` is not looked at.
    `wall_s` is Unix time now; a token holds LEEWAY_S longer and begins as much earlier. Raises
    TokenError(401) for anything that is not a valid, unexpired viewer token.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenError(401, "the token is too long: join the class again")
    problem = "no viewer key is configured"
    for key in keys:
        algorithm = ALGORITHM if isinstance(key, bytes) else PUBLIC_ALGORITHM
        try:
            claims = jwt.decode(token, key, [algorithm], audience=AUDIENCE, issuer=ISSUER, options=_OPTIONS)
        except jwt.InvalidSignatureError:
            problem = "the token's signature is wrong: join the class again"
        except (jwt.PyJWTError, ArithmeticError, ValueError, TypeError, RecursionError):
            problem = "the token is not valid: join the class again"
        else:
            return _checked(claims, wall_s)
    raise TokenError(401, problem)


def viewer_token_id(generation: int, nonce: str) -> str:
    """Return a token id that names the generation of the class code with which it was made."""
    return f"{generation}-{nonce}"


def token_generation(token_id: str) -> int:
    """Return the class generation of a viewer's token id; -1 when it names none."""
    number = token_id.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() and len(number) <= 9 else -1


def _checked(claims: dict[str, object], wall_s: float) -> ViewerClaims:
    classroom, token_id, expires = claims.get("classroom"), claims.get("jti"), claims.get("exp")
    if claims.get("typ") != TYPE:
        raise TokenError(401, "this token is not a viewer's: join the class again")
    if not (isinstance(classroom, str) and classroom and isinstance(token_id, str) and token_id):
        raise TokenError(401, "the token names no class: join the class again")
    if not isinstance(expires, int | float) or isinstance(expires, bool) or expires > MAX_TIME_S:
        raise TokenError(401, "the token has no end: join the class again")
    if not wall_s <= expires + LEEWAY_S:  # also catches NaN
        raise TokenError(401, "the token has expired: join the class again")
    for name in ("iat", "nbf"):
        begins = claims.get(name, 0)
        if not isinstance(begins, int | float) or not begins <= wall_s + LEEWAY_S:
            raise TokenError(401, "the token is not valid yet: set the clocks of master and relay by NTP")
    return ViewerClaims(str(claims["sub"]), token_id, classroom, float(expires))
