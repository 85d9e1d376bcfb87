"""What players say about themselves: Common Media Client Data in the query (CTA-5004).

Reads the few keys that tell how a viewer fares. Never part of a cache key, never forwarded.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

MAX_CMCD_BYTES = 2048
LATENCY_KEY = b"edu.lat-ms"


@dataclass(frozen=True, slots=True)
class Cmcd:
    """One request's data: -1 or empty where nothing was said."""

    buffer_ms: int = -1
    throughput_kbps: int = -1
    latency_ms: int = -1
    starved: bool = False
    session: str = ""


NOTHING = Cmcd()


def parse(query: bytes) -> Cmcd:
    """Read the CMCD key of a query; anything unreadable counts as not said (CTA-5004 §3)."""
    start = query.find(b"CMCD=")
    if start < 0:
        return NOTHING
    raw = query[start + 5 :].partition(b"&")[0][:MAX_CMCD_BYTES]
    values: dict[bytes, bytes] = {}
    for pair in unquote_to_bytes(raw).split(b","):
        key, _, value = pair.partition(b"=")
        values[key.strip()] = value.strip(b' "()')
    return Cmcd(
        buffer_ms=_number(values.get(b"bl")),
        throughput_kbps=_number(values.get(b"mtp")),
        latency_ms=_number(values.get(LATENCY_KEY)),
        starved=b"bs" in values,
        session=values.get(b"sid", b"")[:64].decode("ascii", "replace"),
    )


def _number(value: bytes | None) -> int:
    return int(value) if value and value.isdigit() and len(value) < 10 else -1
