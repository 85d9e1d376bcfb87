"""Signatures between relays and master: HMAC-SHA256 over method, path, time, nonce and body.

Decides whether a signed call is genuine and fresh. Does not send anything and keeps no keys.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import OrderedDict
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from relay.base.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER_NODE = "X-Airclass-Node"
HEADER_TIME = "X-Airclass-Time"
HEADER_NONCE = "X-Airclass-Nonce"
HEADER_SIGNATURE = "X-Airclass-Signature"
MAX_SKEW_S = 60.0
MAX_NONCES = 100_000
MAX_NONCE_CHARS = 64


def derive(secret: bytes, purpose: str, length: int = 32) -> bytes:
    """Return the key for one purpose (HKDF-SHA256, RFC 5869), so that no key serves two uses."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=purpose.encode()).derive(secret)


def _mac(secret: bytes, node: str, method: str, path: str, time_s: str, nonce: str, body: bytes) -> str:
    text = "\n".join((node, method, path, time_s, nonce, hashlib.sha256(body).hexdigest()))
    return hmac.new(derive(secret, "airclass cluster call"), text.encode(), hashlib.sha256).hexdigest()


def sign(
    secret: bytes, node: str, method: str, path: str, body: bytes, *, wall_s: float, nonce: str
) -> dict[str, str]:
    """Return the headers that prove a call; `wall_s` is Unix time in seconds."""
    time_s = f"{wall_s:.3f}"
    return {
        HEADER_NODE: node,
        HEADER_TIME: time_s,
        HEADER_NONCE: nonce,
        HEADER_SIGNATURE: _mac(secret, node, method, path, time_s, nonce, body),
    }


class Verifier:
    """Checks signed calls and remembers nonces for as long as their time is acceptable."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._seen: OrderedDict[str, float] = OrderedDict()

    def verify(
        self, headers: Mapping[str, str], method: str, path: str, body: bytes, *, wall_s: float
    ) -> str:
        """Return the calling node's id, or raise ClusterError saying what was wrong."""
        node = headers.get(HEADER_NODE, "")
        time_s = headers.get(HEADER_TIME, "")
        nonce = headers.get(HEADER_NONCE, "")
        given = headers.get(HEADER_SIGNATURE, "")
        if not (node and time_s and nonce and given) or len(nonce) > MAX_NONCE_CHARS:
            raise ClusterError("the call is not signed: set the same CLUSTER_SECRET on master and relay")
        wanted = _mac(self._secret, node, method, path, time_s, nonce, body)
        if not hmac.compare_digest(wanted.encode(), given.encode()):
            raise ClusterError("the signature is wrong: set the same CLUSTER_SECRET on master and relay")
        try:
            skew_s = abs(wall_s - float(time_s))
        except ValueError:
            raise ClusterError("the call's time cannot be read") from None
        if not skew_s <= MAX_SKEW_S:
            raise ClusterError(
                f"the clocks of master and relay differ by {skew_s:.0f} s: set them by NTP "
                f"(at most {MAX_SKEW_S:.0f} s is accepted)"
            )
        self._forget(wall_s)
        if nonce in self._seen:
            raise ClusterError("the call was sent twice (replay): it is refused")
        if len(self._seen) >= MAX_NONCES:
            raise ClusterError("too many calls within a minute: try again later")
        self._seen[nonce] = wall_s + 2 * MAX_SKEW_S
        return node

    def _forget(self, wall_s: float) -> None:
        while self._seen:
            nonce, until_s = next(iter(self._seen.items()))
            if until_s >= wall_s:
                return
            del self._seen[nonce]


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
        raise ClusterError("the master's key cannot be opened: the CLUSTER_SECRETs differ") from None
