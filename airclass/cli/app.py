"""The `airclass` command; each subcommand lives in a file of its own and is loaded when called."""

from __future__ import annotations

import os
import sys

from cyclopts import App, Parameter

from relay import __version__
from relay.base import logs
from relay.base.errors import AirclassError, ConfigError
from relay.base.settings import environment

app = App(
    name="airclass",
    help="Live classes over your own network: RTMP in, low-latency HLS out.",
    version=__version__,
    result_action="return_value",
    default_parameter=Parameter(negative=""),  # every flag is off unless given: `--no-json` would say nothing
)
app.register_install_completion_command(help="Complete commands and options in this shell (bash, zsh, fish).")
for _name, _where, _help in (
    ("demo", "airclass.cli.demo:demo", "Everything on this machine, with a synthetic teacher."),
    ("standalone", "airclass.cli.standalone:standalone", "Ingest, master and one relay on this machine."),
    ("master", "airclass.cli.master:master", "The control plane: people, classes, nodes, pages."),
    ("slave", "airclass.cli.slave:slave", "A relay that joins the cluster at MASTER_URL."),
    ("run", "airclass.cli.run_mode:run", "What MODE says: standalone, master or slave."),
    ("teach", "airclass.cli.teach:teach", "A synthetic teacher that pushes RTMP."),
    ("user", "airclass.cli.user:app", "Accounts."),
    ("classroom", "airclass.cli.classroom:app", "Classes."),
    ("node", "airclass.cli.node:app", "Relays: let one join, list them, remove one."),
    ("token", "airclass.cli.token:app", "Tokens for scripts, and one-time login links."),
    ("drain", "airclass.cli.drain:drain", "Move the students of a node away, and keep it empty."),
    ("undrain", "airclass.cli.drain:undrain", "Let a drained node take students again."),
    ("monitor", "airclass.cli.monitor:monitor", "The cluster on one screen, for people, cron and Nagios."),
    ("backup", "airclass.cli.backup:backup", "Save settings, database and configuration into one file."),
    ("restore", "airclass.cli.restore:restore", "Put a backup back, or only check it."),
    ("doctor", "airclass.cli.doctor:doctor", "What will go wrong, and what to do about it."),
    ("config", "airclass.cli.config:app", "Show or check the settings."),
    ("healthcheck", "airclass.cli.healthcheck:healthcheck", "Exit code 0 when the local server is ready."),
):
    app.command(_where, name=_name, help=_help)


def main(argv: list[str] | None = None) -> None:
    """Run a command; what the operator can repair is one sentence and exit code 2."""
    try:
        logs.set_up_by(environment())
        code = app(argv)
        sys.stdout.flush()
    except ConfigError as exc:
        _complain(
            "These settings need attention:", *(f"  - {problem}" for problem in dict.fromkeys(exc.problems))
        )
    except AirclassError as exc:
        _complain(exc.reason)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `airclass config show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _complain(*lines: str) -> None:
    sys.stderr.write("\n".join(lines) + "\n")
    sys.exit(2)


if __name__ == "__main__":
    main()
