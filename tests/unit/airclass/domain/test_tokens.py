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
    Kind,
    TokenDesk,
    is_preview,
    preview_subject,
    student_subject,
    token_generation,
    viewer_token_id,
)
from relay.base.errors import TokenError
from relay.base.jwks import read_jwks
from relay.base.signing import derive
from relay.base.tokens import verify_viewer

SECRET = b"s" * 32
NOW_S = float(int(time.time()))
DESK = TokenDesk(SECRET)


def mint(kind: Kind = Kind.SESSION, desk: TokenDesk = DESK, life_s: float = 60) -> str:
    return desk.mint(kind, subject="u1", token_id="t1", wall_s=NOW_S, life_s=life_s, extra="3")


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
    claims = DESK.read(mint(), (Kind.ADMIN, Kind.SESSION), NOW_S)
    assert (claims.kind, claims.subject, claims.token_id, claims.extra) == (Kind.SESSION, "u1", "t1", "3")


@pytest.mark.parametrize("made", Kind)
@pytest.mark.parametrize("asked", Kind)
def test_no_kind_passes_for_another(made: Kind, asked: Kind) -> None:
    if made is asked:
        assert DESK.read(mint(made), (asked,), NOW_S).kind is made
    else:
        with pytest.raises(TokenError):
            DESK.read(mint(made), (asked,), NOW_S)


def test_a_viewer_is_not_an_admin_and_an_admin_not_a_viewer() -> None:
    viewer = DESK.mint_viewer(subject="s", token_id="0-1", classroom="c", wall_s=NOW_S)
    assert DESK.read_viewer(viewer, NOW_S).classroom == "c"
    with pytest.raises(TokenError):
        DESK.read(viewer, tuple(Kind), NOW_S)
    with pytest.raises(TokenError):
        DESK.read_viewer(mint(Kind.ADMIN), NOW_S)


def test_the_previous_secret_verifies_during_rotation_and_not_after() -> None:
    token = mint()
    viewer = DESK.mint_viewer(subject="s", token_id="0-1", classroom="c", wall_s=NOW_S)
    rotated = TokenDesk(b"n" * 32, SECRET)
    assert rotated.read(token, (Kind.SESSION,), NOW_S).subject == "u1"
    assert rotated.read_viewer(viewer, NOW_S).subject == "s"
    assert rotated.read(mint(desk=rotated), (Kind.SESSION,), NOW_S).subject == "u1"
    for desk in (TokenDesk(b"n" * 32), TokenDesk(b"n" * 32, b"o" * 32)):
        with pytest.raises(TokenError):
            desk.read(token, (Kind.SESSION,), NOW_S)


def test_it_ends() -> None:
    DESK.read(mint(), (Kind.SESSION,), NOW_S + 69)
    with pytest.raises(TokenError, match="expired"):
        DESK.read(mint(), (Kind.SESSION,), NOW_S + 71)


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
    DESK.read(forge(), (Kind.SESSION,), NOW_S)
    with pytest.raises(TokenError):
        DESK.read(forge(**changes), (Kind.SESSION,), NOW_S)


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
            DESK.read(f"{part(head)}.{body}.{signature}", (Kind.SESSION,), NOW_S)


def test_a_huge_token_is_refused_unread() -> None:
    with pytest.raises(TokenError, match="too long"):
        DESK.read("x" * 65536, (Kind.SESSION,), NOW_S)


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    token = bytearray(mint().encode())
    place %= len(token)
    token[place] ^= change
    text = token.decode("latin1")
    try:
        claims = DESK.read(text, (Kind.SESSION,), NOW_S)
    except TokenError:
        return
    # The last sign of base64 holds bits that do not count.
    assert claims == DESK.read(mint(), (Kind.SESSION,), NOW_S)


@pytest.mark.parametrize(
    ("token_id", "generation"),
    [("0-ab", 0), ("17-ab", 17), ("x-ab", -1), ("", -1), ("9" * 30, -1), ("²-a", -1)],
)
def test_a_token_id_tells_the_generation(token_id: str, generation: int) -> None:
    assert token_generation(token_id) == generation
    assert token_generation(viewer_token_id(4, "n")) == 4


def test_public_keys_check_what_the_secret_signs_during_rotation_too() -> None:
    desk = TokenDesk(SECRET, algorithm="EdDSA")
    viewer = desk.mint_viewer(subject="s", token_id="0-1", classroom="c", wall_s=NOW_S)
    rotated = TokenDesk(b"n" * 32, SECRET, "EdDSA")
    assert rotated.read_viewer(viewer, NOW_S).classroom == "c"
    assert verify_viewer(viewer, read_jwks(rotated.jwks.decode()), wall_s=NOW_S).classroom == "c"
    assert (desk.shared_keys, json.loads(DESK.jwks)) == ((), {"keys": []})
    for other in (TokenDesk(b"n" * 32, algorithm="EdDSA"), DESK):
        with pytest.raises(TokenError):
            other.read_viewer(viewer, NOW_S)


def test_a_preview_is_told_from_a_student_by_its_subject() -> None:
    assert is_preview(preview_subject("u1", "c1"))
    assert preview_subject("u1", "c1") == "pu1.c1"
    assert not is_preview(student_subject("ab" * 12))
    assert student_subject("ab" * 12) == "s" + "ab" * 10
