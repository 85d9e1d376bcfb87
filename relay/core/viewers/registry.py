"""Who watches: by token, since when, how much, how well.

A viewer is gone after three target durations of silence, or at once when turned away. Holds no rule of
admission.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.base.cluster_protocol import ViewerReport
from relay.core.viewers import cmcd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.base.errors import TokenError

GONE_TARGETS = 3.0
# A player asks for its next object within this time of the last one, while it has a connection to us.
LEFT_S = 1.5
MAX_ADDRESSES_NOTED = 64
# Token ids that left, kept for the next heartbeat; without a master nobody ever asks for them.
MAX_LEFT_NOTED = 10_000
# A viewer plays once a whole segment or part was delivered, or byte ranges of this size together.
PLAYING_BYTES = 4096


class Viewer:
    """One token in use. `refused` holds why it was turned away, for requests that were held meanwhile."""

    __slots__ = (
        "_reported",
        "_reported_said",
        "_said",
        "_starved",
        "addresses",
        "entered_s",
        "expires_s",
        "has_media",
        "key",
        "last_s",
        "media_bytes",
        "network",
        "refused",
        "rendition",
        "sent_away",
        "sent_bytes",
        "since_wall_s",
        "stream",
        "subject",
        "token_id",
    )

    def __init__(
        self,
        key: bytes,
        *,
        subject: str,
        token_id: str,
        stream: str,
        expires_s: float,
        now_s: float,
        wall_s: float,
        network: str = "",
    ) -> None:
        self.key = key
        self.network = network  # where an anonymous viewer's seat is counted
        self.subject = subject
        self.token_id = token_id
        self.stream = stream
        self.expires_s = expires_s
        self.since_wall_s = wall_s
        self.entered_s = now_s
        self.last_s = now_s
        self.sent_away = False  # told to use another relay, because this one drains
        self.sent_bytes = 0
        self.media_bytes = 0  # counted until the viewer plays
        self.has_media = False
        self.rendition = ""  # the one of which a playlist was asked for last, sound on its own apart
        self.addresses: set[str] = set()
        self.refused: TokenError | None = None
        self._said = b""
        self._starved = 0
        self._reported: ViewerReport | None = None
        self._reported_said: bytes | None = None

    def has_left(self, now_s: float, *, connected: bool) -> bool:
        """Tell whether a draining relay need not wait: its connections are closed, or it was sent away.

        A browser keeps idle connections open for minutes after its player has moved to another relay.
        """
        return (self.sent_away or not connected) and now_s - self.last_s >= LEFT_S

    def says(self, query: bytes) -> None:
        """Note what the player tells about itself in a request's query; read when somebody asks."""
        if b"CMCD=" not in query:
            return
        self._said = query
        if b"bs" in query:
            self._starved += cmcd.parse(query).starved

    @property
    def quality(self) -> cmcd.Cmcd:
        """What the player told last."""
        return cmcd.parse(self._said)

    def report(self, now_s: float) -> ViewerReport:
        """Return the figures as the master wants them."""
        told = self.quality
        return ViewerReport(
            stream=self.stream,
            subject=self.subject,
            token_id=self.token_id,
            since_s=self.since_wall_s,
            sent_bytes=self.sent_bytes,
            buffer_ms=told.buffer_ms,
            throughput_kbps=told.throughput_kbps,
            latency_ms=told.latency_ms,
            starved=self._starved,
            rendition=self.rendition,
            has_media=self.has_media,
            idle_s=max(0.0, now_s - self.last_s),
        )

    def changed(self, now_s: float) -> ViewerReport | None:
        """Return a report when the viewer began to play or its player's figures moved, else None."""
        last = self._reported
        if (
            self._said is self._reported_said
            and last is not None
            and (last.rendition, last.has_media) == (self.rendition, self.has_media)
        ):
            return None
        self._reported_said = self._said
        now = self.report(now_s)
        if last is not None and _told(last) == _told(now):
            return None
        self._reported = now
        return now


def _told(report: ViewerReport) -> tuple[object, ...]:
    """Return what makes a report worth sending again when it changes."""
    return (
        report.starved,
        report.buffer_ms // 1000,
        report.latency_ms // 500,
        report.rendition,
        report.has_media,
    )


class ViewerRegistry:
    """All viewers of a relay, found by the text of their token, counted by its id."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Viewer] = {}
        self._per_stream: dict[str, int] = {}
        self._per_network: dict[str, int] = {}
        self._texts_of: dict[str, int] = {}
        self._playing: set[str] = set()
        self._without_media: dict[bytes, Viewer] = {}
        self._left: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._texts_of)

    def __iter__(self) -> Iterator[Viewer]:
        return iter(self._by_key.values())

    def get(self, key: bytes) -> Viewer | None:
        """Return the viewer who uses this token."""
        return self._by_key.get(key)

    def enter(self, viewer: Viewer) -> None:
        """Add a viewer."""
        self._by_key[viewer.key] = viewer
        if viewer.network:
            self._per_network[viewer.network] = self.seats(viewer.network) + 1
        if not self.knows(viewer.token_id):
            self._per_stream[viewer.stream] = self._per_stream.get(viewer.stream, 0) + 1
        self._texts_of[viewer.token_id] = self._texts_of.get(viewer.token_id, 0) + 1
        viewer.has_media = viewer.token_id in self._playing
        if not viewer.has_media:
            self._without_media[viewer.key] = viewer
        self._left.pop(viewer.token_id, None)

    def delivered(self, viewer: Viewer, media_bytes: int) -> None:
        """Count media that has gone out to a viewer: from PLAYING_BYTES on they play, and say so."""
        if viewer.has_media or viewer.key not in self._by_key:
            return
        viewer.media_bytes += media_bytes
        if viewer.media_bytes < PLAYING_BYTES:
            return
        self._playing.add(viewer.token_id)
        for key in [k for k, v in self._without_media.items() if v.token_id == viewer.token_id]:
            self._without_media.pop(key).has_media = True

    def make_room(self, entered_before_s: float) -> Viewer | None:
        """Take out, and return, the first viewer who entered before that time and got no media; or None.

        Somebody who only asks for playlists takes no place from one who wants to watch.
        """
        for viewer in self._without_media.values():
            if viewer.entered_s < entered_before_s and self._texts_of[viewer.token_id] == 1:
                self.leave(viewer)
                return viewer
        return None

    def knows(self, token_id: str) -> bool:
        """Tell whether a token id is watching: a renewed token has a new text and the same id."""
        return token_id in self._texts_of

    def count(self, stream: str) -> int:
        """Return how many watch one stream."""
        return self._per_stream.get(stream, 0)

    def seats(self, network: str) -> int:
        """Return how many anonymous viewers of one network are watching."""
        return self._per_network.get(network, 0)

    def leave(self, viewer: Viewer) -> None:
        """Take a viewer out; their token id has left with the last of its texts."""
        del self._by_key[viewer.key]
        self._without_media.pop(viewer.key, None)
        if viewer.network:
            self._per_network[viewer.network] -= 1
            if not self._per_network[viewer.network]:
                del self._per_network[viewer.network]
        self._texts_of[viewer.token_id] -= 1
        if self._texts_of[viewer.token_id]:
            return
        del self._texts_of[viewer.token_id]
        self._playing.discard(viewer.token_id)
        self._per_stream[viewer.stream] -= 1
        if not self._per_stream[viewer.stream]:
            del self._per_stream[viewer.stream]
        self._left[viewer.token_id] = None
        if len(self._left) > MAX_LEFT_NOTED:
            del self._left[next(iter(self._left))]

    def sweep(self, silent_since_s: float) -> list[Viewer]:
        """Take out, and return, the viewers who have asked for nothing since that time."""
        gone = [v for v in self._by_key.values() if v.last_s < silent_since_s]
        for viewer in gone:
            self.leave(viewer)
        return gone

    def gone(self, *, full: bool) -> tuple[str, ...]:
        """Return the token ids that left since the last call; none when `full`: whoever is not named has."""
        left = () if full else tuple(self._left)
        self._left.clear()
        return left

    def reports(self, now_s: float, *, full: bool) -> Iterator[ViewerReport | None]:
        """Yield what the master lacks, for each viewer who is here now, None for one without news.

        A report takes some microseconds: the caller lets others run in between. Whoever leaves meanwhile
        is told as gone the next time, and not reported any more.
        """
        for viewer in tuple(self._by_key.values()):
            if viewer.key in self._by_key:
                yield viewer.report(now_s) if full else viewer.changed(now_s)
