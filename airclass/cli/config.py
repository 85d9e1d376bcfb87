"""`airclass config`: the settings as the programs of this machine read them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from cyclopts import App

from airclass.cli.common import say
from airclass.config import MasterSettings, StandaloneSettings
from airclass.ops.config import OpsSettings
from relay.base.errors import ConfigError
from relay.base.settings import Settings, environment, load, redacted, sources
from relay.config import RelaySettings

if TYPE_CHECKING:
    from collections.abc import Mapping

app = App(name="config", help="Show or check the settings of this machine.")

READERS: dict[str, tuple[type[Settings], ...]] = {
    "standalone": (StandaloneSettings, RelaySettings, OpsSettings),
    "master": (MasterSettings, OpsSettings),
    "slave": (RelaySettings, OpsSettings),
}
# Variables of compose.yaml, which reads the same `.env`.
COMPOSE = frozenset(
    "IMAGE MEDIAMTX_IMAGE CADDY_IMAGE PROMETHEUS_IMAGE GRAFANA_IMAGE POSTGRES_IMAGE "
    "MASTER_PORT RELAY_PORT RTMP_PORT SITE TLS_ISSUER POSTGRES_PASSWORD".split()
)


@app.command
def show() -> None:
    """Print every setting of this machine's MODE, secrets as ***, and where each came from."""
    environ, origin = environment(), sources()
    for name, value in read(environ).items():
        say(f"{name + '=' + value:<50} # {_origin(name, environ, origin)}")


@app.command
def check() -> None:
    """Check all settings; exit code 2 with every problem in one message."""
    environ, origin = environment(), sources()
    shown = read(environ)
    known = {
        model_field.upper() for models in READERS.values() for m in models for model_field in m.model_fields
    }
    for name in sorted(name for name, place in origin.items() if place == ".env"):
        plain = name.removesuffix("_FILE")
        if plain not in known | COMPOSE and not name.startswith(("MTX_", "COMPOSE_")):
            near = difflib.get_close_matches(plain, known, 1)
            hint = f": did you mean {near[0]}?" if near else ", nothing reads it."
            say(f"[WARN] {name} in .env is not a setting{hint}")
    say(f"[OK] All {len(shown)} settings are fine for MODE={_mode(environ)}.")


def read(environ: Mapping[str, str]) -> dict[str, str]:
    """Return every setting as text, or raise one ConfigError with the problems of all who read them."""
    shown: dict[str, str] = {}
    problems: list[str] = []
    if _mode(environ) == "slave" and not (environ.get("MASTER_URL") or environ.get("MASTER_URL_FILE")):
        problems.append("MASTER_URL is missing: a slave needs the address of its master")
    for model in READERS[_mode(environ)]:
        try:
            shown = {**redacted(load(model, environ)), **shown}
        except ConfigError as exc:
            # two readers of a setting name its fault in different words: once is enough
            named = {problem.partition(":")[0] for problem in problems}
            problems += [problem for problem in exc.problems if problem.partition(":")[0] not in named]
    if problems:
        raise ConfigError(problems)
    return dict(sorted(shown.items()))


def _mode(environ: Mapping[str, str]) -> str:
    mode = environ.get("MODE") or "standalone"
    if mode not in READERS:
        raise ConfigError([f"MODE: {mode[:20]} is none of {', '.join(READERS)}"])
    return mode


def _origin(name: str, environ: Mapping[str, str], origin: Mapping[str, str]) -> str:
    if environ.get(name):
        return origin[name]
    file_name = f"{name}_FILE"
    if environ.get(file_name):
        return f"{environ[file_name]}, named by {file_name} in {origin[file_name]}"
    return "default"
