"""`python -m relay`: one HLS stream in, many viewers out."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import trio

from relay import __version__
from relay.app import Options, run
from relay.base import logs
from relay.base.errors import ConfigError, StartError
from relay.base.process import die_with_parent, spare_the_collector
from relay.base.settings import environment, load
from relay.config import RelaySettings

EXIT_USAGE = 2

MAX_PORT = 65_535

EPILOG = """\
Viewers open http://HOST:PORT/NAME/index.m3u8 with --public, else http://HOST:PORT/t/TOKEN/NAME/index.m3u8.

more settings (from the environment or .env; NAME_FILE reads one from a file):
  VIEWER_KEY        checks viewers' tokens (HS256, at least 32 bytes); VIEWER_JWKS: with public keys (EdDSA)
  HLS_CDN_SECRET    sent to the origin as Authorization: Bearer; a token of the other relay, where that is one
  MAX_CONNECTIONS, MAX_EGRESS_MBPS, CACHE_MB, CORS_ORIGINS, TLS_CERT, TLS_KEY and others: see .env.example

examples:
  python -m relay --origin http://ingest:8888/live/class1/index.m3u8 --public
  VIEWER_KEY=$(openssl rand -hex 32) python -m relay --origin http://a/live.m3u8 --origin http://b/live.m3u8
  HLS_CDN_SECRET=TOKEN python -m relay --origin http://other-relay:8080/live/index.m3u8 --public
  MASTER_URL=http://master:8000 CLUSTER_SECRET=... python -m relay      the master names streams and viewers
  python -m relay top                                                   a running relay on one screen, live
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line's description."""
    p = argparse.ArgumentParser(
        prog="python -m relay",
        usage="%(prog)s --origin URL [--origin URL] [--public] [options]\n       %(prog)s top [--admin URL]",
        description="Pull an HLS stream once, keep it in memory, serve it to many viewers.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    stream = p.add_argument_group("the stream")
    stream.add_argument(
        "--origin",
        action="append",
        default=[],
        metavar="URL",
        help="playlist to follow, multivariant or media; repeat it for stand-by origins",
    )
    stream.add_argument(
        "--name", default="live", help="the stream's name in viewers' addresses (default: live)"
    )
    stream.add_argument("--on-demand", action="store_true", help="pull only while someone watches")
    viewers = p.add_argument_group("viewers")
    viewers.add_argument("--public", action="store_true", help="let everyone watch without a token")
    viewers.add_argument("--max-viewers", type=int, metavar="N", help="refuse more viewers (default: 150)")
    ports = p.add_argument_group("ports")
    ports.add_argument(
        "--host", metavar="ADDRESS", help="address to listen on (default: RELAY_BIND's, 0.0.0.0)"
    )
    ports.add_argument("--port", type=_port, help="port for viewers, 0: any (default: RELAY_BIND's, 8080)")
    ports.add_argument(
        "--admin-port",
        type=_port,
        metavar="PORT",
        help="port for /healthz, /readyz, /metrics, 0: any (8081)",
    )
    process = p.add_argument_group("the process")
    process.add_argument(
        "--ready-file", type=Path, metavar="FILE", help="write the addresses here once they are bound"
    )
    process.add_argument("--die-with-parent", action="store_true", help="end when the starting process ends")
    process.add_argument("--version", action="version", version=f"AIRClass relay {__version__}")
    return p


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to {MAX_PORT}")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Run the relay; returns the exit code: 0 stopped as told, 2 cannot start as asked."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["top"]:
        from relay.top import screen  # with all that draws its screen: nothing for every relay

        return screen.main(arguments[1:])
    parent_pid = os.getppid()
    args = parser().parse_args(arguments)
    if args.die_with_parent:
        die_with_parent(parent_pid)
    try:
        environ = environment()
        overrides = {
            "relay_bind": _bind(environ.get("RELAY_BIND", "0.0.0.0:8080"), args.host, args.port),  # noqa: S104
            "relay_admin_bind": _bind(
                environ.get("RELAY_ADMIN_BIND", "127.0.0.1:8081"), None, args.admin_port
            ),
            "max_connections": args.max_viewers,
        }
        options = Options(tuple(args.origin), args.name, args.public, args.on_demand, args.ready_file)
        settings = load(RelaySettings, environ, overrides=overrides)
        logs.set_up(settings.log_level, settings.log_format)
        spare_the_collector()
        trio.run(run, settings, options)
    except ConfigError as exc:
        for problem in exc.problems:
            sys.stderr.write(f"relay: {problem}\n")
        return EXIT_USAGE
    except StartError as exc:
        sys.stderr.write(f"relay: {exc.reason}\n")
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 0
    return 0


def _bind(bind: str, host: str | None, port: int | None) -> str:
    own_host, _, own_port = bind.rpartition(":")
    return f"{host or own_host}:{own_port if port is None else port}"


if __name__ == "__main__":
    sys.exit(main())
