"""Teachers' classes over HTTP: made, changed, closed, ended; keys shown once; students taken out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tests.harness.master_in_process import running_master

if TYPE_CHECKING:
    from pathlib import Path

    import httpx


async def hook(control, classroom_id: str, key: str) -> int:
    body = {"action": "publish", "path": f"live/{classroom_id}", "query": f"token={key}", "protocol": "rtmp"}
    return (await control.call("POST", "/hooks/mediamtx/auth", body)).status_code


async def test_the_key_is_shown_once_and_can_be_rotated(tmp_path: Path) -> None:
    async with running_master(tmp_path, INGEST_RTMP_PUBLIC_URL="rtmp://school.example") as control:
        made = await control.classroom(language="en", capacity=30)
        assert made["rtmp_url"] == f"rtmp://school.example/live/{made['id']}?token={made['stream_key']}"
        assert made["rtmp_key"] == f"{made['id']}?token={made['stream_key']}"
        path = f"/api/classrooms/{made['id']}"
        shown = (await control.call("GET", path, None, control.admin)).json()
        assert "stream_key" not in shown
        assert shown["rtmp_server"] == "rtmp://school.example/live"
        assert await hook(control, made["id"], made["stream_key"]) == 204
        fresh = (await control.call("POST", f"{path}/rotate-key", None, control.admin)).json()
        assert fresh["stream_key"] != made["stream_key"]
        assert await hook(control, made["id"], made["stream_key"]) == 401
        assert await hook(control, made["id"], fresh["stream_key"]) == 204
        await control.call("POST", f"{path}/close", None, control.admin)
        assert await hook(control, made["id"], fresh["stream_key"]) == 401


async def test_in_a_demonstration_the_key_stays_visible(tmp_path: Path) -> None:
    async with running_master(tmp_path, DEMO="true") as control:
        made = await control.classroom()
        shown = (await control.call("GET", f"/api/classrooms/{made['id']}", None, control.admin)).json()
        assert shown["stream_key"] == made["stream_key"]


async def test_teachers_see_and_change_only_their_own(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        lee, kim = await control.teacher("Lee"), await control.teacher("Kim")
        made = (await control.call("POST", "/api/classrooms", {"name": "Lee's"}, lee)).json()
        path = f"/api/classrooms/{made['id']}"
        assert (await control.call("GET", path, None, kim)).status_code == 404
        for method, rest in (
            ("DELETE", ""),
            ("POST", "/close"),
            ("POST", "/rotate-key"),
            ("GET", "/viewers"),
        ):
            assert (await control.call(method, path + rest, None, kim)).status_code == 404
        shared = await control.call("PATCH", path, {"co_teachers": ["ukim"]}, lee)
        assert shared.json()["co_teachers"] == ["ukim"]
        assert (await control.call("POST", f"{path}/close", None, kim)).json()["status"] == "closed"
        assert [
            c["id"] for c in (await control.call("GET", "/api/classrooms", None, kim)).json()["classrooms"]
        ] == [made["id"]]
        assert (await control.call("PATCH", path, {"co_teachers": ["nobody"]}, lee)).status_code == 409
        assert (await control.call("PATCH", path, {"name": " "}, lee)).status_code == 409


async def test_changes_are_kept_and_an_ended_class_stays_ended(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        path = f"/api/classrooms/{made['id']}"
        body = {"name": "Art", "password": "pw", "capacity": 5, "language": "en", "roster": ["Kim", " "]}
        changed = (await control.call("PATCH", path, body, control.admin)).json()
        wanted = {"name": "Art", "has_password": True, "capacity": 5, "language": "en", "roster": ["kim"]}
        assert {k: changed[k] for k in wanted} == wanted
        assert not (await control.call("PATCH", path, {"password": ""}, control.admin)).json()["has_password"]
        ended = (await control.call("POST", f"{path}/end", None, control.admin)).json()
        assert (ended["status"], ended["state"]) == ("ended", "ended")
        for verb in ("open", "close"):
            assert (await control.call("POST", f"{path}/{verb}", None, control.admin)).status_code == 409
        assert (await control.join(made["code"])).status_code == 404
        assert (await control.call("DELETE", path, None, control.admin)).status_code == 204
        assert (await control.call("GET", path, None, control.admin)).status_code == 404


async def test_a_kicked_student_is_refused_everywhere_within_a_second(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relay = await control.node()
        joined = (await control.join(made["code"])).json()
        other = (await control.join(made["code"], "Lee")).json()
        assert relay.take(joined["token"], made["id"])
        assert relay.take(other["token"], made["id"])
        await relay.beat()
        path = f"/api/classrooms/{made['id']}"
        viewers = (await control.call("GET", f"{path}/viewers", None, control.admin)).json()["viewers"]
        (subject,) = [v["subject"] for v in viewers if v["name"] == "Kim"]
        began_s = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(relay.watch)
            kicked = await control.call("POST", f"{path}/kick", {"subject": subject}, control.admin)
            assert kicked.status_code == 204
            shown = (await control.call("GET", "/cluster/nodes", None, control.monitor)).json()
            text = (await control.call("GET", "/metrics", None, control.monitor)).text
            left = (await control.call("GET", f"{path}/viewers", None, control.admin)).json()["viewers"]
        assert [v["name"] for v in left] == ["Lee"]
        assert (shown["nodes"][0]["connections"], shown["summary"]["current_load"]) == (1, 1)
        assert 'airclass_active_connections{type="student"} 1.0' in text.splitlines()
        assert trio.current_time() - began_s < 1.0
        assert not relay.take(joined["token"], made["id"])
        assert relay.take(other["token"], made["id"])
        headers = {"Authorization": f"Bearer {joined['token']}"}
        assert (await control.call("POST", "/api/renew", None, headers)).status_code == 403
        for url in (joined["playback_url"], joined["steering_url"]):
            assert (await control.call("GET", url.removeprefix(control.url))).status_code == 403
        await relay.beat()
        viewers = (await control.call("GET", f"{path}/viewers", None, control.admin)).json()["viewers"]
        assert [v["name"] for v in viewers] == ["Lee"]
        assert (
            await control.call("POST", f"{path}/kick", {"subject": "x"}, control.admin)
        ).status_code == 404


async def test_a_kick_is_for_the_token_not_for_the_name_and_a_list_of_names_keeps_out(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node()
        path = f"/api/classrooms/{made['id']}"
        old = (await control.join(made["code"], "Kim")).json()["token"]
        viewers = (await control.call("GET", f"{path}/viewers", None, control.admin)).json()["viewers"]
        first = viewers[0]["subject"]
        await control.call("POST", f"{path}/kick", {"subject": first}, control.admin)
        # the old token is no way back to the old place: who knows the code is a new student
        again = await control.join(made["code"], "Kim the second", rejoin=old)
        assert again.status_code == 200
        viewers = (await control.call("GET", f"{path}/viewers", None, control.admin)).json()["viewers"]
        assert [(v["name"], v["subject"] == first) for v in viewers] == [("Kim the second", False)]
        await control.call("PATCH", path, {"roster": ["Lee"]}, control.admin)
        assert (await control.join(made["code"], "Kim the third")).status_code == 403
        assert (await control.join(made["code"], "lee")).status_code == 200


async def test_a_new_code_ends_everyones_tokens(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        relay = await control.node()
        joined = (await control.join(made["code"])).json()
        relay.take(joined["token"], made["id"])
        await relay.beat()
        path = f"/api/classrooms/{made['id']}/new-code"
        fresh = (await control.call("POST", path, None, control.admin)).json()
        assert fresh["code"] != made["code"]
        assert (await control.join(made["code"])).status_code == 404
        await relay.beat()
        assert not relay.take(joined["token"], made["id"])
        again = (await control.join(fresh["code"])).json()
        await relay.beat()
        assert relay.take(again["token"], made["id"])


async def test_a_preview_is_not_counted(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom(capacity=1)
        relay = await control.node()
        path = f"/api/classrooms/{made['id']}"
        preview = await control.call("POST", f"{path}/preview", None, control.admin)
        assert preview.status_code == 200
        relay.take(preview.json()["token"], made["id"])
        await relay.beat()
        text = (await control.call("GET", "/metrics", None, control.monitor)).text
        assert 'airclass_active_connections{type="student"} 0.0' in text
        assert 'airclass_cluster_connections{node_id="slave-1"} 0.0' in text
        assert (await control.call("GET", path, None, control.admin)).json()["viewers"] == 0
        assert (await control.join(made["code"])).status_code == 200


async def test_changes_made_at_once_do_not_undo_each_other(tmp_path: Path) -> None:
    """Each change used to write the whole row, so that a PATCH undid a new key or a new code."""
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        path = f"/api/classrooms/{made['id']}"
        key, code = made["stream_key"], made["code"]
        for n in range(25):
            answers: dict[str, dict[str, object]] = {}

            async def change(what: str, method: str, rest: str, body: object = None) -> None:
                answer = await control.call(method, path + rest, body, control.admin)
                assert answer.status_code == 200, (what, answer.text)
                answers[what] = answer.json()  # noqa: B023

            async with trio.open_nursery() as nursery:
                nursery.start_soon(change, "code", "POST", "/new-code")
                nursery.start_soon(change, "key", "POST", "/rotate-key")
                nursery.start_soon(change, "name", "PATCH", "", {"name": f"Math {n}", "capacity": n})
                nursery.start_soon(change, "close", "POST", "/close")
            now = (await control.call("GET", path, None, control.admin)).json()
            assert (now["name"], now["capacity"], now["status"]) == (f"Math {n}", n, "closed"), n
            assert now["code"] == answers["code"]["code"] != code, n
            assert (await control.call("POST", f"{path}/open", None, control.admin)).status_code == 200
            assert await hook(control, made["id"], key) == 401, f"round {n}: the old key still publishes"
            key, code = str(answers["key"]["stream_key"]), str(now["code"])
            assert await hook(control, made["id"], key) == 204, n


async def test_of_two_new_keys_at_once_the_second_is_a_conflict(tmp_path: Path) -> None:
    """Both teachers would be shown a key, and one of the two would not work."""
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        path = f"/api/classrooms/{made['id']}"
        for verb, field in (("rotate-key", "stream_key"), ("new-code", "code")):
            answers = []

            async def change(verb: str = verb, into: list[httpx.Response] = answers) -> None:
                into.append(await control.call("POST", f"{path}/{verb}", None, control.admin))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(change)
                nursery.start_soon(change)
            good = [a.json()[field] for a in answers if a.status_code == 200]
            assert sorted(a.status_code for a in answers) in ([200, 409], [200, 200]), verb
            if verb == "new-code":
                now = (await control.call("GET", path, None, control.admin)).json()["code"]
                assert now in good
            else:
                assert [await hook(control, made["id"], key) for key in good].count(204) == 1
            if len(good) == 1:
                (refused,) = [a for a in answers if a.status_code == 409]
                assert "meanwhile" in refused.json()["detail"]
