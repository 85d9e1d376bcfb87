"""`airclass monitor` and its script, run for real against a master that is up, sick, or gone."""

from __future__ import annotations

import json
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING

import h11
import trio

from tests.harness.master_in_process import running_master
from tests.harness.processes import running
from tests.integration.ops.command import program, python_path, run
from tests.policy.tree import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.master_in_process import InProcessMaster

ENV = {"JWT_SECRET_KEY": "j" * 40}
WHOLE_S = 60.0
SCRIPT = ROOT / "deploy/scripts/monitor-cluster.sh"


async def test_the_screen_of_a_healthy_cluster(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        for name in ("slave-1", "slave-2", "slave-3"):
            await control.node(name)
        ran = await run("monitor", "--master", control.url, folder=tmp_path, env=ENV)
        assert ran.code == 0, ran.err
        for words in (
            "  AIRClass Cluster Monitor - 20",
            f"[OK] Master is UP at {control.url}",
            "│ Total Nodes: 3                Active: 3 ",
            "│ Node: slave-2 ",
            "│   Status: active ",
            "│   Connections: 0/150 (0.0%) ",
            "   Total Capacity: 450 users",
            "   Average Load: 0.0%",
            "RECOMMENDATION: ",
        ):
            assert words in ran.out
        assert "\x1b" not in ran.out


async def test_the_script_is_the_same_and_json_has_its_schema(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.node()
        token = control.monitor["Authorization"].removeprefix("Bearer ")
        env = {"MONITOR_TOKEN": token, "MASTER_URL": control.url, **python_path()}
        ran = await program(SCRIPT, "--json", folder=tmp_path, env=env)
        assert ran.code == 0, ran.err
        shown = json.loads(ran.out)
        assert (shown["schema"], shown["status"], shown["master"]["up"]) == (1, "ok", True)
        assert [n["id"] for n in shown["nodes"]] == ["slave-1"]
        assert shown["summary"]["total_capacity"] == 150


async def test_no_node_is_critical_and_a_wrong_token_says_so(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        ran = await run("monitor", "--master", control.url, folder=tmp_path, env=ENV)
        assert ran.code == 2
        env = {"MONITOR_TOKEN": "x.y.z"}
        ran = await run("monitor", "--master", control.url, folder=tmp_path, env=env)
        assert (ran.code, "[OK] Master is UP" in ran.out) == (2, True)
        assert "airclass token monitor" in ran.out
        assert "x.y.z" not in ran.out + ran.err


async def test_a_missing_token_is_no_dead_master(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        ran = await run("monitor", "--master", control.url, folder=tmp_path)
        assert (ran.code, "[OK] Master is UP" in ran.out) == (2, True), ran.out + ran.err
        assert "MONITOR_TOKEN is missing" in ran.out
        assert "airclass token monitor" in ran.out
        env = {"ALERT_WEBHOOK": "json://127.0.0.1:9"}
        ran = await run("monitor", "--alert", "--master", control.url, folder=tmp_path, env=env)
        assert (ran.code, ran.out) == (2, "")
        assert "MONITOR_TOKEN is missing" in ran.err


async def test_a_dead_master_is_said_with_exit_code_2(tmp_path: Path) -> None:
    with trio.socket.socket() as sock:
        await sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        ran = await run("monitor", "--master", url, folder=tmp_path, env=ENV)
        assert ran.code == 2
        assert f"[ERROR] Master is DOWN at {url}" in ran.out
        ran = await run("monitor", "--master", url, "--json", folder=tmp_path, env=ENV)
        assert (ran.code, json.loads(ran.out)["status"]) == (2, "critical")


async def test_it_is_shown_again_and_again_until_ctrl_c(tmp_path: Path) -> None:
    with trio.fail_after(WHOLE_S):
        async with running_master(tmp_path) as control:
            await control.node()
            words = ("monitor", "--watch", "--interval", "1", "--master", control.url)
            command = (sys.executable, "-m", "airclass.cli.app", *words)
            async with running(*command, folder=tmp_path, env={**ENV, "PYTHONPATH": str(ROOT)}) as child:
                while child.output().count("AIRClass Cluster Monitor - 20") < 2:
                    assert child.returncode is None, child.output()
                    await trio.sleep(0.05)
                child.kill(signal.SIGINT)
                assert await child.wait() == 0
                assert "Traceback" not in child.output()


async def test_changes_reach_the_webhook_once_and_recovery_too(tmp_path: Path) -> None:
    with trio.fail_after(WHOLE_S):
        async with running_master(tmp_path) as control, trio.open_nursery() as nursery:
            got: list[dict[str, str]] = []
            hook = await nursery.start(_webhook, got)
            env = {**ENV, "ALERT_WEBHOOK": hook, "DATA_DIR": str(tmp_path / "ops")}
            for _ in range(2):
                assert await _alert(control, tmp_path, env) == 2
            assert [m["title"] for m in got] == ["AIRClass: 1 problem now"]
            assert "No node is active" in got[0]["text"]
            assert got[0]["text"] == got[0]["content"]
            await control.node()
            assert await _alert(control, tmp_path, env) == 0
            assert len(got) == 1, "the next message waits for its time"
            _let_time_pass(tmp_path / "ops/monitor-alerts.json")
            await _alert(control, tmp_path, env)
            assert [m["title"] for m in got[1:]] == ["AIRClass: all is well again"]
            nursery.cancel_scope.cancel()


async def test_a_dead_webhook_changes_nothing(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.node()
        env = {**ENV, "ALERT_WEBHOOK": "http://127.0.0.1:1/secret-path", "DATA_DIR": str(tmp_path / "ops")}
        assert await _alert(control, tmp_path, env) == 0
        ran = await run("monitor", "--master", "http://127.0.0.1:1", "--alert", folder=tmp_path, env=env)
        assert ran.code == 2
        assert "alert.failed" in ran.err
        assert "secret-path" not in ran.out + ran.err


async def test_what_cannot_work_is_refused(tmp_path: Path) -> None:
    ran = await run("monitor", "--alert", folder=tmp_path, env=ENV)
    assert (ran.code, "ALERT_WEBHOOK" in ran.err) == (2, True)
    ran = await run("monitor", "--watch", "--interval", "0", folder=tmp_path, env=ENV)
    assert (ran.code, "--interval" in ran.err) == (2, True)
    assert "--interval" in (await run("monitor", "--help", folder=tmp_path)).out


async def _alert(control: InProcessMaster, folder: Path, env: dict[str, str]) -> int:
    ran = await run("monitor", "--alert", "--master", control.url, folder=folder, env=env)
    return ran.code


def _let_time_pass(memory: Path) -> None:
    state = json.loads(memory.read_text())
    state["not_before_s"] = 0
    memory.write_text(json.dumps(state))


async def _webhook(
    got: list[dict[str, str]], *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        connection, body = h11.Connection(h11.SERVER), b""
        while True:
            match connection.next_event():
                case h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some(65536))
                case h11.Data(data=data):
                    body += bytes(data)
                case h11.EndOfMessage() | h11.ConnectionClosed():
                    break
        got.append(json.loads(body))
        head = h11.Response(status_code=200, headers=[("Content-Length", "0"), ("Connection", "close")])
        await stream.send_all(connection.send(head) or b"")
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        task_status.started(f"http://127.0.0.1:{listener.socket.getsockname()[1]}/hook?x=1")
