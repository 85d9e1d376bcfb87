"""`airclass healthcheck`: for Docker and scripts, without curl."""

from __future__ import annotations

import http.client
import ssl
import sys
from urllib.parse import urlsplit

from relay.base.settings import environment

WAIT_S = 3.0


def healthcheck(url: str = "") -> int:
    """Ask `/readyz` of the server on this machine; exit code 1 when it is not ready.

    Parameters
    ----------
    url
        The server's address; by default the master's or, with MODE=slave, the relay's own port.
    """
    target = urlsplit(url or _local())
    host = target.hostname or "127.0.0.1"
    connection = http.client.HTTPConnection(host, target.port, timeout=WAIT_S)
    if target.scheme == "https":
        anybody = ssl.create_default_context()  # it asks itself, by an address that no certificate names
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, target.port, timeout=WAIT_S, context=anybody)
    try:
        connection.request("GET", "/readyz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as exc:
        say(f"not reachable: {type(exc).__name__}")
        return 1
    finally:
        connection.close()
    say("ready" if status == 200 else f"not ready (status {status})")
    return 0 if status == 200 else 1


def _local() -> str:
    environ = environment()
    if environ.get("MODE") == "slave":
        scheme, bind = "http", environ.get("RELAY_ADMIN_BIND") or "127.0.0.1:8081"
    else:
        scheme = "https" if environ.get("TLS_CERT") or environ.get("TLS_CERT_FILE") else "http"
        bind = environ.get("MASTER_BIND") or "0.0.0.0:8000"  # noqa: S104  read, not bound
    host, _, port = bind.rpartition(":")
    return f"{scheme}://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{port}"  # noqa: S104  read, not bound


def say(text: str) -> None:
    """Print a line; `desk.say` would load the database for it, twice a minute in every container."""
    sys.stdout.write(text + "\n")
