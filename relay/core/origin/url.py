"""Addresses of origins: which ones are acceptable, and what a URI in a playlist means.

Nothing here reaches the network. A relay asks one origin only: scheme, host and port of every
address must be the origin's own, whatever a playlist or a redirect says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from relay.base.errors import ConfigError, OriginError

MAX_URL_CHARS = 4096
REFUSED = "an address was refused"
_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]+")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_UNCHANGED = "/:?#[]@!$&'()*+,;=%~"


@dataclass(frozen=True, slots=True)
class OriginUrl:
    """Where a stream comes from; `target` is path and query as they stand in a request line."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header wants them (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The whole address."""
        return f"{self.scheme}://{self.authority}{self.target}"

    def same_server(self, other: OriginUrl) -> bool:
        """Tell whether scheme, host and port are equal."""
        return (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)


def parse_origin(url: str) -> OriginUrl:
    """Return the parts of an origin's address; raises ConfigError when it cannot be one."""
    try:
        return locate(url)
    except OriginError as exc:
        raise ConfigError(
            [exc.reason.replace("an address was refused", "the origin's address is refused")]
        ) from None


def locate(url: str) -> OriginUrl:
    """Return the parts of an absolute http or https URL; raises OriginError (refused)."""
    parts = _split(url)
    try:
        port = parts.port
    except ValueError:
        raise _refused("its port is not a number from 1 to 65535") from None
    host = parts.hostname or ""
    if parts.scheme not in _PORTS:
        raise _refused("only http and https are allowed")
    if "@" in parts.netloc:
        raise _refused("it holds a user name or password: give a bearer token instead")
    if port == 0 or not _HOST.fullmatch(host):
        raise _refused("its host or port is missing or malformed")
    target = quote(parts.path or "/", safe=_UNCHANGED)
    if parts.query:
        target += "?" + quote(parts.query, safe=_UNCHANGED)
    return OriginUrl(parts.scheme, host, port or _PORTS[parts.scheme], target)


def server_of(url: str) -> str:
    """Return scheme, host and port of an address, for people: path and query may hold a token."""
    try:
        origin = locate(url)
    except OriginError:
        return "an address that cannot be used"
    return f"{origin.scheme}://{origin.authority}"


def resolve(base_url: str, uri: str) -> str:
    """Return the absolute URL that `uri` means in a playlist at `base_url` (RFC 3986 §5).

    Raises OriginError (refused) for other schemes than http and https and for control characters.
    """
    scheme = _SCHEME.match(uri)
    if scheme and scheme[1].lower() not in _PORTS:
        raise _refused("only http and https are allowed")
    _split(uri)
    try:
        joined = urljoin(base_url, uri, allow_fragments=False)
    except ValueError:
        raise _refused("it is malformed") from None
    return locate(joined).url


def _split(url: str) -> SplitResult:
    """Split a URL once nothing in it could be read in two ways."""
    if len(url) > MAX_URL_CHARS:
        raise _refused(f"it is longer than {MAX_URL_CHARS} characters")
    if _FORBIDDEN.search(url):
        raise _refused("it holds control characters or a backslash")
    try:
        return urlsplit(url)
    except ValueError:
        raise _refused("it is malformed") from None


def _refused(why: str) -> OriginError:
    return OriginError(f"{REFUSED}: {why}", "refused")
