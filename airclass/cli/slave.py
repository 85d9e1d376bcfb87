"""`airclass slave`: becomes a relay process, which reads its own settings."""

from __future__ import annotations

import os
import socket
import sys

from relay.base.enrolment import read_join_link
from relay.base.errors import ConfigError
from relay.base.settings import environment


def slave(*arguments: str, join: str = "") -> None:
    """Run a relay that joins the cluster at MASTER_URL; further arguments go to `python -m relay`.

    `python -m relay --help` lists these arguments.

    An asterisk in NODE_PUBLIC_URL stands for the node's id: behind one front, every replica of a
    container has an address of its own.

    Parameters
    ----------
    join
        URL#TOKEN, as `airclass node add` prints it: the first time the relay enrols with it and keeps its key
        in NODE_KEY_FILE, later it uses that key.
    """
    environ = environment()
    if join:
        # By the environment, because the arguments of a process are for everybody to see.
        environ["MASTER_URL"], _ = read_join_link(join)
        environ["NODE_JOIN"] = join
    public_url = environ.get("NODE_PUBLIC_URL", "")
    if "*" in public_url:
        node_id = environ.get("NODE_ID") or socket.gethostname()
        environ["NODE_PUBLIC_URL"] = public_url.replace("*", node_id)
    origin = any(a.partition("=")[0] == "--origin" for a in arguments)
    asks = any(a in ("-h", "--help", "--version") for a in arguments)
    if not (environ.get("MASTER_URL") or environ.get("MASTER_URL_FILE") or origin or asks):
        raise ConfigError(
            ["MASTER_URL is missing: set it and CLUSTER_SECRET in .env, or give --join URL#TOKEN"]
        )
    os.execve(sys.executable, [sys.executable, "-m", "relay", *arguments], environ)  # noqa: S606  ourselves
