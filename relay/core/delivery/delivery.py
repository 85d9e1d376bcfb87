"""The relay's decisions about a request: answer now, hold, or refuse.

Everything a viewer may ask for passes through `Edge.answer`. Reads no clock and touches no
socket; the reactor sends what is returned and hands back the requests whose time has come.
"""

from __future__ import annotations

import math
import re
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.base.errors import RequestError
from relay.core.delivery.blocking_reload import HeldRequests
from relay.core.delivery.request import NO_DIRECTIVES, Directives, Request, byte_range, directives
from relay.core.delivery.response import (
    MediaResponses,
    Response,
    etag,
    not_modified,
    playlist_responses,
    preflight,
    range_response,
    redirect,
)
from relay.core.stream.live_edge import ReloadDecision
from relay.core.stream.segment import is_init_name
from relay.core.stream.stream import Stream
from relay.core.viewers.registry import GONE_TARGETS, Viewer, ViewerRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from relay.core.delivery.response import CorsHeaders
    from relay.core.stream.media import Body
    from relay.core.stream.memory_budget import MemoryBudget
    from relay.core.stream.window import Window
    from relay.core.viewers.admission import Admission

INDEX = "index.m3u8"
MAX_HELD = 20_000
MAX_NAME_CHARS = 128
ENDED_GRACE_S = 60.0
DEFAULT_GONE_S = 10.0
# How long whoever wakes a stream that is pulled on demand waits for its first picture.
WAKE_S = 10.0
_TOKEN = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(slots=True, eq=False)
class HeldRequest:
    """An admitted request that is held."""

    request: Request
    viewer: Viewer
    stream: Stream
    window: Window | None  # None: the stream itself is waited for
    name: str
    msn: int
    part: int | None
    until_s: float

    @property
    def rendition(self) -> str:
        """Which of a stream's queues it stands in."""
        return self.window.rendition if self.window is not None else ""


_Version = tuple["weakref.ref[Window]", int, bool]


class PlaylistCache:
    """The finished playlists of one stream: made once a version."""

    __slots__ = ("index", "index_text", "made", "waiting")

    def __init__(self) -> None:
        self.made: dict[str, tuple[_Version, bytes, Response, Response]] = {}
        self.waiting: dict[str, HeldRequests[Hashable]] = {}
        self.index: tuple[Response, Response] | None = None
        self.index_text = ""


class Delivery:
    """Streams, viewers and held requests of one relay."""

    def __init__(
        self,
        admission: Admission,
        cors: CorsHeaders,
        new_body: Callable[[], Body],
        *,
        budget: MemoryBudget,
        strip_audio_independent: bool = True,
        answer_at_hold_limit: bool = True,
        salt: str = "",
    ) -> None:
        self.admission = admission
        self.registry: ViewerRegistry = admission.registry
        self.cors = cors
        self.streams: dict[str, Stream] = {}
        self.held = 0
        self._playlist_caches: dict[str, PlaylistCache] = {}
        self._media_responses = MediaResponses()
        self._new_body = new_body
        self._budget = budget
        self._strip = strip_audio_independent
        self._answer_at_limit = answer_at_hold_limit
        self._salt = salt
        self._ended_s: dict[str, float] = {}

    # -- streams --------------------------------------------------------------------------

    def open_stream(self, name: str) -> Stream:
        """Return the stream of this name, made when new."""
        stream = self.streams.get(name)
        if stream is None:
            stream = Stream(
                name,
                self._new_body,
                budget=self._budget,
                strip_audio_independent=self._strip,
                salt=self._salt,
            )
            self.streams[name] = stream
            self._playlist_caches[name] = PlaylistCache()
        return stream

    def close_stream(self, name: str) -> list[Hashable]:
        """Forget a stream; returns everyone who waited for it."""
        stream = self.streams.pop(name, None)
        if stream is None:
            return []
        stream.refused = True
        for window in stream.windows.values():
            window.release()
        waited = self.everyone(stream)
        del self._playlist_caches[name]
        self._ended_s.pop(name, None)
        return waited

    def end_stream(self, name: str, now_s: float) -> None:
        """List EXT-X-ENDLIST for a minute, then answer 410: the class is over."""
        stream = self.streams.get(name)
        if stream is not None and not stream.ended:
            stream.ended = True
            self._ended_s[name] = now_s

    # -- requests -------------------------------------------------------------------------

    def answer(
        self, request: Request, address: str, *, now_s: float, wall_s: float
    ) -> tuple[Response | HeldRequest, Viewer | None]:
        """Return what is sent, or the Ask to hold, and who it is for.

        Raises RequestError for everything that is refused.
        """
        path, _, query = request.target.partition(b"?")
        pieces = path.split(b"/")
        if request.method == b"OPTIONS":
            return preflight(), None
        if len(pieces) == 5 and pieces[1] == b"t":
            viewer = self.registry.get(pieces[2])
            stream_name = pieces[3].decode("latin-1")
            if viewer is None or address not in viewer.addresses:
                viewer = self.admission.admit(pieces[2], stream_name, address, now_s=now_s, wall_s=wall_s)
            elif viewer.stream != stream_name or now_s >= viewer.expires_s:
                self.admission.check(viewer, stream_name, address, now_s)
        elif len(pieces) == 3 and pieces[1] and pieces[2]:
            stream_name = pieces[1].decode("latin-1")
            if not self.admission.public:
                return self._to_path_form(request, stream_name, pieces[2], query), None
            if stream_name not in self.streams:  # nobody is noted down for what is not here
                raise RequestError(404, "no such stream: ask for its link")
            viewer = self.admission.admit_public(stream_name, address, query, now_s=now_s, wall_s=wall_s)
        else:
            raise RequestError(404, "there is nothing at this address")
        viewer.last_s = now_s
        if query:
            viewer.says(query)
        stream = self.streams.get(stream_name)
        name = pieces[-1].decode("latin-1")
        if stream is None:
            raise RequestError(404, "no such stream: ask the teacher for the class's link")
        if stream.refused:
            raise RequestError(410, "this relay cannot serve the stream any more: use another one")
        if name.endswith(".m3u8"):
            return self._playlist(request, viewer, stream, name, query, now_s), viewer
        return self._object(request, viewer, stream, name, now_s), viewer

    def _to_path_form(self, request: Request, stream: str, name: bytes, query: bytes) -> Response:
        token = request.headers.bearer
        rest = []
        for piece in query.split(b"&"):
            if piece.startswith(b"token="):
                token = piece[6:].decode("latin-1")
            elif piece:
                rest.append(piece)
        if not _TOKEN.fullmatch(token):
            raise RequestError(401, "a token is missing: join the class again")
        location = f"/t/{token}/{stream}/".encode() + name
        return redirect(location + (b"?" + b"&".join(rest) if rest else b""))

    def _playlist(
        self, request: Request, viewer: Viewer, stream: Stream, name: str, query: bytes, now_s: float
    ) -> Response | HeldRequest:
        if self.admission.draining:
            viewer.sent_away = True
            raise RequestError(410, "this relay is being taken out of service: use another one")
        if stream.ended and now_s - self._ended_s.get(stream.name, now_s) > ENDED_GRACE_S:
            raise RequestError(410, "the class is over")
        stream.asked_s = now_s
        window = stream.windows.get(name[:-5])
        if window is None or not window.ready:
            if not stream.ready and stream.on_demand:
                return self._hold(request, viewer, stream, None, name, Directives(0), now_s + WAKE_S)
            if not stream.ready:
                raise RequestError(503, f"no picture yet: {stream.problem or 'the teacher has not started'}")
            if name == INDEX:
                return self._index(request, stream)
            raise RequestError(404, "no such playlist")
        if not window.audio_only:
            viewer.rendition = window.rendition
        pins = stream.timeline.pins
        wanted = directives(query) if pins and pins.part_target_s else NO_DIRECTIVES
        if wanted.msn is None or stream.ended or pins is None:
            return self._current(request, stream, window)
        verdict = window.live_edge.judge(wanted.msn, wanted.part, pins.part_target_s)
        if verdict is ReloadDecision.NOW:
            return self._current(request, stream, window)
        if verdict is ReloadDecision.TOO_FAR:
            raise RequestError(400, "_HLS_msn or _HLS_part lies too far ahead")
        return self._hold(request, viewer, stream, window, name, wanted, now_s + pins.hold_s)

    def _object(
        self, request: Request, viewer: Viewer, stream: Stream, name: str, now_s: float
    ) -> Response | HeldRequest:
        window = stream.window_of(name) if len(name) <= MAX_NAME_CHARS else None
        if window is None:
            raise RequestError(404, "no such object")
        media = window.lookup(name)
        if media is None:
            pins = stream.timeline.pins
            if name == window.hint_name and pins is not None:
                live_edge = window.live_edge
                wanted = Directives(live_edge.last_msn + 1, live_edge.open_parts)
                until_s = now_s + GONE_TARGETS * pins.target_duration_s
                return self._hold(request, viewer, stream, window, name, wanted, until_s)
            raise RequestError(404, "no such object, or no longer")
        kind = "part" if name.count(".") > 1 else "segment"
        if request.headers.range:
            found = byte_range(request.headers.range, media.size_bytes)
            if found is not None:
                return range_response(media, kind, *found)
        return self._media_responses.get(media, kind, is_init=is_init_name(name))

    def _hold(
        self,
        request: Request,
        viewer: Viewer,
        stream: Stream,
        window: Window | None,
        name: str,
        wanted: Directives,
        until_s: float,
    ) -> HeldRequest:
        if self.held >= MAX_HELD:
            raise RequestError(503, "too many requests are waiting: try again")
        assert wanted.msn is not None
        return HeldRequest(request, viewer, stream, window, name, wanted.msn, wanted.part, until_s)

    # -- held requests --------------------------------------------------------------------

    def hold(self, who: Hashable, held_request: HeldRequest) -> None:
        """Keep a connection until its playlist moves on, or its time is up."""
        waiting = self._playlist_caches[held_request.stream.name].waiting
        waiting.setdefault(held_request.rendition, HeldRequests()).hold(
            who, held_request.msn, held_request.part, held_request.until_s
        )
        self.held += 1

    def drop(self, who: Hashable, held_request: HeldRequest) -> None:
        """Forget a connection that was held and has gone."""
        self._playlist_caches[held_request.stream.name].waiting[held_request.rendition].drop(who)
        self.held -= 1

    def reached(self, stream: Stream, window: Window) -> list[Hashable]:
        """Return the connections that a new version of a playlist sets free."""
        if self.streams.get(stream.name) is not stream:  # forgotten meanwhile
            return []
        queues = self._playlist_caches[stream.name].waiting
        ready = queues[""].everyone() if "" in queues and stream.ready else []
        waiting = queues.get(window.rendition)
        if waiting is not None:
            ready += (
                waiting.everyone() if stream.ended or stream.refused else waiting.reached(window.live_edge)
            )
        self.held -= len(ready)
        return ready

    def everyone(self, stream: Stream) -> list[Hashable]:
        """Return all connections held for a stream, whatever they wait for."""
        cache = self._playlist_caches[stream.name]
        ready = [who for waiting in cache.waiting.values() for who in waiting.everyone()]
        self.held -= len(ready)
        return ready

    def overdue(self, now_s: float) -> list[Hashable]:
        """Return the connections whose hold limit is over."""
        late = [
            w for s in self._playlist_caches.values() for q in s.waiting.values() for w in q.overdue(now_s)
        ]
        self.held -= len(late)
        return late

    def next_due_s(self) -> float:
        """Return when `overdue` has something to return."""
        return min(
            (q.next_due_s() for s in self._playlist_caches.values() for q in s.waiting.values()),
            default=math.inf,
        )

    def resume(self, held_request: HeldRequest, now_s: float) -> Response:
        """Return the answer to a held request: its playlist or part as it is now.

        At the hold limit a playlist is sent unchanged (or 503, the letter of RFC 8216bis
        §6.2.5.2, where it was set so); a hinted part that never came is 404.
        """
        held_request.viewer.last_s = now_s
        if held_request.viewer.refused is not None:
            raise held_request.viewer.refused
        if held_request.stream.refused or self.admission.draining:
            held_request.viewer.sent_away = True
            raise RequestError(410, "this relay is being taken out of service: use another one")
        if not held_request.stream.ready:
            why = (
                "the stream begins anew"
                if held_request.window
                else f"no picture yet: {held_request.stream.problem}"
            )
            raise RequestError(503, f"{why}: try again")
        if held_request.window is None:
            response = self._playlist(
                held_request.request, held_request.viewer, held_request.stream, held_request.name, b"", now_s
            )
            assert isinstance(response, Response)
            return response
        if not held_request.name.endswith(".m3u8"):
            media = held_request.window.lookup(held_request.name)
            if media is None:
                raise RequestError(404, "the part did not come")
            return self._media_responses.get(media, "part")
        live_edge = held_request.window.live_edge
        if not (
            self._answer_at_limit
            or held_request.stream.ended
            or live_edge.reached(held_request.msn, held_request.part)
        ):
            raise RequestError(503, "nothing new yet")
        return self._current(held_request.request, held_request.stream, held_request.window)

    # -- finished playlists ---------------------------------------------------------------

    def _current(self, request: Request, stream: Stream, window: Window) -> Response:
        cache = self._playlist_caches[stream.name]
        version = (weakref.ref(window), window.version, stream.ended)  # it may be given back
        made = cache.made.get(window.rendition)
        if made is None or made[0] != version:
            text = stream.media_text(window)
            made = (version, etag(text), *playlist_responses(text))
            cache.made[window.rendition] = made
        if request.headers.if_none_match and made[1] in request.headers.if_none_match:
            return not_modified(made[1])
        return made[3] if request.headers.gzip else made[2]

    def _index(self, request: Request, stream: Stream) -> Response:
        cache = self._playlist_caches[stream.name]
        text = stream.multivariant_text()
        if cache.index is None or cache.index_text != text:
            cache.index = playlist_responses(text)
            cache.index_text = text
        return cache.index[request.headers.gzip]

    # -- housekeeping ---------------------------------------------------------------------

    def sweep(self, now_s: float) -> None:
        """Take silent viewers out of the ledger."""
        targets = [s.timeline.pins.target_duration_s for s in self.streams.values() if s.timeline.pins]
        gone_s = GONE_TARGETS * max(targets) if targets else DEFAULT_GONE_S
        self.registry.sweep(now_s - gone_s)
