"""Who this relay is in its cluster, and the key with which it signs; the key's file.

The key comes from NODE_KEY, or from its file once the relay has enrolled. The file is the node's only
secret: mode 0600, replaced in one step.
"""

from __future__ import annotations

import logging
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from relay.base.enrolment import KEY_BYTES, JoinToken, NodeKey, read_join_link, read_node_key
from relay.base.errors import ClusterError, ConfigError, StartError

if TYPE_CHECKING:
    from pathlib import Path

    from relay.config import RelaySettings

log = logging.getLogger(__name__)

MAX_FILE_CHARS = 200


class NodeIdentity:
    """A relay's id and key; `key` is empty until it has enrolled.

    What entitles it to enrol is a join token, or CLUSTER_SECRET.
    """

    def __init__(
        self,
        node_id: str,
        *,
        key: bytes = b"",
        cluster_secret: bytes = b"",
        join: JoinToken | None = None,
        file: Path | None = None,
    ) -> None:
        self.node_id = node_id
        self.key = key
        self.file = file
        # Made once: a second try after a lost answer offers the same key, which the master confirms.
        self.offered = secrets.token_bytes(KEY_BYTES)
        self._cluster_secret = cluster_secret
        self._join = join

    @property
    def can_enrol(self) -> bool:
        """Whether this relay has anything to enrol with."""
        return bool(self._join or self._cluster_secret)

    @property
    def entitlement(self) -> tuple[str, bytes]:
        """The name and the secret that sign an enrolment."""
        if self._join is not None:
            return self._join.signer, self._join.key
        if not self._cluster_secret:
            raise ClusterError("this relay has no key: join with what airclass node add prints")
        return self.node_id, self._cluster_secret

    def keep(self, node_id: str) -> None:
        """Take over the offered key, which the master has accepted, and write it down."""
        self.node_id, self.key = node_id, self.offered
        if self.file is not None:
            try:
                _write(self.file, NodeKey(node_id, self.key).as_text())
            except OSError as exc:
                log.warning(
                    "node.key_not_kept file=%s reason=%s hint=set NODE_KEY_FILE to a file it may write",
                    *(self.file, exc.strerror),
                )


def load_identity(settings: RelaySettings) -> NodeIdentity:
    """Return who this relay is; ConfigError or StartError when it has neither a key nor a way to get one."""
    if settings.node_key is not None:
        given = read_node_key(settings.node_key.get_secret_value())
        _check_name(settings, given)
        return NodeIdentity(given.node_id, key=given.key)
    secret = settings.cluster_secret.get_secret_value().encode() if settings.cluster_secret else b""
    join = read_join_link(settings.node_join.get_secret_value())[1] if settings.node_join else None
    by_name = bool(secret) and join is None
    default = f"node-{quote(settings.node_name, safe='')}.key" if by_name else "node.key"
    file = settings.node_key_file or settings.data_dir / default
    kept = _read(file)
    if join is not None:
        _check_writable(file)
    elif not secret:
        if kept is None:
            raise ConfigError([f"CLUSTER_SECRET is missing, and there is no node key in {file}: {_HOW}"])
        _check_name(settings, kept)
    elif kept is not None and kept.node_id != settings.node_name:
        kept = None  # of an earlier NODE_ID
    node_id = kept.node_id if kept is not None else settings.node_name
    key = kept.key if kept is not None else b""
    return NodeIdentity(node_id, key=key, cluster_secret=secret, join=join, file=file)


_HOW = "run airclass node add NAME on the master, and here the line that it prints"


def _check_name(settings: RelaySettings, key: NodeKey) -> None:
    if settings.node_id and settings.node_id != key.node_id:
        raise ConfigError(
            [f"NODE_ID is {settings.node_id}, but the key is of {key.node_id}: leave NODE_ID out"]
        )


def _read(file: Path) -> NodeKey | None:
    try:
        with file.open(encoding="utf-8") as opened:
            text = opened.read(MAX_FILE_CHARS)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise StartError(f"the node's key cannot be read ({type(exc).__name__}): {file}") from None
    try:
        return read_node_key(text)
    except ConfigError:
        raise ConfigError([f"{file} does not hold a node's key: remove it, and join again"]) from None


def _check_writable(file: Path) -> None:
    """A join token is good once, so find out before it is used."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = _draft(file)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600))
        draft.unlink()
    except OSError as exc:
        raise StartError(
            f"the node's key cannot be kept in {file} ({exc.strerror}): set NODE_KEY_FILE or DATA_DIR"
        ) from None


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _draft(file)
    with suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text + "\n")
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)


def _draft(file: Path) -> Path:
    return file.with_name(f".{file.name}.{os.getpid()}")
