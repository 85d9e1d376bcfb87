"""Properties of requests: how bytes are cut changes nothing, and whatever comes in gets an answer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import sys
import time
from typing import TYPE_CHECKING

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.base.errors import RequestError, TokenError
from relay.base.tokens import mint_viewer, verify_viewer
from relay.core.delivery.delivery import Delivery, HeldRequest
from relay.core.delivery.request import RequestParser, byte_range
from relay.core.delivery.response import CorsHeaders, Response
from relay.core.playlist import MultivariantPlaylist, Variant
from relay.core.stream.memory_budget import MemoryBudget
from relay.core.viewers.admission import Admission
from relay.core.viewers.registry import ViewerRegistry
from tests.harness.builders import MemoryBody, begin, fetch_all, ll, opened, parts, segment
from tests.harness.hostile_requests import CLAIMS, KEY, PIECES, REAL, TOKEN, WALL_S, mutate

if TYPE_CHECKING:
    from collections.abc import Iterable


def new_delivery(*, public: bool = False) -> Delivery:
    admission = Admission(
        ViewerRegistry(), keys=(KEY,), public=public, max_viewers=50, max_addresses_per_token=4
    )
    delivery = Delivery(admission, CorsHeaders(("*",)), MemoryBody, budget=MemoryBudget(1_000_000))
    stream = delivery.open_stream("class1")
    stream.describe(MultivariantPlaylist((Variant("v.m3u8", (("BANDWIDTH", "1"),)),)), "http://o.example/i")
    window = stream.windows["v0"]
    listed = ll(segment(0, parts=parts(0, 4)), opened(1, *parts(1, 2)))
    window.update(listed, begin(stream.timeline, like=listed), 100.0, WALL_S)
    fetch_all(window, 100.0)
    return delivery


def read_all(pieces: Iterable[bytes]) -> list[object]:
    """Return what a connection would act on: requests, and the error that ends it."""
    parser, buffer, seen = RequestParser(), bytearray(), []
    for piece in pieces:
        buffer += piece
        try:
            while (request := parser.next(buffer)) is not None:
                h = request.headers
                seen.append((request.method, request.target, h.keep_alive, h.gzip, h.range, h.bearer))
        except RequestError as error:
            seen.append((error.status, error.close))
            break
    return seen


_mutation = st.tuples(
    st.sampled_from(["insert", "delete", "replace", "double"]), st.integers(0, 10**6), st.sampled_from(PIECES)
)


_requests = st.builds(
    lambda real, changes: mutate(b"".join(real), changes),
    st.lists(st.sampled_from(REAL), min_size=1, max_size=3),
    st.lists(_mutation, max_size=4),
)


@given(_requests, st.lists(st.integers(0, 4000), max_size=8))
def test_how_the_bytes_are_cut_changes_nothing(data: bytes, cuts: list[int]) -> None:
    deliveries = sorted({min(c, len(data)) for c in cuts} | {0, len(data)})
    assert read_all(data[a:b] for a, b in zip(deliveries, deliveries[1:], strict=False)) == read_all([data])


@given(_requests)
def test_byte_by_byte_is_as_good_as_at_once(data: bytes) -> None:
    data = data[:3000]
    assert read_all(data[i : i + 1] for i in range(len(data))) == read_all([data])


def check_bytes(delivery: Delivery, data: bytes, address: str) -> None:
    """Whatever comes in: a reply, a wait, or a named refusal that ends the connection or not."""
    parser, buffer = RequestParser(), bytearray(data)
    for _ in range(100):
        before = len(buffer)
        try:
            request = parser.next(buffer)
            if request is None:
                return
            result, _ = delivery.answer(request, address, now_s=100.0, wall_s=WALL_S)
        except RequestError as error:
            refusal = error
        else:
            refusal = None
        if refusal is not None:
            assert 400 <= refusal.status < 600
            assert refusal.reason
            assert TOKEN not in refusal.reason
            if refusal.close:
                return
            continue
        assert isinstance(result, Response | HeldRequest)
        assert b"\n" not in getattr(result, "head", b"").replace(b"\r\n", b"")
        assert len(buffer) < before
    raise AssertionError("a request was answered without being consumed")


@given(_requests, st.booleans())
def test_any_request_gets_an_answer(data: bytes, public: bool) -> None:
    check_bytes(new_delivery(public=public), data, "192.0.2.1")


@given(st.binary(max_size=400))
def test_any_bytes_get_an_answer(data: bytes) -> None:
    check_bytes(new_delivery(), data, "192.0.2.1")


def test_mutations_for_as_long_as_was_asked(fuzz_seconds: float) -> None:
    """FUZZ_SECONDS=600 for a long look; one edge keeps its state all the while."""
    until_s = time.monotonic() + fuzz_seconds
    chance = random.Random()
    seed = chance.randrange(2**32)
    chance.seed(seed)
    deliveries = [new_delivery(), new_delivery(public=True)]
    rounds = 0
    while time.monotonic() < until_s:
        rounds += 1
        data = b"".join(chance.choices(REAL, k=chance.randint(1, 3)))
        hows = ["insert", "delete", "replace", "double"]
        changes = [
            (chance.choice(hows), chance.randrange(10**6), chance.choice(PIECES))
            for _ in range(chance.randint(0, 6))
        ]
        data = mutate(data, changes)
        try:
            check_bytes(chance.choice(deliveries), data, f"192.0.2.{chance.randint(1, 9)}")
        except Exception as exc:
            raise AssertionError(f"seed {seed}, round {rounds}: {data[:2000]!r}") from exc
    assert rounds
    assert all(len(delivery.registry) <= 50 for delivery in deliveries)
    sys.stdout.write(f"fuzzed {rounds} connections\n")


# -- ranges ---------------------------------------------------------------------------------------


@given(
    st.binary(max_size=40) | st.from_regex(rb"bytes=[0-9]{0,4}-[0-9]{0,4}", fullmatch=True),
    st.integers(0, 2000),
)
def test_a_byte_range_lies_within_the_object_or_is_refused(value: bytes, size: int) -> None:
    try:
        found = byte_range(value, size)
    except RequestError:
        return
    if found is not None:
        offset, length = found
        assert 0 <= offset < size
        assert 0 < length <= size - offset


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 200))
def test_a_byte_range_is_the_slice_that_was_asked_for(first: int, last: int, size: int) -> None:
    whole = bytes(range(200))[:size]
    try:
        found = byte_range(b"bytes=%d-%d" % (first, last), size)
    except RequestError:
        assert first >= size
        return
    if found is None:
        assert last < first
    else:
        assert whole[found[0] : found[0] + found[1]] == whole[first : last + 1]


# -- tokens ---------------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def verify(token: str) -> int:
    """Return the status that a token gets: 200 when it opens the door."""
    try:
        claims = verify_viewer(token, (KEY,), wall_s=WALL_S)
    except TokenError as error:
        return 500 if len(token) > 30 and token in error.reason else error.status
    assert claims.classroom
    assert claims.token_id
    return 200


def test_the_real_token_opens_the_door() -> None:
    assert verify(TOKEN) == 200


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_a_token_without_any_one_claim_is_refused(name: str) -> None:
    assert verify(jwt.encode({k: v for k, v in CLAIMS.items() if k != name}, KEY, "HS256")) == 401


@given(st.sampled_from(sorted(set(CLAIMS) - {"sub"})), _json)
def test_a_claim_of_another_kind_is_refused(name: str, value: object) -> None:
    claims = json.dumps(CLAIMS | {name: value}).encode()
    status = verify(jwt.PyJWS().encode(claims, KEY, "HS256"))
    if status == 200:
        if name in ("classroom", "jti"):
            assert isinstance(value, str)
        elif name in ("exp", "iat"):
            assert isinstance(value, int | float)
        else:
            assert value == CLAIMS[name]


@pytest.mark.parametrize(
    ("changes", "key", "algorithm", "headers"),
    [
        ({}, "", "none", {}),
        ({}, KEY, "HS512", {}),
        ({}, KEY, "HS384", {}),
        ({}, b"o" * 32, "HS256", {}),
        ({}, b"o" * 32, "HS256", {"kid": "../../dev/null"}),
        ({"typ": "teacher"}, KEY, "HS256", {}),
        ({"aud": "master"}, KEY, "HS256", {}),
        ({"aud": ["relay", "master"]}, KEY, "HS256", {}),
        ({"iss": "someone"}, KEY, "HS256", {}),
        ({"exp": int(WALL_S) - 60}, KEY, "HS256", {}),
        ({"nbf": int(WALL_S) + 600}, KEY, "HS256", {}),
        ({"iat": int(WALL_S) + 600}, KEY, "HS256", {}),
        ({"exp": 10**400}, KEY, "HS256", {}),
        ({"exp": float("inf")}, KEY, "HS256", {}),
        ({"exp": float("nan")}, KEY, "HS256", {}),
        ({"exp": True}, KEY, "HS256", {}),
        ({"exp": "tomorrow"}, KEY, "HS256", {}),
        ({"classroom": ""}, KEY, "HS256", {}),
        ({"classroom": ["class1"]}, KEY, "HS256", {}),
        ({"jti": 7}, KEY, "HS256", {}),
        ({"x": "x" * 64_000}, KEY, "HS256", {}),
        ({}, KEY, "HS256", {"crit": ["x"], "x": 1}),
        ({}, KEY, "HS256", {"b64": False, "crit": ["b64"]}),
    ],
)
def test_tokens_that_have_been_tried_on_others(
    changes: dict[str, object], key: bytes | str, algorithm: str, headers: dict[str, object]
) -> None:
    signed = jwt.encode(CLAIMS | changes, key, algorithm, headers=headers)
    assert verify(signed) == 401


def test_a_token_signed_with_a_public_key_as_secret_is_refused() -> None:
    public = b"MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="
    pem = b"-----BEGIN PUBLIC KEY-----\n" + public + b"\n-----END PUBLIC KEY-----\n"
    parts_ = [
        base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in ({"alg": "HS256"}, CLAIMS)
    ]
    signature = base64.urlsafe_b64encode(hmac.new(pem, b".".join(parts_), hashlib.sha256).digest()).rstrip(
        b"="
    )
    assert verify(b".".join([*parts_, signature]).decode()) == 401


@given(st.text(max_size=300) | st.integers(0, len(TOKEN) - 1).map(lambda i: TOKEN[:i] + "x" + TOKEN[i + 1 :]))
def test_any_other_text_is_no_token(text: str) -> None:
    if text != TOKEN:
        assert verify(text) in (401, 200)  # base64 leaves a few bits of the last letter unused
        if not text.startswith(TOKEN[:-1]):
            assert verify(text) == 401


VALUES: list[object] = [
    None, True, 0, -1, 1.5, 2**63, 10**400, float("nan"), float("inf"), "", "class1", "relay", "viewer",
    "x" * 3000, [], ["relay"], {}, {"a": [1]}, "../..", "\x00", "\ud7ff", CLAIMS["exp"], str(CLAIMS["exp"]),
]  # fmt: skip
HEADER = {"alg": "HS256", "typ": "JWT"}
HEADERS = ["alg", "typ", "kid", "crit", "b64", "jku", "jwk", "x5u", "zip", "cty", "enc"]
ALGORITHMS = ["none", "None", "HS384", "HS512", "RS256", "ES256", "EdDSA", "hs256", "HS256"]


def forged(chance: random.Random) -> tuple[str, bool]:
    """Return a token bent in some way, and whether it is as good as the real one."""
    header, claims = dict[str, object](HEADER), dict[str, object](CLAIMS)
    for _ in range(chance.randint(0, 2)):
        claims[chance.choice([*CLAIMS, "nbf", "scope"])] = chance.choice(VALUES)
    if chance.random() < 0.3:
        del claims[chance.choice(list(claims))]
    if chance.random() < 0.3:
        header[chance.choice(HEADERS)] = chance.choice([*VALUES, *ALGORITHMS])
    pieces = [json.dumps(piece).encode() for piece in (header, claims)]
    for number in range(2):
        if chance.random() < 0.1:
            pieces[number] = mutate(
                pieces[number], [("replace", chance.randrange(400), chance.choice(PIECES))]
            )
    signed = b".".join(base64.urlsafe_b64encode(piece).rstrip(b"=") for piece in pieces)
    key = chance.choice([KEY, KEY, KEY, b"o" * 64, b""])
    hashed = chance.choice([hashlib.sha256, hashlib.sha256, hashlib.sha256, hashlib.sha512])
    signature = base64.urlsafe_b64encode(hmac.new(key, signed, hashed).digest()).rstrip(b"=")
    token = (signed + b"." + signature).decode()
    bent = chance.random() < 0.2
    if bent:
        at = chance.randrange(len(token))
        token = token[:at] + chance.choice([".", "", "=", "A", "\u00e9", " ", "\0"]) + token[at + 1 :]
    return token, key == KEY and hashed is hashlib.sha256 and not bent


def _signed(token: str) -> bool:
    """Tell whether a signature is right, whatever letters spell it: base64 leaves some bits unused."""
    signed, _, signature = token.rpartition(".")
    right = hmac.new(KEY, signed.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64decode(signature + "==") == right


def test_forged_tokens_for_as_long_as_was_asked(fuzz_seconds: float) -> None:
    """FUZZ_SECONDS=600 for a long look: whatever opens the door was signed and says what it must."""
    until_s = time.monotonic() + fuzz_seconds
    chance = random.Random()
    seed = chance.randrange(2**32)
    chance.seed(seed)
    rounds, let_in = 0, 0
    while time.monotonic() < until_s:
        rounds += 1
        token, genuine = forged(chance)
        try:
            status = verify(token)
        except Exception as exc:
            raise AssertionError(f"seed {seed}, round {rounds}: {token[:3000]!r}") from exc
        assert status in (200, 401), (seed, rounds, token[:3000])
        if status == 200:
            claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
            header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
            right = {name: claims[name] for name in ("iss", "aud", "typ")}
            assert right == {name: CLAIMS[name] for name in right}, (seed, rounds, token)
            assert header["alg"] == "HS256"
            assert genuine or _signed(token), (seed, rounds, token)
            let_in += 1
    assert 0 < let_in < rounds
    sys.stdout.write(f"forged {rounds} tokens, {let_in} of them as good as real\n")


@settings(max_examples=20)
@given(st.binary(min_size=0, max_size=31))
def test_short_keys_verify_nothing(key: bytes) -> None:
    with pytest.raises(TokenError):
        verify_viewer(TOKEN, (key,), wall_s=WALL_S)


def test_what_was_minted_is_what_is_read() -> None:
    token = mint_viewer(
        KEY, subject="s", token_id="t", classroom="c", issued_at_s=WALL_S - 1, expires_at_s=WALL_S + 60
    )
    claims = verify_viewer(token, (KEY,), wall_s=WALL_S)
    assert (claims.subject, claims.token_id, claims.classroom) == ("s", "t", "c")
