"""A crowd in this process, watching a small server: playlists are read once, redirects followed."""

from __future__ import annotations

import gzip
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from benchmarks.load.viewer_worker import PlaylistMemo, ViewerWorker, WorkerOrders
from benchmarks.player.hlsjs_model import ModelRequest, RequestKind
from benchmarks.player.listing import Listing
from benchmarks.servers.origin import SizedOriginServer
from relay.base.errors import PlaylistError
from relay.core.playlist import MultivariantPlaylist

if TYPE_CHECKING:
    from collections.abc import Iterator

MEDIA = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n#EXTINF:2,\nb.ts\n#EXT-X-ENDLIST\n"
INDEX = b"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nvideo.m3u8\n"


class Handler(BaseHTTPRequestHandler):
    """`/old/…` moves to `/new/…`, where a finished class of two segments is."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if self.path.startswith("/old/"):
            self.send_response(302)
            self.send_header("Location", f"/new/{name}")
            body = b""
        else:
            self.send_response(200)
            body = {"index.m3u8": INDEX, "video.m3u8": gzip.compress(MEDIA)}.get(name, bytes(1000))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server() -> Iterator[str]:
    with SizedOriginServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{served.server_port}"
        finally:
            served.shutdown()
            thread.join()


def test_a_crowd_watches_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    with server() as url:
        ViewerWorker(WorkerOrders([f"{url}/old/index.m3u8"], 3, ramp_s=0.05, settle_s=0.3, seconds=0.1)).run()
    steady, done = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert steady == {"event": "steady"}
    assert done["event"] == "done"
    assert len(done["viewers"]) == 3
    for viewer in done["viewers"]:
        assert viewer["startup_s"] < 0.3
        assert (viewer["stalls"], viewer["failures"]) == ([], {})


def test_a_playlist_is_read_once_for_all() -> None:
    pages = PlaylistMemo()
    first = pages.read(MEDIA)
    assert isinstance(first, Listing)
    assert pages.read(bytes(MEDIA)) is first
    assert isinstance(pages.read(gzip.compress(INDEX)), MultivariantPlaylist)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"\xff\xfe", b"\x1f\x8bxx", gzip.compress(MEDIA, mtime=0)[:-9]]
)
def test_a_body_that_is_no_playlist_is_refused(body: bytes) -> None:
    with pytest.raises(PlaylistError):
        PlaylistMemo().read(body)


def test_the_spread_is_measured_from_the_first_who_waited() -> None:
    pages = PlaylistMemo()
    pages.read(MEDIA)
    now_s = time.time()
    url = "http://h/v.m3u8?_HLS_msn=1"
    pages.note_arrival(ModelRequest(RequestKind.PLAYLIST, url, asked_s=now_s - 1), MEDIA, now_s + 0.5)
    pages.note_arrival(ModelRequest(RequestKind.PLAYLIST, url, asked_s=now_s + 1), MEDIA, now_s + 2)
    pages.note_arrival(ModelRequest(RequestKind.PLAYLIST, "http://h/v.m3u8", asked_s=now_s - 1), MEDIA, now_s)
    pages.note_arrival(ModelRequest(RequestKind.PLAYLIST, url, asked_s=now_s - 1), INDEX, now_s)
    (spread_s,) = pages.spreads_s
    assert spread_s == pytest.approx(0.5, abs=0.1)
