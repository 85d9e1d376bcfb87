"""What nodes claim as their address: one plain form, and nothing that leads elsewhere."""

from __future__ import annotations

import ipaddress

import pytest

from airclass.domain.node_url import MAX_URL_CHARS, check_address, is_loopback, read_url
from relay.base.errors import RequestError

LAN = "10.0.0.5"


@pytest.mark.parametrize(
    ("claimed", "plain"),
    [
        ("http://relay.school.example", "http://relay.school.example"),
        ("http://Relay.School.example:8080/", "http://relay.school.example:8080"),
        ("https://relay.school.example/r/slave-1/", "https://relay.school.example/r/slave-1"),
        ("http://192.168.1.10:8080", "http://192.168.1.10:8080"),
        ("http://[2001:DB8::0:1]:8080", "http://[2001:db8::1]:8080"),
        ("http://[::ffff:192.168.1.10]:80", "http://192.168.1.10:80"),
        ("http://학교.kr:8080/r/*", "http://xn--9d0b527e.kr:8080/r/*"),
        ("http://relay.", "http://relay."),
        ("http://node-1", "http://node-1"),
        ("http://school1", "http://school1"),
    ],
)
def test_addresses_get_one_plain_form(claimed: str, plain: str) -> None:
    assert read_url(claimed, "NODE_PUBLIC_URL", LAN) == plain


@pytest.mark.parametrize(
    "claimed",
    [
        *("", "relay", "ftp://relay", "javascript:alert(1)", "http://", "http://:80", "http:///x"),
        *("http://user@host", "http://host?x=1", "http://host?", "http://host#x", "http://host:99999"),
        *("http://host:port", "http://[::1", "http://[fe80::1%25eth0]", "http://[x::1]", "http://a..b"),
        *("http://[v1.a:b]", "http://\u2603.kr", "http://a\u00b7b.kr"),
        *(
            "http://h;sandbox",
            "http://h,sandbox",
            "http://h;script-src",
            "http://h'x",
            'http://h"x',
            "http://h x",
        ),
        *("http://h\\evil", "http://h\n.kr", "http://h/a;b", 'http://h/"><script>', "http://h/\u202e"),
        *("http://-a.kr", "http://a_b.kr", "http://*.kr", "http://" + "a" * 64 + ".kr", "http://\u0378.kr"),
        "http://h/" + "x" * MAX_URL_CHARS,
        "http://" + "a." * 127 + "kr",
    ],
)
def test_what_is_no_plain_address_is_refused(claimed: str) -> None:
    with pytest.raises(RequestError) as refused:
        read_url(claimed, "NODE_PUBLIC_URL", LAN)
    assert refused.value.status == 400
    assert refused.value.reason.startswith("NODE_PUBLIC_URL ")


@pytest.mark.parametrize(
    "host",
    [
        *("127.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "1.2.3", "1.2.3.4.5", "256.1.1.1"),
        *("\uff11\uff12\uff17.1", "127.0.0.01", "a.1", "0x"),
    ],
)
def test_other_spellings_of_an_ipv4_address_are_refused(host: str) -> None:
    with pytest.raises(RequestError):
        read_url(f"http://{host}:80", "NODE_PUBLIC_URL", "127.0.0.1")


def test_full_width_digits_are_the_address_that_they_show() -> None:
    assert read_url("http://１９２.168.1.10", "x", LAN) == "http://192.168.1.10"
    with pytest.raises(RequestError, match="another machine"):
        read_url("http://１２７.0.0.1", "x", LAN)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "169.254.169.254",
            "[fe80::1]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::]",
        ),
        *("224.0.0.1", "0.0.0.0", "[::]", "[ff02::1]", "100.100.100.200", "192.0.0.192", "[fd00:ec2::254]"),
        *("metadata.google.internal", "METADATA.google.internal."),
    ],
)
def test_addresses_of_the_link_and_of_metadata_services_are_refused(host: str) -> None:
    with pytest.raises(RequestError, match="no address that students can reach"):
        read_url(f"http://{host}/", "NODE_PUBLIC_URL", "127.0.0.1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost", "relay.localhost", "localhost."]
)
def test_loopback_is_for_nodes_on_the_same_machine(host: str) -> None:
    with pytest.raises(RequestError, match="calls from another machine"):
        read_url(f"http://{host}:8080", "NODE_PUBLIC_URL", LAN)
    for peer in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        assert read_url(f"http://{host}:8080", "NODE_PUBLIC_URL", peer)


def test_addresses_that_names_lead_to_are_checked_alike() -> None:
    check_address(ipaddress.ip_address("10.0.0.7"), "x", LAN)
    for text in ("169.254.169.254", "127.0.0.1", "64:ff9b::7f00:1"):
        with pytest.raises(RequestError):
            check_address(ipaddress.ip_address(text), "x", LAN)
    assert [is_loopback(t) for t in ("127.0.0.1", LAN, "name", "")] == [True, False, False, False]
