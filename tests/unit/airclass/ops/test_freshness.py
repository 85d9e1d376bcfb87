"""Gauges for the age of the backup and the end of the certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry

from airclass.ops.freshness import Freshness

if TYPE_CHECKING:
    from pathlib import Path

BACKUP = "airclass_backup_last_success_timestamp_seconds"
CERTIFICATE = "airclass_certificate_expires_timestamp_seconds"
END = datetime(2030, 1, 1, tzinfo=UTC)


def sample(name: str, data_dir: Path, certificate: Path | None = None) -> float | None:
    registry = CollectorRegistry()
    registry.register(Freshness(data_dir, certificate))
    return registry.get_sample_value(name)


def test_the_last_backup(tmp_path: Path) -> None:
    assert sample(BACKUP, tmp_path) == 0
    (tmp_path / "backup.json").write_text('{"at_s": 12.5, "size_bytes": 7}')
    assert sample(BACKUP, tmp_path) == 12.5
    assert sample("airclass_backup_size_bytes", tmp_path) == 7


@pytest.mark.parametrize("text", ["", "[]", '{"at_s": "x"}'])
def test_a_broken_note_is_no_backup(tmp_path: Path, text: str) -> None:
    (tmp_path / "backup.json").write_text(text)
    assert sample(BACKUP, tmp_path) == 0


def test_the_end_of_the_certificate(tmp_path: Path) -> None:
    assert sample(CERTIFICATE, tmp_path) is None
    path = tmp_path / "cert.pem"
    assert sample(CERTIFICATE, tmp_path, path) == 0
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "school")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(END - timedelta(days=1))
        .not_valid_after(END)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(Encoding.PEM))
    assert sample(CERTIFICATE, tmp_path, path) == END.timestamp()
