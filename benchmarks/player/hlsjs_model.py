"""One viewer that behaves like hls.js on our page: what it asks for, and when. No I/O.

Feed it answers with the time of their arrival; it returns what to get next. `now_s` is Unix time in
seconds, so that latency can be read from EXT-X-PROGRAM-DATE-TIME. Where several pathways are listed it
moves between them as hls.js does with the page's settings (frontend/src/player/hlsConfig.ts). Does not
decode, does not change quality, hears nothing by socket; the picture itself is `benchmarks.player.playback`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from benchmarks.player.listing import ListedPiece, Listing, aligned_s, slide_s
from benchmarks.player.playback import Playback, RelayMove, ViewerResult
from benchmarks.player.steering import Pathways, read_manifest
from relay.base.errors import PlaylistError
from relay.core.playlist import MultivariantPlaylist

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_S = 0.5
MEDIA_RETRY_S, MEDIA_RETRY_MAX_S = 0.15, 0.6
STEERING_RETRY_S = 5.0
LATE = -1  # the status of an answer that did not come within the viewer's patience
PLAYLIST_PATIENCE_S = 3.0
MEDIA_PATIENCE_S = 2.0
MEDIA_RETRIES = 8  # of one object, then its relay is given up
PLAYLIST_RETRIES = 2  # of a rendition that is played alone; a failing audio rendition moves at once
BEHIND_SEGMENTS = 2  # by how much another relay may be behind the one that was left

Page = Listing | MultivariantPlaylist


class RequestKind(Enum):
    """What a request is for."""

    MULTIVARIANT = "multivariant"
    PLAYLIST = "playlist"
    INIT = "init"
    MEDIA = "media"
    STEERING = "steering"


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """Something to fetch; hand it back to `answered` with the answer."""

    kind: RequestKind
    url: str
    track: int = 0
    piece: ListedPiece | None = None
    asked_s: float = 0.0
    patience_s: float | None = None
    era: int = 0  # grows with each move: what was asked for before is not waited for any more


@dataclass(frozen=True, slots=True)
class PlayerSettings:
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
    retries: int = 0
    media_retries: int = 0
    moved: bool = False

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
            allowed = BEHIND_SEGMENTS if self.moved else 0
            if listing.next_msn < self.listing.next_msn - allowed:
                raise PlaylistError(0, "the media sequence went back")
            self.origin_s += slide_s(self.listing, listing)
        self.listing, self.moved, self.retries = listing, False, 0

    def move(self, url: str) -> None:
        """Go on with the same rendition at another relay; its initialization is asked for again."""
        self.url, self.folder, self.body = url, urljoin(url, "."), b""
        self.map_uri, self.retry_s = None, None
        self.busy, self.moved, self.retries, self.media_retries = False, True, 0, 0


class ModelledViewer:
    """One player; `read` turns a playlist's body into a page (share a cached one among viewers)."""

    def __init__(self, url: str, read: Callable[[bytes], Page], taste: PlayerSettings | None = None) -> None:
        self._taste = taste or PlayerSettings()
        self.playback = Playback(self._taste.max_rate)
        self._url = url
        self._read = read
        self._tracks: list[_Track] = []
        self._pathways: Pathways | None = None
        self._era = 0
        self._placed = False
        self._edge_seen_s = 0.0
        self._later: list[tuple[float, ModelRequest]] = []

    @property
    def _has_choice(self) -> bool:
        return self._pathways is not None and len(self._pathways.urls) > 1

    @property
    def due_s(self) -> float | None:
        """When `tick` will have something to return, or None."""
        times = [when for when, _ in self._later]
        times += [track.retry_s for track in self._tracks if track.retry_s is not None]
        return min(times, default=None)

    def start(self, now_s: float) -> list[ModelRequest]:
        """Press play."""
        self.playback.begin(now_s)
        return [ModelRequest(RequestKind.MULTIVARIANT, self._url, asked_s=now_s)]

    def tick(self, now_s: float) -> list[ModelRequest]:
        """Return the requests that were put off until now."""
        gets = [replace(get, asked_s=now_s) for when, get in self._later if when <= now_s]
        self._later = [(when, get) for when, get in self._later if when > now_s]
        for n, track in enumerate(self._tracks):
            if track.retry_s is not None and track.retry_s <= now_s:
                track.retry_s, track.busy = None, False
                gets += self._media(n, now_s)
        return gets

    def answered(self, get: ModelRequest, status: int, body: bytes, now_s: float) -> list[ModelRequest]:
        """Take an answer (status 0: no connection, LATE: none in time) and return what to get next."""
        self.playback.advance(now_s)
        if get.era != self._era and get.kind is not RequestKind.STEERING:
            return []
        if status != 200:
            return self._failed(
                get, f"{get.kind.value} {'late' if status == LATE else status}", now_s, status
            )
        try:
            if get.kind is RequestKind.STEERING:
                return self._steered(get, body, now_s)
            if get.kind is RequestKind.MULTIVARIANT:
                return self._multivariant(get, body, now_s)
            if get.kind is RequestKind.PLAYLIST:
                return self._playlist(get, body, now_s)
        except PlaylistError as error:
            return self._failed(get, f"{get.kind.value}: {error.reason}", now_s, status)
        track = self._tracks[get.track]
        track.busy = False
        assert get.piece is not None
        if get.kind is RequestKind.INIT:
            track.map_uri = get.piece.map_uri
        else:
            track.media_retries = 0
            self._append(get.track, get.piece, now_s)
        return self._media(get.track, now_s)

    def finish(self, now_s: float) -> ViewerResult:
        """Stop watching and return what was seen; a stall that still lasts is counted."""
        return self.playback.finish(now_s)

    def _failed(self, get: ModelRequest, what: str, now_s: float, status: int) -> list[ModelRequest]:
        self.playback.facts.failures[what] += 1
        if get.kind is RequestKind.STEERING:
            self._later.append((now_s + STEERING_RETRY_S, get))
        elif get.kind is not RequestKind.MULTIVARIANT and self._leaves(get, status):
            return self._leave(now_s)
        elif get.kind in (RequestKind.INIT, RequestKind.MEDIA):
            self._tracks[get.track].retry_s = now_s + self._media_pause_s(get.track, status)
        else:
            self._later.append((now_s + (0.0 if status == LATE else RETRY_S), get))
        return []

    def _leaves(self, get: ModelRequest, status: int) -> bool:
        """Whether a failure makes the player give its relay up."""
        track = self._tracks[get.track]
        if not self._has_choice:
            return False
        if get.kind is not RequestKind.PLAYLIST:
            track.media_retries += 1
            return track.media_retries > MEDIA_RETRIES
        track.retries += 1
        may_pass = status == LATE or status >= 500
        return get.track > 0 or not may_pass or (len(self._tracks) == 1 and track.retries > PLAYLIST_RETRIES)

    def _media_pause_s(self, n: int, status: int) -> float:
        """Return how long to wait before an object is asked for again."""
        if not self._has_choice:
            return RETRY_S
        growing_s = MEDIA_RETRY_S * 2 ** (self._tracks[n].media_retries - 1)
        return 0.0 if status == LATE else min(growing_s, MEDIA_RETRY_MAX_S)

    def _leave(self, now_s: float) -> list[ModelRequest]:
        assert self._pathways is not None
        if not self._pathways.failed(now_s):
            self.playback.facts.failures["every pathway failed"] += 1
            return self._moved(now_s, pause_s=RETRY_S)
        return self._moved(now_s)

    def _moved(self, now_s: float, pause_s: float = 0.0) -> list[ModelRequest]:
        """Ask the pathway that is now the current one for its playlists."""
        assert self._pathways is not None
        self._era += 1
        self.playback.facts.moves.append(RelayMove(now_s, self._pathways.current))
        self._later = [(when, get) for when, get in self._later if get.kind is RequestKind.STEERING]
        urls = self._pathways.urls[self._pathways.current]
        for track, url in zip(self._tracks, urls, strict=True):
            track.move(url)
        gets = [self._first_playlist(n, now_s) for n in range(len(self._tracks))]
        if pause_s:
            self._later += [(now_s + pause_s, get) for get in gets]
            return []
        return gets

    def _first_playlist(self, n: int, now_s: float) -> ModelRequest:
        patience_s = PLAYLIST_PATIENCE_S if self._has_choice else None
        url = self._tracks[n].url
        return ModelRequest(RequestKind.PLAYLIST, url, n, asked_s=now_s, patience_s=patience_s, era=self._era)

    def _multivariant(self, get: ModelRequest, body: bytes, now_s: float) -> list[ModelRequest]:
        page = self._read(body)
        steering: list[ModelRequest] = []
        urls: tuple[str, ...] = (get.url,)
        if isinstance(page, MultivariantPlaylist):
            self._pathways = paths = Pathways(page, get.url)
            urls = paths.urls[paths.current]
            if paths.steering_url:
                steering = [
                    ModelRequest(
                        RequestKind.STEERING, paths.steering_url, asked_s=now_s, patience_s=STEERING_RETRY_S
                    )
                ]
        self._tracks = [_Track(url, urljoin(url, ".")) for url in urls]
        return [*(self._first_playlist(n, now_s) for n in range(len(urls))), *steering]

    def _steered(self, get: ModelRequest, body: bytes, now_s: float) -> list[ModelRequest]:
        """Follow the steering server, and ask it again when it says."""
        manifest = read_manifest(body, get.url)
        self._later.append((now_s + manifest.ttl_s, replace(get, url=manifest.reload_url)))
        if self._pathways is not None and self._pathways.prefer(manifest.priority, now_s):
            return self._moved(now_s)
        return []

    def _playlist(self, get: ModelRequest, body: bytes, now_s: float) -> list[ModelRequest]:
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

    def _reload(self, get: ModelRequest, track: _Track, changed: bool, now_s: float) -> list[ModelRequest]:
        """Ask again: at once when the server holds the answer back, else at the pace of §6.3.4."""
        listing = track.listing
        if listing is None or listing.ended:
            return []
        url = track.url
        if listing.blocking:
            url += ("&" if "?" in url else "?") + listing.directives()
        following = replace(self._first_playlist(get.track, now_s), url=url)
        if listing.patience_s is not None and following.patience_s is not None:
            following = replace(following, patience_s=min(listing.patience_s, following.patience_s))
        if changed and listing.blocking:
            return [following]
        wait_s = listing.target_s if changed else listing.target_s / 2
        self._later.append((max(now_s, get.asked_s + wait_s), following))
        return []

    def _place(self, now_s: float) -> list[ModelRequest]:
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

    def _media(self, n: int, now_s: float) -> list[ModelRequest]:
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
            if piece.map_uri is not None and piece.map_uri != track.map_uri:
                return [self._object(RequestKind.INIT, piece.map_uri, n, piece, now_s)]
            return [self._object(RequestKind.MEDIA, piece.uri, n, piece, now_s)]
        self._buffered(now_s)
        return []

    def _object(self, kind: RequestKind, uri: str, n: int, piece: ListedPiece, now_s: float) -> ModelRequest:
        patience_s = MEDIA_PATIENCE_S if self._has_choice else None
        url = self._tracks[n].absolute(uri)
        return ModelRequest(kind, url, n, piece, now_s, patience_s=patience_s, era=self._era)

    def _append(self, n: int, piece: ListedPiece, now_s: float) -> None:
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
