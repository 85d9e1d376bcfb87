"""A live HLS origin whose sizes are exact; run as a module. Its media cannot be decoded.

Transport stream, segments of 2 s and as many bytes as asked for, window of 18, so that a playlist
has about 1.7 kB. Plain threads: a relay or a proxy asks it a few times a second.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SEGMENT_S = 2
WINDOW = 18
KEPT = 3 * WINDOW
INDEX = """\
#EXTM3U
#EXT-X-VERSION:3
#EXT-X-STREAM-INF:BANDWIDTH=2100000,CODECS="avc1.42c01f,mp4a.40.2"
video.m3u8
"""


def playlist(newest: int) -> str:
    """Return the media playlist whose last segment is `newest`."""
    first = newest - WINDOW + 1
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{SEGMENT_S}"]
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
    for number in range(first, newest + 1):
        date = datetime.fromtimestamp(number * SEGMENT_S, UTC)
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{date:%Y-%m-%dT%H:%M:%S}.000Z")
        lines += [f"#EXTINF:{SEGMENT_S}.00000,", f"video1_{number}.ts"]
    return "\n".join(lines) + "\n"


class SizedOriginHandler(BaseHTTPRequestHandler):
    """Answers index, playlist and segments by the clock."""

    protocol_version = "HTTP/1.1"
    segment = b""

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        """Answer one request."""
        newest = int(time.time()) // SEGMENT_S - 1
        name = self.path.rpartition("/")[2].partition("?")[0]
        kind, body = "application/vnd.apple.mpegurl", b""
        if name == "index.m3u8":
            body = INDEX.encode()
        elif name == "video.m3u8":
            body = playlist(newest).encode()
        elif name.startswith("video1_") and newest - KEPT < int(name[7:].partition(".")[0]) <= newest:
            kind, body = "video/mp2t", self.segment
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class SizedOriginServer(ThreadingHTTPServer):
    """A threaded server that takes it silently when a client hangs up."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that are gone; anything else is shown as usual."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def serve(segment_bytes: int, ready_file: str) -> None:
    """Serve until killed; the address goes into the ready file."""
    packet = b"\x47" + bytes(187)
    body = (packet * (segment_bytes // len(packet) + 1))[:segment_bytes]
    handler = type("Handler", (SizedOriginHandler,), {"segment": body})
    server = SizedOriginServer(("127.0.0.1", 0), handler)
    path = Path(ready_file)
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"hls_url": f"http://127.0.0.1:{server.server_port}"}))
    new.replace(path)
    server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
