"""The segments of one rendition on the viewers' number line, as the origin lists them.

Takes in playlists: numbers without holes, discontinuities, initialization sections, dates; a segment
whose end will not come is closed with what is here. What viewers are shown of it is decided in `window`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from relay.core.playlist import with_absolute_uri, with_explicit_iv
from relay.core.stream.segment import InitSection, WindowPart, WindowSegment, init_name

if TYPE_CHECKING:
    from relay.core.playlist import Map, MediaPlaylist, Segment
    from relay.core.stream.fetch_queue import FetchQueue
    from relay.core.stream.media_cache import MediaCache
    from relay.core.stream.timeline import Epoch

MIN_WINDOW_SEGMENTS = 3
MAX_WINDOW_SEGMENTS = 1000


@dataclass(slots=True)
class WindowCounters:
    """What a window has gone through, in plain counts."""

    fetched: int = 0
    gaps: int = 0
    evicted: int = 0
    long_segments: int = 0
    long_parts: int = 0


class SegmentList:
    """Segments in the order of their numbers, without holes; with each goes what is kept of it."""

    def __init__(
        self, rendition: str, cache: MediaCache, fetching: FetchQueue, tally: WindowCounters
    ) -> None:
        self.entries: list[WindowSegment] = []
        self.inits: dict[str, InitSection] = {}
        self.window_segments = MIN_WINDOW_SEGMENTS
        self.floor_msn = 0  # numbers below were given to another epoch
        # Of a session that was numbered once more: its epoch before, and the last number of the origin in it.
        self.carried: tuple[Epoch, int] | None = None
        self.target_s = 1.0
        self.part_target_s = 0.0
        self._rendition = rendition
        self._cache = cache
        self._fetching = fetching
        self._tally = tally
        self._base_url = ""

    def entry(self, msn: int) -> WindowSegment | None:
        """Return the segment with this number."""
        if not self.entries:
            return None
        index = msn - self.entries[0].msn
        return self.entries[index] if 0 <= index < len(self.entries) else None

    # -- what the origin lists ------------------------------------------------------------

    def renumber(self) -> None:
        """Let the session go on under another epoch, after the segments that are here."""
        if self.entries:
            last = self.entries[-1]
            self.carried = (last.epoch, last.msn - last.epoch.offset)

    def merge(self, playlist: MediaPlaylist, epoch: Epoch, base_url: str, now_s: float) -> bool:
        """Take in what the origin lists now; `base_url` is what its relative URIs count from.

        Returns whether the sequence begins anew, since a playlist could not go on from what was there.
        """
        self._base_url = base_url
        listed = len(playlist.segments)
        self.window_segments = min(max(self.window_segments, listed), MAX_WINDOW_SEGMENTS)
        discontinuity_seq = epoch.discontinuity_seq + playlist.discontinuity_sequence
        segments = [*playlist.segments, *([playlist.open_segment] if playlist.open_segment else [])]
        anew = False
        for index, segment in enumerate(segments):
            discontinuity_seq += segment.discontinuity
            if index >= listed - MAX_WINDOW_SEGMENTS:
                owner = self._owner(segment, epoch)
                anew |= self._merge(segment, owner, discontinuity_seq, now_s)
        return anew

    def date(self, epoch: Epoch, wall_s: float) -> None:
        """Date every segment; an origin that says no time gets this machine's (PDT on all)."""
        mine = [e for e in self.entries if e.epoch is epoch]
        if mine and all(e.pdt_s is None for e in mine):
            length_s = sum(e.duration_s or sum(p.duration_s for p in e.parts) for e in mine)
            mine[0].pdt_s = wall_s - length_s
        for before, after in pairwise(mine):
            if after.pdt_s is None and before.pdt_s is not None:
                after.pdt_s = before.pdt_s + before.duration_s
        for after, before in pairwise(reversed(mine)):
            if before.pdt_s is None and after.pdt_s is not None:
                before.pdt_s = after.pdt_s - before.duration_s

    def _owner(self, segment: Segment, epoch: Epoch) -> Epoch:
        """Return the epoch that numbers a segment: the one before, where it was begun in that."""
        if self.carried is not None and segment.msn <= self.carried[1]:
            return self.carried[0]
        return epoch

    def _merge(self, segment: Segment, epoch: Epoch, discontinuity_seq: int, now_s: float) -> bool:
        msn = segment.msn + epoch.offset
        if msn < self.floor_msn:
            return False
        entry, anew = self.entry(msn), False
        if entry is None:
            if self.entries and msn < self.entries[0].msn:
                return False  # already evicted, or older than where this relay began
            if segment.gap and not (self.entries and self.entries[-1].epoch is epoch):
                return False  # MediaMTX fills a new low-latency playlist with gaps: they are no media
            entry, anew = self._append(segment, msn, epoch, discontinuity_seq, now_s)
        if entry.closed:
            return anew
        self._merge_parts(entry, segment)
        if entry.pdt_s is None:
            entry.pdt_s = segment.program_date_time_s
        if segment.uri:
            entry.closed = True
            # a line that hiccups makes a segment late, not its end: patience begins with that
            entry.first_seen_s = max(entry.first_seen_s, now_s - segment.duration_s)
            entry.parts_listed = len(segment.parts) == len(entry.parts)
            entry.uri = segment.uri
            entry.byterange = segment.byterange
            entry.duration_s = segment.duration_s
            entry.gap = segment.gap
            entry.tags, entry.title = segment.tags, segment.title
            if round(segment.duration_s) > self.target_s:
                self._tally.long_segments += 1
        return anew

    def _append(
        self, segment: Segment, msn: int, epoch: Epoch, discontinuity_seq: int, now_s: float
    ) -> tuple[WindowSegment, bool]:
        last = self.entries[-1] if self.entries else None
        discontinuity, anew = segment.discontinuity, False
        if last is not None:
            if last.epoch is not epoch:
                discontinuity_seq = max(discontinuity_seq, last.discontinuity_seq + 1)
            elif msn == last.msn + 1:
                discontinuity_seq = last.discontinuity_seq + segment.discontinuity
            else:
                discontinuity_seq = max(discontinuity_seq, last.discontinuity_seq)
            discontinuity = discontinuity_seq > last.discontinuity_seq
            anew = (
                discontinuity_seq - last.discontinuity_seq > msn - last.msn  # one tag a segment cannot say so
                or msn - last.msn > self.window_segments
                or (last.init is not None and segment.map is None)  # no tag can say so
            )
            if anew:
                discontinuity = segment.discontinuity
            else:
                if not last.closed:
                    self.seal(last)
                self._fill_hole(last, msn, discontinuity_seq, now_s)
        entry = WindowSegment(msn, epoch, discontinuity_seq, discontinuity, now_s)
        # Numbers and place change here, the encryption must not: implied IVs and key addresses are spelt out.
        entry.keys = tuple(
            with_absolute_uri(with_explicit_iv(line, segment.msn), self._base_url) for line in segment.keys
        )
        entry.init = self._init(segment.map, epoch)
        self.entries.append(entry)
        if anew:
            self.cut(
                0, len(self.entries) - 1
            )  # not before it is in: both may have one initialization section
        return entry, anew

    def _fill_hole(self, last: WindowSegment, msn: int, discontinuity_seq: int, now_s: float) -> None:
        """List the segments between two that were never seen as gaps: numbers have no holes.

        An epoch of which nothing was listed has taken a number of each kind: its gap says so.
        """
        for missing in range(last.msn + 1, msn):
            count = max(last.discontinuity_seq, discontinuity_seq - (msn - missing))
            gap = WindowSegment(missing, last.epoch, count, count > last.discontinuity_seq, now_s)
            gap.closed = gap.gap = True
            gap.duration_s = self.target_s
            gap.init, gap.keys = last.init, last.keys
            gap.pdt_s = last.pdt_s + last.duration_s if last.pdt_s is not None else None
            self._tally.gaps += 1
            self.entries.append(gap)
            last = gap

    def _merge_parts(self, entry: WindowSegment, segment: Segment) -> None:
        for index, part in enumerate(segment.parts):
            if index < len(entry.parts):
                continue
            tried, ahead = self._fetching.listed(part.uri, part.byterange)
            mine = WindowPart(
                part.uri, part.byterange, part.duration_s, part.independent, part.gap, tried=tried
            )
            entry.parts.append(mine)
            if part.gap:
                entry.parts_broken = True
            if part.duration_s > self.part_target_s:
                self._tally.long_parts += 1
            if ahead is not None:
                self.store_part(entry, index, ahead)

    def _init(self, init: Map | None, epoch: Epoch) -> InitSection | None:
        if init is None:
            return None
        name = init_name(self._rendition, epoch, init)
        keys = tuple(with_absolute_uri(line, self._base_url) for line in init.keys)
        return self.inits.setdefault(name, InitSection(replace(init, keys=keys), name))

    # -- what becomes of a segment --------------------------------------------------------

    def store_part(self, entry: WindowSegment, index: int, data: bytes) -> None:
        """Append a part to its segment's body; parts arrive in order or wait for a whole segment."""
        if index == entry.arrived() and entry.media is None and not entry.parts_broken and not entry.gap:
            self._cache.put_part(entry, index, data)

    def seal(self, entry: WindowSegment) -> None:
        """Close a segment whose end will not come: with the parts that are here, or as a gap."""
        entry.closed = True
        count = entry.arrived() if entry.decodable else 0
        if not count:
            entry.duration_s = self.target_s
            self.give_up(entry)
            return
        del entry.parts[count:]
        entry.sealed_parts = count
        entry.duration_s = sum(p.duration_s for p in entry.parts)
        self._cache.join_parts(entry)

    def give_up(self, entry: WindowSegment) -> None:
        """Let it be listed as EXT-X-GAP."""
        entry.gap = True
        self._tally.gaps += 1

    def cut(self, start: int, stop: int) -> None:
        """Take segments out, and forget what was kept of them."""
        dropped = self.entries[start:stop]
        del self.entries[start:stop]
        for entry in dropped:
            self._cache.forget(entry)
            self._forget_init(entry.init)
            self._forget_init(entry.stand_in)

    def _forget_init(self, init: InitSection | None) -> None:
        if init is None or any(init in (e.init, e.stand_in) for e in self.entries):
            return
        if self.inits.pop(init.name, None) is not None:
            self._cache.forget_init(init)
