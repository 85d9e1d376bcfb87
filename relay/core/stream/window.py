"""The window of one rendition: what is listed to viewers, and what they may still fetch.

Fed with the origin's playlists and objects; answers with what the playlist of viewers shows. Never
lists what it does not hold: a segment is shown once its bytes are here, or as EXT-X-GAP once it is
given up. The segments themselves are in `sequence`; what to fetch next is decided in `fetching`, the
bytes are in `cache`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.stream.fetch_queue import MAX_PART_ATTEMPTS, FetchQueue, made_of_parts, ticket_holder
from relay.core.stream.live_edge import LiveEdge
from relay.core.stream.media_cache import MediaCache
from relay.core.stream.segment import part_name
from relay.core.stream.segment_list import SegmentList, WindowCounters

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.core.playlist import MediaPlaylist
    from relay.core.stream.fetch_queue import HintStatus
    from relay.core.stream.media import Body, Media
    from relay.core.stream.memory_budget import MemoryBudget
    from relay.core.stream.segment import Fetch, WindowPart, WindowSegment
    from relay.core.stream.timeline import Epoch, PinnedDurations, Timeline

NEWEST_SEGMENTS = 3
# Segments stay fetchable for another whole window after they left the list (RFC 8216bis §6.2.2).
RETAINED_WINDOWS = 2
PARTS_LISTED_SEGMENTS = 2
GIVE_UP_TARGETS = 1.0
# Not passed on: variables have been replaced where they stood, and our own headers say what may be cached.
SPENT_TAGS = ("#EXT-X-DEFINE", "#EXT-X-ALLOW-CACHE")
# An origin may still hint at a part that it lists: the open segment's, or the last one of the segment before.
HINTED_SEGMENTS = 2


class Window:
    """Segments and parts of one rendition on the viewers' number line."""

    def __init__(
        self,
        rendition: str,
        timeline: Timeline,
        new_body: Callable[[], Body],
        *,
        budget: MemoryBudget,
        audio_only: bool = False,
        strip_audio_independent: bool = True,
    ) -> None:
        self.rendition = rendition
        self.audio_only = audio_only
        self.strip_independent = audio_only and strip_audio_independent
        self.tally = WindowCounters()
        self.version = 0
        self.live_edge = LiveEdge()
        self.hint_name = ""
        self.newest_at_s: float | None = None
        self.tags: tuple[str, ...] = ()  # of the playlist as a whole, as the origin writes them now
        self.base_url = ""  # of the origin's playlist: what its relative URIs count from
        self._timeline = timeline
        self._cache = MediaCache(rendition, new_body, budget)
        self._fetching = FetchQueue()
        self._budget = budget
        budget.join(self)
        self._sequence = SegmentList(rendition, self._cache, self._fetching, self.tally)
        self._entries = self._sequence.entries
        self._first = 0  # index of the first listed entry
        self._end = 0  # index after the last listed complete entry
        self._parts_shown = 0
        self._epoch: Epoch | None = None
        self._backfill_until_s: float | None = None
        self._over: Epoch | None = None  # the session that was finished last

    # -- what viewers ask for -------------------------------------------------------------

    def lookup(self, name: str) -> Media | None:
        """Return the listed or still retained object of this name."""
        return self._cache.get(name)

    @property
    def size_bytes(self) -> int:
        """Bytes of media that are kept, listed and retained."""
        return self._cache.size_bytes

    @property
    def listed(self) -> list[WindowSegment]:
        """The listed complete segments, oldest first."""
        return self._entries[self._first : self._end]

    @property
    def newest_segment_s(self) -> float:
        """The longest of the newest segments of this session, in seconds; 0.0 before there is one."""
        newest = self.listed[-NEWEST_SEGMENTS:]
        return max((e.duration_s for e in newest if e.epoch is self._epoch and not e.gap), default=0.0)

    @property
    def longest_listed_s(self) -> float:
        """The longest listed segment, of whatever session, in seconds."""
        return max((e.duration_s for e in self.listed), default=0.0)

    @property
    def pins(self) -> PinnedDurations | None:
        """The durations of the newest session that is listed: they change with its first segment."""
        newest = self.open_entry or (self._entries[self._end - 1] if self._end else None)
        return newest.epoch.pins if newest is not None else None

    @property
    def open_entry(self) -> WindowSegment | None:
        """The segment after the listed ones when some of its parts are listed."""
        return self._entries[self._end] if self._parts_shown else None

    @property
    def seen_until_s(self) -> float | None:
        """The date at which the newest listed media ends (Unix time); None while there is none."""
        entry = self.open_entry or (self._entries[self._end - 1] if self._end else None)
        if entry is None or entry.pdt_s is None:
            return None
        return entry.pdt_s + (entry.duration_s or sum(p.duration_s for p in self.listed_parts(entry)))

    @property
    def ready(self) -> bool:
        """Whether there is something to play."""
        return self._end > self._first or self._parts_shown > 0

    @property
    def settled(self) -> bool:
        """Whether every segment that the origin has completed is listed."""
        return all(not e.closed for e in self._entries[self._end :])

    # -- the origin's playlist ------------------------------------------------------------

    def update(self, playlist: MediaPlaylist, epoch: Epoch, now_s: float, wall_s: float) -> bool:
        """Merge what the origin lists now; False when it belongs to an epoch that is over.

        A running session that gets another epoch, because the cluster numbers it once more, goes on
        with the next segment: what it has begun stays where it is.
        """
        before = self._epoch
        if epoch is not before:
            if before is not None and epoch.order < before.order:
                return False
            if before is not None and before is not self._over and before.session == epoch.session:
                self._sequence.renumber()
            else:
                self.finish()
            self._epoch = epoch
            if not self.ready:
                self._backfill_until_s = None
        elif epoch is self._over:
            return False
        pins = self._timeline.pin(playlist)
        line = self._sequence
        line.target_s, line.part_target_s = pins.target_duration_s, pins.part_target_s
        if self._backfill_until_s is None:
            self._backfill_until_s = now_s + line.target_s
        if line.merge(playlist, epoch, self.base_url, now_s):  # as at the first time
            self._first = self._end = self._parts_shown = 0
            self._backfill_until_s = now_s + line.target_s
        tags = tuple(tag for tag in playlist.tags if not tag.startswith(SPENT_TAGS))
        if tags != self.tags:
            self.tags = tags
            self.version += 1
        line.date(epoch, wall_s)
        here = {p.uri for e in self._entries[-HINTED_SEGMENTS:] for p in e.parts if p.byterange is None}
        self._fetching.hinted(hint for hint in playlist.preload_hints if hint.uri not in here)
        self._settle(now_s)
        return True

    def finish(self) -> None:
        """End the session: close the open segment with the parts that are here, drop the rest.

        Nothing that viewers have seen is taken back (RFC 8216bis §6.2.1).
        """
        keep = self._end
        if self._parts_shown:
            self._sequence.seal(self._entries[self._end])
            keep += 1
        self._sequence.cut(keep, len(self._entries))
        self._sequence.carried = None
        self._fetching.forget()
        self._over = self._epoch
        self._relist()
        self._sequence.floor_msn = max(self._sequence.floor_msn, self.live_edge.last_msn + 1)

    # -- objects --------------------------------------------------------------------------

    def wanted(self, now_s: float) -> Fetch | None:
        """Return the next object to fetch, marked as under way; None when there is none now.

        While the window is first filled the newest come first, later the oldest missing one,
        since it is what keeps the playlist from moving on.
        """
        pending = self._pending()
        if not self.ready:
            pending.reverse()
        if self._budget.full:
            del pending[1:]
        return self._fetching.next(pending, now_s)

    def retry_at_s(self, now_s: float) -> float:
        """Return when a failed object may be asked for again; inf when no such time is ahead."""
        return self._fetching.retry_at_s(self._pending(), now_s)

    def put_back(self, fetch: Fetch) -> None:
        """Note that a fetch was abandoned on our side: the object may be asked for again at once."""
        self._fetching.put_back(fetch)

    def outlook(self, fetch: Fetch) -> HintStatus:
        """Return what has become, meanwhile, of a hinted part that is being fetched."""
        return self._fetching.outlook(fetch, self._pending())

    def _pending(self) -> list[WindowSegment]:
        return [e for e in self._entries[self._end :] if not e.listable]

    def arrived(self, fetch: Fetch, data: bytes, now_s: float) -> None:
        """Take in a fetched object; what is no longer wanted, or of a session that is over, is dropped."""
        self.tally.fetched += 1
        if fetch.kind == "init":
            init = self._sequence.inits.get(fetch.name)
            if init is not None and init.tried is fetch.tried and init.media is None:
                self._cache.put_init(init, data)
        elif fetch.kind == "segment":
            entry = self._sequence.entry(fetch.msn)
            if entry is not None and entry.tried is fetch.tried and not entry.resolved:
                self._cache.put_segment(entry, data)
        elif (place := ticket_holder(self._entries[self._end :], fetch.tried)) is not None:
            self._sequence.store_part(*place, data)
        else:
            self._fetching.arrived_ahead(fetch, data)
        self._settle(now_s)

    def failed(self, fetch: Fetch, now_s: float, *, gone: bool) -> None:
        """Note that an object could not be had; `gone` when the origin will never have it again."""
        self._fetching.failed(fetch, now_s)
        entry = self._sequence.entry(fetch.msn)
        if fetch.kind == "part":
            place = ticket_holder(self._entries[self._end :], fetch.tried)
            if place is not None:  # the whole segment may still be had
                place[0].parts_broken |= gone or fetch.tried.attempts >= MAX_PART_ATTEMPTS
        elif entry is not None and entry.tried is fetch.tried and gone and not entry.resolved:
            self._sequence.give_up(entry)
        self._settle(now_s)

    def _borrow_init(self, entry: WindowSegment) -> None:
        """List a gap with the initialization section before it: its own is missing, and may still come."""
        before = self._entries[: self._entries.index(entry)]
        entry.borrows = True
        entry.stand_in = next((e.listed_init for e in reversed(before) if e.listed_init), None)

    # -- what is listed -------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Give up what has been missing for too long, so that the playlist moves on."""
        self._settle(now_s)

    def _settle(self, now_s: float) -> None:
        patience_s = GIVE_UP_TARGETS * self._sequence.target_s
        for entry in self._entries[self._end :]:
            if not entry.closed or entry.listable:
                continue
            if entry.media is None and made_of_parts(entry):
                self._cache.join_parts(entry)
            if not entry.listable and now_s - entry.first_seen_s > patience_s + entry.duration_s:
                self._sequence.give_up(entry)
        self._evict(now_s)
        if self._may_list(now_s):
            before = (self._first, self.live_edge.last_msn, self._parts_shown)
            self._relist()
            if before != (self._first, self.live_edge.last_msn, self._parts_shown):
                self.newest_at_s = now_s
        self._evict(now_s)

    def _may_list(self, now_s: float) -> bool:
        """Hold the first playlist back until every listed segment is here, or time is up."""
        if self.ready or self._backfill_until_s is None:
            return True
        if now_s < self._backfill_until_s and any(e.closed and not e.listable for e in self._entries):
            return False
        start = len(self._entries)
        while start > 0 and (self._playable(self._entries[start - 1])):
            start -= 1
        if start == len(self._entries):
            return False
        self._sequence.cut(0, start)
        return True

    def _playable(self, entry: WindowSegment) -> bool:
        return entry.listable or (not entry.closed and entry.decodable)

    def _relist(self) -> None:
        before = (self._first, self._end, self._parts_shown, self.hint_name)
        while self._end < len(self._entries) and self._entries[self._end].listable:
            entry = self._entries[self._end]
            if not entry.decodable:
                self._borrow_init(entry)
            self._end += 1
            self._timeline.listed(entry.msn, entry.discontinuity_seq)
        self._parts_shown = 0
        if self._end < len(self._entries):
            entry = self._entries[self._end]
            if entry.decodable:
                self._parts_shown = entry.arrived()
                if self._parts_shown:
                    self._timeline.listed(entry.msn, entry.discontinuity_seq)
        self._first = max(self._first, self._end - self._sequence.window_segments)
        last = self._entries[self._end - 1] if self._end else None
        live_edge = LiveEdge(
            last.msn
            if last
            else (self._entries[self._end].msn - 1 if self._parts_shown else self.live_edge.last_msn),
            len(self._parts_of(last)) if last else 0,
            self._parts_shown,
        )
        changed = live_edge.last_msn != self.live_edge.last_msn
        self.live_edge = live_edge
        self.hint_name = self._next_part_name()
        if changed or before != (self._first, self._end, self._parts_shown, self.hint_name):
            self.version += 1

    def _parts_of(self, entry: WindowSegment) -> list[WindowPart]:
        """Return the parts to list with a complete segment: all of them or none."""
        return entry.parts if entry.parts and entry.arrived() == len(entry.parts) else []

    def listed_parts(self, entry: WindowSegment) -> list[WindowPart]:
        """Return the parts that the playlist shows for a listed segment: near the edge, after the last
        discontinuity.

        From parts before a discontinuity hls.js 1.7 goes straight into those after it, without the wait
        for the picture's clock that it makes between segments; its audio then loads nothing any more.
        """
        if entry is self.open_entry:
            return entry.parts[: self._parts_shown]
        near = self._entries[max(self._first, self._end - PARTS_LISTED_SEGMENTS) : self._end]
        newest = self._entries[self._end if self._parts_shown else self._end - 1]
        if entry not in near or entry.discontinuity_seq != newest.discontinuity_seq:
            return []
        return self._parts_of(entry)

    def _next_part_name(self) -> str:
        if not self._sequence.part_target_s or self._epoch is None or not self.ready:
            return ""
        newest = self._entries[self._end] if self._parts_shown else self._entries[self._end - 1]
        if newest.epoch is not self._epoch or not newest.parts:
            return ""
        msn = self.live_edge.last_msn + 1
        return part_name(self.rendition, self._epoch, msn, self._parts_shown, newest.extension)

    # -- keeping and forgetting -----------------------------------------------------------

    def _evict(self, now_s: float) -> None:
        """Forget what left the list a window ago, and the oldest of any window when memory runs out."""
        while self._first > (RETAINED_WINDOWS - 1) * self._sequence.window_segments:
            self._drop_oldest()
        self._budget.make_room(now_s)

    def drop_oldest(self) -> bool:
        """Forget the oldest segment; the newest listed one stays, or the newest before any is listed."""
        if self._end > 1 or (not self.ready and len(self._entries) > 1):
            self._drop_oldest()
            return True
        return False

    def release(self) -> None:
        """Give back what is kept, at once also where something still refers to the window."""
        self._sequence.cut(0, len(self._entries))
        self._first = self._end = self._parts_shown = 0
        self._fetching.forget()
        self._budget.leave(self)
        self._cache.release()

    def _drop_oldest(self) -> None:
        self._sequence.cut(0, 1)
        self.tally.evicted += 1
        if self._first == 0:
            self.version += 1
        self._first = max(0, self._first - 1)
        self._end = max(0, self._end - 1)
