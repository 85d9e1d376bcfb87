"""A master and three relays as processes: a school comes in, a node dies and returns, all numbers agree.

Told twice: with SQLite, and with PostgreSQL and tokens that relays cannot make.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
from collections import Counter
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from tests.harness import ingests
from tests.harness.postgres import postgres_running
from tests.harness.processes import ChildProcess, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NODES = ("slave-1", "slave-2", "slave-3")
WHOLE_S = 420.0
SOON_S = 90.0
POLL_S = 4.0
BEAT_S = 2.0
KNOWN_AGAIN_S = 5.0
ARMS = (("sqlite", "HS256", 450), ("postgresql", "EdDSA", 450))
SECRETS = {"JWT_SECRET_KEY": "j" * 40, "CLUSTER_SECRET": "c" * 40, "HLS_CDN_SECRET": ingests.SECRET}


@dataclass
class Student:
    """Gets a relay's playlists and a segment now and then, and follows the master's steering."""

    http: httpx.AsyncClient
    joined: dict[str, Any]
    refused: list[int] = field(default_factory=list)

    async def play(self) -> None:
        """Play until sent away."""
        listings = {p["id"]: p["url"] for p in self.joined["pathways"]}
        segments: dict[str, str] = {}
        where = self.joined["priority"][0]
        while True:
            try:
                answer = await self.http.get(segments.get(where) or listings[where])
                status = answer.status_code
                if status == 404 and segments.pop(where, ""):
                    continue  # it is no longer in the window
                if status == 200 and where not in segments:
                    names = [line for line in answer.text.splitlines() if line and line[0] != "#"]
                    newest = str(answer.url.join(names[-1]))
                    (listings if newest.endswith(".m3u8") else segments)[where] = newest
                    continue
            except httpx.HTTPError:
                status = 0
            if status in (401, 403):
                self.refused.append(status)
                return
            if status != 200:
                where = await self.steer(where)
            await trio.sleep(POLL_S if status == 200 else 0.5)

    async def steer(self, where: str) -> str:
        """Return where the master wants this student."""
        try:
            answer = await self.http.get(self.joined["steering_url"])
        except httpx.HTTPError:
            return where
        return str(answer.json()["PATHWAY-PRIORITY"][0]) if answer.status_code == 200 else where


class School:
    """The processes and shortcuts to them."""

    def __init__(
        self,
        folder: Path,
        ingest: ingests.IngestHarness,
        http: httpx.AsyncClient,
        crowd: httpx.AsyncClient,
        students: int,
        env: dict[str, str],
    ) -> None:
        self.folder = folder
        self.size = students
        self.http = http
        self.crowd = crowd
        self.env = {**SECRETS, "INGEST_HLS_URL": ingest.hls_url, "DATA_DIR": str(folder / "data"), **env}
        self.url = ""
        self.child: ChildProcess | None = None
        self.admin = {"Authorization": ""}

    async def command(self, *args: str) -> str:
        """Run an airclass command and return what it prints."""
        name = [sys.executable, "-m", "airclass.cli.app", *args]
        done = await trio.run_process(name, capture_stdout=True, env=self.env | _path())
        return done.stdout.decode().strip()

    @asynccontextmanager
    async def master(self, bind: str = "127.0.0.1:0", **env: str) -> AsyncIterator[ChildProcess]:
        """Run the master."""
        ready = self.folder / "master.json"
        ready.unlink(missing_ok=True)
        args = (sys.executable, "-m", "airclass.cli.app", "master", "--bind", bind, "--ready-file", ready)
        async with running(*args, folder=self.folder, env={**self.env, **env}) as child:
            self.url = (await child.ready(ready))["master_url"]
            self.child = child
            yield child

    @asynccontextmanager
    async def relay(self, node_id: str) -> AsyncIterator[ChildProcess]:
        """Run a relay of the cluster."""
        env = {
            **self.env,
            "MASTER_URL": self.url,
            "NODE_ID": node_id,
            "MAX_CONNECTIONS": str(self.size // 2),  # two nodes hold the whole school
            "RELAY_BIND": "127.0.0.1:0",
            "RELAY_ADMIN_BIND": "127.0.0.1:0",
            "MAX_ADDRESSES_PER_TOKEN": "0",
            "DRAIN_S": "0",
        }
        async with running(sys.executable, "-m", "relay", folder=self.folder, env=env) as child:
            yield child

    async def nodes(self) -> dict[str, Any]:
        """Return /cluster/nodes."""
        return dict((await self.http.get(f"{self.url}/cluster/nodes", headers=self.admin)).json())

    async def metric(self, name: str) -> float:
        """Return the sum of a metric's samples."""
        text = (await self.http.get(f"{self.url}/metrics", headers=self.admin)).text
        found = re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
        return sum(map(float, found))

    def logged(self) -> tuple[dict[str, int], dict[str, str]]:
        """Return the newest figures in the master's log, and the status of each node that it tells of."""
        assert self.child is not None
        output = self.child.output()
        counted = re.findall(r"cluster\.counted (.*)", output)
        figures = {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", counted[-1] if counted else "")}
        return figures, dict(re.findall(r"node\.changed node=(\S+) before=\S+ after=(\S+)", output))

    async def counted(self, classroom_id: str) -> dict[str, float]:
        """Return how many students each place names that shows their number at once."""
        listing = await self.nodes()
        path = f"{self.url}/api/classrooms/{classroom_id}"
        return {
            "nodes": sum(n["connections"] for n in listing["nodes"]),
            "summary": listing["summary"]["current_load"],
            "metrics": await self.metric("airclass_cluster_connections"),
            "students": await self.metric('airclass_active_connections{type="student"}'),
            "class": (await self.http.get(path, headers=self.admin)).json()["viewers"],
        }

    async def agree(self, students: int, active: int, classroom_id: str) -> None:
        """Wait until every number that is shown says the same: in the API, the metrics and the log."""
        shown: dict[str, float] = {}
        wanted = {
            "nodes": students,
            "summary": students,
            "metrics": students,
            "students": students,
            "class": students,
            "active": active,
            "active metric": active,
            "logged students": students,
            "logged active": active,
            "nodes as logged": True,
        }
        with trio.move_on_after(SOON_S):
            while shown != wanted:
                listing = await self.nodes()
                figures, statuses = self.logged()
                shown = {
                    **await self.counted(classroom_id),
                    "active": listing["summary"]["active_nodes"],
                    "active metric": await self.metric('airclass_cluster_nodes_total{status="active"}'),
                    "logged students": figures.get("students", -1),
                    "logged active": figures.get("active", -1),
                    "nodes as logged": {n["id"]: n["status"] for n in listing["nodes"]} == statuses,
                }
                await trio.sleep(0.3)
        assert shown == wanted


def _path() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}


@pytest.mark.parametrize(("database", "algorithm", "students"), ARMS)
async def test_a_school_comes_in_and_survives_what_happens(
    tmp_path: Path, database: str, algorithm: str, students: int
) -> None:
    with ExitStack() as stack:
        env = {"TOKEN_ALG": algorithm}
        if database == "postgresql":
            env["DATABASE_URL"] = stack.enter_context(postgres_running()).database("school")
        await school_year(tmp_path, env, students)


async def school_year(tmp_path: Path, env: dict[str, str], students: int) -> None:
    """Start what is needed and tell the story."""
    limits = httpx.Limits(max_connections=None)
    # The operator's calls must not fail because a kept connection was closed under the crowd's load.
    alone = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    with trio.fail_after(WHOLE_S):
        async with (
            ingests.ingest_running(
                ingests.command("embedded", "lowLatency", tmp_path / "ingest.json"),
                "embedded",
                tmp_path / "ingest.json",
            ) as ingest,
            httpx.AsyncClient(limits=alone, trust_env=False, timeout=60) as http,
            httpx.AsyncClient(limits=limits, trust_env=False, timeout=60) as crowd,
        ):
            school = School(tmp_path, ingest, http, crowd, students, env)
            made = json.loads(await school.command("classroom", "add", "Math", "--json"))
            school.admin = {"Authorization": f"Bearer {await school.command('token', 'admin')}"}
            teacher = ingests.teacher_running(
                ingest.publish_url(f"{made['id']}?token={made['stream_key']}"), tmp_path
            )
            async with teacher, trio.open_nursery() as nursery:
                await lessons(school, made, nursery)
                nursery.cancel_scope.cancel()


async def lessons(school: School, made: dict[str, Any], nursery: trio.Nursery) -> None:
    """The story, in order."""
    async with school.master() as master:
        address = school.url
        async with school.relay("slave-2"), school.relay("slave-3"):
            async with school.relay("slave-1") as doomed:
                await until_live(school, made)
                students = await herd(school, made)
                for student in students:
                    nursery.start_soon(student.play)
                await school.agree(school.size, 3, made["id"])
                doomed.kill()
                await school.agree(school.size, 2, made["id"])
                assert "slave-1" in (await school.nodes())["summary"]["recommendation"]
                assert "node.changed node=slave-1 before=active after=unhealthy" in master.output()
            async with school.relay("slave-1"):
                await school.agree(school.size, 3, made["id"])
                await kick_one(school, made, students[7])
                await school.agree(school.size - 1, 3, made["id"])
                await master.stop()
                await rotated(school, made, address, students)


async def until_live(school: School, made: dict[str, Any]) -> None:
    """Wait until all nodes play the class."""
    with trio.fail_after(SOON_S):
        while True:
            listing = await school.nodes()
            path = f"{school.url}/api/classrooms/{made['id']}"
            state = (await school.http.get(path, headers=school.admin)).json()["state"]
            lags = [n["lag_s"] for n in listing["nodes"] if n["status"] == "active"]
            if state == "live" and len(lags) == len(NODES) and None not in lags:
                return
            await trio.sleep(0.2)


async def herd(school: School, made: dict[str, Any]) -> list[Student]:
    """Let everybody join within a second; the seats come out even."""
    joined: list[dict[str, Any]] = []

    async def join(n: int) -> None:
        await trio.sleep(n / school.size)
        body = {"code": made["code"], "name": f"student {n}"}
        answer = await school.crowd.post(f"{school.url}/api/join", json=body)
        assert answer.status_code == 200, answer.text
        joined.append(answer.json())

    async with trio.open_nursery() as nursery:
        for n in range(school.size):
            nursery.start_soon(join, n)
    seats = [j["priority"][0] for j in joined]
    assert Counter(seats) == dict.fromkeys(NODES, school.size // len(NODES))
    return [Student(school.crowd, j) for j in joined]


async def kick_one(school: School, made: dict[str, Any], student: Student) -> None:
    """Take one student out; the relay refuses them at once."""
    path = f"{school.url}/api/classrooms/{made['id']}"
    viewers = (await school.http.get(f"{path}/viewers", headers=school.admin)).json()["viewers"]
    claims = student.joined["token"].split(".")[1]
    subject = json.loads(base64.urlsafe_b64decode(claims + "==="))["sub"]
    assert subject in [v["subject"] for v in viewers]
    answer = await school.http.post(f"{path}/kick", json={"subject": subject}, headers=school.admin)
    assert answer.status_code == 204
    left = school.size - 1
    with trio.fail_after(POLL_S + 2 * BEAT_S):  # the student's next request, and a heartbeat of the relay
        while not student.refused:
            await trio.sleep(0.05)
        while set((await school.counted(made["id"])).values()) != {left}:
            await trio.sleep(0.05)


async def rotated(school: School, made: dict[str, Any], address: str, students: list[Student]) -> None:
    """Restart the master with a new secret: nobody is sent away, old tokens are renewed, new ones work."""
    fresh = {"JWT_SECRET_KEY": "n" * 40, "JWT_SECRET_KEY_PREVIOUS": SECRETS["JWT_SECRET_KEY"]}
    bind = address.removeprefix("http://")
    async with school.master(bind, **fresh) as master:
        with trio.fail_after(KNOWN_AGAIN_S):
            while [n["status"] for n in (await school.nodes())["nodes"]] != ["active"] * 3:
                await trio.sleep(0.05)
        await school.agree(school.size - 1, 3, made["id"])
        assert sum(bool(s.refused) for s in students) == 1, "only the kicked one was sent away"
        old = students[0].joined["token"]
        headers = {"Authorization": f"Bearer {old}"}
        renewed = await school.http.post(f"{school.url}/api/renew", headers=headers)
        assert renewed.status_code == 200
        answer = await school.http.get(renewed.json()["pathways"][0]["url"])
        assert answer.status_code == 200, "a renewed token keeps its seat"
        output = master.output()
        assert old not in output
        assert made["stream_key"] not in output
