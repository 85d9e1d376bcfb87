"""Polls the API of every MediaMTX: what arrives on each class's path, and who publishes it.

A publisher that the rules refuse now (new key, closed or deleted class) is disconnected. Who that is
decides `airclass.domain.publish_auth`.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import trio

from airclass.domain.publish_auth import PATH_PREFIX, PublisherCuts, Publishers, read_connection
from airclass.domain.stream_info import IngestPath, read_path
from airclass.io.http_client import CallFailed
from relay.base.signing import derive

if TYPE_CHECKING:
    from airclass.config import MasterSettings
    from airclass.domain.cluster import Cluster
    from airclass.domain.publish_auth import PublisherConnection
    from airclass.io.clock import Clock
    from airclass.io.http_client import HttpClient
    from airclass.io.notifier import Notifier
    from airclass.io.store import AuditEvent

log = logging.getLogger(__name__)

POLL_S = 1.0
CALL_S = 4.0
# A publisher may be accepted while its class changes: it is looked for once more after this time.
CUT_AGAIN_S = 0.5
ITEMS_PER_PAGE = 200
MAX_PAGES = 20
MAX_NOTES = 1000


class MediaMtxApi:
    """What the master knows of the ingest; `cluster_tokens` open its API and its streams."""

    def __init__(
        self,
        settings: MasterSettings,
        client: HttpClient,
        clock: Clock,
        notifier: Notifier,
        cluster: Cluster,
    ) -> None:
        secret = settings.cluster_secret.get_secret_value().encode()
        self.api_token = derive(secret, "airclass ingest api").hex()
        cdn = settings.hls_cdn_secret
        self.cluster_tokens = (self.api_token, *([cdn.get_secret_value()] if cdn else []))
        self.intakes: dict[str, IngestPath] = {}
        self.publishers = Publishers()
        self.notes: list[AuditEvent] = []
        self._endpoints = [_Endpoint(url) for url in settings.ingest_api_url]
        self._all_asked = len(settings.ingest_api_url) >= len(settings.ingest_hls_url)
        self._client = client
        self._clock = clock
        self._hub = notifier
        self._cluster = cluster
        self._cuts = PublisherCuts()
        self._cut_wanted = trio.Event()

    @property
    def problem(self) -> str:
        """Why an API does not answer; empty when all do."""
        return next((e.problem for e in self._endpoints if e.problem), "")

    def note(self, event: AuditEvent) -> None:
        """Keep a line for the audit log until it is written, behind the hook's answer."""
        if len(self.notes) < MAX_NOTES:
            self.notes.append(event)

    def accepted(self, classroom_id: str, address: str, *, is_live: bool) -> None:
        """Note a publisher that the hook has let in, and tell relays to pull now."""
        self.publishers.began(classroom_id, address, self._clock.now_s(), is_live=is_live)
        self._share()

    def cut(self, classroom_ids: set[str]) -> None:
        """Disconnect the publishers of these classes that the rules refuse now, without delay."""
        self._cuts.want(classroom_ids, self._clock.now_s())
        self._cut_wanted.set()
        self._cut_wanted = trio.Event()

    async def run(self) -> None:
        """Poll for ever; without an API address there is nothing to do."""
        if not self._endpoints:
            return
        if not self._all_asked:
            log.warning(
                "ingest.api_missing hint=INGEST_API_URL lists fewer addresses than INGEST_HLS_URL: "
                "New key, Close and End do not disconnect publishers of the others"
            )
        async with trio.open_nursery() as nursery:
            for endpoint in self._endpoints:
                nursery.start_soon(self._follow, endpoint)

    async def _follow(self, endpoint: _Endpoint) -> None:
        while True:
            wanted = self._cut_wanted
            problem = await self._poll(endpoint)
            if problem and problem != endpoint.problem:
                log.warning("ingest.lost url=%s reason=%s", endpoint.url, problem)
            elif endpoint.problem and not problem:
                log.info("ingest.recovered url=%s", endpoint.url)
            endpoint.problem, endpoint.answered = problem, not problem
            self._share()
            with trio.move_on_after(CUT_AGAIN_S if self._cuts.pending(self._clock.now_s()) else POLL_S):
                await wanted.wait()

    async def _poll(self, endpoint: _Endpoint) -> str:
        try:
            with trio.fail_after(CALL_S):
                await self._disconnect(endpoint)
                found: dict[str, IngestPath] = {}
                for item in await self._list(endpoint, "paths"):
                    self._read(item, endpoint, found)
        except (CallFailed, trio.TooSlowError, ValueError, TypeError, AttributeError, RecursionError) as exc:
            return f"MediaMTX's API does not answer as expected ({type(exc).__name__}: {exc})"
        endpoint.intakes = found
        return ""

    async def _disconnect(self, endpoint: _Endpoint) -> None:
        """End the connections of publishers that would be refused now."""
        items = await self._list(endpoint, "rtmpconns")
        present = [c for c in map(read_connection, items) if c is not None]
        for connection in self._cuts.due(endpoint.url, present, self._cluster.view, self._clock.now_s()):
            await self._kick(endpoint, connection)

    async def _kick(self, endpoint: _Endpoint, connection: PublisherConnection) -> None:
        status, _ = await self._client.post(
            f"{endpoint.url}/v3/rtmpconns/kick/{connection.id}", self._headers()
        )
        if status not in (200, 404):  # 404: it has left
            raise CallFailed(f"status {status} for a kick")
        log.info("publisher.cut class=%s address=%s", connection.classroom_id, connection.address)

    async def _list(self, endpoint: _Endpoint, what: str) -> list[Any]:
        """Return all items of one of the API's lists."""
        found: list[Any] = []
        page, pages = 0, 1
        while page < min(pages, MAX_PAGES):
            url = f"{endpoint.url}/v3/{what}/list?itemsPerPage={ITEMS_PER_PAGE}&page={page}"
            status, body = await self._client.get(url, self._headers())
            if status != 200:
                raise CallFailed(f"status {status} for {what}")
            listing = json.loads(body)
            if not isinstance(listing, dict):
                raise CallFailed("not a list")
            pages = listing.get("pageCount", 1)
            items = listing.get("items")
            found += items if isinstance(items, list) else []
            page += 1
        return found

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.api_token}"}

    def _read(self, item: object, endpoint: _Endpoint, found: dict[str, IngestPath]) -> None:
        name = item.get("name", "") if isinstance(item, dict) else ""
        if isinstance(item, dict) and isinstance(name, str) and name.startswith(PATH_PREFIX):
            stream = name.removeprefix(PATH_PREFIX)
            intake = read_path(item, endpoint.intakes.get(stream), self._clock.now_s())
            if intake is not None:
                found[stream] = intake

    def _share(self) -> None:
        """Bring together what all APIs say, and tell those who wait for it."""
        before = self.intakes
        self.intakes = {s: i for e in reversed(self._endpoints) for s, i in e.intakes.items()}
        for stream in before.keys() | self.intakes.keys():
            self._hub.notify(f"class:{stream}")
        complete = bool(self._endpoints) and self._all_asked and all(e.answered for e in self._endpoints)
        announced = self.publishers.announced(self._clock.now_s())
        self._cluster.publishing_now(announced | self.intakes.keys(), complete=complete)


class _Endpoint:
    """One MediaMTX's API, and what it said last."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.intakes: dict[str, IngestPath] = {}
        self.problem = ""
        self.answered = False
