"""Encrypted backups: what goes in comes out, and no change goes unnoticed."""

from __future__ import annotations

import io

import pytest

from airclass.ops.backup_archive import BackupError
from airclass.ops.encryption import CHUNK_BYTES, MAGIC, TAG_BYTES, SealReader, SealWriter, is_sealed

HEAD = len(MAGIC) + 16


def sealed(plain: bytes, passphrase: str = "correct horse") -> bytes:
    file = io.BytesIO()
    with SealWriter(file, passphrase) as writer:
        writer.write(plain)
    return file.getvalue()


def opened(data: bytes, passphrase: str = "correct horse") -> bytes:
    return SealReader(io.BytesIO(data), passphrase).read()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 7])
def test_round_trip(size: int) -> None:
    plain = bytes(range(256)) * (size // 256 + 1)
    assert opened(sealed(plain[:size])) == plain[:size]


def test_read_in_pieces() -> None:
    reader = SealReader(io.BytesIO(sealed(b"abcdef")), "correct horse")
    assert [reader.read(4), reader.read(4), reader.read(4)] == [b"abcd", b"ef", b""]


def test_a_wrong_passphrase_says_so() -> None:
    with pytest.raises(BackupError, match="BACKUP_PASSPHRASE"):
        opened(sealed(b"secret"), "another")


def test_nothing_of_it_is_readable_and_no_two_are_alike() -> None:
    assert b"secret" not in sealed(b"secret" * 10)
    assert sealed(b"x") != sealed(b"x")


@pytest.mark.parametrize("where", [HEAD, HEAD + 3, -1])
def test_a_changed_byte_is_noticed(where: int) -> None:
    data = bytearray(sealed(b"some plain text"))
    data[where] ^= 1
    with pytest.raises(BackupError):
        opened(bytes(data))


def test_a_lost_or_moved_chunk_is_noticed() -> None:
    data = sealed(b"a" * CHUNK_BYTES + b"b" * CHUNK_BYTES + b"c")
    step = CHUNK_BYTES + TAG_BYTES
    head, first, second, last = (
        data[:HEAD],
        data[HEAD:][:step],
        data[HEAD + step :][:step],
        data[HEAD + 2 * step :],
    )
    assert opened(head + first + second + last)[-1:] == b"c"
    for wrong in (first + second, second + first + last, first + last, first):
        with pytest.raises(BackupError):
            opened(head + wrong)


def test_plain_files_are_told_apart() -> None:
    assert is_sealed(io.BytesIO(sealed(b"")))
    assert not is_sealed(io.BytesIO(b"\x1f\x8b plain"))
    with pytest.raises(BackupError):
        opened(b"\x1f\x8b plain")
