"""Signatures between relays and master, in both directions, and sealed secrets.

A call is signed by HMAC-SHA256 over node, method, path, time, nonce and body; its answer by HMAC-SHA256
over the same nonce and the answer's body, so that an answer is good for one call alone. The key is the
node's own; a node that has none yet signs its enrolment with CLUSTER_SECRET or a join token.

Decides whether a signed call or answer is genuine and fresh. Does not send anything and keeps no keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from relay.base.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADER_NODE = "X-Airclass-Node"
HEADER_TIME = "X-Airclass-Time"
HEADER_NONCE = "X-Airclass-Nonce"
HEADER_SIGNATURE = "X-Airclass-Signature"
MAX_SKEW_S = 60.0
MAX_NONCES = 100_000
MAX_NONCES_OF_A_NODE = 5_000
MAX_HEADER_CHARS = 64
_CALL = "airclass cluster call"
_ANSWER = "airclass cluster answer"


def derive(secret: bytes, purpose: str, length: int = 32) -> bytes:
    """Return the key for one purpose (HKDF-SHA256, RFC 5869), so that no key serves two uses."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose.encode()).derive(secret)


def _mac(secret: bytes, purpose: str, *fields: str, body: bytes) -> str:
    text = "\n".join((*fields, hashlib.sha256(body).hexdigest()))
    return hmac.new(derive(secret, purpose), text.encode(), hashlib.sha256).hexdigest()


def _call_mac(secret: bytes, node: str, method: str, path: str, time_s: str, nonce: str, body: bytes) -> str:
    return _mac(secret, _CALL, node, method, path, time_s, nonce, body=body)


# -- calls --------------------------------------------------------------------------------------


def sign(
    secret: bytes, node: str, method: str, path: str, body: bytes, *, wall_s: float, nonce: str
) -> dict[str, str]:
    """Return the headers that prove a call; `wall_s` is Unix time in seconds."""
    time_s = f"{wall_s:.3f}"
    return {
        HEADER_NODE: node,
        HEADER_TIME: time_s,
        HEADER_NONCE: nonce,
        HEADER_SIGNATURE: _call_mac(secret, node, method, path, time_s, nonce, body),
    }


@dataclass(frozen=True, slots=True)
class SignedCall:
    """The signature headers of a call whose time is acceptable; the signature itself is not checked yet."""

    node: str
    time_s: str
    nonce: str
    signature: str


def read_call(headers: Mapping[str, str], *, wall_s: float) -> SignedCall:
    """Return the signature headers of a call, or raise ClusterError; needs no body."""
    call = SignedCall(
        headers.get(HEADER_NODE, ""),
        headers.get(HEADER_TIME, ""),
        headers.get(HEADER_NONCE, ""),
        headers.get(HEADER_SIGNATURE, ""),
    )
    if not (call.node and call.time_s and call.nonce and call.signature):
        raise ClusterError("the call is not signed: only relays may call here", "bad-signature")
    if max(map(len, (call.node, call.time_s, call.nonce, call.signature))) > MAX_HEADER_CHARS:
        raise ClusterError(
            "the call's signature cannot be read: are both of the same version?", "bad-signature"
        )
    try:
        skew_s = abs(wall_s - float(call.time_s))
    except ValueError:
        raise ClusterError("the call's time cannot be read", "bad-signature") from None
    if not skew_s <= MAX_SKEW_S:
        raise ClusterError(
            f"the clocks of master and relay differ by {skew_s:.0f} s: set them by NTP "
            f"(at most {MAX_SKEW_S:.0f} s is accepted)",
            "wrong-clock",
        )
    return call


class Verifier:
    """Checks calls against the keys that they may be signed with, and refuses replays.

    Nonces are remembered for as long as their time is acceptable, a bounded number of each node: a node
    that calls too often is refused, the others are not.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._count: dict[str, int] = {}

    def verify(
        self, call: SignedCall, keys: Sequence[bytes], method: str, path: str, body: bytes, *, wall_s: float
    ) -> bytes:
        """Return the key that signed the call, or raise ClusterError saying what was wrong."""
        for key in keys:
            wanted = _call_mac(key, call.node, method, path, call.time_s, call.nonce, body)
            if hmac.compare_digest(wanted.encode(), call.signature.encode()):
                self._remember(call, wall_s)
                return key
        raise ClusterError(
            "the signature is wrong: set the same CLUSTER_SECRET on master and relay, "
            "or join with a new token (airclass node add)",
            "bad-signature",
        )

    def _remember(self, call: SignedCall, wall_s: float) -> None:
        self._forget(wall_s)
        place = (call.node, call.nonce)
        if place in self._seen:
            raise ClusterError("the call was sent twice (replay): it is refused", "replay")
        count = self._count.get(call.node, 0)
        if count >= MAX_NONCES_OF_A_NODE or len(self._seen) >= MAX_NONCES:
            raise ClusterError("too many calls within a minute: try again later", "too-many-calls")
        self._seen[place] = wall_s + 2 * MAX_SKEW_S
        self._count[call.node] = count + 1

    def _forget(self, wall_s: float) -> None:
        while self._seen:
            place, until_s = next(iter(self._seen.items()))
            if until_s >= wall_s:
                return
            del self._seen[place]
            self._count[place[0]] -= 1
            if not self._count[place[0]]:
                del self._count[place[0]]


# -- answers ------------------------------------------------------------------------------------


def sign_answer(key: bytes, node: str, path: str, nonce: str, body: bytes) -> dict[str, str]:
    """Return the header that proves an answer to the call with this nonce."""
    return {HEADER_SIGNATURE: _mac(key, _ANSWER, node, path, nonce, body=body)}


def check_answer(
    headers: Mapping[str, str], key: bytes, node: str, path: str, nonce: str, body: bytes
) -> None:
    """Raise ClusterError unless the answer was made for this call by somebody who holds the key."""
    given = headers.get(HEADER_SIGNATURE, "")
    if not given:
        raise ClusterError(
            "the master's answer is not signed: upgrade the master first, "
            "or find out what else answers at MASTER_URL"
        )
    wanted = _mac(key, _ANSWER, node, path, nonce, body=body)
    if not hmac.compare_digest(wanted.encode(), given.encode()):
        raise ClusterError(
            "the master's answer has a wrong signature: it is not from this cluster's master, "
            "or it was made for another call"
        )


# -- sealed secrets -----------------------------------------------------------------------------


def _fernet(secret: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(derive(secret, "airclass cluster seal")))


def seal(secret: bytes, plain: bytes) -> str:
    """Encrypt a key for the other side of the cluster, so that it never crosses the LAN in clear."""
    return _fernet(secret).encrypt(plain).decode()


def unseal(secret: bytes, sealed: str) -> bytes:
    """Return what `seal` was given; raises ClusterError when the secrets differ."""
    try:
        return _fernet(secret).decrypt(sealed.encode())
    except InvalidToken:
        raise ClusterError("a sealed key cannot be opened: it was sealed with another secret") from None
