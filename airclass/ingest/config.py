"""What the ingests read from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from relay.base.settings import Settings


class IngestSettings(Settings):
    """The secret that relays bring (`.env.example` tells more), and where MediaMTX is."""

    hls_cdn_secret: SecretStr | None = None
    mediamtx_path: Path | None = None
