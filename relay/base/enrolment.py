"""How a node gets a key of its own: join links, join tokens, and the key as text.

The node makes its key and sends it sealed, signed with what entitles it: a one-time join token of `airclass
node add`, or CLUSTER_SECRET. Asking again with the same key is harmless, so that a lost answer costs
nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from relay.base.errors import ConfigError
from relay.base.signing import derive

KEY_BYTES = 32
TOKEN_ID_BYTES = 6
TOKEN_SECRET_BYTES = 20
JOIN_MARK = (
    "#"  # no node id begins with it: the signer of an enrolment by token is JOIN_MARK and the token's id
)
_TOKEN = re.compile(r"([0-9a-f]{12})-([0-9a-f]{40})")
_KEY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,62}):([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A one-time token; `key` signs and seals one enrolment."""

    id: str
    key: bytes

    @property
    def signer(self) -> str:
        """What the enrolment names as its node."""
        return JOIN_MARK + self.id


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node and its key, as NODE_KEY and NODE_KEY_FILE hold them."""

    node_id: str
    key: bytes

    def as_text(self) -> str:
        """Return NODE_ID:KEY, the key in hexadecimal digits."""
        return f"{self.node_id}:{self.key.hex()}"


def make_join_token(entropy: bytes) -> tuple[str, JoinToken]:
    """Return a token's text and the token, from TOKEN_ID_BYTES + TOKEN_SECRET_BYTES random bytes."""
    text = f"{entropy[:TOKEN_ID_BYTES].hex()}-{entropy[TOKEN_ID_BYTES:].hex()}"
    return text, read_join_token(text)


def read_join_token(text: str) -> JoinToken:
    """Return the token, or raise ConfigError."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise ConfigError(["the join token is not whole: copy the line that `airclass node add` printed"])
    return JoinToken(match[1], derive(bytes.fromhex(match[2]), "airclass join token"))


def read_join_link(text: str) -> tuple[str, JoinToken]:
    """Return the master's address and the token of URL#TOKEN, or raise ConfigError."""
    url, mark, token = text.partition("#")
    parts = urlsplit(url)
    if not mark or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(["--join needs URL#TOKEN: copy the line that `airclass node add` printed"])
    return url.rstrip("/"), read_join_token(token)


def read_node_key(text: str) -> NodeKey:
    """Return a node's key from its text, or raise ConfigError."""
    match = _KEY.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            ["NODE_KEY is not of the form NODE_ID:KEY: join with a new token (airclass node add)"]
        )
    return NodeKey(match[1], bytes.fromhex(match[2]))
