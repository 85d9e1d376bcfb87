"""Opens and seals what the database holds of nodes' keys, with a key derived from JWT_SECRET_KEY.

A dump of the database alone lets nobody speak for a node. While JWT_SECRET_KEY is rotated, the previous one
still opens; the master seals what it opened with the current one again (`Keyring.resealed`).
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from airclass.domain.orders import SealedSecrets
from relay.base.errors import ClusterError
from relay.base.signing import derive, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airclass.config import MasterSettings
    from airclass.domain.node_keys import NodeRecord

MAX_OPENED = 4_096
_PURPOSE = "airclass node keys"


class Keyring:
    """The master's own key for nodes' keys."""

    def __init__(self, secret: bytes, previous: bytes | None = None) -> None:
        self._keys = [derive(s, _PURPOSE) for s in ([secret] if previous is None else [secret, previous])]
        self.unseal = lru_cache(MAX_OPENED)(self._unseal)

    def seal(self, key: bytes) -> str:
        """Return the key as the database keeps it."""
        return seal(self._keys[0], key)

    def _unseal(self, sealed: str) -> bytes:
        """Return a key that the database keeps; ClusterError when JWT_SECRET_KEY is another one."""
        for key in self._keys:
            try:
                return unseal(key, sealed)
            except ClusterError:
                continue
        raise ClusterError(
            "the master cannot open this node's key, because JWT_SECRET_KEY was replaced: "
            "remove the node and add it again (airclass node remove, airclass node add)",
            "key-lost",
        )

    def resealed(self, records: Iterable[NodeRecord]) -> list[NodeRecord]:
        """Return the records whose key only the previous secret opens, sealed with the current one."""
        changed = []
        for record in records:
            try:
                unseal(self._keys[0], record.key)
            except ClusterError:
                try:
                    changed.append(replace(record, key=self.seal(self.unseal(record.key))))
                except ClusterError:
                    continue  # its calls are refused with the reason
        return changed


def open_keyring(settings: MasterSettings) -> Keyring:
    """Return the keyring of these settings."""
    previous = settings.jwt_secret_key_previous
    return Keyring(
        settings.jwt_secret_key.get_secret_value().encode(),
        previous.get_secret_value().encode() if previous else None,
    )


class OrderSealer:
    """Seals what orders hold, once for each node's key."""

    def __init__(self, bearer: bytes, viewer_keys: tuple[bytes, ...], viewer_jwks: bytes) -> None:
        self._bearer, self._viewer_keys, self._viewer_jwks = bearer, viewer_keys, viewer_jwks
        self.sealed = lru_cache(MAX_OPENED)(self._sealed)

    def _sealed(self, key: bytes) -> SealedSecrets:
        """Return the secrets for the node that holds `key`."""
        return SealedSecrets(
            seal(key, self._bearer) if self._bearer else "",
            tuple(seal(key, plain) for plain in self._viewer_keys),
            seal(key, self._viewer_jwks) if self._viewer_jwks else "",
        )
