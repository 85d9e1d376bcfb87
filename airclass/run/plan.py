"""Which children a machine runs, with which addresses, settings and files. Starts nothing."""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airclass.config import StandaloneSettings, load_standalone
from airclass.ingest.mediamtx import find_mediamtx
from airclass.ingest.ports import ANY, Reservation
from airclass.run.restarting_process import RestartingProcess
from relay.base.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LOOPBACK = "127.0.0.1"
SECRET_BYTES = 32
DRAIN_S = 1  # there is no other relay to go to
BINDS = (
    *("master_bind", "relay_bind", "relay_admin_bind"),
    *("ingest_rtmp_bind", "ingest_hls_bind", "ingest_api_bind"),
)
INSIDE_BINDS = frozenset({"relay_admin_bind", "ingest_hls_bind", "ingest_api_bind"})
# What a demo must not take over from an installation whose `.env` it happens to stand beside.
FOREIGN = (
    *("JWT_SECRET_KEY", "JWT_SECRET_KEY_PREVIOUS", "CLUSTER_SECRET", "HLS_CDN_SECRET", "VIEWER_KEY"),
    *("DATABASE_URL", "DATA_DIR", "ALERT_WEBHOOK", "TLS_CERT", "TLS_KEY", "CORS_ORIGINS", "MODE"),
    *("MASTER_URL", "NODE_ID", "NODE_PUBLIC_URL", "NODE_ZONE", "TRUSTED_PROXIES"),
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

    def _job(self, name: str, *args: str, **env: str) -> RestartingProcess:
        # what is given by value must not also be read from a file that `.env` names
        by_value = {f"{setting}_FILE": "" for setting in env}
        return RestartingProcess(
            name,
            (sys.executable, "-m", *args),
            {**self.environ, **by_value, **env},
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
        return self._job("ingest", module, *options, HLS_CDN_SECRET=secret.get_secret_value(), **path)

    def master(self) -> RestartingProcess:
        """The control plane."""
        return self._job(
            *("master", "airclass.cli.app", "master", "--ready-file", str(self.folder / "master.json")),
            MASTER_BIND=self.ports["MASTER_BIND"].bind,
            MASTER_URL=self.master_url,
            INGEST_HLS_URL=self.hls_url,
            INGEST_API_URL=f"http://{self.ports['INGEST_API_BIND'].local}",
            INGEST_RTMP_PUBLIC_URL=self.rtmp_server_url,
        )

    def relay(self) -> RestartingProcess:
        """The one relay."""
        return self._job(
            *("relay", "relay", "--ready-file", str(self.folder / "relay.json")),
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
        job = self._job("teacher", "airclass.ingest.teacher", "--size", "1280x720", TEACH_TO=rtmp_url)
        return RestartingProcess(job.name, job.args, job.env, None, job.output)


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
