"""A school in a LAN, whose certificate is signed by nobody but itself: everything works under HTTPS.

The machine trusts it as machines do: OpenSSL's list of authorities, which SSL_CERT_FILE names here.
"""

from __future__ import annotations

import json
import ssl
import sys
from typing import TYPE_CHECKING

import httpx
import trio

from tests.harness.certificates import self_signed
from tests.harness.processes import free_ports, running
from tests.integration.ops.command import ENV, run
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

WHOLE_S = 90.0
START = (sys.executable, "-m", "airclass.cli.app", "standalone", "--ready-file")


async def test_a_school_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    # the addresses must be known before: the certificate is for a name, and MASTER_URL says which
    master, relay, *others = free_ports(5)
    binds = ("MASTER_BIND", "RELAY_BIND", "RELAY_ADMIN_BIND", "INGEST_RTMP_BIND", "INGEST_HLS_BIND")
    settings = {
        **dict(zip(binds, (f"127.0.0.1:{port}" for port in (master, relay, *others)), strict=True)),
        **{"MASTER_URL": f"https://localhost:{master}", "NODE_PUBLIC_URL": f"https://localhost:{relay}"},
        **{"TLS_CERT": str(cert), "TLS_KEY": str(key), "INGEST": "embedded", "HLS_CDN_SECRET": "d" * 40},
        **ENV,
    }
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    env = {"SSL_CERT_FILE": str(cert), "PYTHONPATH": str(ROOT)}
    with trio.fail_after(WHOLE_S):
        async with running("env", "-C", tmp_path, *START, "ready.json", folder=tmp_path, env=env) as child:
            record = dict(await child.ready(tmp_path / "ready.json", within_s=60))
            ran = await run("healthcheck", folder=tmp_path)
            assert (ran.code, ran.out) == (0, "ready\n")
            ran = await run("monitor", "--json", folder=tmp_path, env=env)
            shown = json.loads(ran.out)
            assert (ran.code, shown["master"]["up"], shown["nodes"][0]["status"]) == (0, True, "active")
            ran = await run("doctor", folder=tmp_path, env=env)
            assert f"[OK] The master at https://localhost:{master} is ready." in ran.out
            assert f"[OK] standalone (active) can be reached at https://localhost:{relay}." in ran.out
            trusted = ssl.create_default_context(cafile=str(cert))
            async with httpx.AsyncClient(verify=trusted, trust_env=False) as client:
                body = {"code": record["join_code"], "name": "Kim"}
                joined = (await client.post(f"https://localhost:{master}/api/join", json=body)).json()
                url = joined["pathways"][0]["url"]
                assert url.startswith(f"https://localhost:{relay}/t/")
                answer = await client.get(url)
                assert answer.status_code in (404, 503), "nobody teaches yet"
    assert "node.unreachable" not in child.output()
