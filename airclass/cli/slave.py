"""`airclass slave`: becomes a relay process, which reads its own settings."""

from __future__ import annotations

import os
import sys


def slave(*arguments: str) -> None:
    """Run a relay that joins the cluster at MASTER_URL; arguments go to `python -m relay`."""
    os.execv(sys.executable, [sys.executable, "-m", "relay", *arguments])  # noqa: S606  ourselves
