"""The embedded ingest answers its control API as MediaMTX 1.20 does, as far as the master reads it."""

from __future__ import annotations

import json
from typing import Any

from airclass.domain.publish_auth import PublisherConnection, read_connection
from airclass.domain.stream_info import read_path
from airclass.ingest.control_api import ControlApi
from airclass.ingest.hls_server import HlsServer
from airclass.ingest.http_server import IngestRequest
from airclass.ingest.muxer import HlsFlavour, StreamFormat
from airclass.ingest.rtmp_gateway import RtmpGateway, RtmpPublisher

SHAPE = StreamFormat(("avc1.42c01e", "mp4a.40.2"), 640, 360, 30.0, b"init")


class Ingest:
    """An embedded ingest without sockets."""

    def __init__(self) -> None:
        self.hls = HlsServer(path="", flavour=HlsFlavour.LOW_LATENCY, part_s=0.5, segment_s=1.5)
        self.gateway = RtmpGateway(lambda url: None, self.hls.named)
        self.api = ControlApi(self.gateway, self.hls)

    async def call(self, path: str, method: str = "GET") -> tuple[int, Any]:
        answer = await self.api.answer(IngestRequest(method, path, {}, {}))
        return answer.status, json.loads(answer.body)


async def test_without_a_publisher_the_lists_are_empty() -> None:
    ingest = Ingest()
    empty = {"itemCount": 0, "pageCount": 0, "items": []}
    assert await ingest.call("/v3/paths/list") == (200, empty)
    assert await ingest.call("/v3/rtmpconns/list") == (200, empty)


async def test_the_master_reads_path_and_publisher() -> None:
    ingest = Ingest()
    ingest.gateway.publisher = publisher = RtmpPublisher("id-1", "127.0.0.1:9", received_bytes=7)
    (connection,) = (await ingest.call("/v3/rtmpconns/list"))[1]["items"]
    assert read_connection(connection) is None, "it has not said what it publishes"
    publisher.path = "live/c1"
    ingest.hls.named("live/c1")
    ingest.hls.begin(SHAPE, 0.0)
    (connection,) = (await ingest.call("/v3/rtmpconns/list"))[1]["items"]
    assert read_connection(connection) == PublisherConnection("id-1", "c1", "127.0.0.1:9", None)
    (item,) = (await ingest.call("/v3/paths/list"))[1]["items"]
    path = read_path(item, None, 0.0)
    assert path is not None
    assert (item["name"], path.video_codec, path.audio_codec) == ("live/c1", "H264", "AAC")
    assert (path.width, path.height, path.inbound_bytes) == (640, 360, 7)


async def test_a_kick_names_one_publisher() -> None:
    ingest = Ingest()
    ingest.gateway.publisher = publisher = RtmpPublisher("id-1", "127.0.0.1:9")
    assert (await ingest.call("/v3/rtmpconns/kick/other", "POST"))[0] == 404
    assert (await ingest.call("/v3/rtmpconns/kick/id-1"))[0] == 404, "a GET changes nothing"
    assert not publisher.scope.cancel_called
    assert (await ingest.call("/v3/rtmpconns/kick/id-1", "POST"))[0] == 200
    assert publisher.scope.cancel_called
    assert (await ingest.call("/v3/config/global/get"))[0] == 404
