"""nginx as a caching proxy in front of an HLS origin: what the relay is measured against.

One worker, as the relay is one process; no access log; segments cached for minutes, playlists for a
second, concurrent misses coalesced. That is the set-up that most HLS guides recommend.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.reports.machine import children
from benchmarks.servers import servers
from relay.base.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """\
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr warn;
worker_rlimit_nofile 20000;
events {{ worker_connections 18000; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  tcp_nodelay on;
  keepalive_timeout 300s;
  keepalive_requests 10000000;
  types {{ application/vnd.apple.mpegurl m3u8; video/mp2t ts; video/mp4 mp4; }}
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  proxy_cache_path {folder}/cache keys_zone=hls:20m max_size=1g inactive=10m use_temp_path=off;
  open_file_cache max=2000 inactive=60s;
  upstream origin {{ server {origin}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096{tls};
    {certificate}
    add_header Access-Control-Allow-Origin *;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host {origin};
    proxy_set_header Accept-Encoding "";
    proxy_set_header Authorization "{authorization}";
    proxy_ignore_headers Cache-Control Expires Set-Cookie Vary;
    proxy_cache hls;
    proxy_cache_key $uri$is_args$args;
    proxy_cache_lock on;
    proxy_cache_lock_timeout 10s;
    proxy_cache_use_stale updating;
    location ~ [.]m3u8$ {{ proxy_cache_valid 200 1s; proxy_pass http://origin; }}
    location / {{ proxy_cache_valid 200 10m; proxy_pass http://origin; }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running nginx."""

    pid: int
    url: str

    @property
    def pids(self) -> list[int]:
        """Master, worker and cache manager."""
        return [self.pid, *children(self.pid)]


@contextmanager
def nginx(
    origin_url: str, folder: Path, *, secret: str = "", certificate: tuple[Path, Path] | None = None
) -> Iterator[Nginx]:
    """Start nginx in front of an origin; `certificate` is (certificate, key) for TLS."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise StartError("nginx is missing: install it (apt install nginx-light) or leave it out with --only")
    port = servers.free_port()
    config = folder / "nginx.conf"
    config.write_text(
        CONFIG.format(
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            port=port,
            origin=urlsplit(origin_url).netloc,
            authorization=f"Bearer {secret}" if secret else "",
            tls=" ssl" if certificate else "",
            certificate="ssl_certificate {}; ssl_certificate_key {};".format(*certificate)
            if certificate
            else "",
        )
    )
    argv = [program, "-e", "stderr", "-c", str(config)]
    subprocess.run([*argv, "-t", "-q"], check=True, timeout=servers.START_DEADLINE_S)
    with servers.child("nginx", argv, folder) as process:
        servers.listening(process, "nginx", folder, port)
        yield Nginx(process.pid, f"{'https' if certificate else 'http'}://127.0.0.1:{port}")
