"""What arrives from the teacher: size, rate, codecs, key frames, and what to do about it.

Put together from what relays report of the playlist and, with a real MediaMTX, from its API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airclass.domain.advice import advise_teacher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.base.cluster_protocol import ReportedVariant

# RFC 6381 names, by their first four letters.
_VIDEO = {"avc1": "H264", "avc3": "H264", "hvc1": "H265", "hev1": "H265", "av01": "AV1", "vp09": "VP9"}
_AUDIO = {"mp4a": "AAC", "opus": "Opus", "Opus": "Opus", "ac-3": "AC-3"}
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')


@dataclass(frozen=True, slots=True)
class IngestPath:
    """What the ingest's API says of one path; rates in bits a second, None when not yet known."""

    at_s: float
    inbound_bytes: int
    bitrate_bps: float | None = None
    video_codec: str = ""
    audio_codec: str = ""
    width: int | None = None
    height: int | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One class's stream as its teacher sees it."""

    bitrate_bps: int | None
    width: int | None
    height: int | None
    fps: float | None
    keyframe_s: float | None
    video_codec: str
    audio_codec: str
    taken_over_by: str
    advice: list[str]


def read_path(item: dict[str, Any], before: IngestPath | None, now_s: float) -> IngestPath | None:
    """Return one path of MediaMTX's `/v3/paths/list`; None when nobody publishes there."""
    if not (item.get("ready") or item.get("available")):
        return None
    inbound = item.get("inboundBytes", item.get("bytesReceived", 0))
    inbound = inbound if isinstance(inbound, int) else 0
    rate = None
    if before is not None and now_s > before.at_s and inbound >= before.inbound_bytes:
        rate = 8.0 * (inbound - before.inbound_bytes) / (now_s - before.at_s)
    video, audio, width, height = "", "", None, None
    for track in _tracks(item):
        name, props = track
        if name in ("H264", "H265", "AV1", "VP9", "VP8"):
            video, width, height = name, _number(props, "width"), _number(props, "height")
        elif name:
            audio = "AAC" if name == "MPEG-4 Audio" else name
    source = item.get("source")
    kind = str(source.get("type", "")) if isinstance(source, dict) else ""
    return IngestPath(now_s, inbound, rate, video, audio, width, height, kind)


def gather(
    variants: Sequence[ReportedVariant],
    segment_s: float,
    intake: IngestPath | None,
    *,
    is_publishing: bool,
    taken_over_by: str = "",
) -> StreamInfo | None:
    """Return a class's facts; None when nothing is known."""
    if intake is None and not variants:
        return None
    listed = {k: v.strip('"') for k, v in _ATTRIBUTE.findall(variants[0].attributes)} if variants else {}
    codecs = listed.get("CODECS", "").split(",")
    video = next((_VIDEO[c[:4]] for c in codecs if c[:4] in _VIDEO), "")
    audio = next((_AUDIO[c[:4]] for c in codecs if c[:4] in _AUDIO), "")
    width, _, height = listed.get("RESOLUTION", "").partition("x")
    rate = _float(listed.get("AVERAGE-BANDWIDTH") or listed.get("BANDWIDTH", ""))
    if intake is not None:
        video, audio = intake.video_codec or video, intake.audio_codec or audio
        rate = intake.bitrate_bps if intake.bitrate_bps is not None else rate
    # A segment ends at the first key frame after the set length, so a long one means rare key frames.
    keyframe_s = segment_s if segment_s > 0 else None
    lines = (intake.height if intake else None) or _int(height)
    columns = (intake.width if intake else None) or _int(width)
    fps = _float(listed.get("FRAME-RATE", ""))
    return StreamInfo(
        bitrate_bps=None if rate is None else round(rate),
        width=columns,
        height=lines,
        fps=fps,
        keyframe_s=keyframe_s,
        video_codec=video,
        audio_codec=audio,
        taken_over_by=taken_over_by,
        advice=advise_teacher(
            bitrate_bps=rate,
            keyframe_s=keyframe_s,
            video_codec=video,
            audio_codec=audio,
            width=columns,
            height=lines,
            fps=fps,
            is_publishing=is_publishing,
            taken_over_by=taken_over_by,
        ),
    )


def _tracks(item: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    told = item.get("tracks2")
    if isinstance(told, list):
        pairs = [(t.get("codec"), t.get("codecProps")) for t in told if isinstance(t, dict)]
        return [(str(c), p if isinstance(p, dict) else {}) for c, p in pairs]
    names = item.get("tracks")
    return [(str(n), {}) for n in names] if isinstance(names, list) else []


def _number(props: dict[str, Any], name: str) -> int | None:
    value = props.get(name)
    return value if isinstance(value, int) and value > 0 else None


def _int(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value < 1e12 else None
