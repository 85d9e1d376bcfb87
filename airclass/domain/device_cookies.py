"""Device cookies: a signed, long-lived proof that somebody has signed in with a browser before.

Wrong passwords from a school's address slow everybody at this address down. A browser with a device
cookie for the account has a count of its own instead, so that a student cannot lock a teacher out. The
cookie opens nothing by itself: the password is still needed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from relay.base.signing import derive

DEVICE_S = 365 * 86400.0
MAC_BYTES = 16
_VALUE = re.compile(r"([0-9a-f]{24})\.(\d{1,12})\.([A-Za-z0-9_-]{22})")


class DeviceCookies:
    """Makes and checks device cookies with the current secret, and checks with the previous one."""

    def __init__(self, secret: bytes, previous: bytes | None = None) -> None:
        secrets = [secret] if previous is None else [secret, previous]
        self._keys = [derive(s, "airclass device cookie") for s in secrets]

    def make(self, user_id: str, device_id: str, wall_s: float) -> str:
        """Return the cookie of a device (24 hex digits) on which this account has just signed in."""
        until_s = int(wall_s + DEVICE_S)
        return f"{device_id}.{until_s}.{_mac(self._keys[0], user_id, device_id, until_s)}"

    def read(self, user_id: str, value: str, wall_s: float) -> str:
        """Return the device's id, or nothing when the cookie is another account's, forged or too old."""
        match = _VALUE.fullmatch(value)
        if match is None or int(match[2]) < wall_s:
            return ""
        wanted = [_mac(key, user_id, match[1], int(match[2])) for key in self._keys]
        found = [hmac.compare_digest(mac, match[3]) for mac in wanted]
        return match[1] if any(found) else ""


def _mac(key: bytes, user_id: str, device_id: str, until_s: int) -> str:
    text = f"{user_id}\n{device_id}\n{until_s}".encode()
    digest = hmac.new(key, text, hashlib.sha256).digest()[:MAC_BYTES]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
