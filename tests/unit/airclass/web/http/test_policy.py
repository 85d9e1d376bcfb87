"""The route table: every route declares who, how often, how much and from where; and it is enforced."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import TYPE_CHECKING

import pytest
import trio

from airclass.domain.rate_limits import RateLimit
from airclass.domain.users import Role
from airclass.web.api import push
from airclass.web.api.openapi import describe
from airclass.web.app import ROUTES, create_app
from airclass.web.http.route import CLUSTER_BYTES, FORM_BYTES, AccessRule, CorsRule, Route
from tests.harness.master_in_process import running_master

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.master_in_process import InProcessMaster

API = [r for r in ROUTES if not r.hidden]
NAMES = [f"{r.method} {r.path}" for r in ROUTES]
# Nobody needs a reason to be here; whoever adds a route for everybody writes it down.
FOR_ANYONE = {
    "POST /api/join",
    "GET /api/join/<code>",
    "POST /api/token",
    "POST /api/login",
    "POST /api/logout",
    "GET /healthz",
    "GET /readyz",
    "GET /api/openapi.json",
    "GET /.well-known/jwks.json",
}


# Changes nothing that anybody else sees.
NOT_AUDITED = {"POST /api/classrooms/<classroom_id>/preview"}


def test_a_route_cannot_be_made_without_a_policy() -> None:
    required = {
        f.name
        for f in dataclasses.fields(Route)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    assert {"access", "limit", "max_bytes", "cors"} <= required


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_each_policy_makes_sense(route: Route) -> None:
    assert isinstance(route.limit, RateLimit)
    assert 0 < route.limit.rate_per_s < 10_000
    assert route.limit.burst > 0
    most = CLUSTER_BYTES if route.access is AccessRule.CLUSTER else FORM_BYTES
    assert 0 <= route.max_bytes <= most
    assert (route.body is None) == (route.max_bytes == 0), "a body needs room, and no body needs none"
    if route.cors is CorsRule.CONFIGURED:
        assert isinstance(route.access, AccessRule), (
            "other sites never act in the name of a signed-in browser"
        )
    if route.method != "GET":
        assert not route.hidden
    if isinstance(route.access, frozenset):
        assert route.access
        assert Role.STUDENT not in route.access


def test_no_two_routes_are_the_same() -> None:
    assert len(NAMES) == len(set(NAMES))


def test_what_everybody_may_do_is_written_down() -> None:
    open_routes = {
        f"{r.method} {r.path}" for r in API if r.access in (AccessRule.ANYONE, AccessRule.MAYBE_SIGNED_IN)
    }
    assert open_routes == FOR_ANYONE


async def test_the_application_serves_exactly_the_table(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        app = create_app(control.services)
        served = {
            (method, rule.rule)
            for rule in app.url_map.iter_rules()
            if not rule.websocket
            for method in (rule.methods or set()) - {"HEAD"}
        }
        assert served == {(r.method, r.path) for r in ROUTES}
        assert not [rule for rule in app.url_map.iter_rules() if rule.websocket]
        assert push.PATHS.keys() == {"/ws/student", "/ws/teacher", "/ws/monitor"}


async def test_each_role_gets_exactly_what_the_table_says(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        callers = {
            Role.ADMIN: control.admin,
            Role.MONITOR: control.monitor,
            Role.TEACHER: await control.teacher(),
            Role.STUDENT: {"Authorization": f"Bearer {await viewer_token(control)}"},
        }
        for route in API:
            if not isinstance(route.access, frozenset):
                continue
            path = re.sub(r"<[^>]+>", "nosuch", route.path)
            nobody = await control.call(route.method, path)
            assert nobody.status_code == 401, path
            for role, headers in callers.items():
                answer = await control.call(route.method, path, None, headers)
                if role in route.access:
                    assert answer.status_code not in (401, 403), (path, role)
                else:
                    assert answer.status_code == 403, (path, role)


async def viewer_token(control: InProcessMaster) -> str:
    made = await control.classroom()
    await control.node()
    return str((await control.join(made["code"])).json()["token"])


async def test_bodies_are_limited_and_must_be_json(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        for route in API:
            path = re.sub(r"<[^>]+>", "nosuch", route.path)
            if route.method == "GET":
                continue
            head = f"{route.method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            head += f"Content-Length: {route.max_bytes + 1}\r\n"
            credentials = f"Authorization: {control.admin['Authorization']}\r\n\r\n"
            answer = await exchange(control, (head + credentials).encode() + b"x")
            status = 401 if route.access is AccessRule.CLUSTER else 413
            assert answer.startswith(b"HTTP/1.1 %d " % status), path
            if route.body is None or route.access is AccessRule.CLUSTER:
                continue
            for content, kind in (
                (b"{}", "text/plain"),
                (b"{", "application/json"),
                (b"[1]", "application/json"),
            ):
                headers = {**control.admin, "Content-Type": kind}
                odd = await control.client.request(
                    route.method, control.url + path, content=content, headers=headers
                )
                assert odd.status_code == (415 if kind == "text/plain" else 400), (path, content)
                assert odd.json()["detail"]


async def exchange(control: InProcessMaster, request: bytes) -> bytes:
    """Send bytes and return everything that comes until the server closes."""
    stream = await trio.open_tcp_stream("127.0.0.1", int(control.url.rpartition(":")[2]))
    answer = b""
    async with stream:
        with trio.fail_after(5):
            await stream.send_all(request)
            while data := await stream.receive_some(65536):
                answer += data
    return answer


async def test_a_flood_is_slowed_with_a_sentence(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        statuses = []
        while 429 not in statuses and len(statuses) < 400:
            answer = await control.call("POST", "/api/test-alert")
            statuses.append(answer.status_code)
        assert statuses[:-1] == [401] * (len(statuses) - 1)
        assert len(statuses) > 5
        assert int(answer.headers["retry-after"]) >= 1
        assert "slow down" in answer.json()["detail"]


async def test_other_sites_are_answered_only_where_and_when_configured(tmp_path: Path) -> None:
    async with running_master(tmp_path, CORS_ORIGINS="https://school.example") as control:
        for route in API:
            path = re.sub(r"<[^>]+>", "nosuch", route.path)
            for origin in ("https://evil.example", "null", "https://school.example"):
                answer = await control.client.request(
                    route.method, control.url + path, headers={"Origin": origin}
                )
                allowed = answer.headers.get("access-control-allow-origin")
                assert "access-control-allow-credentials" not in answer.headers
                wanted = route.cors is CorsRule.CONFIGURED and origin == "https://school.example"
                assert allowed == (origin if wanted else None), (path, origin)
        preflight = await control.client.options(
            control.url + "/api/join",
            headers={"Origin": "https://school.example", "Access-Control-Request-Method": "POST"},
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-methods"] == "POST"


async def test_the_description_is_the_table() -> None:
    document = describe(ROUTES)
    described = {(m.upper(), p) for p, methods in document["paths"].items() for m in methods}
    assert described == {(r.method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", r.path)) for r in API}


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_every_change_by_somebody_with_a_role_is_audited(route: Route) -> None:
    name = f"{route.method} {route.path}"
    if isinstance(route.access, frozenset) and route.method != "GET" and name not in NOT_AUDITED:
        assert _makes_an_event(route.handler, depth=2), f"{name} leaves no line in the audit log"


def _makes_an_event(function: object, depth: int) -> bool:
    """Tell whether a handler, or a function of its module that it calls, makes a line of the audit log."""
    source = inspect.getsource(function)  # type: ignore[arg-type]
    if "services.event(" in source:
        return True
    module = inspect.getmodule(function)
    called = {getattr(module, name, None) for name in re.findall(r"\b(_\w+)\(", source)}
    return depth > 0 and any(inspect.isfunction(f) and _makes_an_event(f, depth - 1) for f in called)


async def test_an_answer_tells_its_request_s_id(tmp_path: Path) -> None:
    async with running_master(tmp_path) as control:
        relay = await control.node("slave-1")
        await control.node("slave-2")
        answer = await control.call("GET", "/readyz")
        assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
        for told, taken in (("shift-7", True), ("two words", False), ("x" * 65, False)):
            answer = await control.call("GET", "/nowhere", None, {"X-Request-Id": told})
            assert (answer.headers["x-request-id"] == told) is taken
        headers = {**control.admin, "X-Request-Id": "shift-7"}
        assert (await control.call("POST", "/cluster/drain/slave-1", None, headers)).status_code == 204
        await relay.beat()
        assert (relay.orders.drain, relay.orders.cause) == (True, "shift-7")
        await control.call("POST", "/cluster/undrain/slave-1", None, control.admin)
        await relay.beat()
        assert re.fullmatch(r"[0-9a-f]{16}", relay.orders.cause)
