"""Signing in: passwords, links that work once, sessions that end, and the list of users."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from argon2 import PasswordHasher

from airclass.domain.tokens import TokenKind
from airclass.domain.users import Role
from airclass.io.store import AuditEvent
from airclass.web.api.accounts import login_link
from tests.harness.master_in_process import CHEAP_PASSWORD, running_master

if TYPE_CHECKING:
    from pathlib import Path

    import httpx
    import pytest

    from tests.harness.master_in_process import InProcessMaster


async def login(control: InProcessMaster, name: str, password: str = CHEAP_PASSWORD) -> httpx.Response:
    return await control.call("POST", "/api/login", {"username": name, "password": password})


async def test_a_session_begins_is_known_and_ends(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.teacher("Lee")
        answer = await login(control, "lee")
        assert answer.json()["user"] == {"id": "ulee", "name": "Lee", "role": "teacher"}
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Secure" not in cookie
        assert (await control.call("GET", "/api/me")).json()["user"]["name"] == "Lee"
        copied = {"Authorization": f"Bearer {answer.cookies['airclass_session']}"}
        assert (await control.call("POST", "/api/logout")).status_code == 204
        assert (await control.call("GET", "/api/me")).status_code == 401
        assert (await control.call("GET", "/api/me", None, copied)).status_code == 401
        assert (await control.call("POST", "/api/logout")).status_code == 204


async def test_wrong_names_and_passwords_look_the_same(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.teacher("Lee")
        wrong = await login(control, "Lee", "wrong wrong")
        unknown = await login(control, "Nobody", "wrong wrong")
        assert (wrong.status_code, wrong.json()) == (unknown.status_code, unknown.json())
        assert wrong.status_code == 401
        assert (await control.call("POST", "/api/login", {})).status_code == 401


async def test_guessing_is_stopped_and_the_owner_comes_in_again(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.teacher("Lee")
        codes = [(await login(control, "Lee", f"guess {n}")).status_code for n in range(6)]
        assert codes == [401] * 5 + [429]
        await control.teacher("Kim")
        assert (await login(control, "Kim")).status_code == 200


async def test_a_link_works_once_and_only_while_the_account_is_the_same(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.teacher("Lee")
        user = control.services.cluster.view.users["ulee"]
        link = login_link(control.services, user, control.url, "/teach")
        assert link.startswith(f"{control.url}/login#link=")
        assert link.endswith("&next=/teach")
        token = link.partition("#link=")[2].partition("&")[0]
        assert (await control.call("POST", "/api/login", {"link_token": token})).status_code == 200
        assert (await control.call("POST", "/api/login", {"link_token": token})).status_code == 401
        fresh = login_link(control.services, user, "", "/").partition("#link=")[2].partition("&")[0]
        await control.call("PATCH", "/api/users/ulee", {"role": "monitor"}, control.admin)
        assert (await control.call("POST", "/api/login", {"link_token": fresh})).status_code == 401
        session = control.services.tokens.mint(
            TokenKind.SESSION, subject="ulee", token_id="x", wall_s=control.services.clock.wall_s(), life_s=60
        )
        assert (await control.call("POST", "/api/login", {"link_token": session})).status_code == 401


async def test_users_are_made_changed_and_removed_by_admins(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.call(
            "POST",
            "/api/users",
            {"name": "Kim", "role": "teacher", "password": CHEAP_PASSWORD},
            control.admin,
        )
        assert made.status_code == 201
        path = f"/api/users/{made.json()['id']}"
        twice = await control.call("POST", "/api/users", {"name": "KIM", "role": "teacher"}, control.admin)
        assert twice.status_code == 409
        headers = {"Authorization": f"Bearer {(await login(control, 'Kim')).cookies['airclass_session']}"}
        control.client.cookies.clear()
        assert (await control.call("GET", "/api/me", None, headers)).status_code == 200
        changed = await control.call("PATCH", path, {"password": "another password"}, control.admin)
        assert changed.status_code == 200
        assert (await control.call("GET", "/api/me", None, headers)).status_code == 401
        link = await control.call("POST", f"{path}/link", None, control.admin)
        assert "/login#link=" in link.json()["url"]
        await control.call("PATCH", path, {"disabled": True}, control.admin)
        assert (await login(control, "Kim", "another password")).status_code == 401
        assert (await control.call("DELETE", path, None, control.admin)).status_code == 204
        assert (await control.call("DELETE", path, None, control.admin)).status_code == 404
        listed = await control.call("GET", "/api/users", None, control.admin)
        assert "password" not in str(listed.json()).replace("has_password", "")
        actions = [
            e["action"]
            for e in (await control.call("GET", "/api/events", None, control.admin)).json()["events"]
        ]
        assert {"user.add", "user.change", "user.delete", "user.link", "login"} <= set(actions)


async def test_a_cheaply_hashed_password_is_hashed_anew_when_its_owner_signs_in(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.teacher("Lee")
        cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(CHEAP_PASSWORD)
        services = control.services
        await services.store.change_user("ulee", {"password_hash": cheap}, AuditEvent(0, "test", "x", "Lee"))
        await services.reload()
        assert (await login(control, "Lee", "wrong wrong")).status_code == 401
        assert services.cluster.view.users["ulee"].password_hash == cheap
        assert (await login(control, "Lee")).status_code == 200
        stored = services.cluster.view.users["ulee"].password_hash
        assert stored != cheap
        assert not services.passwords.needs_rehash(stored)
        assert (await login(control, "Lee")).status_code == 200


async def test_the_last_admin_cannot_be_lost(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        (admin,) = control.services.cluster.view.users.values()
        assert admin.role is Role.ADMIN
        path = f"/api/users/{admin.id}"
        for method, body in (("DELETE", None), ("PATCH", {"disabled": True}), ("PATCH", {"role": "teacher"})):
            assert (await control.call(method, path, body, control.admin)).status_code == 409


async def test_another_site_cannot_act_for_a_signed_in_browser(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.teacher("Lee", Role.ADMIN)
        await login(control, "Lee")
        for headers in (
            {"Origin": "http://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "null"},
        ):
            answer = await control.call("POST", "/api/classrooms", {"name": "x"}, headers)
            assert answer.status_code == 403
        same = await control.call("POST", "/api/classrooms", {"name": "x"}, {"Origin": control.url})
        assert same.status_code == 201


async def test_tokens_by_role_and_never_without_authority(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        made = await control.classroom()
        await control.node()
        teacher = await control.teacher("Lee")
        ask = {"user_type": "monitor"}
        assert (await control.call("POST", "/api/token", ask)).status_code == 401
        assert (await control.call("POST", "/api/token", ask, teacher)).status_code == 403
        token = (await control.call("POST", "/api/token", ask, control.admin)).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert (await control.call("GET", "/cluster/nodes", None, headers)).status_code == 200
        assert (await control.call("GET", "/api/users", None, headers)).status_code == 403
        ask = {"user_type": "teacher", "username": "Lee", "password": "wrong wrong"}
        assert (await control.call("POST", "/api/token", ask)).status_code == 401
        ask["password"] = CHEAP_PASSWORD
        token = (await control.call("POST", "/api/token", ask)).json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert (await control.call("GET", "/api/classrooms", None, headers)).status_code == 200
        student = {"user_type": "student", "code": made["code"], "name": "Kim"}
        assert (await control.call("POST", "/api/token", student)).json()["join"]["playback_url"]
        assert (await control.call("POST", "/api/token", {"user_type": "student"})).status_code == 404
        assert (await control.call("POST", "/api/token", {"user_type": "admin"})).status_code == 400


async def test_a_student_at_the_same_address_cannot_lock_a_teacher_out(tmp_path: Path) -> None:
    """Wrong passwords for the teacher's name: the teacher's own browser still signs in, again and again."""
    async with running_master(tmp_path) as control:
        await control.teacher("Lee")
        first = await login(control, "Lee")
        devices = {name: value for name, value in first.cookies.items() if "device" in name}
        control.client.cookies.clear()
        for _ in range(10):
            codes = [(await login(control, "Lee", f"guess {n}")).status_code for n in range(8)]
            assert 429 in codes, "the guesser is slowed"
            control.client.cookies.update(devices)
            assert (await login(control, "Lee")).status_code == 200
            control.client.cookies.clear()
        assert sum(name == "airclass_device_ulee" for name in devices) == 1


async def test_a_device_cookie_is_for_one_account_and_for_nothing_but_its_own_count(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        await control.teacher("Lee")
        await control.teacher("Kim")
        first = await login(control, "Lee")
        (cookie,) = [c for c in first.headers.get_list("set-cookie") if "device" in c]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert "Path=/api" in cookie
        again = await login(control, "Lee")
        assert again.cookies["airclass_device_ulee"] != ""
        value = first.cookies["airclass_device_ulee"]
        assert again.cookies["airclass_device_ulee"].partition(".")[0] == value.partition(".")[0], (
            "one device"
        )
        control.client.cookies.clear()
        control.client.cookies.update({"airclass_device_ulee": value})
        assert (await control.call("GET", "/api/me")).status_code == 401
        assert [(await login(control, "Lee", f"guess {n}")).status_code for n in range(6)] == [401] * 5 + [
            429
        ]
        control.client.cookies.clear()
        control.client.cookies.update({"airclass_device_ukim": value})
        assert [(await login(control, "Kim", f"guess {n}")).status_code for n in range(6)] == [401] * 5 + [
            429
        ]


async def test_behind_tls_the_session_is_for_this_host_and_scheme_alone(tmp_path: Path) -> None:
    async with running_master(tmp_path, TRUSTED_PROXIES="127.0.0.0/8") as control:
        await control.teacher("Lee")
        tls = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "school.example"}
        body = {"username": "Lee", "password": CHEAP_PASSWORD}
        answer = await control.call("POST", "/api/login", body, tls)
        cookies = answer.headers.get_list("set-cookie")
        assert [c.partition("=")[0] for c in cookies] == ["__Host-airclass_session", "airclass_device_ulee"]
        assert all("; Secure" in c for c in cookies)
        token = cookies[0].partition("=")[2].partition(";")[0]
        for name, status in (("__Host-airclass_session", 200), ("airclass_session", 401)):
            headers = {**tls, "Cookie": f"{name}={token}"}
            assert (await control.call("GET", "/api/me", None, headers)).status_code == status
        for origin, status in (("https://school.example", 201), ("http://school.example", 403)):
            headers = {**tls, "Cookie": f"__Host-airclass_session={token}", "Origin": origin}
            answer = await control.call("POST", "/api/classrooms", {"name": "x"}, headers)
            assert answer.status_code == status, origin


async def test_sign_ins_that_fail_are_logged_and_audited_with_their_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_master(tmp_path) as control:
        await control.teacher("Lee")
        caplog.set_level(logging.INFO)
        assert (await login(control, "Lee", "wrong wrong")).status_code == 401
        assert (await login(control, "hunter2 hunter2", "wrong wrong")).status_code == 401
        assert (await control.call("POST", "/api/login", {"link_token": "x"})).status_code == 401
        lines = [r.getMessage() for r in caplog.records if "login.refused" in r.getMessage()]
        assert [line.partition("target=")[2] for line in lines] == [
            "Lee actor=- address=127.0.0.1",
            "unknown name actor=- address=127.0.0.1",
            "link actor=- address=127.0.0.1",
        ], "a password that was typed as a name must not be in a log"
        assert (await login(control, "Lee")).status_code == 200
        newest = await control.services.store.events(4)
        assert [(e.action, e.target, e.detail) for e in newest] == [
            ("login", "Lee", "127.0.0.1"),
            ("login.refused", "link", "127.0.0.1"),
            ("login.refused", "unknown name", "127.0.0.1"),
            ("login.refused", "Lee", "127.0.0.1"),
        ]


async def test_a_flood_of_wrong_passwords_writes_few_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_master(tmp_path) as control:
        await control.teacher("Lee")
        caplog.set_level(logging.INFO)
        for guess in range(40):
            await login(control, "Lee" if guess < 20 else f"nobody {guess}", "wrong wrong")
        lines = [r for r in caplog.records if "audit.login.refused" in r.getMessage()]
        assert 5 <= len(lines) <= 11, "ten at once for each address, then one in ten seconds"
