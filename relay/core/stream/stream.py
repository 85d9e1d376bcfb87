"""One stream as viewers see it: its renditions under our own names, and their playlists.

Decides what a multivariant playlist says and how a window becomes a media playlist. The text of
a version is made once; every viewer gets the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.base import cluster_protocol
from relay.base.errors import OriginError
from relay.core import playlist as pl
from relay.core.stream.origin_status import OriginStatus
from relay.core.stream.segment import WindowSegment, part_name, segment_name
from relay.core.stream.timeline import Timeline
from relay.core.stream.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.core.stream.media import Body
    from relay.core.stream.memory_budget import MemoryBudget

MAX_RENDITIONS = 16
VERSION = 10
# A stream counts as interrupted when nothing new has come for so many target durations.
SILENT_TARGETS = 1.5
# Asked for by players that have no rendition attributes at all (a bare media playlist as origin).
UNKNOWN_BANDWIDTH = "2000000"
# First letters of renditions' names; `v` is for variants.
_LETTERS = {"AUDIO": "a", "SUBTITLES": "s"}
# Tags that point into the origin: viewers are steered by the master, and see no trick-play lists.
# Variables have been replaced where they stood.
_NOT_FOR_VIEWERS = ("#EXT-X-CONTENT-STEERING", "#EXT-X-I-FRAME-STREAM-INF", "#EXT-X-DEFINE")
_STAYS_WITH_ORIGIN = ("#EXT-X-SESSION-KEY:", "#EXT-X-SESSION-DATA:")


@dataclass(frozen=True, slots=True)
class OriginRendition:
    """Where a rendition comes from: `uri` as the origin's multivariant playlist writes it."""

    id: str
    uri: str
    audio: bool


class Stream:
    """The renditions, timeline and state of one stream."""

    def __init__(
        self,
        name: str,
        new_body: Callable[[], Body],
        *,
        budget: MemoryBudget,
        strip_audio_independent: bool = True,
        salt: str = "",
    ) -> None:
        self.name = name
        self.timeline = Timeline(name, salt)
        self.windows: dict[str, Window] = {}
        self.sources: tuple[OriginRendition, ...] = ()
        self.problem = "the origin has not answered yet"
        self.origin = OriginStatus()
        self.on_demand = False
        self.idle = False  # on demand, and nobody asks
        self.session_lost = True
        self.asked_s = -math.inf  # when a viewer last asked for a playlist
        self.ended = False
        self.refused = False
        self._new_body = new_body
        self._budget = budget
        self._strip = strip_audio_independent
        self._multivariant = pl.MultivariantPlaylist()

    # -- from the origin ------------------------------------------------------------------

    def describe(self, index: pl.Playlist, index_uri: str) -> tuple[OriginRendition, ...]:
        """Take in the origin's index and return the renditions to follow.

        A bare media playlist counts as the only variant of a stream. Renditions keep their
        place, and so their name, over restarts of the origin.
        """
        if isinstance(index, pl.MediaPlaylist):
            variant = pl.Variant(index_uri, (("BANDWIDTH", UNKNOWN_BANDWIDTH),))
            index = pl.MultivariantPlaylist((variant,), independent_segments=index.independent_segments)
        if not index.variants:
            raise OriginError("the origin's multivariant playlist lists no variant")
        sources: list[OriginRendition] = []
        variants: list[pl.Variant] = []
        media: list[pl.Rendition] = []
        names: dict[str, str] = {}
        for variant in index.variants:
            name = names.get(variant.uri)
            if name is None:
                name = names[variant.uri] = f"v{len(sources)}"
                sources.append(OriginRendition(name, variant.uri, _audio_only(variant)))
            variants.append(pl.Variant(f"{name}.m3u8", variant.attributes))
        for number, rendition in enumerate(index.media):
            if rendition.uri is None:
                media.append(rendition)
                continue
            name = names.get(rendition.uri)
            if name is None:
                name = names[rendition.uri] = f"{_LETTERS.get(rendition.type, 'x')}{number}"
                sources.append(OriginRendition(name, rendition.uri, rendition.type == "AUDIO"))
            media.append(_with(rendition, "URI", f'"{name}.m3u8"'))
        if len(sources) > MAX_RENDITIONS:
            raise OriginError(f"the origin lists {len(sources)} renditions; {MAX_RENDITIONS} are followed")
        tags = tuple(
            pl.with_absolute_uri(tag, index_uri) if tag.startswith(_STAYS_WITH_ORIGIN) else tag
            for tag in index.tags
            if not tag.startswith(_NOT_FOR_VIEWERS)
        )
        self._multivariant = pl.MultivariantPlaylist(
            tuple(variants),
            tuple(media),
            independent_segments=index.independent_segments,
            version=VERSION,
            tags=tags,
        )
        for source in sources:
            if source.id not in self.windows:
                self.windows[source.id] = Window(
                    source.id,
                    self.timeline,
                    self._new_body,
                    budget=self._budget,
                    audio_only=source.audio,
                    strip_audio_independent=self._strip,
                )
        self.sources = tuple(sources)
        return self.sources

    def end_session(self) -> None:
        """Close every rendition's open segment: the origin's session is over."""
        for window in self.windows.values():
            window.finish()

    def forget_media(self) -> None:
        """Drop what is held, keep the numbers: nobody watches, pulling stops for a while."""
        for window in self.windows.values():
            window.release()
        self.windows.clear()
        self.sources = ()
        self.session_lost = True

    @property
    def fault(self) -> bool:
        """Whether its origins fail; that nobody publishes is no failure."""
        return self.origin.has_failed

    def is_idle(self, now_s: float, keep_s: float) -> bool:
        """Tell whether media is held for nobody: its session is over, and for so long nobody has watched."""
        if not self.session_lost or self.ended or now_s - self.asked_s < keep_s:
            return False
        return self.lag_s(now_s) >= keep_s

    # -- to viewers -----------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether every rendition has something to play."""
        return bool(self.sources) and all(self.windows[s.id].ready for s in self.sources)

    def state(self, now_s: float) -> str:
        """Return waiting, live, reconnecting or ended."""
        if self.ended:
            return "ended"
        if not self.ready:
            return "waiting"
        pins = self.timeline.pins
        patience_s = SILENT_TARGETS * pins.target_duration_s if pins else 0.0
        return "reconnecting" if self.session_lost or self.lag_s(now_s) > patience_s else "live"

    def lag_s(self, now_s: float) -> float:
        """Return the age of the newest media in seconds; -1 when there is none."""
        times = [w.newest_at_s for w in self.windows.values() if w.newest_at_s is not None]
        return max(0.0, now_s - max(times)) if times else -1.0

    @property
    def seen_until_s(self) -> float | None:
        """The date up to which viewers have been shown media (Unix time); None before there was any."""
        dates = (window.seen_until_s for window in self.windows.values())
        return max((date_s for date_s in dates if date_s is not None), default=None)

    @property
    def longest_listed_s(self) -> float:
        """The longest segment that any rendition lists, in seconds."""
        return max((window.longest_listed_s for window in self.windows.values()), default=0.0)

    def window_of(self, name: str) -> Window | None:
        """Return the window to which a playlist or object name belongs."""
        rendition = name.partition("-")[0] if "-" in name else name.removesuffix(".m3u8")
        return self.windows.get(rendition)

    def multivariant_text(self) -> str:
        """Return the stream's own multivariant playlist, with relative URIs."""
        return pl.render(self._multivariant)

    def media_text(self, window: Window) -> str:
        """Return one rendition's playlist as it stands now."""
        return pl.render(self.media_playlist(window))

    def media_playlist(self, window: Window) -> pl.MediaPlaylist:
        """Return one rendition's playlist as a value."""
        pins = window.pins or self.timeline.pins
        assert pins is not None
        low_latency = pins.part_target_s > 0
        listed = window.listed
        segments = [self._segment(window, entry, is_open=False) for entry in listed]
        open_entry = window.open_entry
        first = listed[0] if listed else open_entry
        hints: tuple[pl.PreloadHint, ...] = ()
        if low_latency and window.hint_name and not self.ended:
            hints = (pl.PreloadHint("PART", window.hint_name),)
        control = pl.ServerControl(
            can_block_reload=low_latency,
            part_hold_back_s=pins.part_hold_back_s if low_latency else None,
            hold_back_s=pins.hold_back_s,
        )
        return pl.MediaPlaylist(
            target_duration_s=pins.target_duration_s,
            segments=tuple(segments),
            media_sequence=first.msn if first else 0,
            discontinuity_sequence=first.discontinuity_seq - first.discontinuity if first else 0,
            part_target_s=pins.part_target_s or None,
            server_control=control,
            open_segment=self._segment(window, open_entry, is_open=True) if open_entry else None,
            preload_hints=hints,
            rendition_reports=self._reports(window) if low_latency else (),
            ended=self.ended,
            version=VERSION,
            tags=window.tags,
        )

    def _segment(self, window: Window, entry: WindowSegment, *, is_open: bool) -> pl.Segment:
        parts = []
        ext = entry.extension
        for index, part in enumerate(window.listed_parts(entry)):
            independent = part.independent and not (window.strip_independent and index > 0)
            name = part_name(window.rendition, entry.epoch, entry.msn, index, ext)
            parts.append(pl.Part(name, part.duration_s, independent))
        init = entry.listed_init
        return pl.Segment(
            msn=entry.msn,
            uri="" if is_open else segment_name(window.rendition, entry),
            duration_s=0.0 if is_open else entry.duration_s,
            parts=tuple(parts),
            discontinuity=entry.discontinuity,
            gap=entry.gap,
            map=pl.Map(init.name, keys=init.map.keys) if init else None,
            keys=entry.keys,
            program_date_time_s=entry.pdt_s,
            title=entry.title,
            tags=() if is_open else entry.tags,
        )

    def _reports(self, window: Window) -> tuple[pl.RenditionReport, ...]:
        reports = []
        for source in self.sources:
            other = self.windows[source.id]
            if other is window or not other.ready:
                continue
            live_edge = other.live_edge
            if live_edge.open_parts:
                reports.append(
                    pl.RenditionReport(f"{source.id}.m3u8", live_edge.last_msn + 1, live_edge.open_parts - 1)
                )
            else:
                last_part = live_edge.last_parts - 1 if live_edge.last_parts else None
                reports.append(pl.RenditionReport(f"{source.id}.m3u8", live_edge.last_msn, last_part))
        return tuple(reports)

    # -- to the master --------------------------------------------------------------------

    def report(self, viewers: int, now_s: float) -> cluster_protocol.StreamReport:
        """Return what the master needs to list this relay among a class's pathways."""
        variants = []
        for variant in self._multivariant.variants:
            has_audio = pl.attribute(variant.attributes, "AUDIO") is not None
            rest = _join(variant.attributes, without={"AUDIO"})
            name = variant.uri.removesuffix(".m3u8")
            variants.append(cluster_protocol.ReportedVariant(name, variant.uri, rest, has_audio))
        renditions = []
        for rendition in self._multivariant.media:
            if rendition.uri is not None:
                rest = _join(rendition.attributes, without={"GROUP-ID", "URI"})
                renditions.append(
                    cluster_protocol.ReportedRendition(
                        rendition.uri.removesuffix(".m3u8"), rendition.uri, rest
                    )
                )
        return cluster_protocol.StreamReport(
            stream=self.name,
            state=self.state(now_s),
            viewers=viewers,
            lag_s=self.lag_s(now_s),
            problem=self.problem,
            segment_s=max((w.newest_segment_s for w in self.windows.values()), default=0.0),
            variants=tuple(variants),
            renditions=tuple(renditions),
            next_msn=self.timeline.next_msn,
            next_discontinuity_seq=self.timeline.next_discontinuity_seq,
            origin=self.origin.state(now_s).value,
            origin_age_s=self.origin.age_s(now_s),
            origin_quiet_s=self.origin.quiet_s(now_s),
            fault=self.origin.kind,
        )


def _audio_only(variant: pl.Variant) -> bool:
    codecs = pl.attribute(variant.attributes, "CODECS")
    if not codecs or pl.attribute(variant.attributes, "RESOLUTION"):
        return False
    audio = ("mp4a", "ac-3", "ec-3", "opus", "Opus", "fLaC", "flac")
    return all(codec.strip().startswith(audio) for codec in codecs.split(","))


def _with(media: pl.Rendition, name: str, value: str) -> pl.Rendition:
    return pl.Rendition(tuple((n, value if n == name else v) for n, v in media.attributes))


def _join(attributes: pl.Attributes, *, without: set[str]) -> str:
    return ",".join(f"{name}={value}" for name, value in attributes if name not in without)
