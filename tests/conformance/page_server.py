"""Where browsers come from and report to: the page, hls.js, the pages' own settings, a steering manifest."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import trio

from tests.conformance.verdict import Sample
from tests.harness.fake_http import FakeServer, ReceivedRequest, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE = Path(__file__).resolve().parent
FRONTEND = HERE.parents[1] / "frontend"
TRANSPILE = """
const ts = require('typescript');
const text = require('fs').readFileSync('src/player/hlsConfig.ts', 'utf8');
const compilerOptions = {module: 'esnext', target: 'es2022'};
process.stdout.write(ts.transpileModule(text, {compilerOptions}).outputText);
"""


@dataclass
class PageServer:
    """A running stage. `samples` and `errors` are the present page's; `priority` goes to it once."""

    url: str = ""
    samples: list[Sample] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    pathway: str = ""
    priority: list[str] | None = None
    multivariant: str = ""
    steering: list[str] = field(default_factory=list)
    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget the last page."""
        self.samples, self.errors, self.pathway, self.priority = [], [], "", None

    def page(self, source: str, **options: str) -> str:
        """Return the page's address for a playlist; options: native, stock, steady."""
        return f"{self.url}/player.html?{urlencode({'src': source, **options})}"

    async def answer(self, request: ReceivedRequest, stream: trio.abc.Stream) -> None:
        """Answer one request of a browser."""
        path = request.path.lstrip("/")
        if path == "report":
            body, kind = self._report(request.body), "application/json"
        elif path == "pathways.m3u8":
            body, kind = self.multivariant.encode(), "application/vnd.apple.mpegurl"
        elif path == "steering":
            manifest = {"VERSION": 1, "TTL": 300, "PATHWAY-PRIORITY": self.steering}
            body, kind = json.dumps(manifest).encode(), "application/json"
        elif path in self.files:
            body, kind = self.files[path]
        else:
            await stream.send_all(reply(b"", 404))
            return
        await stream.send_all(reply(body, 200, [("Content-Type", kind), ("Cache-Control", "no-store")]))

    def _report(self, body: bytes) -> bytes:
        report = json.loads(body)
        self.samples += [Sample(*values) for values in report["samples"]]
        self.errors += [what for _, what in report["errors"]]
        self.pathway = report["pathway"]
        priority, self.priority = self.priority, None
        return json.dumps({"priority": priority}).encode()


@asynccontextmanager
async def stage_running() -> AsyncIterator[PageServer]:
    """Serve the page for the length of a block."""
    settings = await trio.run_process(["node", "-e", TRANSPILE], cwd=FRONTEND, capture_stdout=True)
    script = "text/javascript"
    stage = PageServer()
    stage.files = {
        "player.html": ((HERE / "player.html").read_bytes(), "text/html"),
        "hls.js": ((FRONTEND / "node_modules/hls.js/dist/hls.min.js").read_bytes(), script),
        "settings.js": (settings.stdout, script),
    }
    server = FakeServer(stage.answer)
    async with trio.open_nursery() as nursery:
        stage.url = await nursery.start(lambda task_status: server.run(sockets=True, task_status=task_status))
        yield stage
        nursery.cancel_scope.cancel()


def hls_js_version() -> str:
    """Return the version of hls.js that the page loads."""
    return str(json.loads((FRONTEND / "node_modules/hls.js/package.json").read_text())["version"])


def two_pathways(index: str, addresses: dict[str, str], steering_url: str) -> str:
    """Return a multivariant playlist with a copy of `index` for each pathway; the first one begins.

    Group names differ between pathways, since hls.js tells by them whose fault an audio error is.
    """
    first = next(iter(addresses))
    head = f'#EXT-X-CONTENT-STEERING:SERVER-URI="{steering_url}",PATHWAY-ID="{first}"'
    lines = ["#EXTM3U", "#EXT-X-VERSION:10", "#EXT-X-INDEPENDENT-SEGMENTS", head]
    for pathway, url in addresses.items():
        base = url.rpartition("/")[0] + "/"
        for line in index.splitlines():
            if line.startswith("#EXT-X-MEDIA:"):
                line = line.replace('GROUP-ID="', f'GROUP-ID="{pathway}-').replace('URI="', f'URI="{base}')
            elif line.startswith("#EXT-X-STREAM-INF:"):
                line = line.replace('AUDIO="', f'AUDIO="{pathway}-') + f',PATHWAY-ID="{pathway}"'
            elif line.startswith("#") or not line:
                continue
            else:
                line = base + line
            lines.append(line)
    return "\n".join(lines) + "\n"
