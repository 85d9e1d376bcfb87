"""Settings of the commands that look after an installation: monitor, backup, restore, doctor."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import SecretStr

from airclass.config import Bind, HttpUrl
from airclass.domain.tokens import TokenIssuer, TokenKind
from relay.base import settings as base

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN_TOKEN_LIFE_S = 300.0


class OpsSettings(base.Settings):
    """What these commands read; none of it is required, so that they work on a broken machine too."""

    mode: Literal["standalone", "master", "slave"] = "standalone"
    master_url: HttpUrl = ""
    master_bind: Bind = "0.0.0.0:8000"
    monitor_token: SecretStr | None = None
    jwt_secret_key: SecretStr | None = None
    alert_webhook: SecretStr | None = None
    data_dir: Path = Path("data")
    database_url: SecretStr | None = None
    tls_cert: Path | None = None
    backup_passphrase: SecretStr | None = None

    @property
    def master_address(self) -> str:
        """MASTER_URL, or where a master on this machine listens."""
        scheme = "https" if self.tls_cert else "http"
        return self.master_url or f"{scheme}://localhost:{self.master_bind.rpartition(':')[2]}"

    @property
    def has_token(self) -> bool:
        """Tell whether the master can be asked for more than its readiness."""
        return bool(self._token())

    def auth_headers(self) -> dict[str, str]:
        """Return the Authorization header for the master's API; none without a token.

        An empty bearer token is no legal header: httpx would refuse to send the request at all.
        """
        token = self._token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def _token(self) -> str:
        """Return MONITOR_TOKEN, else a short-lived one made with JWT_SECRET_KEY, else nothing."""
        if self.monitor_token is not None:
            return self.monitor_token.get_secret_value()
        return self.own_token(TokenKind.MONITOR)

    def own_token(self, kind: TokenKind) -> str:
        """Return a short-lived token made with JWT_SECRET_KEY; nothing when that is not set."""
        if self.jwt_secret_key is None:
            return ""
        issuer = TokenIssuer(self.jwt_secret_key.get_secret_value().encode())
        return issuer.mint(
            kind,
            subject="command line",
            token_id=secrets.token_hex(12),
            wall_s=time.time(),
            life_s=OWN_TOKEN_LIFE_S,
        )


def load_ops(environ: Mapping[str, str] | None = None, **overrides: object) -> OpsSettings:
    """Return the settings of these commands, or raise one ConfigError naming every problem."""
    environ = base.environment() if environ is None else environ
    return base.load(OpsSettings, environ, overrides=overrides)
