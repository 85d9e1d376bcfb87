"""The viewers' TLS context: read from two files, read again when they change.

New connections get the new certificate, old ones keep theirs. Files that cannot be read after a
change are reported once, and the last good certificate stays in use.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

from relay.base.errors import StartError

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

CHECK_S = 2.0

_Stamp = tuple[tuple[int, int, int], ...]


class TlsContext:
    """Holds the context of TLS_CERT (chain) and TLS_KEY; raises StartError when it has none to begin with."""

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self._checked_s = 0.0
        self.reloads = 0
        try:
            self._stamp = self._look()
            self._context = self._load()
        except (OSError, ValueError) as exc:
            raise StartError(
                f"TLS_CERT and TLS_KEY cannot be used ({_why(exc)}): give a PEM chain and its unencrypted key"
            ) from None

    def current(self, now_s: float) -> ssl.SSLContext:
        """Return the context for a new connection; looks at the files every CHECK_S at most."""
        if now_s - self._checked_s >= CHECK_S:
            self._checked_s = now_s
            self._refresh()
        return self._context

    def _refresh(self) -> None:
        try:
            stamp = self._look()
        except OSError:
            return  # within a replacement one file may be missing: the next look decides
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._context = self._load()
        except (OSError, ValueError) as exc:
            log.warning("tls.kept file=%s reason=%s", self._cert, _why(exc))
        else:
            self.reloads += 1
            log.info("tls.reloaded file=%s", self._cert)

    def _look(self) -> _Stamp:
        found = [path.stat() for path in (self._cert, self._key)]
        return tuple((s.st_mtime_ns, s.st_size, s.st_ino) for s in found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        # Without a password callback OpenSSL would ask at the terminal, and stop the relay.
        context.load_cert_chain(self._cert, self._key, password=_no_password)
        return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _why(exc: Exception) -> str:
    """Return the reason without OpenSSL's source lines."""
    if isinstance(exc, ssl.SSLError):
        return str(exc.reason or "not PEM").lower().replace("_", " ")
    return str(getattr(exc, "strerror", None) or exc)
