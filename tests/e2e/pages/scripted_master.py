"""A master for testing the pages: speaks the contract, holds no truth, does what a test tells it.

`POST /_fake` with JSON changes what it answers and pushes (see `MasterScript`). Its relays are two paths,
`/r1/…` and `/r2/…`, that hand on what an ingest makes. Runs as a process of its own, because the tests
drive a browser with a library that brings another event loop.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import hypercorn.trio
import trio
from hypercorn.config import Config
from quart import request, send_from_directory, websocket
from quart_trio import QuartTrio

JSON = dict[str, Any]
TOKEN_LIFE_S = 3600
UPSTREAM_S = 10.0
MEDIA_TYPES = {".m3u8": "application/vnd.apple.mpegurl", ".mp4": "video/mp4", ".ts": "video/mp2t"}
PAGES = {"/": "index", "/join/<code>": "index", "/teach": "teach", "/admin": "admin", "/login": "login"}
CSP = (
    "default-src 'self'; media-src 'self' blob: data:; img-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)


CAPTIONS = (
    '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="cc",NAME="한국어",LANGUAGE="ko",AUTOSELECT=YES,DEFAULT=NO,'
    'URI="/captions/index.m3u8"'
)
CUES = "WEBVTT\n\n00:00:00.000 --> 10:00:00.000\n안녕하세요\n"
CAPTION_S = 2
CAPTIONS_LISTED = 10


@dataclass
class MasterScript:
    """What the fake plays: a test sets any of these fields by name."""

    state: str = "waiting"
    class_name: str = "물리 1 · Physics"
    code: str = "K7QFM2XP"
    priority: list[str] = field(default_factory=lambda: ["r1", "r2"])
    viewers: int = 3
    password: str = ""
    #: what join and renew refuse with: {status, slug, retry_after_s}
    join_problem: JSON | None = None
    renew_problem: JSON | None = None
    token_life_s: float = TOKEN_LIFE_S
    relays_down: list[str] = field(default_factory=list)
    sockets: bool = True
    role: str = "admin"
    signed_in: bool = True
    classrooms: list[JSON] = field(default_factory=list)
    teacher: JSON = field(default_factory=dict)
    nodes: list[JSON] = field(default_factory=list)
    summary: JSON = field(default_factory=dict)
    monitor: JSON = field(default_factory=dict)
    users: list[JSON] = field(default_factory=list)
    settings: JSON = field(default_factory=dict)
    issued: int = 0
    #: how often the node table was asked for
    asked: int = 0
    #: every call that changed something, and every token seen by a relay, for the test to read
    calls: list[str] = field(default_factory=list)
    pings: list[JSON] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    cmcd: str = ""
    #: another stream than the usual one
    origin_url: str = ""
    captions: bool = False
    #: relays list the lesson as over
    ended: bool = False
    backup: JSON = field(default_factory=lambda: {"at": "", "size_bytes": 0})


class FakeMasterServer:
    """The application, its stage and everyone who listens."""

    def __init__(self, pages: Path, origin_url: str, secret: str) -> None:
        self.stage = MasterScript()
        self.pages = pages
        self.origin_url = origin_url
        self.secret = secret
        self.listeners: dict[str, set[trio.MemorySendChannel[JSON]]] = {
            "student": set(),
            "teacher": set(),
            "monitor": set(),
        }
        self.came = trio.Event()
        self.http = httpx.AsyncClient(timeout=UPSTREAM_S, limits=httpx.Limits(max_connections=None))
        self.app = QuartTrio(__name__, static_folder=None)
        self.app.config["RESPONSE_TIMEOUT"] = None
        self._routes()

    # --------------------------------------------------------------------------- what it says
    def joined(self) -> JSON:
        """Return join's answer with a new token."""
        stage = self.stage
        stage.issued += 1
        token = f"token{stage.issued}"
        base = f"http://{request.host}"
        until = datetime.now(UTC) + timedelta(seconds=stage.token_life_s)
        return {
            "token": token,
            "expires_at": until.isoformat(),
            "classroom": {"id": "c1", "name": stage.class_name, "language": "ko"},
            "state": stage.state,
            "live": stage.state == "live",
            "playback_url": f"{base}/live/c1/index.m3u8?token={token}",
            "pathways": [{"id": r, "url": f"{base}/{r}/t/{token}/c1/index.m3u8"} for r in ("r1", "r2")],
            "priority": stage.priority,
            "steering_url": f"{base}/steering/c1?token={token}",
            "websocket_url": f"ws://{request.host}/ws/student?token={token}",
        }

    def snapshot(self, who: str) -> JSON:
        """Return what a WebSocket hears first."""
        stage = self.stage
        if who == "student":
            room = {"id": "c1", "name": stage.class_name}
            news = {"state": stage.state, "priority": stage.priority, "viewers": stage.viewers}
            return {"classroom": room, **news}
        if who == "teacher":
            return {"state": stage.state, **stage.teacher}
        news = {"nodes": stage.nodes, "summary": stage.summary, "classrooms": stage.classrooms}
        return {**news, **stage.monitor}

    def push(self, who: str, news: JSON) -> None:
        """Send to everyone of a kind who listens."""
        for channel in self.listeners[who]:
            channel.send_nowait(news)

    async def heard(self, who: str) -> None:
        """Wait until someone of a kind listens: a page may be drawn before its socket is open."""
        with trio.fail_after(UPSTREAM_S):
            while not self.listeners[who]:
                await self.came.wait()

    def multivariant(self, token: str, inner: str) -> str:
        """Return the playlist of both relays, from the origin's own."""
        text = inner.splitlines()
        lines = [line for line in text if line.startswith(("#EXT-X-MEDIA", "#EXT-X-STREAM-INF"))]
        if self.stage.captions:
            lines = [f"{line}{captions_of(line)}" for line in lines]
        uris = [line for line in text if line and not line.startswith("#")]
        out = ["#EXTM3U", "#EXT-X-VERSION:10", "#EXT-X-INDEPENDENT-SEGMENTS"]
        first = self.stage.priority[0]
        steering = f'SERVER-URI="/steering/c1?token={token}",PATHWAY-ID="{first}"'
        out.append(f"#EXT-X-CONTENT-STEERING:{steering}")
        if self.stage.captions:
            out.append(CAPTIONS)
        for relay in ("r1", "r2"):
            base = f"/{relay}/t/{token}/c1/"
            for line in lines:
                line = line.replace('="audio"', f'="audio-{relay}"').replace('URI="', f'URI="{base}')
                if line.startswith("#EXT-X-MEDIA"):
                    out.append(f'{line},STABLE-RENDITION-ID="a"')
                else:
                    out += [f'{line},STABLE-VARIANT-ID="v",PATHWAY-ID="{relay}"', base + uris[0]]
        return "\n".join(out) + "\n"

    # --------------------------------------------------------------------------------- routes
    def _routes(self) -> None:
        app = self.app
        changing = ["POST", "PATCH", "DELETE"]
        for path, page in PAGES.items():
            app.add_url_rule(path, f"page {path}", self._page(page))
        app.add_url_rule("/assets/<path:name>", "assets", self.assets)
        app.add_url_rule("/_fake", "fake", self.fake, methods=["GET", "POST"])
        app.add_url_rule("/api/join", "join", self.join, methods=["POST"])
        app.add_url_rule("/api/renew", "renew", self.renew, methods=["POST"])
        app.add_url_rule("/live/c1/index.m3u8", "live", self.live)
        app.add_url_rule("/steering/c1", "steering", self.steering)
        app.add_url_rule("/captions/<path:name>", "captions", self.captions)
        app.add_url_rule("/<relay>/t/<token>/c1/<path:name>", "relay", self.relay)
        app.add_url_rule("/api/<path:path>", "api", self.api, methods=["GET", *changing])
        app.add_url_rule("/cluster/<path:path>", "cluster", self.cluster, methods=["GET", *changing])
        for who in self.listeners:
            app.add_websocket(f"/ws/{who}", f"ws {who}", self._socket(who))

    def _page(self, page: str) -> Any:
        async def show(**_: str) -> Any:
            response = await send_from_directory(self.pages, f"{page}.html")
            response.headers["Content-Security-Policy"] = CSP
            return response

        return show

    async def assets(self, name: str) -> Any:
        """Scripts and styles."""
        return await send_from_directory(self.pages / "assets", name)

    async def fake(self) -> Any:
        """Change the stage, push news, or (GET) tell what was seen."""
        stage = self.stage
        if request.method == "GET":
            return {n: getattr(stage, n) for n in ("calls", "pings", "issued", "tokens", "cmcd", "asked")}
        order: JSON = await request.get_json()
        for who in self.listeners:
            if (news := order.pop(f"push_{who}", None)) is not None:
                await self.heard(who)
                self.push(who, news)
        if order.pop("reset", False):
            self.stage = MasterScript()
            for gone in self.listeners.values():  # pages of the test before, whose sockets still close
                gone.clear()
        for name, value in order.items():
            if not hasattr(self.stage, name):
                return {"unknown": name}, 400
            setattr(self.stage, name, value)
        told = {name: order[name] for name in ("state", "priority") if name in order}
        if told:
            self.push("student", {"type": "change", **told})
            self.push("teacher", {"type": "change", **told})
        return {}

    async def join(self) -> Any:
        """Let in, unless the stage says otherwise."""
        stage = self.stage
        form: JSON = await request.get_json()
        stage.calls.append(f"join {form['code']} {form['name']}")
        if stage.join_problem is not None:
            return problem(**stage.join_problem)
        if form["code"] != stage.code:
            return problem(404, "unknown-code")
        if stage.password and form.get("password") != stage.password:
            return problem(403, "wrong-password")
        return self.joined()

    async def renew(self) -> Any:
        """Give a fresh token."""
        self.stage.calls.append("renew")
        if self.stage.renew_problem is not None:
            return problem(**self.stage.renew_problem)
        return self.joined()

    async def live(self) -> Any:
        """The multivariant playlist of all relays."""
        inner = await self._upstream("index.m3u8", "")
        body = self.multivariant(request.args["token"], inner.text)
        return body, inner.status_code, {"Content-Type": MEDIA_TYPES[".m3u8"]}

    async def steering(self) -> Any:
        """The steering manifest."""
        uri = f"/steering/c1?token={request.args['token']}"
        return {"VERSION": 1, "TTL": 5, "RELOAD-URI": uri, "PATHWAY-PRIORITY": self.stage.priority}

    async def relay(self, relay: str, token: str, name: str) -> Any:
        """Hand on what the ingest has; a relay that is down answers 410, as a draining one does."""
        stage = self.stage
        if token not in stage.tokens:
            stage.tokens.append(token)
        stage.cmcd = request.args.get("CMCD", stage.cmcd)
        if relay in stage.relays_down:
            return "", 410
        wanted = "&".join(f"{k}={v}" for k, v in request.args.items() if k.startswith("_HLS_"))
        answer = await self._upstream(name, wanted)
        kind = MEDIA_TYPES.get(Path(name).suffix, "application/octet-stream")
        headers = {"Content-Type": kind, "Cache-Control": "no-store"}
        if stage.ended and name.endswith(".m3u8"):
            return ended_playlist(answer.text), answer.status_code, headers
        body = (
            first_audio_part_only(answer.text)
            if "audio" in name and kind.endswith("mpegurl")
            else answer.content
        )
        return body, answer.status_code, headers

    async def captions(self, name: str) -> Any:
        """Captions beside the stream."""
        if name.endswith(".vtt"):
            return CUES, 200, {"Content-Type": "text/vtt"}
        return captions_playlist(), 200, {"Content-Type": MEDIA_TYPES[".m3u8"]}

    async def _upstream(self, name: str, query: str) -> httpx.Response:
        url = f"{self.stage.origin_url or self.origin_url}{name}" + (f"?{query}" if query else "")
        return await self.http.get(url, headers={"Authorization": f"Bearer {self.secret}"})

    async def api(self, path: str) -> Any:
        """Staff's calls: enough to draw every page."""
        stage = self.stage
        if request.method != "GET":
            body = (await request.get_data()).decode()
            stage.calls.append(f"{request.method} /api/{path} {body}".strip())
        if path in ("login", "me"):
            user = {"id": "u1", "name": "Kim", "role": stage.role}
            return {"user": user} if stage.signed_in else problem(401, "not-signed-in")
        if path == "logout" or path.endswith("/kick"):
            return "", 204
        if path in ("users", "settings", "classrooms") and request.method == "GET":
            return {path: getattr(stage, path)}
        if path == "teachers":
            return {"teachers": [{"id": "u2", "name": "이선생"}, {"id": "u3", "name": "Park"}]}
        if path.startswith("join/"):
            return self._found(path.removeprefix("join/"))
        if path == "events":
            return {"events": stage.monitor.get("events", [])}
        if path == "backup":
            return stage.backup
        if path.endswith("/link"):
            until = datetime.now(UTC) + timedelta(minutes=15)
            return {"url": f"http://{request.host}/login#link=made-once", "expires_at": until.isoformat()}
        if request.method == "PATCH":
            return self._changed(path, await request.get_json())
        if path.endswith(("/start-lesson", "/end-lesson")):
            return self._lesson(path)
        if path.endswith("/preview"):
            return self.joined()
        return self._classroom(path)

    def _found(self, code: str) -> Any:
        stage = self.stage
        if code != stage.code:
            return problem(404, "unknown-code")
        found = {"name": stage.class_name, "language": "ko", "status": "open"}
        return {**found, "has_password": bool(stage.password)}

    def _changed(self, path: str, change: JSON) -> JSON:
        kind, _, name = path.partition("/")
        row: JSON = next(row for row in getattr(self.stage, kind) if row["id"] == name)
        row.update({k: v for k, v in change.items() if k in row})
        return row

    def _classroom(self, path: str) -> JSON:
        room: JSON = dict(self.stage.classrooms[0])
        if path.endswith(("rotate-key", "classrooms")):
            room["rtmp_key"] = "c1?token=new-key-41c9e2"
        if path.endswith("new-code"):
            room["code"] = "N3WC0DE9"
        statuses = {"open": "open", "close": "closed", "retire": "retired"}
        room["status"] = statuses.get(path.rsplit("/", 1)[-1], room["status"])
        return room

    def _lesson(self, path: str) -> JSON:
        """Start or end a lesson, as pages see it."""
        lesson = {"id": "l1", "started_at": _now(), "ended_at": ""}
        ends = path.endswith("/end-lesson")
        lesson["ended_at"] = _now() if ends else ""
        self.stage.state = "between-lessons" if ends else "waiting"
        self.stage.classrooms[0]["lesson"] = lesson
        for who in ("student", "teacher"):
            self.push(who, {"type": "change", "state": self.stage.state})
        return lesson

    async def cluster(self, path: str) -> Any:
        """The node table, and orders for nodes."""
        if request.method != "GET":
            self.stage.calls.append(f"{request.method} /cluster/{path}")
            return "", 204
        self.stage.asked += 1
        return {"nodes": self.stage.nodes, "summary": self.stage.summary}

    def _socket(self, who: str) -> Any:
        async def serve() -> None:
            if not self.stage.sockets:
                await websocket.close(1013)
                return
            send, receive = trio.open_memory_channel[JSON](100)
            self.listeners[who].add(send)
            self.came.set()
            self.came = trio.Event()
            try:
                await websocket.send_json({"type": "snapshot", **self.snapshot(who)})
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._answer_pings)
                    async for news in receive:
                        await websocket.send_json(news)
            finally:
                self.listeners[who].discard(send)

        return serve

    async def _answer_pings(self) -> None:
        while True:
            self.stage.pings.append(json.loads(await websocket.receive()))
            await websocket.send_json({"type": "pong"})


def _now() -> str:
    return datetime.now(UTC).isoformat()


def captions_of(line: str) -> str:
    """Return the attribute that ties a variant to the captions."""
    return ',SUBTITLES="cc"' if line.startswith("#EXT-X-STREAM-INF") else ""


def captions_playlist() -> str:
    """Return a live playlist of captions around this moment, in segments of two seconds."""
    first = int(datetime.now(UTC).timestamp()) // CAPTION_S - CAPTIONS_LISTED
    lines = ["#EXTM3U", "#EXT-X-VERSION:6", f"#EXT-X-TARGETDURATION:{CAPTION_S}"]
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
    for number in range(first, first + CAPTIONS_LISTED):
        at = datetime.fromtimestamp(number * CAPTION_S, UTC).isoformat(timespec="milliseconds")
        lines += [f"#EXT-X-PROGRAM-DATE-TIME:{at}", f"#EXTINF:{CAPTION_S},", f"{number}.vtt"]
    return "\n".join([*lines, ""])


def ended_playlist(playlist: str) -> str:
    """Return a media playlist with nothing to come any more."""
    lines = [line for line in playlist.splitlines() if not line.startswith("#EXT-X-PRELOAD-HINT")]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""])


def first_audio_part_only(playlist: str) -> str:
    """Leave INDEPENDENT to the first part of each audio segment, as relays do for hls.js's sake."""
    lines, is_first = [], True
    for line in playlist.splitlines():
        if line.startswith("#EXT-X-PART:"):
            line = line if is_first else line.replace(",INDEPENDENT=YES", "")
            is_first = False
        is_first = is_first or line.startswith("#EXTINF")
        lines.append(line)
    return "\n".join(lines) + "\n"


def problem(status: int, slug: str, retry_after_s: int = 0) -> Any:
    """Return a refusal as RFC 9457 has it."""
    body: JSON = {"type": f"urn:airclass:problem:{slug}", "title": slug, "status": status, "detail": slug}
    if retry_after_s:
        body["retry_after_s"] = retry_after_s
    return json.dumps(body), status, {"Content-Type": "application/problem+json"}


async def main(pages: str, origin_url: str, secret: str, ready_file: str) -> None:
    """Serve until standard input ends; write the address to the ready file."""
    fake = FakeMasterServer(Path(pages).resolve(), origin_url, secret)
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    async with trio.open_nursery() as nursery:
        binds: list[str] = await nursery.start(hypercorn.trio.serve, fake.app, config)
        part = trio.Path(ready_file + ".part")
        await part.write_text(json.dumps({"master_url": binds[0]}))
        await part.rename(ready_file)
        while await trio.to_thread.run_sync(sys.stdin.buffer.read, 1, abandon_on_cancel=True):
            pass
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:5])
