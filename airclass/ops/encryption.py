"""Encrypts a stream with a passphrase: scrypt makes the key, AES-256-GCM seals it chunk by chunk.

Every chunk is sealed with its number and whether it is the last one, so that nothing can be
exchanged, repeated or cut off unnoticed.
"""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from airclass.ops.backup_archive import BackupError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAGIC = b"AIRClass backup 1\n"
SALT_BYTES = 16
CHUNK_BYTES = 1024 * 1024
TAG_BYTES = 16
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**16, 8, 1


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    kdf = Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P)
    return AESGCM(kdf.derive(passphrase.encode()))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class SealWriter(io.RawIOBase):
    """Writes an encrypted stream into a file; `close` seals the end and leaves the file open."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        salt = os.urandom(SALT_BYTES)
        file.write(MAGIC + salt)
        self._file = file
        self._cipher = _cipher(passphrase, salt)
        self._pending = b""
        self._number = 0

    def writable(self) -> bool:
        """Tell that one may write."""
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        """Take bytes in."""
        given = bytes(data)
        self._pending += given
        while len(self._pending) > CHUNK_BYTES:
            self._seal(self._pending[:CHUNK_BYTES], last=False)
            self._pending = self._pending[CHUNK_BYTES:]
        return len(given)

    def close(self) -> None:
        """Seal what is left."""
        if not self.closed:
            self._seal(self._pending, last=True)
            self._pending = b""
        super().close()

    def _seal(self, plain: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), plain, MAGIC))
        self._number += 1


class SealReader(io.RawIOBase):
    """Reads what SealWriter wrote; ArchiveError for a wrong passphrase or a damaged file."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        if file.read(len(MAGIC)) != MAGIC:
            raise BackupError("The file is no encrypted backup.")
        self._cipher = _cipher(passphrase, file.read(SALT_BYTES))
        self._file = file
        self._next = file.read(CHUNK_BYTES + TAG_BYTES)
        self._plain = b""
        self._number = 0
        self._done = False

    def readable(self) -> bool:
        """Tell that one may read."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, nothing at the end."""
        while not self._done and (size < 0 or len(self._plain) < size):
            self._open()
        cut = len(self._plain) if size < 0 else size
        piece, self._plain = self._plain[:cut], self._plain[cut:]
        return piece

    def _open(self) -> None:
        sealed, self._next = self._next, self._file.read(CHUNK_BYTES + TAG_BYTES)
        last = not self._next
        try:
            self._plain += self._cipher.decrypt(_nonce(self._number, last=last), sealed, MAGIC)
        except (InvalidTag, ValueError):
            if self._number == 0:
                raise BackupError(
                    "The backup cannot be decrypted: BACKUP_PASSPHRASE is another one, or it is damaged."
                ) from None
            raise BackupError("The backup is damaged: a part of it was changed or cut off.") from None
        self._number += 1
        self._done = last


def is_sealed(file: IO[bytes]) -> bool:
    """Tell whether a file begins as an encrypted backup does; reads from and rewinds to its start."""
    file.seek(0)
    head = file.read(len(MAGIC))
    file.seek(0)
    return head == MAGIC
