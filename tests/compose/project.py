"""A compose project that runs on an engine of our own, and the PC where its people sit.

The PC is a network namespace behind a cable, so that students come in by the published ports as from
outside.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import trio

from tests.compose import images
from tests.harness.netns import lab
from tests.harness.processes import free_ports
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.compose.engine import Engine
    from tests.harness.netns import NetworkNamespace

NODES_S = 60.0
POLL_S = 0.5
SECRETS = {"JWT_SECRET_KEY": "j" * 40, "CLUSTER_SECRET": "c" * 40, "HLS_CDN_SECRET": "h" * 40}


@dataclass(frozen=True)
class ComposeProject:
    """A compose project that runs, and the PC where its people sit."""

    engine: Engine
    folder: Path
    pc: NetworkNamespace
    url: str

    def compose(self, *args: str) -> str:
        """Run a compose command as an operator does."""
        return self.engine.compose(self.folder, *args)

    def quietly(self, *args: str, input: bytes = b"") -> str:
        """Run a compose command that is no part of what an operator does."""
        return self.engine.compose(self.folder, *args, input=input, keep=False)

    def airclass(self, *args: str, input: bytes = b"") -> str:
        """Run an airclass command on the master."""
        return self.quietly("exec", "--no-TTY", "master", "airclass", *args, input=input)

    def replicas(self) -> set[str]:
        """The ids of the running relays, as Docker and NODE_ID know them."""
        listed = self.quietly("ps", "--quiet", "slave").split()
        return {name[:12] for name in listed}

    def address(self, container: str) -> str:
        """Where a container is in the network of the project."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self.engine.docker("inspect", "--format", form, container).strip()

    async def active_nodes(self, count: int) -> list[dict[str, Any]]:
        """Return the nodes once so many are active, and no others are known to be."""
        headers = {"Authorization": f"Bearer {self.airclass('token', 'monitor').strip()}"}
        async with httpx.AsyncClient(timeout=10) as client:
            with trio.fail_after(NODES_S):
                while True:
                    answer = await client.get(f"{self.url}/cluster/nodes", headers=headers)
                    nodes = [n for n in answer.json()["nodes"] if n["status"] == "active"]
                    if len(nodes) == count:
                        return nodes
                    await trio.sleep(POLL_S)


@contextmanager
def running_school(
    engine: Engine, folder: Path, title: str, more: dict[str, str] | None = None
) -> Iterator[ComposeProject]:
    """Do what an operator does: `cp .env.example .env` with these settings, `docker compose up -d`."""
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    shutil.copy(ROOT / "compose.yaml", folder)
    with lab("pc") as pc:
        host = pc.cables["pc"].ours
        ports = dict(
            zip(
                ("MASTER_PORT", "RELAY_PORT", "RTMP_PORT"),
                map(str, free_ports(3, host="0.0.0.0")),
                strict=True,
            )
        )
        settings = {
            **SECRETS,
            **ports,
            "MASTER_URL": f"http://{host}:{ports['MASTER_PORT']}",
            "NODE_PUBLIC_URL": f"http://{host}:{ports['RELAY_PORT']}/r/*",
            "INGEST_RTMP_PUBLIC_URL": f"rtmp://{host}:{ports['RTMP_PORT']}",
            "IMAGE": images.AIRCLASS,
            "MEDIAMTX_IMAGE": images.INGEST,
            "CADDY_IMAGE": images.FRONT,
            "POSTGRES_IMAGE": images.POSTGRES,
            "PROMETHEUS_IMAGE": images.PROMETHEUS,
            "SITE": "localhost",
            "TLS_ISSUER": "internal",
            **(more or {}),
        }
        (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        made = ComposeProject(engine, folder, pc, settings["MASTER_URL"])
        made.quietly("--profile", "*", "down", "--volumes", "--timeout", "1")
        engine.transcript.append(f"## {title}\n")
        try:
            made.compose("up", "--detach", "--wait", "--wait-timeout", "120")
            made.compose("ps", "--format", "table {{.Service}}\t{{.Status}}\t{{.Ports}}")
            yield made
        finally:
            logs = made.quietly("logs", "--no-color")
            (ROOT / "build/compose/last.log").write_text(logs)
            made.quietly("--profile", "*", "down", "--volumes", "--timeout", "1")
