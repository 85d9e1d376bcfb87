"""The profiles `postgres` and `monitoring`, started for real: by hand (`make test-compose`).

PostgreSQL and Prometheus are Debian's own, in images made here; Grafana cannot be had from packages, so that
its files are checked by `tests/integration/ops/test_prometheus.py` alone.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from tests.compose.project import POLL_S, SECRETS, running_school

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.compose.engine import Engine
    from tests.compose.project import ComposeProject

WHOLE_S = 240.0
FIRES_S = 120.0
PASSWORD = "correct horse battery"
DATABASE_PASSWORD = "p" * 40
PROMETHEUS = "http://127.0.0.1:9090"
SETTINGS = {
    "COMPOSE_PROFILES": "postgres",
    "POSTGRES_PASSWORD": DATABASE_PASSWORD,
    "DATABASE_URL": f"postgresql://airclass:{DATABASE_PASSWORD}@postgres/airclass",
}


@pytest.fixture(scope="module")
def school(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeProject]:
    """A school whose people and classes are in PostgreSQL."""
    with running_school(engine, tmp_path_factory.mktemp("school"), "Profile postgres", SETTINGS) as made:
        yield made


async def sign_in(school: ComposeProject, name: str) -> int:
    """Return the status of signing in, once the master answers."""
    async with httpx.AsyncClient(timeout=10) as client:
        while True:
            try:
                answer = await client.post(
                    f"{school.url}/api/login", json={"username": name, "password": PASSWORD}
                )
            except httpx.TransportError:
                await trio.sleep(POLL_S)
                continue
            if answer.status_code < 500:
                return answer.status_code
            await trio.sleep(POLL_S)


def people_and_classes(school: ComposeProject) -> str:
    return school.airclass("user", "list") + school.airclass("classroom", "list", "--json")


async def test_people_in_postgresql_survive_a_restart(school: ComposeProject) -> None:
    words = ("user", "add", "kim", "--role", "teacher", "--password-stdin")
    school.airclass(*words, input=PASSWORD.encode())
    school.airclass("classroom", "add", "Math")
    before = people_and_classes(school)
    count = "SELECT count(*) FROM users WHERE name = 'kim'"
    asked = ("exec", "--no-TTY", "postgres", "psql", "-U", "airclass", "-tAc", count)
    assert school.quietly(*asked).strip() == "1"
    with trio.fail_after(WHOLE_S):
        await school.active_nodes(3)
        assert await sign_in(school, "kim") == 200
        school.compose("restart", "postgres", "master")
        assert await sign_in(school, "kim") == 200
        assert await sign_in(school, "nobody") == 401
        await school.active_nodes(3)
    assert people_and_classes(school) == before


async def test_postgresql_is_backed_up_from_inside_lost_and_restored(school: ComposeProject) -> None:
    before = people_and_classes(school)
    said = school.compose("run", "--rm", "--no-TTY", "tools", "backup", "--auto")
    (archive,) = (school.folder / "backups").iterdir()
    assert "database: postgresql" in said
    assert "[WARN]" not in said
    school.compose("down", "--volumes", "--timeout", "5")
    school.compose("up", "--detach", "--wait", "--wait-timeout", "120", "postgres")
    school.compose("run", "--rm", "--no-TTY", "tools", "restore", f"backups/{archive.name}", "--yes")
    school.compose("up", "--detach", "--wait", "--wait-timeout", "120")
    assert people_and_classes(school) == before
    with trio.fail_after(WHOLE_S):
        assert await sign_in(school, "kim") == 200


async def asked(path: str, wanted: Callable[[Any], bool]) -> Any:
    """Return what Prometheus answers as soon as it is what is wanted; its last answer when it never is."""
    data = None
    with trio.move_on_after(FIRES_S):
        async with httpx.AsyncClient(timeout=10) as client:
            while data is None or not wanted(data):
                await trio.sleep(POLL_S)
                try:
                    data = (await client.get(f"{PROMETHEUS}/api/v1/{path}")).json()["data"]
                except httpx.TransportError:
                    continue
            return data
    raise AssertionError(json.dumps(data, indent=1))


def alive(targets: Any) -> list[str]:
    return sorted(t["labels"]["instance"] for t in targets["activeTargets"] if t["health"] == "up")


async def test_prometheus_reads_all_replicas_and_judges_by_our_rules(school: ComposeProject) -> None:
    """What `docker compose --profile monitoring up -d` starts, without Grafana."""
    folder = school.folder / "deploy/prometheus"
    (folder / "monitor-token").write_text(school.airclass("token", "monitor"))
    school.compose("--profile", "monitoring", "up", "--detach", "--no-recreate", "prometheus")
    with trio.fail_after(WHOLE_S):
        await school.active_nodes(3)
        replicas = {f"{school.address(name)}:8081" for name in school.replicas()}
        assert len(replicas) == 3
        targets = await asked("targets", lambda t: len(alive(t)) == 4)
        assert set(alive(targets)) == {"master:8000", *replicas}
        rules = await asked(
            "rules", lambda r: all(one["health"] == "ok" for g in r["groups"] for one in g["rules"])
        )
        seen = f"Up: {', '.join(alive(targets))}; rules: "
        seen += ", ".join(f"{len(group['rules'])} of {group['name']}" for group in rules["groups"])
        names = {rule["name"] for group in rules["groups"] for rule in group["rules"]}
        written = "".join(path.read_text() for path in (folder / "rules").glob("*.yml"))
        assert names == set(re.findall(r"- (?:alert|record): (\S+)", written))
        lost = sorted(school.replicas())[0]
        school.engine.docker("kill", lost)
        fired = await asked("alerts", lambda a: "NodeDown" in firing(a))
        assert "MasterDown" not in firing(fired)
        seen += f", all healthy. After a relay was killed: {', '.join(sorted(firing(fired)))} firing"
        school.engine.transcript.append(f"Prometheus: {seen}.\n")
    school.compose("up", "--detach", "--wait", "--wait-timeout", "120")
    school.compose("--profile", "monitoring", "rm", "--stop", "--force", "prometheus")


def firing(alerts: Any) -> set[str]:
    return {one["labels"]["alertname"] for one in alerts["alerts"] if one["state"] == "firing"}


def test_no_secret_is_in_the_logs(school: ComposeProject) -> None:
    logs = school.quietly("logs", "--no-color")
    secrets = {**SECRETS, "POSTGRES_PASSWORD": DATABASE_PASSWORD, "PASSWORD": PASSWORD}
    assert [name for name, secret in secrets.items() if secret in logs] == []
