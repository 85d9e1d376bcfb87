"""The built pages, with a policy that lets a browser talk to us and the relays only."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import trio

from airclass.web.http import route
from airclass.web.http.auth import host, scheme
from airclass.web.http.problems import ApiProblem
from airclass.web.http.route import AccessRule, ApiResponse, CorsRule

if TYPE_CHECKING:
    from airclass.web.http.context import RequestContext

PAGES = Path(__file__).parents[2] / "_pages"
# What Vite writes; neither slash nor leading dot, so no name leads out of the folder.
_FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
IMMUTABLE = "public, max-age=31536000, immutable"
FILES = {
    "": "index.html",
    "join": "index.html",
    "teach": "teach.html",
    "admin": "admin.html",
    "login": "login.html",
}
NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>AIRClass</title>
<h1>AIRClass is running</h1>
<p>The pages are not built yet. Build them with <code>make setup</code> (it needs Node 20 or newer),
then load this page again.</p></html>
"""


async def page(call: RequestContext) -> ApiResponse:
    """Return one of the pages; whichever language it speaks is decided in the browser."""
    first = call.request.path.strip("/").partition("/")[0]
    name = FILES.get(first, "index.html")
    path = trio.Path(PAGES / name)
    if not await path.is_file():
        path = trio.Path(PAGES / "index.html")
    body: bytes | str = await path.read_bytes() if await path.is_file() else NOT_BUILT
    headers = {"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-cache"}
    return ApiResponse(body, headers={**headers, "Content-Security-Policy": content_security_policy(call)})


async def asset(call: RequestContext) -> ApiResponse:
    """Return a built file; its name holds a hash of its content, so it may be kept for ever."""
    name = call.params["name"]
    if not _FILE_NAME.fullmatch(name) or not await trio.Path(PAGES / "assets" / name).is_file():
        raise ApiProblem(404, "There is no such file.")
    path = PAGES / "assets" / name
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    body = await trio.Path(path).read_bytes()
    return ApiResponse(body, headers={"Content-Type": kind, "Cache-Control": IMMUTABLE})


async def icon(call: RequestContext) -> ApiResponse:
    """Return the page's icon, or nothing."""
    for name in ("favicon.svg", "favicon.ico"):
        path = trio.Path(PAGES / name)
        if await path.is_file():
            kind = "image/svg+xml" if name.endswith("svg") else "image/x-icon"
            return ApiResponse(await path.read_bytes(), headers={"Content-Type": kind})
    return ApiResponse(None, 204)


def content_security_policy(call: RequestContext) -> str:
    """Return the policy: this master, its sockets, and the relays that students may be sent to."""
    services = call.services
    ours, secure = host(services, call.request), scheme(services, call.request) == "https"
    relays = {_origin(n.public_url) for n in services.cluster.nodes.all.values()} - {""}
    # A relay on this machine may register after the page was loaded.
    name = urlsplit(f"//{ours}").hostname or "localhost"
    nearby = f"{'https' if secure else 'http'}://{f'[{name}]' if ':' in name else name}:*"
    media = " ".join(["'self'", "blob:", nearby, *sorted(relays)])
    return "; ".join(
        [
            "default-src 'self'",
            "base-uri 'none'",
            "object-src 'none'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            f"connect-src {media} {'wss' if secure else 'ws'}://{ours}",
            f"media-src {media} data:",  # hls.js gives captions an empty file to begin with
            "img-src 'self' data: blob:",
            "style-src 'self' 'unsafe-inline'",
            "worker-src 'self' blob:",
        ]
    )


def _origin(url: str) -> str:
    """Return a relay's origin; nothing that could be another directive, however it came into memory."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    return origin if _ORIGIN.fullmatch(origin) else ""


_page = route.family(
    access=AccessRule.ANYONE,
    limit=route.PAGES,
    max_bytes=0,
    cors=CorsRule.NONE,
    answer=str,
    answer_type="text/html",
    hidden=True,
    problems=(404,),
)

ROUTES = (
    _page("GET", "/", page, "A page."),
    _page("GET", "/join/<code>", page, "A page."),
    _page("GET", "/teach", page, "A page."),
    _page("GET", "/admin", page, "A page."),
    _page("GET", "/login", page, "A page."),
    _page("GET", "/assets/<path:name>", asset, "A page's file."),
    _page("GET", "/favicon.ico", icon, "The pages' picture."),
    _page("GET", "/favicon.svg", icon, "The pages' picture."),
)
