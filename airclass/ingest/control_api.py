"""The embedded ingest's control API: the part of MediaMTX's that the master uses.

Paths, publishers and disconnecting one, with the names of MediaMTX 1.20. On loopback, without a password, as
MediaMTX's. A publisher has no `query` here, because this ingest checks no key.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from airclass.ingest.http_server import IngestResponse

if TYPE_CHECKING:
    from airclass.ingest.hls_server import HlsServer
    from airclass.ingest.http_server import IngestRequest
    from airclass.ingest.rtmp_gateway import RtmpGateway

KICK = "/v3/rtmpconns/kick/"
# RFC 6381 names, by their first four letters.
CODECS = {"avc1": "H264", "mp4a": "MPEG-4 Audio"}


class ControlApi:
    """Answers for one ingest."""

    def __init__(self, gateway: RtmpGateway, hls: HlsServer) -> None:
        self._gateway, self._hls = gateway, hls

    async def answer(self, request: IngestRequest) -> IngestResponse:
        """Return the response to one request."""
        if request.method == "POST" and request.path.startswith(KICK):
            known = self._gateway.cut(request.path.removeprefix(KICK))
            return _json({"status": "ok"}) if known else _json({"error": "connection not found"}, 404)
        if request.method == "GET" and request.path == "/v3/paths/list":
            return _items(self._paths())
        if request.method == "GET" and request.path == "/v3/rtmpconns/list":
            return _items(self._connections())
        return _json({"error": "not found"}, 404)

    def _paths(self) -> list[object]:
        publisher, shape = self._gateway.publisher, self._hls.publishing
        if publisher is None or shape is None:
            return []
        names = [CODECS.get(codec[:4], codec) for codec in shape.codecs]
        size = {"width": shape.width, "height": shape.height}
        return [
            {
                "name": self._hls.path,
                "ready": True,
                "source": {"type": "rtmpConn", "id": publisher.id},
                "tracks2": [{"codec": n, "codecProps": size if n == "H264" else {}} for n in names],
                "inboundBytes": publisher.received_bytes,
            }
        ]

    def _connections(self) -> list[object]:
        publisher = self._gateway.publisher
        if publisher is None:
            return []
        state = "publish" if publisher.path else "idle"
        return [
            {
                "id": publisher.id,
                "remoteAddr": publisher.address,
                "state": state,
                "path": self._hls.path or publisher.path,
            }
        ]


def _items(items: list[object]) -> IngestResponse:
    return _json({"itemCount": len(items), "pageCount": min(1, len(items)), "items": items})


def _json(value: object, status: int = 200) -> IngestResponse:
    return IngestResponse(status, json.dumps(value).encode(), "application/json")
