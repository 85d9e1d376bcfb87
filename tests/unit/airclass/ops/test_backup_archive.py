"""What a backup may hold, and which ones are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airclass.ops.backup_archive import (
    MAX_FILES,
    BackupError,
    BackupManifest,
    ManifestEntry,
    UnpackBudget,
    check_path,
    check_place,
    made_at,
    name_for,
    outdated,
    read_manifest,
)

NOON = datetime(2026, 1, 22, 12, 0, 0, tzinfo=UTC)
SUM = "0" * 64


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "../x", "a/../../x", "a/..", ".", "a//b", "a/", "a\\..\\b", "a\0b"),
        *("a\nb", "a/\x1b[2J", "C:\\x", "~root\u202e", "a" * 201, "/".join("abcdefghi")),
    ],
)
def test_names_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(BackupError):
        check_path(path)


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["..", ".", "", "a", ".env", "~"]), max_size=6).map("/".join)
)
def test_an_accepted_name_stays_below_its_folder(path: str) -> None:
    try:
        checked = check_path(path)
    except BackupError:
        return
    assert str(checked) == path
    assert not checked.is_absolute()
    assert ".." not in checked.parts
    assert (PurePosixPath("/top") / checked).is_relative_to("/top")


@pytest.mark.parametrize(
    "path",
    [
        *(
            "manifest.json",
            "other/x",
            "files",
            "data",
            "files/airclass/__init__.py",
            "files/.git/hooks/pre-commit",
        ),
        *("files/x/.env", "files/secrets/a/b", "files/deploy/install.sh", "files/Makefile", "files/tls"),
        *(
            "data/sitecustomize.py",
            "data/x.pth",
            "data/run.sh",
            "data/lib.so",
            "data/x",
            "data/.ssh/keys.txt",
        ),
        *("data/airclass.sqlite3", "data/a/b/c/d.json", "database/other.sqlite3", "info/x.json"),
    ],
)
def test_what_no_backup_writes_is_refused(path: str) -> None:
    """A restore used to write any path below the folder: programs and hooks too."""
    with pytest.raises(BackupError):
        check_place(path)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "files/.env",
            "files/compose.yaml",
            "files/deploy/compose.school.yaml",
            "files/secrets/jwt-secret-key",
        ),
        *("files/deploy/mediamtx/mediamtx.yml", "data/node.key", "data/lessons/a.json", "info/cluster.json"),
        *("database/airclass.sqlite3", "database/airclass.pgdump"),
    ],
)
def test_what_backups_write_is_accepted(path: str) -> None:
    assert str(check_place(path)) == path


def test_names_carry_their_time() -> None:
    assert name_for(NOON) == "airclass_backup_20260122_120000"
    for ending in ("", ".tar.gz", ".tar.gz.enc", "_2.tar.gz"):
        assert made_at(name_for(NOON) + ending) == NOON
    for other in ("airclass_backup_20261322_120000", "x", name_for(NOON) + ".zip", "a" + name_for(NOON)):
        assert made_at(other) is None


def test_seven_days_are_kept_and_never_the_last_one_lost() -> None:
    names = [f"{name_for(NOON - timedelta(days=d))}.tar.gz" for d in range(10)]
    assert outdated([*names, "notes.txt"], NOON) == sorted(names[8:])
    assert outdated(names[9:], NOON) == []
    assert outdated([], NOON) == []


@given(st.sets(st.integers(0, 60), max_size=20))
def test_the_newest_always_stays(days: set[int]) -> None:
    names = {f"{name_for(NOON - timedelta(days=d))}.tar.gz" for d in days}
    gone = set(outdated(names, NOON))
    assert not names or max(names) in names - gone
    assert gone <= {n for n in names if NOON - (made_at(n) or NOON) > timedelta(days=7)}


def test_bombs_are_stopped() -> None:
    budget = UnpackBudget(packed_bytes=1000, free_bytes=10**12)
    budget.spend(60 * 1024**2)
    with pytest.raises(BackupError, match="far more"):
        budget.spend(5 * 1024**2)
    with pytest.raises(BackupError, match="room"):
        UnpackBudget(10**9, free_bytes=100).spend(101)
    budget = UnpackBudget(0, 0)
    for _ in range(MAX_FILES):
        budget.file()
    with pytest.raises(BackupError, match="files"):
        budget.file()


def manifest(*paths: str, **more: object) -> bytes:
    record = BackupManifest(1, "1", "now", "h", "sqlite", [ManifestEntry(p, 1, SUM) for p in paths])
    return msgspec.json.encode(msgspec.structs.replace(record, **more))


def test_a_manifest_reads_back() -> None:
    paths = ["files/.env", "data/x/y.json"]
    assert [e.path for e in read_manifest(manifest(*paths)).files] == paths


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"\xff",
        manifest(format=2),
        manifest("files/.env", "files/.env"),
        manifest("files/../x"),
        manifest("x"),
    ],
)
def test_bad_manifests_are_refused(data: bytes) -> None:
    with pytest.raises(BackupError):
        read_manifest(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    try:
        read_manifest(data)
    except BackupError:
        return
