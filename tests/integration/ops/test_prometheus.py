"""Prometheus and Grafana files: checked by their own tools, and run against a live demo."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

import httpx
import promql_parser
import pytest
import trio

from tests.harness.processes import free_ports, running
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

DEPLOY = ROOT / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))
RUN_S = 60.0
WHOLE_S = 150.0
ALERTS = {
    *("NodeDown", "NodeNearlyFull", "ClusterNearlyFull", "IngestLost", "ViewersStalling"),
    *("MasterDown", "BackupTooOld", "CertificateExpires"),
}


def test_every_recording_rule_is_tested() -> None:
    rules = set(re.findall(r"record: (\S+)", (PROMETHEUS / "rules/recording.yml").read_text()))
    tested = (PROMETHEUS / "tests/recording.yml").read_text()
    assert rules
    assert {rule for rule in rules if f"({rule}, " not in tested and f"expr: {rule}\n" not in tested} == set()


async def promtool(*words: str, folder: Path = PROMETHEUS) -> str:
    with trio.fail_after(RUN_S):
        done = await trio.run_process(
            ["promtool", *words], cwd=folder, capture_stdout=True, capture_stderr=True, check=False
        )
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, output
    return output


async def test_every_alert_fires_when_it_should(tmp_path: Path) -> None:
    files = sorted((PROMETHEUS / "tests").glob("*.yml"))
    await promtool("test", "rules", *(file.name for file in files), folder=PROMETHEUS / "tests")
    tested = {name for file in files for name in re.findall(r"alertname: (\w+)", file.read_text())}
    written = (PROMETHEUS / "rules/alerts.yml").read_text()
    assert tested == set(re.findall(r"- alert: (\w+)", written)) == ALERTS
    assert written.count("summary:") == written.count("description:") == len(ALERTS)
    runbooks = re.findall(r"runbook_url: (\S+)", written)
    assert len(runbooks) == len(ALERTS)
    assert [r for r in runbooks if not (ROOT / r).is_file()] == []


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus.hosts.yml"])
async def test_configurations_are_valid(tmp_path: Path, name: str) -> None:
    place = shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (place / "monitor-token").write_text("x")
    await promtool("check", "config", name, folder=place)


def test_dashboards_are_what_the_builder_writes() -> None:
    spec = importlib.util.spec_from_file_location("build", DEPLOY / "grafana/build.py")
    assert spec is not None
    assert spec.loader is not None
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    assert builder.dashboards() == {path.name: path.read_text() for path in DASHBOARDS}


def queries() -> list[tuple[str, str, str]]:
    """Return (dashboard, panel, query) with Grafana's variables filled in."""
    found = []
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "10s")
                found.append((path.stem, panel["title"], re.sub(r"\$\w+", ".*", query)))
    return found


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_fit_any_grafana(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == path.stem
    assert board["schemaVersion"] >= 36
    assert board["time"]["from"].startswith("now-")
    assert {v["name"] for v in board["templating"]["list"]} >= {"datasource"}
    assert {p["datasource"]["uid"] for p in board["panels"]} == {"${datasource}"}


def test_every_query_can_be_parsed() -> None:
    assert len(queries()) > 30
    for _, _, query in queries():
        promql_parser.parse(query)


async def test_no_panel_is_empty_on_a_live_demo(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready.json"
    demo = (sys.executable, "-m", "airclass.cli.app", "demo", "--ports", "0", "--ready-file", ready_file)
    env = {"PYTHONPATH": str(ROOT)}
    with trio.fail_after(WHOLE_S):
        async with running(*demo, folder=tmp_path, env=env) as child, httpx.AsyncClient(timeout=10) as client:
            record = await child.ready(ready_file, within_s=60)
            watch = (sys.executable, "-m", "benchmarks.viewers", "1", "--url", await _joined(client, record))
            place = _configuration(tmp_path, record)
            args = (
                "prometheus",
                f"--config.file={place}/prometheus.yml",
                f"--storage.tsdb.path={tmp_path}/data",
                f"--web.listen-address=127.0.0.1:{free_ports(1)[0]}",
            )
            url = "http://" + args[-1].partition("=")[2]
            async with (
                running(*args, folder=tmp_path) as prometheus,
                running(*watch, "--seconds", "90", folder=tmp_path, env=env),
            ):
                empty = {q[:2] for q in queries()}
                with trio.move_on_after(60):
                    while empty:
                        assert prometheus.returncode is None, prometheus.output()
                        await trio.sleep(1)
                        empty = {q[:2] for q in queries() if not await _answers(client, url, q[2])}
                assert empty == set()


async def _joined(client: httpx.AsyncClient, record: dict[str, Any]) -> str:
    """Join, and return the address to play from."""
    entry = {"code": record["join_code"], "name": "Kim"}
    joined = (await client.post(f"{record['master_url']}/api/join", json=entry)).json()
    answer = await client.get(joined["pathways"][0]["url"])
    assert answer.status_code == 200, answer.text
    return str(joined["pathways"][0]["url"])


def _configuration(folder: Path, record: dict[str, Any]) -> Path:
    """Return a copy of the hosts' configuration that looks every second at the demo."""
    place = shutil.copytree(PROMETHEUS, folder / "prometheus")
    (place / "monitor-token").write_text(record["monitor_token"])
    text = (place / "prometheus.hosts.yml").read_text().replace("10s", "1s")
    text = text.replace("localhost:8000", record["master_url"].partition("://")[2])
    (place / "prometheus.yml").write_text(text)
    targets = place / "targets/relays.yml"
    relay = record["relay_admin_url"].partition("://")[2]
    targets.write_text(targets.read_text().replace("localhost:8081", relay))
    return place


async def _answers(client: httpx.AsyncClient, url: str, query: str) -> bool:
    """Tell whether there is something to draw: of 0 divided by 0 Grafana says "No data"."""
    try:
        answer = (await client.get(f"{url}/api/v1/query", params={"query": query})).json()
    except httpx.HTTPError:
        return False
    assert answer["status"] == "success", answer
    return any(series["value"][1] != "NaN" for series in answer["data"]["result"])
