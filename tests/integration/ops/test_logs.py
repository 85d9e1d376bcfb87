"""What a whole system writes while everything is done to it: requests can be followed, secrets never read.

It writes JSON here, so that each line of each process can be read back; tests/unit has the lines of text.
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from tests.harness.processes import running
from tests.integration.ops.command import run
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.processes import ChildProcess

WHOLE_S = 120.0
PASSWORD, CLASS_PASSWORD = "a-password-of-boss", "a-password-of-class"
JWT = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.")
REQUEST = "operator-4711"


@dataclass
class Driven:
    """What was done: all output, and every secret that was in play, by name."""

    output: str = ""
    secret: dict[str, str] = field(default_factory=dict)


@pytest.mark.timing
async def test_everything_is_done_and_nothing_secret_is_written(tmp_path: Path) -> None:
    driven = Driven()
    driven.secret = {
        name: secrets.token_hex(20) for name in ("JWT_SECRET_KEY", "CLUSTER_SECRET", "HLS_CDN_SECRET")
    }
    wanted = {"LOG_LEVEL": "debug", "LOG_FORMAT": "json"}
    settings = {**driven.secret, **wanted, "MODE": "standalone", "INGEST": "embedded"}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    ready = tmp_path / "ready.json"
    airclass = (sys.executable, "-m", "airclass.cli.app")
    command = ("env", "-C", tmp_path, *airclass, "standalone", "--ports", "0", "--ready-file", ready)
    with trio.fail_after(WHOLE_S):
        async with running(*command, folder=tmp_path, env={"PYTHONPATH": str(ROOT)}) as child:
            record: dict[str, Any] = dict(await child.ready(ready, within_s=60))
            driven.secret |= {name: record[name] for name in ("admin_token", "monitor_token")}
            driven.secret |= {"link": record["admin_url"].partition("link=")[2].partition("&")[0]}
            async with httpx.AsyncClient(base_url=record["master_url"], timeout=20) as client:
                await _drive(client, record, driven, child, tmp_path)
        said = child.output()
    driven.output += said
    found = [name for name, value in driven.secret.items() if value in driven.output]
    assert found == []
    assert JWT.search(driven.output) is None
    _check_lines(said)


async def _drive(
    client: httpx.AsyncClient, record: dict[str, Any], driven: Driven, child: ChildProcess, folder: Path
) -> None:
    """Do all that people, operators and attackers do."""
    admin = {"Authorization": f"Bearer {record['admin_token']}"}

    async def call(method: str, path: str, status: int, **more: Any) -> Any:
        answer = await client.request(method, path, **{"headers": admin, **more})
        assert answer.status_code == status, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None

    user = {"name": "boss", "role": "teacher", "password": PASSWORD}
    made = await call("POST", "/api/users", 201, json=user)
    driven.secret |= {"password": PASSWORD, "class password": CLASS_PASSWORD, "wrong": "wrong-password-typed"}
    await call("POST", "/api/login", 401, json={"username": "boss", "password": driven.secret["wrong"]})
    signed_in = await client.post("/api/login", json={"username": "boss", "password": PASSWORD})
    driven.secret["session"] = signed_in.cookies["airclass_session"]
    client.cookies.clear()
    link = await call("POST", f"/api/users/{made['id']}/link", 200)
    driven.secret["user link"] = str(link).partition("link=")[2].partition("'")[0].partition("&")[0]
    classroom = await call("POST", "/api/classrooms", 201, json={"name": "Art", "password": CLASS_PASSWORD})
    driven.secret["stream key"] = classroom["stream_key"]
    rotated = await call("POST", f"/api/classrooms/{classroom['id']}/rotate-key", 200)
    driven.secret["new stream key"] = rotated["stream_key"]
    for query in (f"token={rotated['stream_key']}", "token=not-the-key-of-anybody"):
        ask = {"action": "publish", "path": f"live/{classroom['id']}", "query": query, "protocol": "rtmp"}
        await client.post("/hooks/mediamtx/auth", json=ask)
    driven.secret["wrong key"] = "not-the-key-of-anybody"
    form = {"code": classroom["code"], "name": "Kim", "password": CLASS_PASSWORD}
    joined = await call("POST", "/api/join", 200, json=form)
    driven.secret["viewer token"] = joined["token"]
    for url in (joined["pathways"][0]["url"], joined["playback_url"], joined["pathways"][0]["url"] + "x"):
        await client.get(url)
    await client.get(f"{record['relay_url']}/t/{joined['token'][:-3]}abc/{classroom['id']}/index.m3u8")
    await call("GET", "/api/classrooms", 403, headers={"Authorization": f"Bearer {joined['token']}"})
    await call(
        "POST", f"/api/classrooms/{classroom['id']}/kick", 204, json={"subject": _subject(joined["token"])}
    )
    tagged = {**admin, "X-Request-Id": REQUEST}
    for path in ("/cluster/drain/standalone?force=true", "/cluster/undrain/standalone"):
        await call("POST", path, 204, headers=tagged)
    await call("POST", f"/api/classrooms/{classroom['id']}/end", 200, headers=tagged)
    while "stream.ended" not in child.output():
        assert child.returncode is None, child.output()
        await trio.sleep(0.05)
    token = await call("POST", "/api/token", 200, json={"user_type": "monitor"})
    driven.secret["monitor"] = token["token"]
    await client.get("/metrics", headers={"Authorization": f"Bearer {token['token']}x"})
    await client.post("/cluster/register", content=b"{}", headers={"Authorization": "Airclass forged"})
    for path in (f"/{joined['token']}", f"/login?token={joined['token']}", "/../.env", "/%00"):
        await client.get(path)
    env = {"MASTER_URL": record["master_url"], "ALERT_WEBHOOK": "http://127.0.0.1:1/webhook-secret"}
    driven.secret["webhook"] = "webhook-secret"
    published = await client.get("/metrics", headers=admin)
    assert "airclass_active_streams" in published.text
    for words in (("monitor", "--alert"), ("doctor",), ("config", "show"), ("config", "check"), ("backup",)):
        ran = await run(*words, folder=folder, env=env)
        driven.output += ran.out + ran.err
    ran = await run("token", "admin", folder=folder)
    driven.secret["printed token"] = ran.out.strip()
    driven.output += ran.err
    events = await call("GET", "/api/events", 200)
    driven.output += str(events)
    actions = {event["action"] for event in events["events"]}
    assert actions >= {
        *("user.add", "login", "user.link", "class.add", "class.rotate-key", "class.kick"),
        *("node.drain", "node.undrain", "token.monitor", "token.admin", "backup.made"),
    }


def _check_lines(said: str) -> None:
    """Read every line; follow the operator's request from the master to the relay; see privileged actions."""
    lines = [json.loads(line) for line in said.splitlines() if not line.startswith("AIRClass is at ")]
    assert all(line.keys() >= {"at", "level", "logger", "event"} for line in lines)
    assert {"airclass.run.supervisor", "airclass.ingest.embedded", "airclass.web.services", "relay.app"} <= {
        line["logger"] for line in lines
    }
    tagged = [line["event"] for line in lines if line.get("request_id") == REQUEST]
    for words in ("audit.node.drain target=standalone", "audit.node.undrain", "stream.ended"):
        assert any(event.startswith(words) for event in tagged), (words, tagged)
    audited = {line["event"].partition(" ")[0]: line for line in lines if line["event"].startswith("audit.")}
    for action in ("user.add", "user.link", "class.add", "class.rotate-key", "class.kick", "token.monitor"):
        assert re.search(r" target=\S+ actor=.+", audited[f"audit.{action}"]["event"]), action
        assert audited[f"audit.{action}"]["request_id"], action


def _subject(token: str) -> str:
    import jwt

    return str(jwt.decode(token, options={"verify_signature": False})["sub"])
