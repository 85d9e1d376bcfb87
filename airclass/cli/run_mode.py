"""`airclass run`: what MODE says, for compose and systemd."""

from __future__ import annotations

from relay.base.errors import ConfigError
from relay.base.settings import environment


def run() -> None:
    """Run as standalone, master or slave, as MODE in the environment or `.env` says."""
    from airclass.cli.app import app  # it knows where the others live

    mode = environment().get("MODE", "standalone") or "standalone"
    if mode not in ("standalone", "master", "slave"):
        raise ConfigError(["MODE is none of standalone, master, slave"])
    app([mode])
