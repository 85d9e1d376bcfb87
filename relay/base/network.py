"""The network that an address belongs to: what one household, school or attacker has in full."""

from __future__ import annotations

from ipaddress import IPv6Address

HOME_BITS = 64
SITE_BITS = 48


def network_of(address: str, bits: int = HOME_BITS) -> str:
    """Return an IPv4 address as it is, and the first `bits` of an IPv6 one.

    Providers give at least a /64 to everybody, so limits by whole IPv6 addresses limit nobody.
    """
    if ":" not in address:
        return address
    try:
        numeric = IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    shift = 128 - bits
    return str(numeric.ipv4_mapped or IPv6Address(int(numeric) >> shift << shift))
