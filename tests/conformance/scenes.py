"""What happens while a client plays; each scene returns one result an event."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import trio

from tests.conformance import map_change_file, verdict
from tests.conformance.clients import Watching, watching
from tests.conformance.page_server import PageServer, two_pathways
from tests.conformance.setups import SIZES, PlayerSetup, epochs_of, playlist_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.conformance.matrix import Cell
    from tests.conformance.verdict import ObservedPlayback

FIRST_PICTURE_S = 25.0
PLAIN_S = 20.0
SHORT_S = 8.0
AWAY_S = 3.0
AFTER_S = 12.0
MANY_AWAY_S = (1.0, 3.0, 6.0, 3.0)
MANY_AFTER_S = 7.0
SETTLE_S = 8.0  # until a player has used up what it had buffered
SILENCE_S = 20.0
MOVE_S = 8.0
POLL_S = 0.1
LOG_CHARS = 3000


@dataclass
class Result:
    """One event of one cell, as it is kept and shown."""

    source: str
    client: str
    event: str
    plays: bool
    start_s: float | None = None
    stall_s: float = 0.0
    gap_s: float = 0.0
    beyond_s: float = 0.0
    figure: float | None = None
    errors: dict[str, int] = field(default_factory=dict)
    note: str = ""
    load: float = 0.0
    log: str = ""
    date: str = ""  # of the run, UTC


class PlayerScene:
    """One client on one rig; the control has none."""

    def __init__(self, cell: Cell, rig: PlayerSetup | None, stage: PageServer, folder: Path) -> None:
        self.cell, self.stage, self.folder = cell, stage, folder
        self._rig = rig
        self.results: list[Result] = []
        self._errors_told = 0

    async def run(self) -> list[Result]:
        """Play the scene and return its results."""
        play = {
            "control": self._control,
            "restart": self._restart,
            "origin": self._origin,
            "restarts": self._restarts,
            "silence": self._silence,
            "pathways": self._pathways,
            "takeover": self._takeover,
        }
        await play[self.cell.scene]()
        return self.results

    @property
    def rig(self) -> PlayerSetup:
        """What plays, where something does."""
        assert self._rig is not None
        return self._rig

    @asynccontextmanager
    async def _watching(self, url: str, plain_s: float) -> AsyncIterator[Watching]:
        """Watch; after the first picture and undisturbed play, with its result, the block begins."""
        asked_s = time.time()
        async with watching(self.cell.client, url, self.folder, self.stage) as client:
            with trio.move_on_after(FIRST_PICTURE_S):
                while verdict.started_s(client.samples) is None:
                    await trio.sleep(POLL_S)
            await trio.sleep(plain_s)
            seen = verdict.plain(client.samples, asked_s, time.time(), client.least_stall_s)
            self._note("plain" if self.cell.scene in ("restart", "origin") else "begin", seen, client)
            if seen.start_s is not None:
                yield client
            else:
                yield Watching()

    def _note(
        self, event: str, seen: ObservedPlayback, client: Watching, figure: float | None = None
    ) -> None:
        errors = Counter(client.errors[self._errors_told :])
        self._errors_told = len(client.errors)
        widths = {s.width for s in client.samples[-10:]} - {0}
        note = ""
        wanted = 0
        if event == "control":
            wanted = int(SIZES[-1].partition("x")[0])
        elif event.startswith("restart"):
            wanted = self.rig.teacher.width
        if wanted and widths and widths != {wanted}:
            note = f"the picture is still {max(widths)} wide"
            seen = replace(seen, plays=False)
        log = client.log.read_text(errors="replace")[-LOG_CHARS:] if client.log else ""
        self.results.append(
            Result(
                self.cell.source,
                self.cell.client,
                event,
                seen.plays,
                start_s=None if seen.start_s is None else round(seen.start_s, 3),
                stall_s=round(seen.stall_s, 3),
                gap_s=round(seen.gap_s, 3),
                beyond_s=round(seen.beyond_s, 3),
                figure=figure,
                errors=dict(errors.most_common(6)),
                note=note,
                load=round(os.getloadavg()[0], 1),
                log=log,
                date=time.strftime("%Y-%m-%d", time.gmtime()),
            )
        )

    async def _control(self) -> None:
        """Play the file until shortly before its end."""
        asked_s = time.time()
        async with watching(
            self.cell.client, f"{self.stage.url}/{map_change_file.NAME}", self.folder, self.stage
        ) as client:
            with trio.move_on_after(FIRST_PICTURE_S):
                while verdict.started_s(client.samples) is None:
                    await trio.sleep(POLL_S)
            await trio.sleep(2 * map_change_file.HALF_S - 1.5)
            seen = verdict.plain(client.samples, asked_s, time.time(), client.least_stall_s)
            self._note("control", seen, client)

    async def _lose(self, client: Watching, away_s: float, after_s: float, event: str) -> None:
        """Kill the teacher, bring another picture after a while, and judge."""
        lost_s = time.time()
        await self.rig.teacher.kill()
        await trio.sleep(away_s)
        await self.rig.publish()
        back_s = time.time()
        await trio.sleep(after_s)
        seen = verdict.disturbed(client.samples, lost_s, back_s, time.time(), client.least_stall_s)
        self._note(event, seen, client)

    async def _restart(self) -> None:
        async with self._watching(self.rig.url, PLAIN_S) as client:
            await self._lose(client, AWAY_S, AFTER_S, "restart")

    async def _origin(self) -> None:
        async with self._watching(self.rig.url, SHORT_S) as client:
            await self._lose(client, AWAY_S, AFTER_S, "restart")

    async def _restarts(self) -> None:
        async with self._watching(self.rig.url, SHORT_S) as client:
            for number, away_s in enumerate(MANY_AWAY_S, 1):
                await self._lose(client, away_s, MANY_AFTER_S, f"restarts {number}")

    async def _silence(self) -> None:
        """How often does the player ask while nobody publishes, and does it go on afterwards?"""
        async with self._watching(self.rig.url, SHORT_S) as client:
            lost_s = time.time()
            await self.rig.teacher.kill()
            await trio.sleep(SETTLE_S)
            before = await self.rig.asked()
            await trio.sleep(SILENCE_S)
            per_s = (await self.rig.asked() - before) / SILENCE_S
            await self.rig.publish()
            back_s = time.time()
            await trio.sleep(AFTER_S)
            seen = verdict.disturbed(client.samples, lost_s, back_s, time.time())
            self._note("silence", seen, client, figure=round(per_s, 2))

    async def _takeover(self) -> None:
        """The origin that the relay follows hangs: how soon does the relay list the other one's media?"""
        first = self.rig.origin
        assert first is not None
        async with self._watching(self.rig.url, SHORT_S) as client:
            before = epochs_of(await self.rig.media())
            hung_s = time.time()
            first.kill(signal.SIGSTOP)
            with trio.move_on_after(AFTER_S):
                while not epochs_of(await self.rig.media()) - before:
                    await trio.sleep(POLL_S)
            over_s = time.time()
            await trio.sleep(AFTER_S)
            seen = verdict.disturbed(client.samples, hung_s, over_s, time.time(), client.least_stall_s)
            self._note("takeover", seen, client)

    async def _pathways(self) -> None:
        """Move a player from relay B to relay A by its own list, then kill A: it has to come back."""
        async with self.rig.another() as other:
            await other.until_live()
            index = (await other.get("/live/index.m3u8")).text
            addresses = {"B": playlist_of(self.rig.relay), "A": playlist_of(other)}
            self.stage.steering = ["B", "A"]
            self.stage.multivariant = two_pathways(index, addresses, f"{self.stage.url}/steering")
            async with self._watching(f"{self.stage.url}/pathways.m3u8", SHORT_S) as client:
                moved_s = time.time()
                self.stage.priority = self.stage.steering = ["A", "B"]
                await trio.sleep(MOVE_S)
                self._moved("move", client, moved_s, "A")
                killed_s = time.time()
                other.child.kill()
                await trio.sleep(MOVE_S)
                self._moved("kill", client, killed_s, "B")

    def _moved(self, event: str, client: Watching, from_s: float, to: str) -> None:
        seen = verdict.disturbed(client.samples, from_s, from_s, time.time())
        self._note(event, seen, client)
        if self.stage.pathway != to:
            self.results[-1].plays = False
            self.results[-1].note = f"it is on pathway {self.stage.pathway or '?'}, not {to}"
