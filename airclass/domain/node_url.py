"""Addresses that nodes claim: read into one plain form, or refused with what is wrong with them.

The master calls them, and prints them into headers and playlists. So only letters, digits, dots and
dashes are a name, in the form that DNS has them (IDNA), and numbers are an IPv4 address only when they are
written as one. Names are checked once more when they are resolved: `check_address`.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import idna

from airclass.domain.routing import Address, read_address
from relay.base.errors import RequestError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

MAX_URL_CHARS = 300
_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?")
# What resolvers and browsers take for an IPv4 address: 127.1, 2130706433, 0x7f.1
_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?")
_PATH = re.compile(r"[A-Za-z0-9._~%:@+/*-]*")
_METADATA_NAMES = frozenset({"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"})
_METADATA = frozenset(
    (
        IPv4Address("100.100.100.200"),  # Alibaba
        IPv4Address("192.0.0.192"),  # Oracle
        IPv6Address("fd00:ec2::254"),  # Amazon; the others are link-local
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def read_url(url: str, what: str, peer: str) -> str:
    """Return an address as `http://host:port/path` without a slash at its end; RequestError with its fault.

    `what` names the setting, `peer` is the address from which the node calls.
    """
    parts, port = _split(url)
    host = _host(parts, what) if parts is not None else ""
    if parts is None or parts.scheme not in ("http", "https") or not host:
        raise RequestError(400, f"{what} is not an address of the form http://host:port.")
    if "@" in parts.netloc or "?" in url or "#" in url or not _PATH.fullmatch(parts.path):
        raise RequestError(400, f"{what} holds characters that no address of a node has.")
    address = read_address(host)
    if address is not None:
        check_address(address, what, peer)
        host = f"[{host}]" if ":" in host else host
    elif host.rstrip(".") in _METADATA_NAMES:
        raise RequestError(400, f"{what} is {host}, which is no address that students can reach.")
    elif host.rstrip(".").rpartition(".")[2] == "localhost":
        check_address(IPv4Address("127.0.0.1"), what, peer)
    return f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}".rstrip("/")


def check_address(address: Address, what: str, peer: str) -> None:
    """Refuse an address that the master must not call, whether a node claims it or its name leads there.

    Loopback is fine for a node that calls from loopback itself.
    """
    for found in _meanings(address):
        if found.is_link_local or found.is_multicast or found.is_unspecified or found in _METADATA:
            raise RequestError(400, f"{what} is {address}, which is no address that students can reach.")
        if found.is_loopback and not is_loopback(peer):
            raise RequestError(
                400, f"{what} is {address}, but the node calls from another machine: set its own."
            )


def is_loopback(text: str) -> bool:
    """Tell whether an address is one of the machine itself."""
    address = read_address(text)
    return address is not None and address.is_loopback


def _split(url: str) -> tuple[SplitResult | None, int | None]:
    if len(url) > MAX_URL_CHARS or not url.isprintable():
        return None, None
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        return None, None


def _host(parts: SplitResult, what: str) -> str:
    """Return the host in the form that DNS and headers have; empty when it is none."""
    typed = parts.hostname or ""
    if ":" in typed:
        try:
            address = IPv6Address(typed)
        except ValueError:
            return ""
        return "" if "%" in typed else str(address.ipv4_mapped or address)
    try:
        host = typed if typed.isascii() else idna.encode(typed, uts46=True).decode()
    except idna.IDNAError:
        return ""
    if not _NAME.fullmatch(host) or len(host) > 253:
        return ""
    if _NUMBER.fullmatch(host):
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise RequestError(
                400, f"{what} is {typed}: write an IPv4 address as four numbers, such as 192.168.1.10."
            ) from None
    return host


def _meanings(address: Address) -> list[Address]:
    """Return an address, and the IPv4 address that is wrapped into it."""
    found: list[Address] = [address]
    if isinstance(address, IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inside = IPv4Address(int(address) & 0xFFFFFFFF)
        if inside is not None:
            found.append(inside)
    return found
