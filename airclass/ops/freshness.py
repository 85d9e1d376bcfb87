"""Two facts for Prometheus that no request changes: how old the backup is, when the certificate ends."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from cryptography import x509
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from airclass.io.backup_record import read_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client import Metric

MAX_CERTIFICATE_BYTES = 256 * 1024


class Freshness(Collector):
    """Reads the two small files whenever it is asked; a file that is missing or broken counts as 0."""

    def __init__(self, data_dir: Path, tls_cert: Path | None) -> None:
        self._data_dir = data_dir
        self._certificate = tls_cert

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        note = read_record(self._data_dir)
        yield _gauge(
            "airclass_backup_last_success_timestamp_seconds",
            "When the last backup was finished; 0: never.",
            note.at_s,
        )
        yield _gauge("airclass_backup_size_bytes", "Size of the last backup.", note.size_bytes)
        if self._certificate is not None:
            yield _gauge(
                "airclass_certificate_expires_timestamp_seconds",
                "When the certificate in TLS_CERT ends; 0: it cannot be read.",
                certificate_end_s(self._certificate),
            )


def certificate_end_s(path: Path) -> float:
    """Return when a PEM certificate ends (Unix time), 0 when it cannot be read."""
    try:
        with path.open("rb") as file:
            certificate = x509.load_pem_x509_certificate(file.read(MAX_CERTIFICATE_BYTES))
    except (OSError, ValueError):
        return 0.0
    return certificate.not_valid_after_utc.astimezone(UTC).timestamp()


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=value)
