"""A certificate that a TLS server takes."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from benchmarks.servers.certificate import self_signed

if TYPE_CHECKING:
    from pathlib import Path


def test_the_certificate_is_taken(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
