"""Swapping files: all of them or none, and the former state within reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from airclass.ops.backup_archive import BackupManifest
from airclass.ops.databases import Database
from airclass.ops.restore import FileChange, restore
from airclass.ops.unpack import Unpacked
from relay.base.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

STAMP = "20260122_120000"


@dataclass
class FakeService:
    """A service that fails to start as often as told."""

    failures: int = 0
    calls: list[str] = field(default_factory=list)
    name: str = "airclass-master.service"

    def stop(self) -> None:
        self.calls.append("stop")

    def start(self) -> None:
        self.calls.append("start")
        if self.failures:
            self.failures -= 1
            raise StartError("It does not start.")


@pytest.fixture
def changes(tmp_path: Path) -> list[FileChange]:
    new, old = tmp_path / "new", tmp_path / "old"
    new.mkdir()
    old.mkdir()
    (old / "a").write_text("old a")
    (old / "wal").write_text("old wal")
    (new / "a").write_text("new a")
    (new / "b").write_text("new b")
    return [
        FileChange(old / "a", new / "a"),
        FileChange(old / "wal", None),
        FileChange(old / "deep/er/b", new / "b"),
    ]


def run(tmp_path: Path, changes: list[FileChange], service: FakeService) -> None:
    unpacked = Unpacked(tmp_path, BackupManifest(1, "1", "now", "h", "", []), {}, encrypted=False)
    restore(unpacked, changes, Database(tmp_path / "db", None), [service], stamp=STAMP)


def tree(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_the_new_state_is_in_place_and_the_old_one_beside_it(
    tmp_path: Path, changes: list[FileChange]
) -> None:
    service = FakeService()
    run(tmp_path, changes, service)
    assert tree(tmp_path / "old") == {
        "a": "new a",
        f"a.before-restore-{STAMP}": "old a",
        f"wal.before-restore-{STAMP}": "old wal",
        "deep/er/b": "new b",
    }
    assert service.calls == ["stop", "start"]


def test_a_service_that_does_not_start_brings_the_old_state_back(
    tmp_path: Path, changes: list[FileChange]
) -> None:
    service = FakeService(failures=1)
    with pytest.raises(StartError):
        run(tmp_path, changes, service)
    assert tree(tmp_path / "old") == {"a": "old a", "wal": "old wal"}
    assert not (tmp_path / "old/deep").exists()
    assert service.calls == ["stop", "start", "stop", "start"]


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit, ZeroDivisionError])
def test_whatever_ends_it_brings_the_old_state_back(
    tmp_path: Path, changes: list[FileChange], ending: type[BaseException]
) -> None:
    class Interrupted(FakeService):
        def start(self) -> None:
            super().start()
            if self.calls.count("start") == 1:
                raise ending

    service = Interrupted()
    with pytest.raises(ending):
        run(tmp_path, changes, service)
    assert tree(tmp_path / "old") == {"a": "old a", "wal": "old wal"}
    assert service.calls == ["stop", "start", "stop", "start"]


def test_a_missing_source_changes_nothing_and_stops_nobody(tmp_path: Path, changes: list[FileChange]) -> None:
    service = FakeService()
    with pytest.raises(FileNotFoundError):
        run(tmp_path, [*changes, FileChange(tmp_path / "old/c", tmp_path / "new/none")], service)
    assert tree(tmp_path / "old") == {"a": "old a", "wal": "old wal"}
    assert service.calls == []


def test_a_swap_that_fails_halfway_is_undone(tmp_path: Path, changes: list[FileChange]) -> None:
    service = FakeService()
    # its old state cannot be put aside: a full folder has taken that name
    (tmp_path / "old/z").write_text("old z")
    (tmp_path / f"old/z.before-restore-{STAMP}").mkdir()
    with pytest.raises(IsADirectoryError):
        run(tmp_path, [*changes, FileChange(tmp_path / "old/z", tmp_path / "new/b")], service)
    assert tree(tmp_path / "old") == {"a": "old a", "wal": "old wal", "z": "old z"}
    assert service.calls == ["stop", "stop", "start"]
