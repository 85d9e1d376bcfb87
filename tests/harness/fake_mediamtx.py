"""The part of MediaMTX 1.20's API that the master uses, over real sockets or as a transport for httpx.

Names, paging and status codes are those of the real one (internal/api of its source).
"""

from __future__ import annotations

import json
import math
import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from airclass.ingest.http_server import IngestRequest, IngestResponse

_KICK = re.compile(r"/v3/rtmpconns/kick/([^/]+)")


@dataclass
class FakeMediaMtx:
    """A MediaMTX with publishers; `down` makes it unreachable for the transport."""

    publishers: dict[str, dict[str, Any]] = field(default_factory=dict)
    kicked: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    down: bool = False

    def publish(self, path: str, query: str, address: str = "10.0.0.9:50000") -> str:
        """Let somebody publish; one who publishes the path already loses it. Returns the connection's id."""
        for connection_id in [i for i, p in self.publishers.items() if p["path"] == path]:
            del self.publishers[connection_id]
        connection_id = str(uuid.uuid4())
        self.publishers[connection_id] = {
            "id": connection_id,
            "created": "2026-12-01T09:00:00Z",
            "remoteAddr": address,
            "state": "publish",
            "path": path,
            "query": query,
            "user": "",
            "userAgent": "FMLE/3.0",
            "inboundBytes": 1000,
            "outboundBytes": 3000,
        }
        return connection_id

    def leave(self, connection_id: str) -> None:
        """Let a publisher leave."""
        del self.publishers[connection_id]

    def respond(self, method: str, path: str, query: dict[str, str]) -> tuple[int, Any]:
        """Return status and JSON of one request."""
        self.requests.append(path)
        kick = _KICK.fullmatch(path)
        if kick and method == "POST":
            return self._kick(kick[1])
        if method == "GET" and path == "/v3/paths/list":
            return self._page([self._path(p) for p in self.publishers.values()], query)
        if method == "GET" and path == "/v3/rtmpconns/list":
            return self._page(list(self.publishers.values()), query)
        return 404, {"status": "error", "error": "not found"}

    def transport(self) -> httpx.MockTransport:
        """Return a transport that leads here."""

        def answer(request: httpx.Request) -> httpx.Response:
            if self.down:
                raise httpx.ConnectError("refused")
            status, body = self.respond(request.method, request.url.path, dict(request.url.params))
            return httpx.Response(status, json=body)

        return httpx.MockTransport(answer)

    async def answer(self, request: IngestRequest) -> IngestResponse:
        """Answer over `airclass.ingest.http_server`."""
        status, body = self.respond(request.method, request.path, dict(request.query))
        return IngestResponse(status, json.dumps(body).encode(), "application/json")

    def _kick(self, connection_id: str) -> tuple[int, Any]:
        try:
            uuid.UUID(connection_id)
        except ValueError:
            return 400, {"status": "error", "error": "invalid UUID"}
        if self.publishers.pop(connection_id, None) is None:
            return 404, {"status": "error", "error": "connection not found"}
        self.kicked.append(connection_id)
        return 200, {"status": "ok"}

    def _path(self, publisher: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": publisher["path"],
            "ready": True,
            "available": True,
            "source": {"type": "rtmpConn", "id": publisher["id"]},
            "tracks2": [{"codec": "H264", "codecProps": {"width": 1280, "height": 720}}],
            "inboundBytes": publisher["inboundBytes"],
        }

    def _page(self, items: list[Any], query: dict[str, str]) -> tuple[int, Any]:
        size, page = int(query.get("itemsPerPage", 100)), int(query.get("page", 0))
        shown = items[page * size : (page + 1) * size]
        return 200, {"itemCount": len(items), "pageCount": math.ceil(len(items) / size), "items": shown}
