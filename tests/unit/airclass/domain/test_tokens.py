"""Tokens of one kind are worthless as another; forged, expired and odd ones are refused."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.domain.tokens import (
    TokenIssuer,
    TokenKind,
    is_preview,
    preview_subject,
    student_subject,
)
from relay.base.errors import TokenError
from relay.base.jwks import read_jwks
from relay.base.signing import derive
from relay.base.tokens import verify_viewer

SECRET = b"s" * 32
NOW_S = float(int(time.time()))
ISSUER = TokenIssuer(SECRET)


def mint(kind: TokenKind = TokenKind.SESSION, issuer: TokenIssuer = ISSUER, life_s: float = 60) -> str:
    return issuer.mint(kind, subject="u1", token_id="t1", wall_s=NOW_S, life_s=life_s, extra="3")


def forge(**changes: object) -> str:
    claims = {
        "iss": "airclass",
        "aud": "master",
        "typ": "session",
        "sub": "u1",
        "jti": "t1",
        "iat": NOW_S,
        "exp": NOW_S + 60,
        "ext": "",
        **changes,
    }
    key = derive(SECRET, "airclass session token")
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, "HS256")


def test_a_token_is_read_as_it_was_made() -> None:
    claims = ISSUER.read(mint(), (TokenKind.ADMIN, TokenKind.SESSION), NOW_S)
    assert (claims.kind, claims.subject, claims.token_id, claims.extra) == (
        TokenKind.SESSION,
        "u1",
        "t1",
        "3",
    )


@pytest.mark.parametrize("made", TokenKind)
@pytest.mark.parametrize("asked", TokenKind)
def test_no_kind_passes_for_another(made: TokenKind, asked: TokenKind) -> None:
    if made is asked:
        assert ISSUER.read(mint(made), (asked,), NOW_S).kind is made
    else:
        with pytest.raises(TokenError):
            ISSUER.read(mint(made), (asked,), NOW_S)


def test_a_viewer_is_not_an_admin_and_an_admin_not_a_viewer() -> None:
    viewer = ISSUER.mint_viewer(subject="s", token_id="0-1", classroom="c", wall_s=NOW_S)
    assert ISSUER.read_viewer(viewer, NOW_S).classroom == "c"
    with pytest.raises(TokenError):
        ISSUER.read(viewer, tuple(TokenKind), NOW_S)
    with pytest.raises(TokenError):
        ISSUER.read_viewer(mint(TokenKind.ADMIN), NOW_S)


def test_the_previous_secret_verifies_during_rotation_and_not_after() -> None:
    token = mint()
    viewer = ISSUER.mint_viewer(subject="s", token_id="0-1", classroom="c", wall_s=NOW_S)
    rotated = TokenIssuer(b"n" * 32, SECRET)
    assert rotated.read(token, (TokenKind.SESSION,), NOW_S).subject == "u1"
    assert rotated.read_viewer(viewer, NOW_S).subject == "s"
    assert rotated.read(mint(issuer=rotated), (TokenKind.SESSION,), NOW_S).subject == "u1"
    for issuer in (TokenIssuer(b"n" * 32), TokenIssuer(b"n" * 32, b"o" * 32)):
        with pytest.raises(TokenError):
            issuer.read(token, (TokenKind.SESSION,), NOW_S)


def test_it_ends() -> None:
    ISSUER.read(mint(), (TokenKind.SESSION,), NOW_S + 69)
    with pytest.raises(TokenError, match="expired"):
        ISSUER.read(mint(), (TokenKind.SESSION,), NOW_S + 71)


@pytest.mark.parametrize(
    "changes",
    [
        {"typ": "admin"},
        {"typ": None},
        {"aud": "relay"},
        {"aud": ["master"]},
        {"iss": "airclas"},
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"jti": None},
        {"jti": 5},
        {"sub": None},
        {"sub": 5},
        {"ext": 5},
    ],
)
def test_odd_claims_are_refused(changes: dict[str, object]) -> None:
    ISSUER.read(forge(), (TokenKind.SESSION,), NOW_S)
    with pytest.raises(TokenError):
        ISSUER.read(forge(**changes), (TokenKind.SESSION,), NOW_S)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "head",
    [
        {"alg": "none"},
        {"alg": "HS256", "kid": "../../dev/null"},
        {"alg": "RS256"},
        {"alg": "HS256", "crit": ["x"]},
    ],
)
def test_other_algorithms_and_tricks_in_the_head_are_refused(head: dict[str, object]) -> None:
    body = mint().split(".")[1]
    for signature in ("", "AAAA", mint().split(".")[2]):
        with pytest.raises(TokenError):
            ISSUER.read(f"{part(head)}.{body}.{signature}", (TokenKind.SESSION,), NOW_S)


def test_a_huge_token_is_refused_unread() -> None:
    with pytest.raises(TokenError, match="too long"):
        ISSUER.read("x" * 65536, (TokenKind.SESSION,), NOW_S)


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    token = bytearray(mint().encode())
    place %= len(token)
    token[place] ^= change
    text = token.decode("latin1")
    try:
        claims = ISSUER.read(text, (TokenKind.SESSION,), NOW_S)
    except TokenError:
        return
    # The last sign of base64 holds bits that do not count.
    assert claims == ISSUER.read(mint(), (TokenKind.SESSION,), NOW_S)


def test_public_keys_check_what_the_secret_signs_during_rotation_too() -> None:
    issuer = TokenIssuer(SECRET, algorithm="EdDSA")
    viewer = issuer.mint_viewer(subject="s", token_id="0-1", classroom="c", wall_s=NOW_S)
    rotated = TokenIssuer(b"n" * 32, SECRET, "EdDSA")
    assert rotated.read_viewer(viewer, NOW_S).classroom == "c"
    assert verify_viewer(viewer, read_jwks(rotated.jwks.decode()), wall_s=NOW_S).classroom == "c"
    assert (issuer.shared_keys, json.loads(ISSUER.jwks)) == ((), {"keys": []})
    for other in (TokenIssuer(b"n" * 32, algorithm="EdDSA"), ISSUER):
        with pytest.raises(TokenError):
            other.read_viewer(viewer, NOW_S)


def test_a_preview_is_told_from_a_student_by_its_subject() -> None:
    assert is_preview(preview_subject("u1", "c1"))
    assert preview_subject("u1", "c1") == "pu1.c1"
    assert not is_preview(student_subject("ab" * 12))
    assert student_subject("ab" * 12) == "s" + "ab" * 10
