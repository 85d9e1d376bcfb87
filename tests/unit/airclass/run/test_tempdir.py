"""The temporary folder goes away with its owner, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airclass.run.tempdir import check_writable, hold_folder, temporary_folder
from relay.base.errors import StartError

DEADLINE_S = 10
POLL_S = 0.02

OWNER = f"""
import sys
sys.path.insert(0, {os.getcwd()!r})
from airclass.run.tempdir import temporary_folder
with temporary_folder("airclass-test-") as folder:
    (folder / "sub").mkdir()
    (folder / "sub" / "file").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_gone_after_the_block() -> None:
    with temporary_folder("airclass-test-") as folder:
        (folder / "file").write_text("x")
    assert not folder.exists()


def test_gone_after_an_error() -> None:
    with pytest.raises(RuntimeError), temporary_folder("airclass-test-") as folder:
        raise RuntimeError
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_gone_after_the_owner_was_killed(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert (folder / "sub" / "file").exists()
        owner.send_signal(number)
    end_s = time.monotonic() + DEADLINE_S
    while folder.exists():
        assert time.monotonic() < end_s
        time.sleep(POLL_S)


def test_no_room_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="set TMPDIR"), temporary_folder(str(tmp_path / "none" / "x")):
        pass


def test_a_folder_is_made_and_tried(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b", "DATA_DIR")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match=r"DATA_DIR .*file/x cannot be written \(Not a directory\)"):
        check_writable(tmp_path / "file" / "x", "DATA_DIR")


def test_a_folder_belongs_to_one_installation_at_a_time(tmp_path: Path) -> None:
    with hold_folder(tmp_path, "DATA_DIR"):
        refused = pytest.raises(StartError, match="DATA_DIR .* is in use by another airclass")
        with refused, hold_folder(tmp_path, "DATA_DIR"):
            pass
    with hold_folder(tmp_path, "DATA_DIR"):
        pass
