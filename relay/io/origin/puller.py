"""Pulls one stream from its origin: index, playlists, objects; each object once.

A thin shell: it waits, asks and reports back. Pace comes from `relay.core.origin.playlist_poller`,
identity from `epoch_tracker`, what to fetch from `relay.core.stream.window`, numbers from
`relay.core.stream.timeline`.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import trio

from relay.base.cluster_protocol import session_of
from relay.base.errors import ConfigError, OriginError
from relay.core import playlist as pl
from relay.core.origin.epoch_tracker import EpochTracker, first_msn
from relay.core.origin.failover import OriginFailover
from relay.core.origin.playlist_poller import INDEX_FIRST_BYTE_S, PLAIN_FIRST_BYTE_S, PlaylistPoller
from relay.core.origin.sequence_repair import SequenceRepair
from relay.core.origin.url import server_of
from relay.core.stream.fetch_queue import HintStatus
from relay.io.origin.http_client import OriginClient, OriginLimits, resolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relay.base.cluster_protocol import EpochOffset, EpochRequest
    from relay.core.counters import OriginCounters, StreamFigures
    from relay.core.stream.segment import Fetch
    from relay.core.stream.stream import OriginRendition, Stream
    from relay.core.stream.timeline import Epoch
    from relay.core.stream.window import Window
    from relay.io.origin.http_client import OriginResponse

log = logging.getLogger(__name__)

# A hinted part comes when the line brings it; once it is listed, or keeps others waiting, it is due.
AHEAD_FIRST_BYTE_S = 60.0
DUE_FIRST_BYTE_S = 2.0
TICK_S = 0.5
ENDED_POLL_S = 5.0
ON_DEMAND_IDLE_S = 30.0
ON_DEMAND_POLL_S = 0.1
# What an interrupted stream holds is given back when nobody has watched it for so long.
IDLE_KEEP_S = 60.0
IDLE_LOOK_S = 10.0
MAX_GONE_STATUS = (404, 410)
# Asking again for an address that was refused, or for a body that is too large, changes nothing.
NEVER_BETTER = ("refused", "too_large")


@dataclass(slots=True, eq=False)
class _Ahead:
    """A hinted part under way: `scope` ends the wait for its first byte."""

    fetch: Fetch
    scope: trio.CancelScope
    pieces: list[bytes]

    def take(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.scope.deadline = math.inf


class Puller:
    """Follows one stream for ever; the stream's own errors end a round, never the process."""

    def __init__(
        self,
        stream: Stream,
        origins: tuple[str, ...],
        *,
        bearer: str,
        limits: OriginLimits,
        publish: Callable[[Stream, Window], None],
        decide: Callable[[EpochRequest], Awaitable[EpochOffset]],
        figures: StreamFigures,
        counters: OriginCounters,
        changed: Callable[[], None] = lambda: None,
        ends_with_origin: bool = True,
        wall: Callable[[], float] = time.time,
        publishing: bool | None = None,
    ) -> None:
        self.stream = stream
        self._publishing = publishing
        self._announced = trio.Event()
        self._origins = OriginFailover(origins)
        self._bearer = bearer
        self._limits = limits
        self._publish = publish
        self._decide = decide
        self._figures = figures
        self._counters = counters
        self._changed = changed
        self._ends_with_origin = ends_with_origin
        self._wall = wall
        self._sessions: dict[str, EpochTracker] = {}
        self._counting: dict[str, SequenceRepair] = {}
        self._epoch_lock = trio.Lock()
        self._ended: set[str] = set()
        self._problems: dict[str, OriginError] = {}  # by origin, since the stream was last live
        self._ahead: dict[str, _Ahead] = {}  # by rendition
        self._refused: set[str] = set()  # what was said about this session's objects
        self._index_clients: dict[str, OriginClient] = {}  # by address, while nobody publishes there
        self._unsaid: tuple[str, OriginError] | None = None  # by origin, until the next try says more

    def announce(self, publishing: bool | None) -> None:
        """Take in whether somebody publishes, as the master knows it (None: it does not know).

        While nobody does, the origin is not asked at all. A session that is being followed goes on.
        """
        came = publishing is True and self._publishing is not True
        self._publishing = publishing
        if came or publishing is None:
            self._origins.worked()  # the next tries follow each other quickly
            self._announced.set()
            self._announced = trio.Event()

    async def run(self) -> None:
        """Pull until cancelled; one log line whenever the stream comes or goes."""
        try:
            await self._run()
        finally:
            for url in list(self._index_clients):
                await self._close_index_client(url)

    async def _run(self) -> None:
        while True:
            await self._until_announced()
            url = self._origins.current
            problem = OriginError("the origin stands still: it lists nothing new")
            try:
                await self._round(url)
            except* OriginError as group:
                problem = _first(group)
            except* ConfigError as group:  # the master named an address that cannot be used
                problem = OriginError(str(group.exceptions[0]))
            except* Exception:  # the boundary of a stream: whatever goes wrong ends its round, no other
                log.exception("stream.failed stream=%s", self.stream.name)
                problem = OriginError("the relay could not go on with it: see its log")
            self._lost(problem)
            announced = self._announced
            with trio.move_on_after(self._origins.failed(trio.current_time())):
                await announced.wait()

    async def _until_announced(self) -> None:
        """Return when the origin is to be asked: at once, unless the master says that nobody publishes."""
        while True:
            if self.stream.is_idle(trio.current_time(), IDLE_KEEP_S):
                log.info("stream.forgotten stream=%s reason=idle for %g s", self.stream.name, IDLE_KEEP_S)
                self.stream.forget_media()
            if self._publishing is not False:
                return
            self._lost(_NotAnnounced("nobody is publishing"))
            announced = self._announced
            with trio.move_on_after(IDLE_LOOK_S):
                await announced.wait()

    async def run_on_demand(self) -> None:
        """Pull only while viewers ask, and for half a minute longer; until cancelled."""
        self.stream.on_demand = True
        while True:
            self.stream.idle = True
            self.stream.origin.unasked(trio.current_time())
            self.stream.problem = "it is pulled when someone watches"
            await self._until(lambda idle_s: idle_s < ON_DEMAND_IDLE_S)
            log.info("stream.wanted stream=%s", self.stream.name)
            self.stream.idle = False
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.run)
                await self._until(lambda idle_s: idle_s >= ON_DEMAND_IDLE_S)
                nursery.cancel_scope.cancel()
            log.info("stream.unwanted stream=%s", self.stream.name)
            self.stream.forget_media()

    async def _until(self, enough: Callable[[float], bool]) -> None:
        # viewers stop asking without a word: there is no event to wait for
        while not enough(trio.current_time() - self.stream.asked_s):  # noqa: ASYNC110
            await trio.sleep(ON_DEMAND_POLL_S)

    async def _round(self, url: str) -> None:
        """Follow the origin's session until something about it fails."""
        # The connection is kept through refusals, so that waiting for a publisher costs no new one each time.
        if url not in self._index_clients:
            self._index_clients[url] = self._upstream(url)
        answer = await self._index_clients[url].get(
            url, first_byte_s=INDEX_FIRST_BYTE_S, max_bytes=self._limits.max_playlist_bytes
        )
        index = pl.parse(_text(answer.status, answer.body, "index"))
        base_url = answer.url  # where redirects ended: relative URIs count from there
        sources = self.stream.describe(index, base_url)
        await self._close_index_client(url)
        async with trio.open_nursery() as nursery:
            for source in sources:
                nursery.start_soon(partial(self._rendition, nursery.cancel_scope, source, base_url))

    async def _close_index_client(self, url: str) -> None:
        with trio.move_on_after(1, shield=True):
            await self._index_clients.pop(url).aclose()

    def _upstream(self, url: str) -> OriginClient:
        return OriginClient(url, bearer=self._bearer, limits=self._limits, counters=self._counters)

    async def _rendition(
        self, round_scope: trio.CancelScope, source: OriginRendition, index_url: str
    ) -> None:
        origin_client = self._upstream(index_url)
        window = self.stream.windows[source.id]
        self._sessions.setdefault(window.rendition, EpochTracker(self.stream.timeline)).begin()
        work = trio.Event()
        url = resolve(index_url, source.uri)

        def changed() -> None:
            nonlocal work
            work.set()
            work = trio.Event()

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._fetch_objects, origin_client, window, lambda: work)
                nursery.start_soon(self._tick, window)
                await self._follow(origin_client, window, url, changed)
                round_scope.cancel()
        finally:
            with trio.move_on_after(1, shield=True):
                await origin_client.aclose()

    async def _follow(
        self, origin_client: OriginClient, window: Window, url: str, changed: Callable[[], None]
    ) -> None:
        """Ask for a rendition's playlist at its pace; ends when another origin should be tried."""
        follower = PlaylistPoller(trio.current_time(), stand_by=self._origins.stand_by)
        counting = self._counting.setdefault(window.rendition, SequenceRepair())
        while True:
            poll = follower.next_poll(trio.current_time())
            await trio.sleep_until(poll.at_s)
            asked_s = trio.current_time()
            target = f"{url}{'&' if '?' in url else '?'}{poll.query}" if poll.query else url
            try:
                answer = await origin_client.get(
                    target, first_byte_s=poll.first_byte_s, max_bytes=self._limits.max_playlist_bytes
                )
            except OriginError as exc:
                if exc.kind == "timeout" and follower.unanswered():
                    continue
                raise
            playlist = pl.parse(_text(answer.status, answer.body, "playlist"))
            if not isinstance(playlist, pl.MediaPlaylist):
                raise OriginError("a multivariant playlist stands where a media playlist should be")
            playlist = counting.counted(playlist)
            follower.received(playlist, asked_s, trio.current_time())
            if any(not s.gap for s in playlist.segments) or playlist.open_segment:
                epoch = await self._epoch(window, playlist)
                before = window.version
                window.base_url = answer.url
                is_current = window.update(playlist, epoch, trio.current_time(), self._wall())
                self._after(window, before)
                self._mind_hint(window)
                changed()
                if is_current and not follower.stalled(trio.current_time()):
                    self._found()
            if follower.ended:
                await self._end(window)
                await trio.sleep(ENDED_POLL_S)
                continue
            if window.rendition in self._ended:  # it goes on after all: look at the whole index anew
                self._resume()
                return
            if self._origins.stand_by and follower.stalled(trio.current_time()):
                return

    async def _epoch(self, window: Window, playlist: pl.MediaPlaylist) -> Epoch:
        """Return the playlist's epoch; the numbers of a new one are asked for once a stream."""
        timeline, tracker = self.stream.timeline, self._sessions[window.rendition]
        epoch = timeline.known(tracker.key(playlist))
        if epoch is not None and timeline.has_begun(epoch):
            return epoch
        async with self._epoch_lock:
            key = tracker.key(playlist)  # another rendition may have begun it meanwhile
            epoch = timeline.known(key)
            if epoch is not None and timeline.has_begun(epoch):
                return epoch
            if timeline.current is None or timeline.current.session != session_of(key):
                self._end_session()
            first = first_msn(playlist, seen_until_s=self.stream.seen_until_s, wall_s=self._wall())
            if epoch is None or not timeline.accepts(epoch, first):
                longest_s = self.stream.longest_listed_s
                request = timeline.request(key, first, playlist, longest_listed_s=longest_s)
                epoch = timeline.adopt(await self._decide(request))
            if epoch is not timeline.current:
                self._figures.epochs += 1
                self._refused.clear()
                log.info(
                    "epoch.begun stream=%s offset=%d discontinuity=%d order=%d",
                    self.stream.name,
                    epoch.offset,
                    epoch.discontinuity_seq,
                    epoch.order,
                )
            timeline.begin(epoch)
            return epoch

    def _end_session(self) -> None:
        versions = {window: window.version for window in self.stream.windows.values()}
        self.stream.end_session()
        for window, before in versions.items():
            self._after(window, before)

    async def _fetch_objects(
        self, origin_client: OriginClient, window: Window, work: Callable[[], trio.Event]
    ) -> None:
        """Fetch what the window wants, one object at a time, on the rendition's second connection.

        Begins with this origin's first playlist: what another one listed is not to be had here.
        """
        await work().wait()
        while True:
            waiting = work()
            fetch = window.wanted(trio.current_time())
            if fetch is None:
                with trio.move_on_at(window.retry_at_s(trio.current_time())):
                    await waiting.wait()
                continue
            try:
                await self._fetch(origin_client, window, fetch)
            except BaseException:
                window.put_back(fetch)  # abandoned by us: it may be had in the next round
                raise

    async def _fetch(self, origin_client: OriginClient, window: Window, fetch: Fetch) -> None:
        before = window.version
        try:
            if fetch.kind == "hint":
                answer = await self._get_ahead(origin_client, window, fetch)
            else:
                answer = await self._get(origin_client, window, fetch, PLAIN_FIRST_BYTE_S)
        except OriginError as exc:
            window.failed(fetch, trio.current_time(), gone=exc.kind in NEVER_BETTER)
            self._after(window, before)
            self._complain(fetch, exc)
            return
        if answer.status in (200, 206):
            window.arrived(fetch, answer.body, trio.current_time())
            self._figures.fetched[fetch.kind] += 1
        elif answer.status == 401:
            raise _Refused("the origin's session has ended (401)")
        else:
            gone = answer.status in MAX_GONE_STATUS
            window.failed(fetch, trio.current_time(), gone=gone)
        self._after(window, before)

    async def _get(
        self,
        origin_client: OriginClient,
        window: Window,
        fetch: Fetch,
        first_byte_s: float,
        sink: Callable[[bytes], None] | None = None,
    ) -> OriginResponse:
        return await origin_client.get(
            fetch.uri,
            base_url=window.base_url,
            first_byte_s=first_byte_s,
            max_bytes=self._limits.max_object_bytes,
            byterange=fetch.byterange,
            sink=sink,
        )

    async def _get_ahead(self, origin_client: OriginClient, window: Window, fetch: Fetch) -> OriginResponse:
        """Fetch a hinted part, for as long as it is hinted at: asking again would be a second fetch."""
        with trio.CancelScope() as scope:
            ahead = self._ahead[window.rendition] = _Ahead(fetch, scope, [])
            try:
                answer = await self._get(origin_client, window, fetch, AHEAD_FIRST_BYTE_S, ahead.take)
                return replace(answer, body=b"".join(ahead.pieces))
            finally:
                del self._ahead[window.rendition]
        self._counters.failed["timeout"] += 1
        raise OriginError("the origin does not send the part that it has hinted at", "timeout")

    def _mind_hint(self, window: Window) -> None:
        """Look again at a hinted part under way: the origin may list it by now, or hint at another one."""
        ahead = self._ahead.get(window.rendition)
        if ahead is None or ahead.pieces:
            return
        outlook = window.outlook(ahead.fetch)
        if outlook is HintStatus.DUE:
            ahead.scope.deadline = min(ahead.scope.deadline, trio.current_time() + DUE_FIRST_BYTE_S)
        elif outlook is HintStatus.LOST:
            ahead.scope.cancel()

    def _complain(self, fetch: Fetch, problem: OriginError) -> None:
        """Say once a session what is refused; failures that may pass are counted only."""
        if problem.kind in NEVER_BETTER and problem.kind not in self._refused:
            self._refused.add(problem.kind)
            log.warning(
                "object.refused stream=%s kind=%s reason=%s", self.stream.name, fetch.kind, problem.reason
            )
        log.debug("fetch.failed stream=%s kind=%s reason=%s", self.stream.name, fetch.kind, problem.reason)

    async def _tick(self, window: Window) -> None:
        """Let the window give up what is missing for too long."""
        while True:
            await trio.sleep(TICK_S)
            before = window.version
            window.tick(trio.current_time())
            self._after(window, before)

    def _after(self, window: Window, version_before: int) -> None:
        if window.version != version_before:
            self._publish(self.stream, window)

    def _found(self) -> None:
        self._origins.worked()
        self._problems.clear()
        self.stream.problem = ""
        self.stream.origin.served(trio.current_time())
        if self.stream.session_lost:
            self._say_unsaid()
            self.stream.session_lost = False
            log.info("stream.live stream=%s origin=%s", self.stream.name, server_of(self._origins.current))
            self._changed()

    def _lost(self, problem: OriginError) -> None:
        """Note why an origin does not serve; said once, however often it is tried.

        When a teacher stops, MediaMTX answers 500 to what was waiting and 404 from then on. So a refusal is
        said only when the next try does not succeed either: an ordinary stop is one line and no warning.
        """
        stream, server = self.stream, server_of(self._origins.current)
        before = self._problems.get(server)
        was_live = not stream.session_lost
        still_nobody = isinstance(problem, _NobodyPublishes) and isinstance(before, _NobodyPublishes)
        is_new = was_live or before is None or (before.reason != problem.reason and not still_nobody)
        self._problems[server] = problem
        stream.session_lost = True
        named = self._origins.stand_by
        told = (f"{where}: {p.reason}" if named else p.reason for where, p in self._problems.items())
        stream.problem = "; ".join(told)
        self._note_origin(problem)
        if isinstance(problem, _NobodyPublishes):
            if self._unsaid is not None and self._unsaid[0] == server:
                self._unsaid = None
            if is_new:
                log.info("stream.idle stream=%s origin=%s reason=%s", stream.name, server, problem.reason)
        elif is_new and self._unsaid is None and isinstance(problem, _Refused):
            self._unsaid = (server, problem)
        else:
            self._say_unsaid()
            if is_new:
                self._warn(server, problem)
        if is_new:
            self._changed()

    def _note_origin(self, problem: OriginError) -> None:
        """Note whether an origin answers; one that works and has nothing to follow is enough."""
        origin, now_s = self.stream.origin, trio.current_time()
        if isinstance(problem, _NotAnnounced):
            origin.unasked(now_s)
        elif isinstance(problem, _NobodyPublishes):
            origin.served(now_s)
        elif not any(_is_answer(p) for p in self._problems.values()):
            origin.failed(now_s, problem.kind)

    def _say_unsaid(self) -> None:
        if self._unsaid is not None:
            self._warn(*self._unsaid)
            self._unsaid = None

    def _warn(self, server: str, problem: OriginError) -> None:
        log.warning("stream.lost stream=%s origin=%s reason=%s", self.stream.name, server, problem.reason)

    async def _end(self, window: Window) -> None:
        """The origin says that nothing more will come (EXT-X-ENDLIST): so do we, once all is listed.

        Not in a cluster: there only the master ends a class, and an origin that writes ENDLIST
        when its publisher drops (FFmpeg, nginx-rtmp) counts as reconnecting.
        """
        while not window.settled:  # noqa: ASYNC110 - it settles by fetches or by giving up, within seconds
            await trio.sleep(TICK_S)
        if window.open_entry is not None:
            window.finish()  # its last segment will not be completed
        self._ended.add(window.rendition)
        if not self._ends_with_origin or self.stream.ended:
            return
        if self._ended >= {s.id for s in self.stream.sources}:
            log.info("stream.ended stream=%s reason=the origin has ended it", self.stream.name)
            self._set_ended(True)

    def _resume(self) -> None:
        self._ended.clear()
        if self._ends_with_origin and self.stream.ended:
            log.info("stream.resumed stream=%s reason=the origin goes on", self.stream.name)
            self._set_ended(False)

    def _set_ended(self, ended: bool) -> None:
        self.stream.ended = ended
        for window in self.stream.windows.values():
            self._publish(self.stream, window)


class _Refused(OriginError):
    """The origin answers, but not with what was asked for."""


class _NobodyPublishes(OriginError):
    """The origin works, but there is nothing to follow: nobody's fault."""


class _NotAnnounced(_NobodyPublishes):
    """The master says that nobody publishes, so the origin is not asked: it may be dead."""


def _is_answer(problem: OriginError) -> bool:
    return isinstance(problem, _NobodyPublishes) and not isinstance(problem, _NotAnnounced)


def _text(status: int, body: bytes, what: str) -> str:
    if status == 404:
        raise _NobodyPublishes(f"nobody is publishing: the origin's {what} is not there (404)")
    if status != 200:
        raise _Refused(f"the origin answered {status} for the {what}")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise OriginError(f"the origin's {what} is not text") from None


def _first(group: BaseExceptionGroup[OriginError]) -> OriginError:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner
