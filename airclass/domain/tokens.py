"""Tokens that only the master reads: sessions, service tokens, one-time links; and viewers' token ids.

Each kind has its own key, derived from JWT_SECRET_KEY; a token of one kind is worthless as another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from airclass.domain.users import Role
from relay.base.errors import TokenError
from relay.base.jwks import PUBLIC_ALGORITHM, write_jwks
from relay.base.signing import derive
from relay.base.tokens import (
    ALGORITHM,
    ISSUER,
    LEEWAY_S,
    MAX_TOKEN_BYTES,
    mint_viewer,
    verify_viewer,
)

if TYPE_CHECKING:
    from jwt.types import Options

    from relay.base.tokens import Key, ViewerClaims

AUDIENCE = "master"
VIEWER_TOKEN_S = 4 * 3600.0
SESSION_S = 12 * 3600.0
LINK_S = 24 * 3600.0
SERVICE_TOKEN_S = 365 * 86400.0
_PURPOSE = "airclass {} token"
_SIGNING = "airclass viewer signing"
_OPTIONS: Options = {
    "require": ["iss", "aud", "sub", "jti", "iat", "exp"],
    "strict_aud": True,
    "enforce_minimum_key_length": True,
    "verify_exp": False,  # checked below against the caller's clock
    "verify_iat": False,
}


class TokenKind(StrEnum):
    """What a token is for; also its `typ` claim."""

    SESSION = "session"
    ADMIN = "admin"
    MONITOR = "monitor"
    LINK = "link"


SERVICE_KINDS = {TokenKind.ADMIN: Role.ADMIN, TokenKind.MONITOR: Role.MONITOR}


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """A verified token of the master; `extra` is the session's generation or the link's target."""

    kind: TokenKind
    subject: str
    token_id: str
    expires_at_s: float
    extra: str = ""


class TokenIssuer:
    """Makes and checks tokens with the current secret, and checks with the previous one.

    `shared_keys` are what relays get with HS256; with EdDSA there are none, and `jwks` holds what
    anybody may know.
    """

    def __init__(self, secret: bytes, previous: bytes | None = None, algorithm: str = ALGORITHM) -> None:
        secrets = [secret] if previous is None else [secret, previous]
        self.shared_keys: tuple[bytes, ...] = ()
        self.jwks = write_jwks(())
        self._checking: tuple[Key, ...]
        self._signing: bytes | Ed25519PrivateKey
        if algorithm == PUBLIC_ALGORITHM:
            private = [Ed25519PrivateKey.from_private_bytes(derive(s, _SIGNING)) for s in secrets]
            public = tuple(key.public_key() for key in private)
            self._checking, self._signing, self.jwks = public, private[0], write_jwks(public)
        else:
            self.shared_keys = tuple(derive(s, _PURPOSE.format("viewer")) for s in secrets)
            self._checking, self._signing = self.shared_keys, self.shared_keys[0]
        self._keys = {kind: tuple(derive(s, _PURPOSE.format(kind)) for s in secrets) for kind in TokenKind}

    def mint(
        self, kind: TokenKind, *, subject: str, token_id: str, wall_s: float, life_s: float, extra: str = ""
    ) -> str:
        """Return a token of the master's own, valid for `life_s` seconds."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "typ": str(kind),
            "sub": subject,
            "jti": token_id,
            "iat": int(wall_s),
            "exp": int(wall_s + life_s),
            "ext": extra,
        }
        return jwt.encode(claims, self._keys[kind][0], ALGORITHM)

    def read(self, token: str, kinds: tuple[TokenKind, ...], wall_s: float) -> TokenClaims:
        """Return the claims of a token of one of `kinds`, or raise TokenError(401)."""
        if len(token) > MAX_TOKEN_BYTES:
            raise TokenError(401, "The token is too long: sign in again.")
        for kind in kinds:
            for key in self._keys[kind]:
                claims = _decode(token, key)
                if claims is not None:
                    return _checked(claims, kind, wall_s)
        raise TokenError(401, "The token is not valid here: sign in again.")

    def mint_viewer(
        self, *, subject: str, token_id: str, classroom: str, wall_s: float, life_s: float = VIEWER_TOKEN_S
    ) -> str:
        """Return a viewer token, which relays can read."""
        return mint_viewer(
            self._signing,
            subject=subject,
            token_id=token_id,
            classroom=classroom,
            issued_at_s=wall_s,
            expires_at_s=wall_s + life_s,
        )

    def read_viewer(self, token: str, wall_s: float) -> ViewerClaims:
        """Return a viewer token's claims, or raise TokenError(401)."""
        return verify_viewer(token, self._checking, wall_s=wall_s)


def student_subject(nonce: str) -> str:
    """Return the subject of a new student's token."""
    return "s" + nonce[:20]


def preview_subject(who: str, classroom_id: str) -> str:
    """Return the subject of the token with which somebody sees their own class, uncounted."""
    return f"p{who}.{classroom_id}"


def is_preview(subject: str) -> bool:
    """Tell whether a token's subject is a preview's."""
    return subject.startswith("p")


def _decode(token: str, key: bytes) -> dict[str, object] | None:
    try:
        return jwt.decode(token, key, [ALGORITHM], audience=AUDIENCE, issuer=ISSUER, options=_OPTIONS)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        return None


def _checked(claims: dict[str, object], kind: TokenKind, wall_s: float) -> TokenClaims:
    expires, token_id, extra = claims["exp"], claims["jti"], claims.get("ext", "")
    if claims.get("typ") != kind or not isinstance(token_id, str) or not isinstance(extra, str):
        raise TokenError(401, "The token is of another kind: sign in again.")
    if not isinstance(expires, int | float) or isinstance(expires, bool):
        raise TokenError(401, "The token has no end: sign in again.")
    if not wall_s <= expires + LEEWAY_S:  # also catches NaN
        raise TokenError(401, "The token has expired: sign in again.")
    return TokenClaims(kind, str(claims["sub"]), token_id, float(expires), extra)
