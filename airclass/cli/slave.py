"""`airclass slave`: becomes a relay process, which reads its own settings."""

from __future__ import annotations

import os
import socket
import sys

from relay.base.errors import ConfigError
from relay.base.settings import environment


def slave(*arguments: str) -> None:
    """Run a relay that joins the cluster at MASTER_URL; arguments go to `python -m relay`.

    `python -m relay --help` lists these arguments.

    An asterisk in NODE_PUBLIC_URL stands for the node's id: behind one front, every replica of a
    container has an address of its own.
    """
    environ = environment()
    public_url = environ.get("NODE_PUBLIC_URL", "")
    if "*" in public_url:
        node_id = environ.get("NODE_ID") or socket.gethostname()
        environ["NODE_PUBLIC_URL"] = public_url.replace("*", node_id)
    origin = any(a.partition("=")[0] == "--origin" for a in arguments)
    asks = any(a in ("-h", "--help", "--version") for a in arguments)
    if not (environ.get("MASTER_URL") or environ.get("MASTER_URL_FILE") or origin or asks):
        raise ConfigError(["MASTER_URL is missing: set it and CLUSTER_SECRET, as on the master, in .env"])
    os.execve(sys.executable, [sys.executable, "-m", "relay", *arguments], environ)  # noqa: S606  ourselves
