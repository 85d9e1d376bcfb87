"""Real processes: kicks and new class codes hold at every relay, however many tokens were issued."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import httpx
import jwt
import trio

from airclass.domain.tokens import TokenIssuer
from tests.harness.cluster import ClusterHarness, school
from tests.harness.fake_http import FakeServer, ReceivedRequest, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TOKENS = 100_000
REJOINS = 40
WITHIN_S = 1.0
WHOLE_S = 90.0


@asynccontextmanager
async def two_relays(folder: Path) -> AsyncIterator[tuple[ClusterHarness, httpx.AsyncClient]]:
    """A master and two relays of an open class to which nobody publishes."""

    async def nobody_publishes(request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        await stream.send_all(reply(b"", 404))

    origin = FakeServer(nobody_publishes)
    with trio.fail_after(WHOLE_S):
        async with trio.open_nursery() as nursery, httpx.AsyncClient(timeout=10) as client:
            await nursery.start(lambda task_status: origin.run(sockets=True, task_status=task_status))
            async with school(SimpleNamespace(hls_url=origin.url), folder, relays=2) as it:  # type: ignore[arg-type]
                yield it, client
            nursery.cancel_scope.cancel()


async def joined(it: ClusterHarness, client: httpx.AsyncClient, **more: str) -> dict[str, object]:
    form = {"code": it.classroom["code"], "name": "Kim", **more}
    answer = await client.post(f"{it.master_url}/api/join", json=form)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def claims(token: object) -> dict[str, str]:
    return dict(jwt.decode(str(token), options={"verify_signature": False}))


def minted(it: ClusterHarness, subject: str, count: int) -> list[str]:
    """Return tokens of one student, as many as rejoining ever gave; each with an id of its own."""
    issuer = TokenIssuer(it.env["JWT_SECRET_KEY"].encode())
    return [
        issuer.mint_viewer(
            subject=subject, token_id=f"0-{n:024x}", classroom=it.classroom["id"], wall_s=time.time()
        )
        for n in range(count)
    ]


async def statuses(
    it: ClusterHarness, client: httpx.AsyncClient, pathways: list[dict[str, str]], token: str
) -> list[int]:
    """Return what each relay and the master answer to a token; 503 and 200 mean that it is good."""
    stream = it.classroom["id"]
    urls = [p["url"].partition("/t/")[0] + f"/t/{token}/{stream}/index.m3u8" for p in pathways]
    answers = [(await client.get(url)).status_code for url in urls]
    renewed = await client.post(f"{it.master_url}/api/renew", headers={"Authorization": f"Bearer {token}"})
    return [*answers, renewed.status_code]


async def refused_within(
    it: ClusterHarness, client: httpx.AsyncClient, pathways: list[dict[str, str]], tokens: list[str]
) -> None:
    """Wait until every relay and the master refuse every token; judge the time of what came after it."""
    began_s = trio.current_time()
    while True:
        looked_s = trio.current_time()
        answers = [await statuses(it, client, pathways, token) for token in tokens]
        if all(status == 403 for each in answers for status in each):
            return
        assert looked_s - began_s < WITHIN_S, f"not refused after {WITHIN_S} s: {answers}"
        await trio.sleep(0.05)


async def test_an_old_code_and_a_kicked_student_are_refused_everywhere_with_100000_tokens(
    tmp_path: Path,
) -> None:
    async with two_relays(tmp_path) as (it, client):
        admin = {"Authorization": f"Bearer {await it.command('token', 'admin')}"}
        api = f"{it.master_url}/api/classrooms/{it.classroom['id']}"
        first = await joined(it, client)
        pathways: list[dict[str, str]] = first["pathways"]  # type: ignore[assignment]
        assert len(pathways) == 2
        again = first
        for _ in range(REJOINS):
            again = await joined(it, client, rejoin=str(again["token"]))
        assert claims(again["token"])["jti"] == claims(first["token"])["jti"], (
            "a rejoin makes no new token id"
        )

        all_tokens = minted(it, claims(first["token"])["sub"], TOKENS)
        some = [all_tokens[n] for n in (0, TOKENS // 2, TOKENS - 1)]
        assert {s for token in some for s in (await statuses(it, client, pathways, token))[:2]} == {503}

        kicked = await client.post(f"{api}/kick", json={"subject": claims(some[0])["sub"]}, headers=admin)
        assert kicked.status_code == 204
        await refused_within(it, client, pathways, [*some, str(first["token"]), str(again["token"])])

        other = await joined(it, client, name="Lee")
        shown, unseen = (others := minted(it, claims(other["token"])["sub"], TOKENS))[:3], others[-3:]
        assert {s for token in shown for s in (await statuses(it, client, pathways, token))[:2]} == {503}
        code = (await client.post(f"{api}/new-code", headers=admin)).json()["code"]
        await refused_within(it, client, pathways, [*shown, str(other["token"]), *some])
        first_looks = [await statuses(it, client, pathways, token) for token in unseen]
        assert first_looks == [[403] * 3] * 3, "a relay that has never seen the token refuses it, too"
        it.classroom["code"] = code
        fresh = await joined(it, client, name="Lee")
        assert (await statuses(it, client, pathways, str(fresh["token"])))[:2] == [503, 503]
