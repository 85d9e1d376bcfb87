"""Which children a machine runs, with which addresses, settings and files. Starts nothing."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airclass.config import MasterSettings, StandaloneSettings, load_standalone
from airclass.ingest.config import IngestSettings
from airclass.ingest.mediamtx import find_mediamtx
from airclass.ingest.ports import ANY, Reservation
from airclass.ops.config import OpsSettings
from airclass.run.restarting_process import RestartingProcess
from relay.base.errors import ConfigError
from relay.config import RelaySettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from relay.base.settings import Settings

LOOPBACK = "127.0.0.1"
SECRET_BYTES = 32
DRAIN_S = 1  # there is no other relay to go to
BINDS = (
    *("master_bind", "relay_bind", "relay_admin_bind"),
    *("ingest_rtmp_bind", "ingest_hls_bind", "ingest_api_bind"),
)
INSIDE_BINDS = frozenset({"relay_admin_bind", "ingest_hls_bind", "ingest_api_bind"})
# What any program may need to know of the machine it runs on. Beyond that, a child gets its own settings
# only: whoever breaks into a relay or an ingest finds no secret of the master there.
SURROUNDINGS = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "NO_COLOR", "COLUMNS", "LANG", "LANGUAGE"),
        *("TZ", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("LOG_LEVEL", "LOG_FORMAT"),
    }
)
SURROUNDING_PREFIXES = ("LC_", "PYTHON", "COVERAGE_")
MEDIAMTX_PREFIX = "MTX_"
# A relay with a master gets these, sealed, with its orders.
IN_ORDERS = frozenset({"HLS_CDN_SECRET", "VIEWER_KEY", "VIEWER_JWKS"})
# What a demo must not take over from an installation whose `.env` it happens to stand beside.
FOREIGN = (
    *("JWT_SECRET_KEY", "JWT_SECRET_KEY_PREVIOUS", "CLUSTER_SECRET", "HLS_CDN_SECRET", "VIEWER_KEY"),
    *("DATABASE_URL", "DATA_DIR", "ALERT_WEBHOOK", "TLS_CERT", "TLS_KEY", "CORS_ORIGINS", "MODE"),
    *("MASTER_URL", "NODE_ID", "NODE_PUBLIC_URL", "NODE_ZONE", "NODE_KEY", "NODE_JOIN", "TRUSTED_PROXIES"),
    *("INGEST_HLS_URL", "INGEST_API_URL", "INGEST_RTMP_PUBLIC_URL"),
)


@dataclass(frozen=True)
class ProcessPlan:
    """Everything that is decided before the first child starts."""

    settings: StandaloneSettings
    environ: Mapping[str, str]
    ports: Reservation
    folder: Path
    mediamtx: Path | None
    demo: bool = False
    quiet: bool = False

    @property
    def ingest_kind(self) -> str:
        """`mediamtx` or `embedded`."""
        return "mediamtx" if self.mediamtx else "embedded"

    @property
    def scheme(self) -> str:
        """http, or https with TLS_CERT."""
        return "https" if self.settings.tls_cert else "http"

    @property
    def master_url(self) -> str:
        """The address that people open."""
        return self.settings.master_url or f"{self.scheme}://{self.ports['MASTER_BIND'].public}"

    @property
    def inner_master_url(self) -> str:
        """The address that children and ourselves use; with TLS the one that the certificate names."""
        if self.settings.tls_cert:
            return self.master_url
        return f"http://{self.ports['MASTER_BIND'].local}"

    @property
    def relay_url(self) -> str:
        """The address that students' players use."""
        told = self.environ.get("NODE_PUBLIC_URL", "").rstrip("/")
        return told or f"{self.scheme}://{self.ports['RELAY_BIND'].public}"

    @property
    def relay_admin_url(self) -> str:
        """The relay's own port."""
        return f"http://{self.ports['RELAY_ADMIN_BIND'].local}"

    @property
    def hls_url(self) -> str:
        """Where the relay pulls from, without a path."""
        return f"http://{self.ports['INGEST_HLS_BIND'].local}"

    @property
    def rtmp_server_url(self) -> str:
        """Where teachers push to, without a path."""
        return self.settings.ingest_rtmp_public_url or f"rtmp://{self.ports['INGEST_RTMP_BIND'].public}"

    def _job(self, name: str, settings: frozenset[str], *args: str, **env: str) -> RestartingProcess:
        # what is given by value must not also be read from a file that `.env` names
        by_value = {f"{setting}_FILE": "" for setting in env}
        return RestartingProcess(
            name,
            (sys.executable, "-m", *args),
            {**childs_environ(self.environ, settings), **by_value, **env},
            self.folder / f"{name}.json",
            self.folder / f"{name}.log" if self.quiet else None,
        )

    def ingest(self) -> RestartingProcess:
        """MediaMTX, or the embedded one."""
        options = [
            *("--rtmp", self.ports["INGEST_RTMP_BIND"].bind, "--hls", self.ports["INGEST_HLS_BIND"].bind),
            *("--api", self.ports["INGEST_API_BIND"].bind),
            *("--ready-file", str(self.folder / "ingest.json")),
        ]
        if self.mediamtx:
            options += ["--auth-url", f"{self.inner_master_url}/hooks/mediamtx/auth"]
        module = f"airclass.ingest.{self.ingest_kind}"
        secret = self.settings.hls_cdn_secret
        assert secret is not None
        path = {"MEDIAMTX_PATH": str(self.mediamtx)} if self.mediamtx else {}
        job = self._job(
            "ingest",
            _names(IngestSettings),
            module,
            *options,
            HLS_CDN_SECRET=secret.get_secret_value(),
            **path,
        )
        mtx = {name: value for name, value in self.environ.items() if name.startswith(MEDIAMTX_PREFIX)}
        return replace(job, env={**mtx, **job.env})

    def master(self) -> RestartingProcess:
        """The control plane."""
        return self._job(
            "master",
            _names(MasterSettings),
            *("airclass.cli.app", "master", "--ready-file", str(self.folder / "master.json")),
            MASTER_BIND=self.ports["MASTER_BIND"].bind,
            MASTER_URL=self.master_url,
            INGEST_HLS_URL=self.hls_url,
            INGEST_API_URL=f"http://{self.ports['INGEST_API_BIND'].local}",
            INGEST_RTMP_PUBLIC_URL=self.rtmp_server_url,
        )

    def relay(self) -> RestartingProcess:
        """The one relay."""
        return self._job(
            "relay",
            _names(RelaySettings) - IN_ORDERS,
            *("relay", "--ready-file", str(self.folder / "relay.json")),
            MASTER_URL=self.inner_master_url,
            NODE_ID=self.environ.get("NODE_ID", "") or ("demo" if self.demo else "standalone"),
            NODE_PUBLIC_URL=self.relay_url,
            RELAY_BIND=self.ports["RELAY_BIND"].bind,
            RELAY_ADMIN_BIND=self.ports["RELAY_ADMIN_BIND"].bind,
            DRAIN_S=str(DRAIN_S),
        )

    def teacher(self, rtmp_url: str) -> RestartingProcess:
        """The synthetic teacher of the demo; it has nothing to be ready with."""
        # Not as an argument: the address holds the stream key, and everybody can list arguments.
        args = ("airclass.ingest.teacher", "--size", "1280x720")
        job = self._job("teacher", frozenset(), *args, TEACH_TO=rtmp_url)
        return RestartingProcess(job.name, job.args, job.env, None, job.output)


def _names(*models: type[Settings]) -> frozenset[str]:
    return frozenset(field.upper() for model in models for field in model.model_fields)


_ALL = _names(StandaloneSettings, RelaySettings, IngestSettings, OpsSettings)


def childs_environ(environ: Mapping[str, str], settings: frozenset[str]) -> dict[str, str]:
    """Return the environment of a child that reads these settings.

    All other settings are there and empty, so that the child does not take them from `.env` either.
    """
    allowed = SURROUNDINGS | settings | {f"{name}_FILE" for name in settings}
    withheld = {name + suffix: "" for name in _ALL - settings for suffix in ("", "_FILE")}
    kept = {n: v for n, v in environ.items() if n in allowed or n.startswith(SURROUNDING_PREFIXES)}
    return {**withheld, **kept}


def demo_environ(environ: Mapping[str, str], folder: Path, *, public: bool) -> dict[str, str]:
    """Return the settings of a demo: secrets and data of its own, on loopback unless `public`."""
    own = {
        **{name + suffix: "" for name in FOREIGN for suffix in ("", "_FILE")},
        "DEMO": "true",
        "DATA_DIR": str(folder / "data"),
        **{
            name: secrets.token_hex(SECRET_BYTES)
            for name in ("JWT_SECRET_KEY", "CLUSTER_SECRET", "HLS_CDN_SECRET")
        },
    }
    for name in BINDS:
        bind = environ.get(name.upper(), "") or StandaloneSettings.model_fields[name].default
        host = "0.0.0.0" if public and name not in INSIDE_BINDS else LOOPBACK  # noqa: S104 - asked for
        own[name.upper()] = f"{host}:{bind.rpartition(':')[2]}"
    return {**environ, **own}


def standalone_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of an installation; the secret between ingest and relay is made when absent."""
    own = dict(environ)
    if not (own.get("HLS_CDN_SECRET") or own.get("HLS_CDN_SECRET_FILE")):
        own["HLS_CDN_SECRET"] = secrets.token_hex(SECRET_BYTES)
    return own


def settle(environ: Mapping[str, str]) -> tuple[StandaloneSettings, Path | None]:
    """Return the checked settings and the MediaMTX to run (None: the embedded ingest).

    Raises ConfigError for settings that cannot work, StartError for a MediaMTX that is asked for and
    cannot be run.
    """
    settings = load_standalone(environ)
    if settings.tls_cert and not settings.master_url:
        raise ConfigError(["MASTER_URL is missing: with TLS_CERT, set it to the address in the certificate"])
    if settings.ingest == "embedded":
        return settings, None
    return settings, find_mediamtx(
        settings.mediamtx_path, environ.get("PATH", ""), needed=settings.ingest == "mediamtx"
    )


def reserve(settings: StandaloneSettings, *, mediamtx: bool, any_port: bool) -> Reservation:
    """Take all the ports, any free ones if so wished; ConfigError names those that cannot be had."""
    binds = {name: getattr(settings, name) for name in BINDS}
    if not mediamtx and binds["ingest_rtmp_bind"].rpartition(":")[0].strip("[]") in ANY:
        # The embedded ingest checks no key, so nobody else may reach it.
        binds["ingest_rtmp_bind"] = f"{LOOPBACK}:{binds['ingest_rtmp_bind'].rpartition(':')[2]}"
    if any_port:
        binds = {name: f"{bind.rpartition(':')[0]}:0" for name, bind in binds.items()}
    return Reservation({name.upper(): bind for name, bind in binds.items()})
