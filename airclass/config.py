"""Settings of the master and of the supervisor: the one place where their names, units and defaults are.

A relay reads its own settings (`relay/config.py`); `.env.example` documents all of them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from relay.base import settings as base
from relay.base.tokens import MIN_KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_SECRET_BYTES = MIN_KEY_BYTES
MAX_ORIGINS = 2
_CDN_SECRET = re.compile(r"[A-Za-z0-9!$()*+.;<=>\[\]^_\-{}@#&]+")
HOW_TO_MAKE = "make one with: openssl rand -hex 32"


def _commas(value: object) -> object:
    return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value


def _long_enough(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value().encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"is shorter than {MIN_SECRET_BYTES} bytes: {HOW_TO_MAKE}")
    return secret


def _cdn_charset(secret: SecretStr) -> SecretStr:
    if not _CDN_SECRET.fullmatch(secret.get_secret_value()):
        raise ValueError(f"holds characters that MediaMTX refuses: {HOW_TO_MAKE}")
    return secret


def _http_url(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^/\s@?#]+(/[^\s?#]*)?", value):
        raise ValueError("is not an address of the form http://host:port")
    return value.rstrip("/")


def _rtmp_url(value: str) -> str:
    if value and not re.fullmatch(r"rtmps?://[^/\s@?#]+(/[^\s?#]*)?", value):
        raise ValueError("is not an address of the form rtmp://host:1935")
    return value.rstrip("/").removesuffix("/live")


def _bind(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("is not of the form HOST:PORT, such as 0.0.0.0:8000 (port 0: the kernel chooses)")
    return value


Commas = Annotated[tuple[str, ...], BeforeValidator(_commas)]
Secret = Annotated[SecretStr, AfterValidator(_long_enough)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
HttpUrls = Annotated[tuple[HttpUrl, ...], BeforeValidator(_commas)]
Bind = Annotated[str, AfterValidator(_bind)]


class MasterSettings(base.Settings):
    """What the master and the commands on its database need."""

    mode: Literal["standalone", "master", "slave"] = "standalone"
    jwt_secret_key: Secret
    jwt_secret_key_previous: Secret | None = None
    token_alg: Literal["HS256", "EdDSA"] = "HS256"  # noqa: S105  the name of a way, no secret
    cluster_secret: Secret
    cors_origins: Commas = ()
    master_bind: Bind = "0.0.0.0:8000"
    master_url: HttpUrl = ""
    ingest_hls_url: HttpUrls = ("http://127.0.0.1:8888",)
    ingest_api_url: HttpUrls = ()
    ingest_rtmp_public_url: Annotated[str, AfterValidator(_rtmp_url)] = ""
    hls_cdn_secret: Annotated[SecretStr, AfterValidator(_cdn_charset)] | None = None
    database_url: SecretStr | None = None
    data_dir: Path = Path("data")
    alert_webhook: SecretStr | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    health_interval_s: float = Field(default=30.0, ge=1, le=3600)
    heartbeat_interval_s: float = Field(default=2.0, ge=0.2, le=5)
    metrics_public: bool = False
    trusted_proxies: Commas = ()
    trust_node_zone: bool = True
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    demo: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> MasterSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("TLS_CERT and TLS_KEY belong together: set both or neither")
        if len(self.ingest_hls_url) > MAX_ORIGINS:
            raise ValueError(f"INGEST_HLS_URL lists more than {MAX_ORIGINS} addresses")
        if len(self.ingest_api_url) > len(self.ingest_hls_url):
            raise ValueError("INGEST_API_URL lists more addresses than INGEST_HLS_URL: one for each is meant")
        return self

    @property
    def database(self) -> str:
        """The database's URL as SQLAlchemy wants it; SQLite in `data_dir` unless one is set."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir / 'airclass.sqlite3'}"
        url = self.database_url.get_secret_value()
        return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url)


class StandaloneSettings(MasterSettings):
    """What the supervisor of a standalone machine needs besides."""

    ingest: Literal["auto", "mediamtx", "embedded"] = "auto"
    mediamtx_path: Path | None = None
    ingest_rtmp_bind: Bind = "0.0.0.0:1935"
    ingest_hls_bind: Bind = "127.0.0.1:8888"
    ingest_api_bind: Bind = "127.0.0.1:9997"
    relay_bind: Bind = "0.0.0.0:8080"
    relay_admin_bind: Bind = "127.0.0.1:8081"


def load_master(environ: Mapping[str, str] | None = None, **overrides: object) -> MasterSettings:
    """Return the master's settings, or raise one ConfigError naming every problem."""
    environ = base.environment() if environ is None else environ
    return base.load(MasterSettings, environ, overrides=overrides)


def load_standalone(environ: Mapping[str, str] | None = None, **overrides: object) -> StandaloneSettings:
    """Return the supervisor's settings, or raise one ConfigError naming every problem."""
    environ = base.environment() if environ is None else environ
    return base.load(StandaloneSettings, environ, overrides=overrides)
