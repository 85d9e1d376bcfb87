"""What a player is told of the relays: the multivariant playlist and the steering manifest.

One pathway a relay (RFC 8216bis §4.4.6.6, §7). Group ids differ per pathway, because hls.js finds
the pathway of an audio error by the group id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.base.cluster_protocol import ReportedRendition, ReportedVariant

STEERING_TTL_S = 5


@dataclass(frozen=True, slots=True)
class Pathway:
    """One relay as a player sees it; `base_url` ends in a slash, before the playlist's name."""

    id: str
    base_url: str

    @property
    def url(self) -> str:
        """The relay's own multivariant playlist."""
        return self.base_url + "index.m3u8"


def multivariant(
    pathways: Sequence[Pathway],
    variants: Sequence[ReportedVariant],
    renditions: Sequence[ReportedRendition],
    steering_url: str,
) -> str:
    """Return the multivariant playlist with every pathway; the first one is where to start."""
    first = pathways[0].id
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:10",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-CONTENT-STEERING:SERVER-URI="{steering_url}",PATHWAY-ID="{first}"',
    ]
    for path in pathways:
        group = f"audio-{path.id}"
        for r in renditions:
            lines.append(
                f'#EXT-X-MEDIA:{r.attributes},GROUP-ID="{group}",'
                f'STABLE-RENDITION-ID="{r.id}",URI="{path.base_url}{r.uri}"'
            )
        for v in variants:
            audio = f',AUDIO="{group}"' if v.has_audio_group else ""
            lines.append(
                f'#EXT-X-STREAM-INF:{v.attributes}{audio},STABLE-VARIANT-ID="{v.id}",PATHWAY-ID="{path.id}"'
            )
            lines.append(path.base_url + v.uri)
    return "\n".join(lines) + "\n"


def manifest(priority: Sequence[str], reload_url: str) -> dict[str, object]:
    """Return the steering manifest (draft-pantos-content-steering): the student's own seat first."""
    return {
        "VERSION": 1,
        "TTL": STEERING_TTL_S,
        "RELOAD-URI": reload_url,
        "PATHWAY-PRIORITY": list(priority),
    }
