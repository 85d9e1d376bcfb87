"""A script takes every seat of a real cluster again and again, and four students still get in.

Writes what happened to build/show/seats.txt.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import trio

from tests.harness import ingests
from tests.harness.cluster import ClusterHarness, school

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SHOW = Path(__file__).resolve().parents[2] / "build" / "show" / "seats.txt"
WHOLE_S = 300.0
SEATS = 150
HONEST = 4
IN_TIME_S = 25.0
RENEWING_S, JOINING_S = 60.0, 30.0
RENEW_EVERY_S = 2.0
JOINS_PER_S = 40
ATTACKER = "127.0.0.66"
WATCH_EVERY_S = 1.0


@dataclass
class Attack:
    """One run: who got in after how long, and the lines of the transcript."""

    it: ClusterHarness
    honest: httpx.AsyncClient
    script: httpx.AsyncClient
    lines: list[str] = field(default_factory=list)
    waited_s: dict[str, float] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Add a line to the transcript."""
        self.lines.append(line)

    async def join(self, http: httpx.AsyncClient, name: str, **more: str) -> httpx.Response:
        """Try to enter the class."""
        body = {"code": self.it.classroom["code"], "name": name, **more}
        return await http.post(f"{self.it.master_url}/api/join", json=body)

    async def student(self, name: str) -> None:
        """Join as a page does, then watch: the playlists, and each new segment."""
        began_s = trio.current_time()
        while (answer := await self.join(self.honest, name)).status_code != 200:
            assert answer.status_code == 503, answer.text
            self.refused[name] = self.refused.get(name, 0) + 1
            await trio.sleep(int(answer.headers["retry-after"]) + random.random() * 2)
        url = answer.json()["pathways"][0]["url"]
        segment = ""
        while True:
            got = await self.honest.get(url)
            while got.status_code == 200 and got.headers["content-type"].endswith("mpegurl"):
                names = [line for line in got.text.splitlines() if line and line[0] != "#"]
                newest = str(got.url.join(names[-1]))
                if newest.endswith(".m3u8"):
                    url = newest
                elif newest == segment:
                    break
                else:
                    segment = newest
                got = await self.honest.get(newest)
            if got.status_code == 200 and name not in self.waited_s:
                self.waited_s[name] = trio.current_time() - began_s
            elif got.status_code != 200 and name in self.waited_s:
                self.lost.append(f"{name}: {got.status_code}")
            await trio.sleep(WATCH_EVERY_S)

    async def renewing(self) -> None:
        """Hold 150 tokens: renew each again and again, and ask its relay for a playlist."""
        joined: list[dict[str, Any]] = []

        async def enter(number: int) -> None:
            answer = await self.join(self.script, f"bot {number}")
            if answer.status_code == 200:
                joined.append(answer.json())

        async with trio.open_nursery() as nursery:
            for number in range(SEATS):
                nursery.start_soon(enter, number)
        self.say(f"the script holds {len(joined)} of {SEATS} seats")

        async def keep(bot: dict[str, Any]) -> None:
            headers = {"Authorization": f"Bearer {bot['token']}"}
            await self.script.post(f"{self.it.master_url}/api/renew", headers=headers)
            await self.script.get(bot["pathways"][0]["url"])

        while True:
            due_s = trio.current_time() + RENEW_EVERY_S
            async with trio.open_nursery() as nursery:
                for bot in joined:
                    nursery.start_soon(keep, bot)
            await trio.sleep_until(due_s)

    async def joining(self) -> None:
        """Take each seat that becomes free under a new name."""
        number = 0
        while True:
            async with trio.open_nursery() as nursery:
                for _ in range(JOINS_PER_S):
                    number += 1
                    nursery.start_soon(self.join, self.script, f"new bot {number}")
            await trio.sleep(1.0)

    async def run(self, what: str, script: Callable[[], Awaitable[None]], seconds: float, names: str) -> None:
        """Let the script run, send four students in, and write down how long each waited."""
        self.say(f"== {what}, {seconds:.0f} s")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(script)
            await trio.sleep(2.0)
            for number in range(HONEST):
                nursery.start_soon(self.student, f"{names}{number}")
                await trio.sleep(1.0)
            await trio.sleep(seconds - HONEST - 2.0)
            nursery.cancel_scope.cancel()
        for name in (f"{names}{n}" for n in range(HONEST)):
            waited = f"plays after {self.waited_s[name]:.1f} s" if name in self.waited_s else "never got in"
            self.say(f"{name}: {waited}, turned away {self.refused.get(name, 0)} times")


async def test_four_students_come_in_while_a_script_takes_every_seat(tmp_path: Path) -> None:
    ready = tmp_path / "ingest.json"
    command = ingests.command("embedded", "lowLatency", ready)
    with trio.fail_after(WHOLE_S):
        limits = httpx.Limits(max_connections=50)
        attacker = httpx.AsyncHTTPTransport(local_address=ATTACKER, limits=limits)
        async with (
            ingests.ingest_running(command, "embedded", ready) as ingest,
            school(ingest, tmp_path) as it,
            httpx.AsyncClient(timeout=30) as honest,
            httpx.AsyncClient(timeout=30, transport=attacker) as script,
        ):
            key = f"{it.classroom['id']}?token={it.classroom['stream_key']}"
            async with ingests.teacher_running(ingest.publish_url(key), tmp_path):
                await it.joined("probe")
                attack = Attack(it, honest, script)
                own = Attack(it, honest, honest, attack.lines, attack.waited_s, attack.refused, attack.lost)
                await own.run(
                    "150 tokens renewed from the school's own address", own.renewing, RENEWING_S, "kim"
                )
                await attack.run("new joins from one other address", attack.joining, JOINING_S, "lee")
    SHOW.parent.mkdir(parents=True, exist_ok=True)
    SHOW.write_text("\n".join(attack.lines) + "\n")
    assert len(attack.waited_s) == 2 * HONEST, attack.lines
    assert max(attack.waited_s.values()) <= IN_TIME_S, attack.lines
    assert attack.lost == []
