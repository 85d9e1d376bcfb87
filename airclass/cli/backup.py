"""`airclass backup`: everything that an installation needs to come back."""

from __future__ import annotations

from pathlib import Path

import trio

from airclass.cli.common import end_in_order, note, say
from airclass.io.http_client import CallFailed, open_client
from airclass.ops.backup import make_backup
from airclass.ops.config import OpsSettings, load_ops
from airclass.ops.report import NO_TOKEN

DEFAULT_DEST = Path("backups")
SNAPSHOT_S = 5.0


def backup(dest: Path = DEFAULT_DEST, *, auto: bool = False) -> None:
    """Save settings, compose files, ingest configuration, database and the list of nodes into one file.

    Run it in the folder of `.env`. Classes go on meanwhile.

    Parameters
    ----------
    dest
        The folder that takes the archive.
    auto
        For cron: delete backups older than 7 days, but never the last one.
    """
    end_in_order()
    settings = load_ops()
    cluster = trio.run(_nodes, settings)
    made = make_backup(settings, Path.cwd(), dest, cluster=cluster, auto=auto)
    if made.manifest.database:
        note("backup.made", made.path.name)
    if not settings.has_token:
        say(f"[WARN] The list of nodes is not in this backup: {NO_TOKEN}.")
    for warning in made.warnings:
        say(f"[WARN] {warning}")
    for name in made.removed:
        say(f"[INFO] Removed {name}: older than 7 days.")
    say(f"  {len(made.manifest.files)} files, database: {made.manifest.database or 'none'}")
    shown = made.path if made.path.is_absolute() else f"./{made.path}"
    say(f"[OK] Backup completed successfully!\n  Location: {shown}\n  Size: {size(made.size_bytes)}")


def size(count: int) -> str:
    """Return a number of bytes for people."""
    value, unit = float(count), "B"
    for unit in ("B", "KB", "MB", "GB"):  # noqa: B007  read after the loop
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


async def _nodes(settings: OpsSettings) -> bytes:
    headers = settings.auth_headers()
    with trio.move_on_after(SNAPSHOT_S):
        async with open_client() as client:
            try:
                status, body = await client.get(f"{settings.master_address}/cluster/nodes", headers)
            except CallFailed:
                return b""
            return body if status == 200 else b""
    return b""
