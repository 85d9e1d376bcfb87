"""Which addresses count as one."""

from __future__ import annotations

import pytest

from relay.base.network import SITE_BITS, network_of


@pytest.mark.parametrize(
    ("address", "home", "site"),
    [
        ("192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::", "fe80::"),
        ("not:an:address", "not:an:address", "not:an:address"),
        ("", "", ""),
    ],
)
def test_a_household_has_one_ipv4_address_or_64_bits_of_ipv6(address: str, home: str, site: str) -> None:
    assert network_of(address) == home
    assert network_of(address, SITE_BITS) == site
