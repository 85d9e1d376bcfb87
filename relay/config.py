"""The relay's settings: one frozen object, from the environment, `.env` and the command line."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from relay.base.enrolment import read_join_link, read_node_key
from relay.base.errors import ConfigError
from relay.base.jwks import read_jwks
from relay.base.settings import Settings

if TYPE_CHECKING:
    from relay.base.tokens import Key

MIN_SECRET_BYTES = 32


class RelaySettings(Settings):
    """What a relay reads from its environment; `.env.example` tells each one's effect."""

    master_url: str = ""
    node_id: str = ""
    node_public_url: str = ""
    node_zone: str = ""
    node_key: SecretStr | None = None
    node_key_file: Path | None = None
    node_join: SecretStr | None = None
    data_dir: Path = Path("data")
    relay_bind: str = "0.0.0.0:8080"  # noqa: S104 - students come from outside
    relay_admin_bind: str = "127.0.0.1:8081"
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 150
    max_egress_mbps: Annotated[float, Field(ge=0, le=1_000_000)] = 0
    max_addresses_per_token: Annotated[int, Field(ge=0, le=64)] = 8
    max_seats_per_address: Annotated[int, Field(ge=0, le=100_000)] = 50
    cluster_secret: SecretStr | None = None
    cors_origins: str = "*"
    viewer_key: SecretStr | None = None
    viewer_jwks: str = ""
    hls_cdn_secret: SecretStr | None = None
    heartbeat_interval_s: Annotated[float, Field(ge=0.2, le=30)] = 2.0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    cache_mb: Annotated[int, Field(ge=8, le=65_536)] = 256
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 30.0
    hold_limit: Literal["unchanged", "503"] = "unchanged"
    audio_independent: Literal["first", "as-origin"] = "first"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"

    @field_validator("relay_bind", "relay_admin_bind")
    @classmethod
    def _address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise ValueError("write HOST:PORT, for example 0.0.0.0:8080 (port 0: the kernel chooses)")
        return value

    @field_validator("master_url", "node_public_url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in ("http", "https") or not urlsplit(value).hostname):
            raise ValueError("write a whole address, for example http://192.168.1.10:8000")
        return value.rstrip("/")

    @field_validator("viewer_key", "cluster_secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"needs at least {MIN_SECRET_BYTES} bytes: make one with openssl rand -hex 32")
        return value

    @field_validator("viewer_jwks")
    @classmethod
    def _keys(cls, value: str) -> str:
        try:
            return value if not value or read_jwks(value) else ""
        except ConfigError as exc:
            raise ValueError(exc.problems[0].removeprefix("VIEWER_JWKS ")) from None

    @field_validator("node_key")
    @classmethod
    def _node_key(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            return value if value is None or read_node_key(value.get_secret_value()) else None
        except ConfigError as exc:
            raise ValueError(exc.problems[0].removeprefix("NODE_KEY ")) from None

    @field_validator("node_join")
    @classmethod
    def _join_link(cls, value: SecretStr | None) -> SecretStr | None:
        try:
            return value if value is None or read_join_link(value.get_secret_value()) else None
        except ConfigError as exc:
            raise ValueError(exc.problems[0].removeprefix("--join ")) from None

    @model_validator(mode="before")
    @classmethod
    def _master_of_join(cls, values: dict[str, object]) -> dict[str, object]:
        join = values.get("node_join")
        if isinstance(join, str) and not values.get("master_url"):
            return {**values, "master_url": join.partition("#")[0]}
        return values

    @model_validator(mode="after")
    def _pairs(self) -> RelaySettings:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("TLS_CERT and TLS_KEY go together: set both or neither")
        return self

    @property
    def keys(self) -> tuple[Key, ...]:
        """What viewer tokens are checked with where no master says it."""
        secret = (self.viewer_key.get_secret_value().encode(),) if self.viewer_key else ()
        return (*secret, *(read_jwks(self.viewer_jwks) if self.viewer_jwks else ()))

    @property
    def cors(self) -> tuple[str, ...]:
        """The web origins that may play, `*` for any."""
        return tuple(part.strip() for part in self.cors_origins.split(",") if part.strip())

    @property
    def zone(self) -> tuple[str, ...]:
        """The networks (CIDR) that this node serves first."""
        return tuple(part.strip() for part in self.node_zone.split(",") if part.strip())

    @property
    def node_name(self) -> str:
        """NODE_ID, or this machine's name."""
        return self.node_id or socket.gethostname()


def split_address(bind: str) -> tuple[str, int]:
    """Return (host, port) of HOST:PORT; an IPv6 host may stand in brackets."""
    host, _, port = bind.rpartition(":")
    return host.strip("[]"), int(port)
