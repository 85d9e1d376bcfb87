"""Polls MediaMTX's API for what arrives on each class's path, and remembers who publishes."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import trio

from airclass.domain.publish_auth import PATH_PREFIX, Publishers
from airclass.domain.stream_info import IngestPath, read_path
from airclass.io.http_client import CallFailed
from relay.base.signing import derive

if TYPE_CHECKING:
    from airclass.config import MasterSettings
    from airclass.io.clock import Clock
    from airclass.io.http_client import HttpClient
    from airclass.io.notifier import Notifier
    from airclass.io.store import AuditEvent

log = logging.getLogger(__name__)

POLL_S = 2.0
CALL_S = 4.0
ITEMS_PER_PAGE = 200
MAX_PAGES = 20
MAX_NOTES = 1000


class MediaMtxApi:
    """What the master knows of the ingest; `cluster_tokens` open its API and its streams."""

    def __init__(
        self, settings: MasterSettings, client: HttpClient, clock: Clock, notifier: Notifier
    ) -> None:
        secret = settings.cluster_secret.get_secret_value().encode()
        self.api_token = derive(secret, "airclass ingest api").hex()
        cdn = settings.hls_cdn_secret
        self.cluster_tokens = (self.api_token, *([cdn.get_secret_value()] if cdn else []))
        self.intakes: dict[str, IngestPath] = {}
        self.publishers = Publishers()
        self.problem = ""
        self.notes: list[AuditEvent] = []
        self._url = settings.ingest_api_url
        self._client = client
        self._clock = clock
        self._hub = notifier

    def note(self, event: AuditEvent) -> None:
        """Keep a line for the audit log until it is written, behind the hook's answer."""
        if len(self.notes) < MAX_NOTES:
            self.notes.append(event)

    async def run(self) -> None:
        """Poll for ever; without an API address there is nothing to do."""
        if not self._url:
            return
        while True:
            problem = await self._poll()
            if problem != self.problem:
                if problem:
                    log.warning("ingest.lost url=%s reason=%s", self._url, problem)
                else:
                    log.info("ingest.recovered url=%s", self._url)
                self.problem = problem
            await trio.sleep(POLL_S)

    async def _poll(self) -> str:
        found: dict[str, IngestPath] = {}
        page, pages = 0, 1
        try:
            with trio.fail_after(CALL_S):
                while page < min(pages, MAX_PAGES):
                    listing = await self._page(page)
                    pages = listing.get("pageCount", 1)
                    self._read(listing.get("items"), found)
                    page += 1
        except (CallFailed, trio.TooSlowError, ValueError, TypeError, AttributeError, RecursionError) as exc:
            return f"MediaMTX's API does not answer as expected ({type(exc).__name__}: {exc})"
        for stream in found.keys() | self.intakes.keys():
            self._hub.notify(f"class:{stream}")
        self.intakes = found
        return ""

    async def _page(self, page: int) -> dict[str, Any]:
        url = f"{self._url}/v3/paths/list?itemsPerPage={ITEMS_PER_PAGE}&page={page}"
        status, body = await self._client.get(url, {"Authorization": f"Bearer {self.api_token}"})
        if status != 200:
            raise CallFailed(f"status {status}")
        listing = json.loads(body)
        if not isinstance(listing, dict):
            raise CallFailed("not a list")
        return listing

    def _read(self, items: object, found: dict[str, IngestPath]) -> None:
        for item in items if isinstance(items, list) else []:
            name = item.get("name", "") if isinstance(item, dict) else ""
            if isinstance(name, str) and name.startswith(PATH_PREFIX):
                stream = name.removeprefix(PATH_PREFIX)
                intake = read_path(item, self.intakes.get(stream), self._clock.now_s())
                if intake is not None:
                    found[stream] = intake
