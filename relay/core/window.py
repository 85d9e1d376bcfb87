"""The window of one rendition: what is listed to viewers, what they may fetch, what to fetch next.

Fed with the origin's playlists and objects; answers with the next object to fetch and with the
playlist that viewers see. Never lists what it does not hold: a segment is shown once its bytes
are here, or as EXT-X-GAP once it is given up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from relay.core.entries import (
    Body,
    Entry,
    Fetch,
    InitEntry,
    Media,
    PartEntry,
    Try,
    extension,
    init_name,
    part_name,
    segment_name,
)
from relay.core.playlist import with_absolute_uri, with_explicit_iv
from relay.core.waiting import Edge

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.core.playlist import Map, MediaPlaylist, Segment
    from relay.core.timeline import Epoch, Timeline

MIN_WINDOW_SEGMENTS = 3
MAX_WINDOW_SEGMENTS = 1000
NEWEST_SEGMENTS = 3
# Segments stay fetchable for another whole window after they left the list (RFC 8216bis §6.2.2).
RETAINED_WINDOWS = 2
PARTS_LISTED_SEGMENTS = 2
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 2.0
MAX_PART_ATTEMPTS = 2
GIVE_UP_TARGETS = 1.0
PART_SUM_TOLERANCE_S = 0.05


@dataclass(slots=True)
class Tally:
    """What a window has gone through, in plain counts."""

    fetched: int = 0
    gaps: int = 0
    evicted: int = 0
    long_segments: int = 0
    long_parts: int = 0


class Window:
    """Segments and parts of one rendition on the viewers' number line."""

    def __init__(
        self,
        rendition: str,
        timeline: Timeline,
        new_body: Callable[[], Body],
        *,
        max_bytes: int,
        audio_only: bool = False,
        strip_audio_independent: bool = True,
    ) -> None:
        self.rendition = rendition
        self.audio_only = audio_only
        self.strip_independent = audio_only and strip_audio_independent
        self.tally = Tally()
        self.version = 0
        self.edge = Edge()
        self.size_bytes = 0
        self.hint_name = ""
        self.newest_at_s: float | None = None
        self.base_url = ""  # of the origin's playlist: what its relative URIs count from
        self._timeline = timeline
        self._new_body = new_body
        self._max_bytes = max_bytes
        self._entries: list[Entry] = []
        self._first = 0  # index of the first listed entry
        self._end = 0  # index after the last listed complete entry
        self._parts_shown = 0
        self._inits: dict[str, InitEntry] = {}
        self._objects: dict[str, Media] = {}
        self._epoch: Epoch | None = None
        self._floor_msn = 0
        self._window_segments = MIN_WINDOW_SEGMENTS
        self._backfill_until_s: float | None = None
        self._hint: tuple[str, Fetch] | None = None
        self._hint_data: tuple[str, bytes] | None = None
        self._over: Epoch | None = None  # the session that was finished last
        self._target_s = 1.0
        self._part_target_s = 0.0
        self._hint_try = Try()

    # -- what viewers ask for -------------------------------------------------------------

    def lookup(self, name: str) -> Media | None:
        """Return the listed or still retained object of this name."""
        return self._objects.get(name)

    @property
    def listed(self) -> list[Entry]:
        """The listed complete segments, oldest first."""
        return self._entries[self._first : self._end]

    @property
    def newest_segment_s(self) -> float:
        """The longest of the newest segments of this session, in seconds; 0.0 before there is one."""
        newest = self.listed[-NEWEST_SEGMENTS:]
        return max((e.duration_s for e in newest if e.epoch is self._epoch and not e.gap), default=0.0)

    @property
    def open_entry(self) -> Entry | None:
        """The segment after the listed ones when some of its parts are listed."""
        return self._entries[self._end] if self._parts_shown else None

    @property
    def ready(self) -> bool:
        """Whether there is something to play."""
        return self._end > self._first or self._parts_shown > 0

    @property
    def settled(self) -> bool:
        """Whether every segment that the origin has completed is listed."""
        return all(not e.closed for e in self._entries[self._end :])

    # -- the origin's playlist ------------------------------------------------------------

    def update(self, playlist: MediaPlaylist, epoch: Epoch, now_s: float, wall_s: float) -> None:
        """Merge what the origin lists now; the playlist of a session that is over changes nothing."""
        if epoch is not self._epoch:
            if self._epoch is not None and epoch.discontinuity_seq < self._epoch.discontinuity_seq:
                return
            self.finish()
            self._epoch = epoch
            if not self.ready:
                self._backfill_until_s = None
        elif epoch is self._over:
            return
        pins = self._timeline.pin(playlist)
        self._target_s, self._part_target_s = pins.target_duration_s, pins.part_target_s
        if self._backfill_until_s is None:
            self._backfill_until_s = now_s + self._target_s
        listed = len(playlist.segments)
        self._window_segments = min(max(self._window_segments, listed), MAX_WINDOW_SEGMENTS)
        discontinuity_seq = epoch.discontinuity_seq + playlist.discontinuity_sequence
        segments = [*playlist.segments, *([playlist.open_segment] if playlist.open_segment else [])]
        for index, segment in enumerate(segments):
            discontinuity_seq += segment.discontinuity
            if index >= listed - MAX_WINDOW_SEGMENTS:
                self._merge(segment, epoch, discontinuity_seq, now_s)
        self._date(epoch, wall_s)
        self._note_hint(playlist)
        self._settle(now_s)

    def finish(self) -> None:
        """End the session: close the open segment with the parts that are here, drop the rest.

        Nothing that viewers have seen is taken back (RFC 8216bis §6.2.1).
        """
        keep = self._end
        if self._parts_shown:
            self._seal(self._entries[self._end])
            keep += 1
        self._cut(keep, len(self._entries))
        self._hint = self._hint_data = None
        self._over = self._epoch
        self._relist()
        self._floor_msn = max(self._floor_msn, self.edge.last_msn + 1)

    def _seal(self, entry: Entry) -> None:
        """Close a segment whose end will not come: with the parts that are here, or as a gap."""
        entry.closed = True
        count = entry.arrived() if entry.decodable else 0
        if not count:
            entry.duration_s = self._target_s
            self._give_up(entry)
            return
        del entry.parts[count:]
        entry.duration_s = sum(p.duration_s for p in entry.parts)
        self._complete_from_parts(entry)

    def _merge(self, segment: Segment, epoch: Epoch, discontinuity_seq: int, now_s: float) -> None:
        msn = segment.msn + epoch.offset
        if msn < self._floor_msn:
            return
        entry = self._entry(msn)
        if entry is None:
            if self._entries and msn < self._entries[0].msn:
                return  # already evicted, or older than where this relay began
            if segment.gap and not (self._entries and self._entries[-1].epoch is epoch):
                return  # MediaMTX fills a new low-latency playlist with gaps: they are no media
            entry = self._append(segment, msn, epoch, discontinuity_seq, now_s)
        if entry.closed:
            return
        self._merge_parts(entry, segment)
        if entry.pdt_s is None:
            entry.pdt_s = segment.program_date_time_s
        if segment.uri:
            entry.closed = True
            entry.uri = segment.uri
            entry.byterange = segment.byterange
            entry.duration_s = segment.duration_s
            entry.gap = segment.gap
            entry.tags = segment.tags
            if round(segment.duration_s) > self._target_s:
                self.tally.long_segments += 1

    def _append(
        self, segment: Segment, msn: int, epoch: Epoch, discontinuity_seq: int, now_s: float
    ) -> Entry:
        last = self._entries[-1] if self._entries else None
        discontinuity = segment.discontinuity
        if last is not None:
            if last.epoch is not epoch:
                discontinuity_seq = max(discontinuity_seq, last.discontinuity_seq + 1)
            elif msn == last.msn + 1:
                discontinuity_seq = last.discontinuity_seq + segment.discontinuity
            else:
                discontinuity_seq = max(discontinuity_seq, last.discontinuity_seq)
            discontinuity = discontinuity_seq > last.discontinuity_seq
            if (
                discontinuity_seq > last.discontinuity_seq + 1  # one tag cannot say so
                or msn - last.msn > self._window_segments
                or (last.init is not None and segment.map is None)  # no tag can say so
            ):
                self._restart(now_s)
                discontinuity = segment.discontinuity
            else:
                if not last.closed:
                    self._seal(last)
                self._fill_hole(last, msn, now_s)
        entry = Entry(msn, epoch, discontinuity_seq, discontinuity, now_s)
        # Numbers and place change here, the encryption must not: implied IVs and key addresses are spelt out.
        entry.keys = tuple(
            with_absolute_uri(with_explicit_iv(line, segment.msn), self.base_url) for line in segment.keys
        )
        entry.init = self._init(segment.map, epoch)
        self._entries.append(entry)
        return entry

    def _fill_hole(self, last: Entry, msn: int, now_s: float) -> None:
        """List the segments between two that were never seen as gaps: numbers have no holes."""
        for missing in range(last.msn + 1, msn):
            gap = Entry(missing, last.epoch, last.discontinuity_seq, False, now_s)
            gap.closed = gap.gap = True
            gap.duration_s = self._target_s
            gap.init, gap.keys = last.init, last.keys
            gap.pdt_s = last.pdt_s + last.duration_s if last.pdt_s is not None else None
            self.tally.gaps += 1
            self._entries.append(gap)
            last = gap

    def _merge_parts(self, entry: Entry, segment: Segment) -> None:
        for index, part in enumerate(segment.parts):
            if index < len(entry.parts):
                continue
            mine = PartEntry(part.uri, part.byterange, part.duration_s, part.independent, part.gap)
            entry.parts.append(mine)
            if part.gap:
                entry.parts_broken = True
            if part.duration_s > self._part_target_s:
                self.tally.long_parts += 1
            if self._hint_data and self._hint_data[0] == _key(part.uri, part.byterange):
                self._store_part(entry, index, self._hint_data[1])
                self._hint_data = None

    def _init(self, init: Map | None, epoch: Epoch) -> InitEntry | None:
        if init is None:
            return None
        name = init_name(self.rendition, epoch, init)
        keys = tuple(with_absolute_uri(line, self.base_url) for line in init.keys)
        return self._inits.setdefault(name, InitEntry(replace(init, keys=keys), name))

    def _date(self, epoch: Epoch, wall_s: float) -> None:
        """Date every segment; an origin that says no time gets this machine's (PDT on all)."""
        mine = [e for e in self._entries if e.epoch is epoch]
        if mine and all(e.pdt_s is None for e in mine):
            length_s = sum(e.duration_s or sum(p.duration_s for p in e.parts) for e in mine)
            mine[0].pdt_s = wall_s - length_s
        for before, after in pairwise(mine):
            if after.pdt_s is None and before.pdt_s is not None:
                after.pdt_s = before.pdt_s + before.duration_s
        for after, before in pairwise(reversed(mine)):
            if before.pdt_s is None and after.pdt_s is not None:
                before.pdt_s = after.pdt_s - before.duration_s

    def _note_hint(self, playlist: MediaPlaylist) -> None:
        for hint in playlist.preload_hints:
            if hint.type != "PART" or hint.byterange_start is not None:
                continue
            key = _key(hint.uri, None)
            if self._hint is None or self._hint[0] != key:
                self._hint = (key, Fetch("hint", hint.uri, None, -1))
                self._hint_try = Try()
                self._hint_data = None
            return
        if not self._hint_try.in_flight:  # what was asked for may be listed all the same
            self._hint = None

    # -- what to fetch --------------------------------------------------------------------

    def wanted(self, now_s: float) -> Fetch | None:
        """Return the next object to fetch, marked as under way; None when there is none now.

        While the window is first filled the newest come first, later the oldest missing one,
        since it is what keeps the playlist from moving on. A hint is fetched when nothing that is
        listed is missing, since only then is there a place for it.
        """
        pending = [e for e in self._entries[self._end :] if not e.listable]
        if not self.ready:
            pending.reverse()
        if self.size_bytes >= self._max_bytes:
            del pending[1:]
        for entry in pending:
            if entry.init is not None and entry.init.media is None:
                init = entry.init
                if _free(init.tried, now_s):
                    return Fetch("init", init.map.uri, init.map.byterange, entry.msn, name=init.name)
            if entry.resolved:
                continue
            index = entry.arrived()
            if index < len(entry.parts) and not entry.parts_broken:
                part = entry.parts[index]
                if _free(part.tried, now_s):
                    return Fetch("part", part.uri, part.byterange, entry.msn, index)
            elif self._needs_whole(entry) and _free(entry.tried, now_s):
                return Fetch("segment", entry.uri, entry.byterange, entry.msn)
        if (
            self._hint is not None
            and self._hint_data is None
            and all(e.takes_parts and e.arrived() == len(e.parts) for e in pending)
            and _free(self._hint_try, now_s)
        ):
            return self._hint[1]
        return None

    def _needs_whole(self, entry: Entry) -> bool:
        return (
            entry.closed
            and not entry.gap
            and entry.media is None
            and not entry.parts_complete(PART_SUM_TOLERANCE_S)
        )

    def retry_at_s(self, now_s: float) -> float:
        """Return when a failed object may be asked for again; inf when no such time is ahead."""
        times = []
        for entry in self._entries[self._end :]:
            if entry.listable:
                continue
            tries = [entry.tried, *(p.tried for p in entry.parts if p.media is None)]
            if entry.init is not None and entry.init.media is None:
                tries.append(entry.init.tried)
            times += [t.not_before_s for t in tries if t.not_before_s > now_s]
        return min(times, default=math.inf)

    def arrived(self, fetch: Fetch, data: bytes, now_s: float) -> None:
        """Take in a fetched object; what is no longer wanted is dropped."""
        self.tally.fetched += 1
        if fetch.kind == "hint":
            self._hint_arrived(fetch, data)
        elif fetch.kind == "init":
            init = self._inits.get(fetch.name)
            if init is not None and init.media is None:
                body = self._new_body()
                body.append(data)
                init.media = Media(body, 0, len(data), extension(fetch.uri))
                self._objects[init.name] = init.media
                self.size_bytes += len(data)
        elif (entry := self._entry(fetch.msn)) is not None:
            if fetch.kind == "part":
                self._store_part(entry, fetch.part, data)
            elif entry.media is None and not entry.gap:
                body = self._new_body()
                body.append(data)
                self.size_bytes += len(data)
                self._complete(entry, Media(body, 0, len(data), entry.extension))
        self._settle(now_s)

    def failed(self, fetch: Fetch, now_s: float, *, gone: bool) -> None:
        """Note that an object could not be had; `gone` when the origin will never have it again."""
        entry, tried = self._entry(fetch.msn), self._try_of(fetch)
        if tried is not None:
            _put_off(tried, now_s)
            if fetch.kind == "hint":
                self._hint = None
            elif entry is not None and fetch.kind == "part":
                # the whole segment may still be had
                entry.parts_broken |= gone or tried.attempts >= MAX_PART_ATTEMPTS
            elif entry is not None and fetch.kind == "segment" and gone and not entry.resolved:
                self._give_up(entry)
        self._settle(now_s)

    def put_back(self, fetch: Fetch) -> None:
        """Note that a fetch was abandoned on our side: the object may be asked for again at once."""
        tried = self._try_of(fetch)
        if tried is not None:
            tried.in_flight = False
            tried.attempts -= 1

    def _try_of(self, fetch: Fetch) -> Try | None:
        if fetch.kind == "hint":
            return self._hint_try if self._hint is not None and self._hint[1] is fetch else None
        if fetch.kind == "init":
            init = self._inits.get(fetch.name)
            return init.tried if init is not None else None
        entry = self._entry(fetch.msn)
        if entry is None or fetch.kind == "segment":
            return entry.tried if entry is not None else None
        return entry.parts[fetch.part].tried if fetch.part < len(entry.parts) else None

    def _hint_arrived(self, fetch: Fetch, data: bytes) -> None:
        """Put a hinted part in its place if it is listed meanwhile, else keep it until it is."""
        key = _key(fetch.uri, fetch.byterange)
        for entry in self._entries[self._end :]:
            for index, part in enumerate(entry.parts):
                if part.media is None and _key(part.uri, part.byterange) == key:
                    self._store_part(entry, index, data)
                    return
        if self._hint is not None and self._hint[1] is fetch:
            self._hint_data = (key, data)

    def _store_part(self, entry: Entry, index: int, data: bytes) -> None:
        """Append a part to its segment's body; parts arrive in order or wait for a whole segment."""
        if index != entry.arrived() or entry.media is not None or entry.parts_broken or entry.gap:
            return
        if entry.parts_body is None:
            entry.parts_body = self._new_body()
        offset = entry.parts_body.append(data)
        self.size_bytes += len(data)
        media = Media(entry.parts_body, offset, len(data), entry.extension)
        entry.parts[index].media = media
        self._objects[part_name(self.rendition, entry.epoch, entry.msn, index, entry.extension)] = media

    def _complete(self, entry: Entry, media: Media) -> None:
        entry.media = media
        self._objects[segment_name(self.rendition, entry)] = media

    def _complete_from_parts(self, entry: Entry) -> None:
        last = entry.parts[-1].media
        assert entry.parts_body is not None
        assert last is not None
        self._complete(entry, Media(entry.parts_body, 0, last.offset + last.size_bytes, entry.extension))

    def _give_up(self, entry: Entry) -> None:
        """Let it be listed as EXT-X-GAP; a missing initialization section cannot be listed with it."""
        entry.gap = True
        self.tally.gaps += 1
        if not entry.decodable:
            missing, before = entry.init, self._entries[: self._entries.index(entry)]
            entry.init = next((e.init for e in reversed(before) if e.init and e.init.media), None)
            self._forget_init(missing)

    # -- what is listed -------------------------------------------------------------------

    def tick(self, now_s: float) -> None:
        """Give up what has been missing for too long, so that the playlist moves on."""
        self._settle(now_s)

    def _settle(self, now_s: float) -> None:
        patience_s = GIVE_UP_TARGETS * self._target_s
        for entry in self._entries[self._end :]:
            if not entry.closed or entry.listable:
                continue
            if entry.media is None and entry.parts_complete(PART_SUM_TOLERANCE_S):
                self._complete_from_parts(entry)
            if not entry.listable and now_s - entry.first_seen_s > patience_s + entry.duration_s:
                self._give_up(entry)
        self._evict()
        if self._may_list(now_s):
            before = (self._first, self.edge.last_msn, self._parts_shown)
            self._relist()
            if before != (self._first, self.edge.last_msn, self._parts_shown):
                self.newest_at_s = now_s
        self._evict()

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
        self._cut(0, start)
        return True

    def _playable(self, entry: Entry) -> bool:
        return entry.listable or (not entry.closed and entry.decodable)

    def _relist(self) -> None:
        before = (self._first, self._end, self._parts_shown, self.hint_name)
        while self._end < len(self._entries) and self._entries[self._end].listable:
            entry = self._entries[self._end]
            self._end += 1
            self._timeline.listed(entry.msn, entry.discontinuity_seq)
        self._parts_shown = 0
        if self._end < len(self._entries):
            entry = self._entries[self._end]
            if entry.decodable:
                self._parts_shown = entry.arrived()
                if self._parts_shown:
                    self._timeline.listed(entry.msn, entry.discontinuity_seq)
        self._first = max(self._first, self._end - self._window_segments)
        last = self._entries[self._end - 1] if self._end else None
        edge = Edge(
            last.msn
            if last
            else (self._entries[self._end].msn - 1 if self._parts_shown else self.edge.last_msn),
            len(self._parts_of(last)) if last else 0,
            self._parts_shown,
        )
        changed = edge.last_msn != self.edge.last_msn
        self.edge = edge
        self.hint_name = self._next_part_name()
        if changed or before != (self._first, self._end, self._parts_shown, self.hint_name):
            self.version += 1

    def _parts_of(self, entry: Entry) -> list[PartEntry]:
        """Return the parts to list with a complete segment: all of them or none."""
        return entry.parts if entry.parts and entry.arrived() == len(entry.parts) else []

    def listed_parts(self, entry: Entry) -> list[PartEntry]:
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
        if not self._part_target_s or self._epoch is None or not self.ready:
            return ""
        newest = self._entries[self._end] if self._parts_shown else self._entries[self._end - 1]
        if newest.epoch is not self._epoch or not newest.parts:
            return ""
        msn = self.edge.last_msn + 1
        return part_name(self.rendition, self._epoch, msn, self._parts_shown, newest.extension)

    # -- keeping and forgetting -----------------------------------------------------------

    def _evict(self) -> None:
        """Forget what left the list a window ago, and the oldest at all when bytes run out."""
        while self._first > (RETAINED_WINDOWS - 1) * self._window_segments:
            self._drop_oldest()
        while self.size_bytes > self._max_bytes and (
            self._end > 1 or (not self.ready and len(self._entries) > 1)
        ):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        entry = self._entries.pop(0)
        self._forget(entry)
        self.tally.evicted += 1
        if self._first == 0:
            self.version += 1
        self._first = max(0, self._first - 1)
        self._end = max(0, self._end - 1)

    def _restart(self, now_s: float) -> None:
        """Begin anew where a playlist could not go on: the list is filled as at the first time."""
        self._cut(0, len(self._entries))
        self._first = self._end = self._parts_shown = 0
        self._backfill_until_s = now_s + self._target_s

    def _cut(self, start: int, stop: int) -> None:
        dropped = self._entries[start:stop]
        del self._entries[start:stop]
        for entry in dropped:
            self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        bodies = {id(b): b.size_bytes for b in (entry.parts_body, entry.media and entry.media.body) if b}
        self.size_bytes -= sum(bodies.values())
        self._objects.pop(segment_name(self.rendition, entry), None)
        for index in range(len(entry.parts)):
            name = part_name(self.rendition, entry.epoch, entry.msn, index, entry.extension)
            self._objects.pop(name, None)
        self._forget_init(entry.init)

    def _forget_init(self, init: InitEntry | None) -> None:
        if init is None or any(e.init is init for e in self._entries):
            return
        if self._inits.pop(init.name, None) is not None and init.media is not None:
            del self._objects[init.name]
            self.size_bytes -= init.media.size_bytes

    def _entry(self, msn: int) -> Entry | None:
        if not self._entries:
            return None
        index = msn - self._entries[0].msn
        return self._entries[index] if 0 <= index < len(self._entries) else None


def _key(uri: str, byterange: object) -> str:
    return f"{uri}|{byterange}"


def _free(tried: Try, now_s: float) -> bool:
    """Claim an object for fetching, unless it is under way or put off."""
    if tried.in_flight or now_s < tried.not_before_s:
        return False
    tried.in_flight = True
    tried.attempts += 1
    return True


def _put_off(tried: Try, now_s: float) -> None:
    tried.in_flight = False
    tried.not_before_s = now_s + min(RETRY_MAX_S, RETRY_FIRST_S * 2 ** (tried.attempts - 1))
