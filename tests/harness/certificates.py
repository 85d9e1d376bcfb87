"""Self-signed certificates, by openssl."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost and its key into a folder; returns both paths."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        + ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=localhost"]
        + ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )
    return cert, key


def named(folder: Path, name: str, *, password: str = "") -> tuple[Path, Path]:
    """Write a certificate for a name and its key, encrypted if there is a password; returns both paths."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    secrecy = ["-passout", f"pass:{password}"] if password else ["-nodes"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *secrecy]
        + ["-keyout", key, "-out", cert, "-days", "2", "-subj", f"/CN={name}"],
        check=True,
        capture_output=True,
    )
    return cert, key
