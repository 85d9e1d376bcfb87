"""The note that a backup leaves in DATA_DIR, for metrics, the doctor and the operator's page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

LAST_FILE = "backup.json"
MAX_NOTE_BYTES = 4096


class BackupRecord(msgspec.Struct, frozen=True):
    """What the last backup left; `at_s` is Unix time, 0 for never."""

    at_s: float = 0.0
    size_bytes: int = 0


def read_record(data_dir: Path) -> BackupRecord:
    """Return what the last backup noted; zeros when the file is missing or broken."""
    try:
        with (data_dir / LAST_FILE).open("rb") as file:
            return msgspec.json.decode(file.read(MAX_NOTE_BYTES), type=BackupRecord)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return BackupRecord()
