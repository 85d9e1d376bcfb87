"""One viewer that behaves like hls.js: what it asks for, and when. No I/O.

Feed it answers with the time of their arrival; it returns what to get next. `now_s` is Unix time in
seconds, so that latency can be read from EXT-X-PROGRAM-DATE-TIME. Where the multivariant playlist names
several pathways it moves between them as the steering manifest says, or when its own fails. Does not
decode, does not change quality; the picture itself is `benchmarks.playback`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from benchmarks.listing import Listing, Piece, aligned_s, slide_s
from benchmarks.playback import Facts, Playback
from benchmarks.steering import Pathways
from relay.base.errors import PlaylistError
from relay.core.playlist import MultivariantPlaylist

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_S = 0.5

Page = Listing | MultivariantPlaylist


class Kind(Enum):
    """What a request is for."""

    MULTIVARIANT = "multivariant"
    PLAYLIST = "playlist"
    STEERING = "steering"
    INIT = "init"
    MEDIA = "media"


@dataclass(frozen=True, slots=True)
class Get:
    """Something to fetch; hand it back to `answered` with the answer."""

    kind: Kind
    url: str
    track: int = 0
    piece: Piece | None = None
    asked_s: float = 0.0
    pathway: str = ""


@dataclass(frozen=True, slots=True)
class Taste:
    """How this viewer's player is set up: hls.js' liveSyncDuration (None: the playlist's hold-back)
    and maxLiveSyncPlaybackRate."""

    latency_s: float | None = None
    max_rate: float = 1.1


@dataclass(slots=True)
class _Track:
    """One rendition: its last listing and what of it is in the buffer, on the viewer's line of time."""

    url: str
    folder: str
    body: bytes = b""
    listing: Listing | None = None
    origin_s: float = 0.0  # where the listing's first segment lies
    to_s: float = 0.0
    map_uri: str | None = None
    busy: bool = False
    retry_s: float | None = None

    def absolute(self, uri: str) -> str:
        """Resolve a URI against the playlist's; plain names, the usual case, without the full rules."""
        if "/" in uri or ":" in uri or "?" in uri:
            return urljoin(self.url, uri)
        return self.folder + uri

    def edge_s(self) -> float:
        return self.origin_s + (self.listing.edge_s if self.listing else 0.0)

    def complete(self) -> bool:
        """Whether the class has ended and all of it is in the buffer."""
        listing = self.listing
        if listing is None or not listing.ended:
            return False
        return listing.piece_at(self.to_s - self.origin_s) is None

    def take(self, listing: Listing) -> None:
        """Put a new version of the playlist where the old one says that it lies."""
        if self.listing is not None:
            if listing.next_msn < self.listing.next_msn:
                raise PlaylistError(0, "the media sequence went back")
            self.origin_s += slide_s(self.listing, listing)
        self.listing = listing


class Viewer:
    """One player; `read` turns a playlist's body into a page (share a cached one among viewers)."""

    def __init__(self, url: str, read: Callable[[bytes], Page], taste: Taste | None = None) -> None:
        self._taste = taste or Taste()
        self.playback = Playback(self._taste.max_rate)
        self._url = url
        self._read = read
        self._tracks: list[_Track] = []
        self._placed = False
        self._edge_seen_s = 0.0
        self._later: list[tuple[float, Get]] = []
        self._paths = Pathways()

    @property
    def due_s(self) -> float | None:
        """When `tick` will have something to return, or None."""
        times = [when for when, _ in self._later]
        times += [track.retry_s for track in self._tracks if track.retry_s is not None]
        return min(times, default=None)

    def start(self, now_s: float) -> list[Get]:
        """Press play."""
        self.playback.begin(now_s)
        return [Get(Kind.MULTIVARIANT, self._url, asked_s=now_s)]

    def tick(self, now_s: float) -> list[Get]:
        """Return the requests that were put off until now."""
        gets = [replace(get, asked_s=now_s) for when, get in self._later if when <= now_s]
        self._later = [(when, get) for when, get in self._later if when > now_s]
        for n, track in enumerate(self._tracks):
            if track.retry_s is not None and track.retry_s <= now_s:
                track.retry_s, track.busy = None, False
                gets += self._media(n, now_s)
        return gets

    def answered(self, get: Get, status: int, body: bytes, now_s: float) -> list[Get]:
        """Take an answer (status 0: the connection failed) and return what to get next."""
        self.playback.advance(now_s)
        if get.kind is Kind.STEERING:
            return self._steered(get, status, body, now_s)
        if get.kind is Kind.PLAYLIST and get.pathway != self._paths.current:
            return []  # the answer of a relay that was left meanwhile
        if status != 200:
            return self._failed(get, f"{get.kind.value} {status}", now_s)
        try:
            if get.kind is Kind.MULTIVARIANT:
                return self._multivariant(get, body, now_s)
            if get.kind is Kind.PLAYLIST:
                return self._playlist(get, body, now_s)
        except PlaylistError as error:
            return self._failed(get, f"{get.kind.value}: {error.reason}", now_s)
        track = self._tracks[get.track]
        track.busy = False
        assert get.piece is not None
        if get.kind is Kind.INIT:
            track.map_uri = get.piece.map_uri
        else:
            self._append(get.track, get.piece, now_s)
        return self._media(get.track, now_s)

    def finish(self, now_s: float) -> Facts:
        """Stop watching and return what was seen; a stall that still lasts is counted."""
        return self.playback.finish(now_s)

    def _failed(self, get: Get, what: str, now_s: float) -> list[Get]:
        self.playback.facts.failures[what] += 1
        if get.kind is not Kind.MULTIVARIANT and get.pathway == self._paths.current:
            moved_to = self._paths.leave(now_s)
            if moved_to is not None:
                if get.kind in (Kind.INIT, Kind.MEDIA):
                    self._tracks[get.track].busy = False
                return self._move(moved_to, now_s)
        if get.kind in (Kind.INIT, Kind.MEDIA):
            self._tracks[get.track].retry_s = now_s + RETRY_S
        else:
            self._later.append((now_s + RETRY_S, get))
        return []

    def _multivariant(self, get: Get, body: bytes, now_s: float) -> list[Get]:
        page = self._read(body)
        if isinstance(page, MultivariantPlaylist):
            self._paths = Pathways.of(page, get.url)
            urls = self._paths.urls[self._paths.current]
        else:
            urls = [get.url]
        self._tracks = [_Track(url, urljoin(url, ".")) for url in urls]
        gets = self._playlists(now_s)
        if self._paths.server_url:
            gets.append(Get(Kind.STEERING, self._paths.server_url, asked_s=now_s))
        return gets

    def _playlists(self, now_s: float) -> list[Get]:
        here = self._paths.current
        return [
            Get(Kind.PLAYLIST, track.url, n, asked_s=now_s, pathway=here)
            for n, track in enumerate(self._tracks)
        ]

    def _steered(self, get: Get, status: int, body: bytes, now_s: float) -> list[Get]:
        """Follow the steering manifest; one that fails is asked again later, and changes nothing."""
        moved_to = self._paths.steer(body, now_s) if status == 200 else None
        following = replace(get, url=self._paths.reload_url(get.url))
        self._later.append((now_s + self._paths.ttl_s, following))
        if status != 200:
            self.playback.facts.failures[f"steering {status}"] += 1
        return self._move(moved_to, now_s) if moved_to is not None else []

    def _move(self, pathway: str, now_s: float) -> list[Get]:
        """Go on at another relay, which lists the same numbers and names."""
        self.playback.facts.moves += 1
        self._later = [(when, get) for when, get in self._later if get.kind is not Kind.PLAYLIST]
        for track, url in zip(self._tracks, self._paths.urls[pathway], strict=True):
            track.url, track.folder = url, urljoin(url, ".")
        gets = self._playlists(now_s)
        return [*gets, *(g for n in range(len(self._tracks)) for g in self._media(n, now_s) if self._placed)]

    def _playlist(self, get: Get, body: bytes, now_s: float) -> list[Get]:
        track = self._tracks[get.track]
        changed = body != track.body
        if changed:
            page = self._read(body)
            if not isinstance(page, Listing):
                raise PlaylistError(0, "a media playlist was expected")
            track.take(page)
            track.body = body
            if get.track == 0:
                self._edge_seen_s = now_s
        gets = self._reload(get, track, changed, now_s)
        return gets + (self._media(get.track, now_s) if self._placed else self._place(now_s))

    def _reload(self, get: Get, track: _Track, changed: bool, now_s: float) -> list[Get]:
        """Ask again: at once when the server holds the answer back, else at the pace of §6.3.4."""
        listing = track.listing
        if listing is None or listing.ended:
            return []
        url = track.url
        if listing.blocking:
            url += ("&" if "?" in url else "?") + listing.directives()
        following = Get(Kind.PLAYLIST, url, get.track, asked_s=now_s, pathway=get.pathway)
        if changed and listing.blocking:
            return [following]
        wait_s = listing.target_s if changed else listing.target_s / 2
        self._later.append((max(now_s, get.asked_s + wait_s), following))
        return []

    def _place(self, now_s: float) -> list[Get]:
        """Choose where to begin, once every track's playlist is there."""
        listings = [track.listing for track in self._tracks if track.listing and track.listing.pieces]
        if len(listings) < len(self._tracks):
            return []
        wanted_s = max(0.0, listings[0].edge_s - self._target_latency_s(listings[0]))
        for track, listing in zip(self._tracks, listings, strict=True):
            track.origin_s = aligned_s(listings[0], listing)
            track.to_s = track.origin_s + listing.start_at(wanted_s - track.origin_s).start_s
        self.playback.position_s = max(wanted_s, *(track.to_s for track in self._tracks))
        self._placed = True
        return [get for n in range(len(self._tracks)) for get in self._media(n, now_s)]

    def _media(self, n: int, now_s: float) -> list[Get]:
        """Return the next thing to load of one track, one at a time as hls.js does."""
        track = self._tracks[n]
        listing = track.listing
        while listing is not None and not track.busy:
            piece = listing.piece_at(track.to_s - track.origin_s)
            if piece is None:
                break
            if piece.gap:
                # A gap, and below what the window has lost, is jumped: the line of time closes up.
                track.origin_s -= piece.end_s - (track.to_s - track.origin_s)
                continue
            track.origin_s = min(track.origin_s, track.to_s - piece.start_s)
            track.busy = True
            here = self._paths.current
            if piece.map_uri is not None and piece.map_uri != track.map_uri:
                return [Get(Kind.INIT, track.absolute(piece.map_uri), n, piece, now_s, here)]
            return [Get(Kind.MEDIA, track.absolute(piece.uri), n, piece, now_s, here)]
        self._buffered(now_s)
        return []

    def _append(self, n: int, piece: Piece, now_s: float) -> None:
        track = self._tracks[n]
        track.to_s = max(track.to_s, track.origin_s + piece.end_s)
        if n == 0 and piece.date_s is not None:
            self.playback.dated(track.origin_s + piece.start_s, piece.date_s)
        self._buffered(now_s)
        video = self._tracks[0]
        assert video.listing is not None
        latency_s = video.edge_s() + now_s - self._edge_seen_s - self.playback.position_s
        self.playback.steer(latency_s, self._target_latency_s(video.listing), video.listing.target_s)
        if n == 0:
            self.playback.note_latency(now_s)

    def _buffered(self, now_s: float) -> None:
        """Tell the picture what there is to play."""
        listing = self._tracks[0].listing
        assert listing is not None
        to_s = min(track.to_s for track in self._tracks)
        complete = all(track.complete() for track in self._tracks)
        self.playback.buffered(to_s, now_s, complete=complete, target_s=listing.target_s)

    def _target_latency_s(self, listing: Listing) -> float:
        wanted_s = listing.hold_back_s if self._taste.latency_s is None else self._taste.latency_s
        return wanted_s + self.playback.extra_latency_s
