"""The ingest's question is answered at once, from memory, whatever else is going on."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
import trio
from trio_websocket import open_websocket_url

from airclass.ingest import http_server
from tests.harness.fake_mediamtx import FakeMediaMtx
from tests.harness.master_in_process import running_master

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.master_in_process import InProcessMaster


def question(classroom_id: str, key: str, **more: str) -> dict[str, str | None]:
    return {
        "action": "publish",
        "ip": "10.0.0.9",
        "user": "",
        "password": "",
        "token": "",
        "path": f"live/{classroom_id}",
        "protocol": "rtmp",
        "id": None,
        "query": f"token={key}",
        "userAgent": "OBS",
        **more,
    }


async def ask(control: InProcessMaster, body: dict[str, str | None]) -> int:
    return (await control.call("POST", "/hooks/mediamtx/auth", body)).status_code


async def test_right_keys_open_and_everything_else_does_not(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        one, two = await control.classroom(), await control.classroom()
        assert await ask(control, question(one["id"], one["stream_key"])) == 204
        assert await ask(control, question(one["id"], two["stream_key"])) == 401
        assert await ask(control, question("nosuch", one["stream_key"])) == 401
        assert await ask(control, question(one["id"], "", password=one["stream_key"])) == 204
        assert await ask(control, question("", "", action="api")) == 401
        token = control.services.ingest.api_token
        assert await ask(control, question("", "", action="api", token=token)) == 204
        assert await ask(control, question(one["id"], "cdn-secret", action="read")) == 204
        odd = await control.call("POST", "/hooks/mediamtx/auth", {"action": 5})
        assert odd.status_code == 400


async def test_a_second_publisher_with_the_key_takes_over_is_written_down_and_shown(
    tmp_path: Path,
) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relay = await control.node()
        assert await ask(control, question(made["id"], made["stream_key"])) == 204
        relay.states[made["id"]] = "live"
        await relay.beat()
        assert await ask(control, question(made["id"], "wrong")) == 401
        assert await ask(control, question(made["id"], made["stream_key"], ip="10.0.0.66")) == 204
        recent = control.services.recent_events
        await control.until(lambda: any(e.action == "ingest.takeover" for e in recent))
        (event,) = [e for e in recent if e.action == "ingest.takeover"]
        assert (event.target, event.detail) == (made["id"], "10.0.0.66")
        url = f"{control.url.replace('http', 'ws')}/ws/teacher?classroom={made['id']}"
        admin = [(name.encode(), value.encode()) for name, value in control.admin.items()]
        async with open_websocket_url(url, extra_headers=admin) as ws:
            facts = json.loads(await ws.get_message())["facts"]
        assert facts["taken_over_by"] == "10.0.0.66"
        assert "Another encoder (10.0.0.66) took over" in facts["advice"][0]


async def test_the_hook_does_not_wait_for_the_database(tmp_path: Path) -> None:
    """With every database thread taken, keys are still checked."""
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        limiter = control.services.store._limiter
        for n in range(int(limiter.total_tokens)):
            await limiter.acquire_on_behalf_of(n)
        with trio.fail_after(2):
            began_s = time.perf_counter()
            assert await ask(control, question(made["id"], made["stream_key"])) == 204
            assert time.perf_counter() - began_s < 1
            await control.node()
            await control.begin(made)
            joined = await control.join(made["code"])
            assert joined.status_code == 200
            steering = joined.json()["steering_url"].removeprefix(control.url)
            assert (await control.call("GET", steering)).status_code == 200
        for n in range(int(limiter.total_tokens)):
            limiter.release_on_behalf_of(n)


@pytest.mark.parametrize("act", ["rotate-key", "close", "end", "delete"])
async def test_a_running_publisher_is_disconnected_when_its_class_changes(tmp_path: Path, act: str) -> None:
    fake = FakeMediaMtx()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(http_server.serve, fake.answer, "127.0.0.1", 0)
        async with running_master(tmp_path, INGEST_API_URL=f"http://127.0.0.1:{port}") as control:
            made, other = await control.classroom(), await control.classroom()
            for one in (made, other):
                assert await ask(control, question(one["id"], one["stream_key"])) == 204
                fake.publish(f"live/{one['id']}", f"token={one['stream_key']}")
            stays = fake.publish(f"live/{other['id']}", f"token={other['stream_key']}")
            stranger = fake.publish(f"live/{made['id']}", f"token={made['stream_key']}", "10.0.0.66:9")
            await control.until(lambda: control.services.cluster.has_publisher(other["id"]))
            path = f"/api/classrooms/{made['id']}"
            method, path = ("DELETE", path) if act == "delete" else ("POST", f"{path}/{act}")
            assert (await control.call(method, path, headers=control.admin)).status_code in (200, 204)
            await control.until(lambda: fake.kicked)
            assert fake.kicked == [stranger]
            assert list(fake.publishers) == [stays]
        nursery.cancel_scope.cancel()


async def test_a_refusal_names_the_class_that_was_meant_and_never_a_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        identifier, key = made["id"], made["stream_key"]
        caplog.clear()
        for path, query in (
            (f"live/{identifier}", "token=wrong-secret"),
            (f"live/{identifier}", ""),
            (f"live/{identifier}/{key}", ""),
            (f"app/{identifier}", f"token={key}"),
        ):
            assert await ask(control, question(identifier, "", path=path, query=query)) == 401
        said = [r.getMessage() for r in caplog.records if r.getMessage().startswith("ingest.refused")]
    reasons = ["wrong-key", "no-key", "wrong-path", "wrong-path"]
    assert [line.split(" hint=")[0] for line in said] == [
        f"ingest.refused action=publish class={identifier} address=10.0.0.9 reason={reason}"
        for reason in reasons
    ]
    assert key not in caplog.text
    assert "wrong-secret" not in caplog.text
