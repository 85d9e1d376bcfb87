"""Which relay a viewer plays from, as content steering says (draft-pantos-content-steering). No I/O.

Reads the pathways of a multivariant playlist and steering manifests; a pathway that failed is left
alone for a while. A playlist without pathways is one pathway without a name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from urllib.parse import urljoin

from relay.base.errors import PlaylistError
from relay.core.playlist import MultivariantPlaylist, Variant, attribute
from relay.core.playlist.attributes import parse_attributes

TAG = "#EXT-X-CONTENT-STEERING:"
TTL_S = 300.0  # without a manifest, as the draft says
MIN_TTL_S = 1.0
PENALTY_S = 60.0


@dataclass(slots=True)
class Pathways:
    """The pathways of one viewer; `urls` are each one's media playlists, the picture's first."""

    urls: dict[str, list[str]] = field(default_factory=dict)
    current: str = ""
    server_url: str = ""
    ttl_s: float = TTL_S
    _priority: list[str] = field(default_factory=list)
    _reload_url: str = ""
    _failed_s: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, page: MultivariantPlaylist, url: str) -> Pathways:
        """Return the pathways of a playlist loaded from `url`; PlaylistError when it has no variant."""
        found: dict[str, list[str]] = {}
        for variant in page.variants:
            name = attribute(variant.attributes, "PATHWAY-ID") or ""
            if name not in found:
                found[name] = [urljoin(url, uri) for uri in (variant.uri, *_audio(page, variant))]
        if not found:
            raise PlaylistError(0, "the multivariant playlist lists no variant")
        paths = cls(found, next(iter(found)), _priority=list(found))
        for tag in page.tags:
            if tag.startswith(TAG):
                said = parse_attributes(tag.removeprefix(TAG), 0)
                paths.server_url = urljoin(url, attribute(said, "SERVER-URI") or "")
                first = attribute(said, "PATHWAY-ID")
                paths.current = first if first in found else paths.current
        return paths

    def steer(self, body: bytes, now_s: float) -> str | None:
        """Take a steering manifest; return the pathway to move to, or None to stay."""
        try:
            said = json.loads(body)
            self._priority = [str(name) for name in said["PATHWAY-PRIORITY"]]
            self.ttl_s = max(MIN_TTL_S, float(said.get("TTL", TTL_S)))
            self._reload_url = str(said.get("RELOAD-URI", ""))
        except (ValueError, KeyError, TypeError):
            return None
        return self._choose(now_s)

    def leave(self, now_s: float) -> str | None:
        """Give up the current pathway after a failure; return the next one, or None without another."""
        self._failed_s[self.current] = now_s
        return self._choose(now_s)

    def reload_url(self, url: str) -> str:
        """Return where to ask for the next manifest, after one from `url`."""
        return urljoin(url, self._reload_url) if self._reload_url else url

    def _choose(self, now_s: float) -> str | None:
        for name in dict.fromkeys([*self._priority, *self.urls]):
            failed_s = self._failed_s.get(name, -PENALTY_S)
            if name in self.urls and now_s - failed_s >= PENALTY_S:
                moved, self.current = name != self.current, name
                return name if moved else None
        return None


def _audio(page: MultivariantPlaylist, variant: Variant) -> list[str]:
    """Return the audio playlist of a variant, if it has one apart."""
    group = attribute(variant.attributes, "AUDIO")
    apart = [media for media in page.media if media.group_id == group and media.uri]
    apart.sort(key=lambda media: attribute(media.attributes, "DEFAULT") != "YES")
    return [media.uri or "" for media in apart[:1]]
