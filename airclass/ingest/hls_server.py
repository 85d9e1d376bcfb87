"""What the embedded ingest answers to HTTP: the current publication's window, and nothing without one.

Status codes are those of MediaMTX 1.21: 404 for what is not published, 400 for directives that
cannot be, 401 without the secret. Does not receive media itself.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from typing import TYPE_CHECKING

import trio

from airclass.ingest.http_server import IngestRequest, IngestResponse
from airclass.ingest.muxer import (
    MEDIA_PLAYLIST,
    MULTIVARIANT_PLAYLIST,
    Fragment,
    HlsFlavour,
    Muxer,
    MuxerReload,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airclass.ingest.muxer import StreamFormat

log = logging.getLogger(__name__)

HOLD_TARGET_DURATIONS = 3
FIRST_PLAYLIST_S = 20.0
MAX_NUMBER_DIGITS = 9
PLAYLIST_TYPE = "application/vnd.apple.mpegurl"
MEDIA_TYPES = {"mp4": "video/mp4", "ts": "video/mp2t"}
ANYONE = {"Access-Control-Allow-Origin": "*"}
PREFIX_BYTES = 6

NOBODY = IngestResponse(404, b"nobody publishes here now\n", headers=ANYONE)
UNKNOWN = IngestResponse(404, b"this object is not, or no longer, here\n", headers=ANYONE)
LATE = IngestResponse(503, b"nothing new came in time: try again\n", headers={**ANYONE, "Retry-After": "1"})


class HlsServer:
    """Answers for one path: `live/<id>`; empty: the one that the publisher names."""

    def __init__(
        self, *, path: str, flavour: HlsFlavour, part_s: float, segment_s: float, secret: str = ""
    ) -> None:
        self._path = self._fixed_path = path.strip("/")
        self.flavour, self.part_s, self.segment_s = flavour, part_s, segment_s
        self._wanted = f"Bearer {secret}".encode() if secret else b""
        self._window: Muxer | None = None
        self._changed = trio.Event()

    @property
    def path(self) -> str:
        """The path that is served: fixed, or the publisher's."""
        return self._path

    @property
    def publishing(self) -> StreamFormat | None:
        """The format of what is published now."""
        return self._window.shape if self._window is not None else None

    def named(self, path: str) -> None:
        """Take note of where the publisher wants to go, unless the path is fixed."""
        self._path = self._fixed_path or path

    def begin(self, shape: StreamFormat, start_wall_s: float) -> Muxer:
        """Replace what was published by an empty window with a new prefix."""
        window = Muxer(
            secrets.token_hex(PREFIX_BYTES),
            shape,
            flavour=self.flavour,
            part_s=self.part_s,
            segment_s=self.segment_s,
            start_wall_s=start_wall_s,
        )
        self._show(window)
        log.info(
            "publisher.live %dx%d %.0f fps %s", shape.width, shape.height, shape.fps, ",".join(shape.codecs)
        )
        return window

    def add(self, window: Muxer, fragment: Fragment) -> None:
        """Append to a window and wake who waits."""
        window.add(fragment)
        self._show(window)

    def end(self) -> None:
        """Forget the publication: what is blocked is answered with 404."""
        if self._window is not None:
            log.info("publisher.left")
        self._path = self._fixed_path
        self._show(None)

    def _show(self, window: Muxer | None) -> None:
        self._window = window
        self._changed.set()
        self._changed = trio.Event()

    async def answer(self, request: IngestRequest) -> IngestResponse:
        """Return the answer, after waiting where HLS says so."""
        if request.method != "GET":
            return IngestResponse(405, b"only GET is answered\n", headers={"Allow": "GET"})
        given = request.headers.get("authorization", "").encode()
        if self._wanted and not hmac.compare_digest(given, self._wanted):
            return IngestResponse(401, b"send Authorization: Bearer with the HLS_CDN_SECRET\n")
        folder, _, name = request.path.strip("/").rpartition("/")
        window = self._window
        if window is None or not folder or folder != self._path:
            return NOBODY
        if name == MULTIVARIANT_PLAYLIST:
            return await self._first_playlist(window)
        if name == MEDIA_PLAYLIST:
            return await self._playlist(window, request)
        return await self._media(window, name)

    async def _first_playlist(self, window: Muxer) -> IngestResponse:
        if await self._until(window, lambda: window.listable, FIRST_PLAYLIST_S):
            return _text(window.multivariant())
        return self._late(window)

    async def _playlist(self, window: Muxer, request: IngestRequest) -> IngestResponse:
        try:
            msn, part = _directives(request)
        except ValueError:
            return IngestResponse(
                400, b"_HLS_msn and _HLS_part are numbers, and part needs msn\n", headers=ANYONE
            )

        def due() -> MuxerReload:
            return MuxerReload.NOW if msn is None else window.reload(msn, part)

        if due() is MuxerReload.TOO_FAR:
            return IngestResponse(400, b"that is too far ahead\n", headers=ANYONE)
        hold_s = HOLD_TARGET_DURATIONS * window.target_duration_s
        if await self._until(window, lambda: window.listable and due() is MuxerReload.NOW, hold_s):
            return _text(window.playlist())
        return self._late(window)

    async def _media(self, window: Muxer, name: str) -> IngestResponse:
        if window.is_hinted(name):
            hold_s = HOLD_TARGET_DURATIONS * window.target_duration_s
            await self._until(window, lambda: window.body(name) is not None, hold_s)
        body = window.body(name)
        if body is None:
            return self._late(window) if window.is_hinted(name) else UNKNOWN
        return IngestResponse(200, body, MEDIA_TYPES[name.rpartition(".")[2]], ANYONE)

    def _late(self, window: Muxer) -> IngestResponse:
        return LATE if self._window is window else NOBODY

    async def _until(self, window: Muxer, condition: Callable[[], bool], hold_s: float) -> bool:
        """Wait until the condition holds; False when time is over or the publication ends."""
        with trio.move_on_after(hold_s):
            while self._window is window:
                if condition():
                    return True
                await self._changed.wait()
        return False


class Publication:
    """The Sink of one publication: carries fragments from the receiving thread into Trio."""

    def __init__(self, origin: HlsServer) -> None:
        self._origin = origin
        self._shape: StreamFormat | None = None
        self._window: Muxer | None = None

    @property
    def began(self) -> bool:
        """Whether any picture came."""
        return self._window is not None

    def opened(self, shape: StreamFormat) -> None:
        """Remember the shape: the window begins with the first fragment, whose age is known."""
        self._shape = shape

    def fragment(self, fragment: Fragment) -> None:
        """Append the fragment to the window."""
        trio.from_thread.run_sync(self._append, fragment)

    def _append(self, fragment: Fragment) -> None:
        if self._window is None:
            assert self._shape is not None
            self._window = self._origin.begin(self._shape, time.time() - fragment.duration_s)
        self._origin.add(self._window, fragment)

    def close(self) -> None:
        """Forget what was published."""
        trio.from_thread.run_sync(self._origin.end)


def _directives(request: IngestRequest) -> tuple[int | None, int | None]:
    """Return `_HLS_msn` and `_HLS_part`; ValueError for what cannot be meant."""
    numbers = []
    for name in ("_HLS_msn", "_HLS_part"):
        text = request.query.get(name)
        if text is not None and not (text.isascii() and text.isdigit() and len(text) <= MAX_NUMBER_DIGITS):
            raise ValueError(name)
        numbers.append(None if text is None else int(text))
    if numbers[0] is None and numbers[1] is not None:
        raise ValueError("_HLS_part")
    return numbers[0], numbers[1]


def _text(playlist: str) -> IngestResponse:
    return IngestResponse(200, playlist.encode(), PLAYLIST_TYPE, {**ANYONE, "Cache-Control": "no-cache"})
