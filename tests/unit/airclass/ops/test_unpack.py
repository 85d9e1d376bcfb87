"""Hostile and damaged backups: refused, and nothing written outside the place given."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
from typing import TYPE_CHECKING

import msgspec
import pytest

from airclass.ops.backup_archive import BackupError, BackupManifest, ManifestEntry
from airclass.ops.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOP = "airclass_backup_20260122_120000"
ENV = b"MODE=master\n"


def entry(path: str, data: bytes) -> ManifestEntry:
    return ManifestEntry(path, len(data), hashlib.sha256(data).hexdigest())


def listing(*entries: ManifestEntry) -> bytes:
    return msgspec.json.encode(BackupManifest(1, "1", "now", "h", "", list(entries)))


def plain(name: str, data: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


GOOD = (
    plain(f"{TOP}/manifest.json", listing(entry("files/.env", ENV))),
    plain(f"{TOP}/files/.env", ENV),
)


def archive(folder: Path, *members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
    path = folder / f"{TOP}.tar.gz"
    with tarfile.open(path, "w:gz", format=format) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "inside" / "place"
    place.mkdir(parents=True)
    return place


def test_a_good_archive_and_the_folder_it_unpacks_to(tmp_path: Path, place: Path) -> None:
    found = unpack(archive(tmp_path, *GOOD), place, "")
    assert (place / "files/.env").read_bytes() == ENV
    assert (place / "files/.env").stat().st_mode & 0o777 == 0o600
    again = tmp_path / "again"
    again.mkdir()
    assert unpack(found.folder, again, "").manifest == found.manifest


@pytest.mark.parametrize(
    "member",
    [
        plain("../outside", b"x"),
        plain(f"{TOP}/../../outside", b"x"),
        plain("/tmp/airclass-outside", b"x"),
        plain(f"{TOP}/files/a\\..\\b", b"x"),
        plain("outside", b"x"),
        plain(f"{TOP}/files/.env", b"twice"),
        plain(f"{TOP}/files/unlisted", b"x"),
        special(f"{TOP}/files/link", tarfile.SYMTYPE, "/etc/passwd"),
        special(f"{TOP}/files/link", tarfile.LNKTYPE, f"{TOP}/files/.env"),
        special(f"{TOP}/files/device", tarfile.CHRTYPE),
        special(f"{TOP}/files/block", tarfile.BLKTYPE),
        special(f"{TOP}/files/pipe", tarfile.FIFOTYPE),
        special("../dir", tarfile.DIRTYPE),
    ],
    ids=lambda member: f"{member[0].name}-{member[0].type!r}",
)
def test_hostile_members_are_refused(
    tmp_path: Path, place: Path, member: tuple[tarfile.TarInfo, bytes]
) -> None:
    before = {p for p in tmp_path.rglob("*") if place not in p.parents}
    with pytest.raises(BackupError):
        unpack(archive(tmp_path, *GOOD, member), place, "")
    after = {p for p in tmp_path.rglob("*") if place not in p.parents}
    assert after - before == {tmp_path / f"{TOP}.tar.gz"}
    assert not any(p.is_symlink() for p in place.rglob("*"))


def test_a_link_in_a_folder_is_refused(tmp_path: Path, place: Path) -> None:
    source = tmp_path / "source"
    (source / "files").mkdir(parents=True)
    (source / "manifest.json").write_bytes(listing())
    (source / "files/.env").symlink_to("/etc/passwd")
    with pytest.raises(BackupError, match="no plain file"):
        unpack(source, place, "")


def test_a_bomb_is_refused_early(tmp_path: Path, place: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb", 6) as file:
        info = tarfile.TarInfo(f"{TOP}/files/zeros")
        info.size = 400 * 1024**2
        file.write(info.tobuf())
        for _ in range(400):
            file.write(bytes(1024**2))
    with pytest.raises(BackupError, match="far more"):
        unpack(path, place, "")


def test_a_header_that_asks_for_gigabytes_is_refused(tmp_path: Path, place: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 7 * 1024**3
    path = tmp_path / "header.tar.gz"
    with gzip.open(path, "wb", 6) as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(100):
            file.write(b"0" * 1024**2)
    with pytest.raises(BackupError, match="far more"):
        unpack(path, place, "")


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize("damage", [_cut, _flip, lambda data: b"", lambda data: os.urandom(500)])
def test_damage_is_noticed(tmp_path: Path, place: Path, damage: Callable[[bytes], bytes]) -> None:
    path = archive(tmp_path, *GOOD)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BackupError):
        unpack(path, place, "")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ((), "no manifest"),
        (GOOD[:1], "is missing"),
        ((GOOD[0], plain(f"{TOP}/files/.env", b"MODE=mastes\n")), "not as it was saved"),
        ((plain(f"{TOP}/manifest.json", listing(entry("database/airclass.sqlite3", b"x"))),), "is missing"),
    ],
)
def test_sums_are_checked(
    tmp_path: Path, place: Path, members: tuple[tuple[tarfile.TarInfo, bytes], ...], words: str
) -> None:
    with pytest.raises(BackupError, match=words):
        unpack(archive(tmp_path, *members), place, "")


def test_what_is_not_there_is_said(tmp_path: Path, place: Path) -> None:
    with pytest.raises(BackupError, match="There is no backup"):
        unpack(tmp_path / "none.tar.gz", place, "")
