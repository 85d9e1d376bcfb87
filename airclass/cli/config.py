"""`airclass config`: the settings as this program reads them."""

from __future__ import annotations

from cyclopts import App

from airclass.cli.desk import say
from airclass.config import StandaloneSettings, load_master, load_standalone
from relay.base.settings import environment, redacted

app = App(name="config", help="Show or check the settings of a master or a standalone machine.")


@app.command
def show() -> None:
    """Print every setting, secrets as ***, and where it came from."""
    environ = environment()
    for name, value in redacted(load_standalone(environ)).items():
        origin = f"{name}_FILE" if environ.get(f"{name}_FILE") else "set" if environ.get(name) else "default"
        say(f"{name}={value}  # {origin}")


@app.command
def check() -> None:
    """Check all settings; exit code 2 with every problem in one message."""
    environ = environment()
    if (environ.get("MODE") or "standalone") == "master":
        load_master(environ)
    else:
        load_standalone(environ)
    say(f"All {len(StandaloneSettings.model_fields)} settings are fine.")
