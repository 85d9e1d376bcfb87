"""Which relay a player plays from, when several are listed: hls.js' content steering. No I/O.

A pathway that fails is left alone for PENALTY_S. Decides only where to play; what counts as a failure
is `benchmarks.player.hlsjs_model`'s to say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from relay.base.errors import PlaylistError
from relay.core.playlist import attribute
from relay.core.playlist.attributes import parse_attributes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.core.playlist import MultivariantPlaylist, Rendition, Variant

PENALTY_S = 300.0
DEFAULT_ID = "."  # what a variant without PATHWAY-ID belongs to (§4.4.6.2)
STEERING_TAG = "#EXT-X-CONTENT-STEERING:"


@dataclass(frozen=True, slots=True)
class SteeringManifest:
    """A steering manifest: the pathways in the order of preference, and when to ask where again."""

    priority: tuple[str, ...]
    ttl_s: float
    reload_url: str


class Pathways:
    """The relays of one multivariant playlist, each with the playlists to play there: video, audio."""

    def __init__(self, page: MultivariantPlaylist, url: str) -> None:
        self.urls: dict[str, tuple[str, ...]] = {}
        for variant in page.variants:
            name = attribute(variant.attributes, "PATHWAY-ID") or DEFAULT_ID
            if name not in self.urls:
                self.urls[name] = tuple(urljoin(url, uri) for uri in _renditions(variant, page.media))
        if not self.urls:
            raise PlaylistError(0, "the multivariant playlist lists no variant")
        self.current, self.steering_url = _steering(page.tags, url)
        if self.current not in self.urls:
            self.current = next(iter(self.urls))
        self._penalised_until_s: dict[str, float] = {}

    def failed(self, now_s: float) -> bool:
        """Leave the present pathway for the next that has not failed; False when all have.

        Then the slate is wiped, as by a page that starts its player anew.
        """
        self._penalised_until_s[self.current] = now_s + PENALTY_S
        if self._go(list(self.urls), now_s):
            return True
        self._penalised_until_s.clear()
        names = list(self.urls)
        self.current = names[(names.index(self.current) + 1) % len(names)]
        return False

    def prefer(self, priority: Sequence[str], now_s: float) -> bool:
        """Play from the first of these that has not failed; returns whether that is another one."""
        before = self.current
        return self._go(priority, now_s) and self.current != before

    def _go(self, names: Sequence[str], now_s: float) -> bool:
        for name in names:
            if name in self.urls and self._penalised_until_s.get(name, now_s) <= now_s:
                self.current = name
                return True
        return False


def read_manifest(body: bytes, url: str) -> SteeringManifest:
    """Return what a steering server answered; PlaylistError when it is no manifest."""
    try:
        fields = json.loads(body)
        return SteeringManifest(
            tuple(map(str, fields["PATHWAY-PRIORITY"])),
            float(fields["TTL"]),
            urljoin(url, fields.get("RELOAD-URI", url)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PlaylistError(0, "the body is no steering manifest") from error


def _renditions(variant: Variant, media: Sequence[Rendition]) -> list[str]:
    """Return the playlists to play: the variant's and its audio's, if that is apart."""
    group = attribute(variant.attributes, "AUDIO")
    apart = [one for one in media if one.group_id == group and one.uri]
    apart.sort(key=lambda one: attribute(one.attributes, "DEFAULT") != "YES")
    return [variant.uri, *(one.uri or "" for one in apart[:1])]


def _steering(tags: Sequence[str], url: str) -> tuple[str, str | None]:
    """Return the pathway to start with ("" if none is named) and the steering server's address."""
    for tag in tags:
        if tag.startswith(STEERING_TAG):
            fields = parse_attributes(tag.removeprefix(STEERING_TAG), 0)
            server = attribute(fields, "SERVER-URI")
            return attribute(fields, "PATHWAY-ID") or "", urljoin(url, server) if server else None
    return "", None
