"""Who may watch: tokens, revocation, capacity, and "one token, few addresses".

A token's signature is checked once; after that a viewer is found by the token's bytes.

Revocation needs no list of tokens: a token id carries the generation of the class code that it was issued
for, and the master names the lowest generation that still counts in each class. What remains to be listed are
the students who were taken out, by subject, because a student may hold any number of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.base.errors import RequestError, TokenError
from relay.base.network import network_of
from relay.base.tokens import LEEWAY_S, Key, token_generation, verify_viewer
from relay.core.viewers import cmcd
from relay.core.viewers.registry import MAX_ADDRESSES_NOTED, Viewer, ViewerRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PUBLIC_LIFETIME_S = 10 * 365 * 86_400.0
# On a full relay a viewer who has got no media after this time gives way to a new one.
WITHOUT_MEDIA_S = 5.0


@dataclass(frozen=True, slots=True)
class StreamRule:
    """Whose tokens a stream refuses: those of an earlier class code, and these subjects."""

    min_generation: int = 0
    refused: frozenset[str] = frozenset()

    def refuses(self, subject: str, token_id: str) -> bool:
        """Whether a viewer of the stream is refused; generation 0 is the first, so it refuses no token."""
        if self.min_generation and token_generation(token_id) < self.min_generation:
            return True
        return subject in self.refused


_NO_RULE = StreamRule()


class Admission:
    """Admits viewers to a relay. `keys` verify viewer tokens, current first."""

    def __init__(
        self,
        registry: ViewerRegistry,
        *,
        keys: tuple[Key, ...] = (),
        public: bool = False,
        max_viewers: int = 150,
        max_egress_bps: int = 0,
        max_addresses_per_token: int = 0,
        max_seats_per_address: int = 0,
    ) -> None:
        self.registry = registry
        self.keys: tuple[Key, ...] = keys
        self.public = public
        self.draining = False
        self.egress_bps = 0
        self._max_viewers = max_viewers
        self._max_egress_bps = max_egress_bps
        self._max_addresses = min(max_addresses_per_token, MAX_ADDRESSES_NOTED)
        self._max_seats = max_seats_per_address
        self._revoked: frozenset[str] = frozenset()
        self._closed: frozenset[str] = frozenset()
        self._rules: dict[str, StreamRule] = {}

    def admit(self, token: bytes, stream: str, address: str, *, now_s: float, wall_s: float) -> Viewer:
        """Return the viewer of a token, entered in the registry when new.

        Raises TokenError 401 or 403, RequestError 429 (too many addresses) or 503 (full).
        """
        viewer = self.registry.get(token)
        if viewer is None:
            claims = verify_viewer(token.decode("latin-1"), self.keys, wall_s=wall_s)
            if claims.classroom != stream:
                raise TokenError(403, "this token is for another class: join this class with its code")
            lifetime_s = claims.expires_at_s + LEEWAY_S - wall_s
            viewer = Viewer(
                token,
                subject=claims.subject,
                token_id=claims.token_id,
                stream=stream,
                expires_s=now_s + lifetime_s,
                now_s=now_s,
                wall_s=wall_s,
            )
            refusal = self._refusal(viewer)
            if refusal is not None:
                raise refusal
            if not self.registry.knows(claims.token_id):
                self._room(now_s)  # a renewed token takes no second seat
            self.registry.enter(viewer)
        self.check(viewer, stream, address, now_s)
        return viewer

    def admit_public(self, stream: str, address: str, query: bytes, *, now_s: float, wall_s: float) -> Viewer:
        """Return the anonymous viewer behind an address, or behind a player's session id.

        A player that invents sessions could take every seat, so the number of seats of one network is
        bounded; further sessions of the network share one seat, and nobody of a school behind one address
        is refused.
        """
        subject = cmcd.parse(query).session or address
        viewer = self.registry.get(f"{stream} {subject}".encode())
        if viewer is not None:
            return viewer
        network = network_of(address)
        if self._max_seats and self.registry.seats(network) >= self._max_seats:
            subject = network
            viewer = self.registry.get(f"{stream} {subject}".encode())
        if viewer is None:
            key = f"{stream} {subject}"
            viewer = Viewer(
                key.encode(),
                subject=subject,
                token_id=key,
                stream=stream,
                expires_s=now_s + PUBLIC_LIFETIME_S,
                now_s=now_s,
                wall_s=wall_s,
                network=network,
            )
            self._room(now_s)
            self.registry.enter(viewer)
        return viewer

    def check(self, viewer: Viewer, stream: str, address: str, now_s: float) -> None:
        """Check what may change while someone watches."""
        if viewer.stream != stream:
            raise TokenError(403, "this token is for another class: join this class with its code")
        if now_s >= viewer.expires_s:
            raise TokenError(401, "the token has expired: join the class again")
        if address not in viewer.addresses:
            if self._max_addresses and len(viewer.addresses) >= self._max_addresses:
                raise RequestError(
                    429, "this link is open on too many devices: close it on one of them, or join again"
                )
            if len(viewer.addresses) < MAX_ADDRESSES_NOTED:
                viewer.addresses.add(address)

    def _room(self, now_s: float) -> None:
        if self.draining:
            raise RequestError(503, "this relay is being taken out of service: ask for another one")
        if len(self.registry) >= self._max_viewers and not self.registry.make_room(now_s - WITHOUT_MEDIA_S):
            raise RequestError(503, "this relay is full: try again, or ask for another one")
        if self._max_egress_bps and self.egress_bps >= self._max_egress_bps:
            raise RequestError(503, "this relay's line is full: try again, or ask for another one")

    def revoke(
        self,
        revoked: Iterable[str],
        closed_streams: Iterable[str],
        rules: Mapping[str, StreamRule] | None = None,
    ) -> list[Viewer]:
        """Replace the master's rules; return the viewers who are turned away from now on.

        `revoked` holds token ids and subjects that no stream takes, `rules` what each stream refuses.
        The viewers leave the registry and its figures; their next request is checked like a first one.
        """
        self._revoked = frozenset(revoked)
        self._closed = frozenset(closed_streams)
        self._rules = dict(rules or {})
        turned_away = []
        for viewer in self.registry:
            viewer.refused = self._refusal(viewer)
            if viewer.refused is not None:
                turned_away.append(viewer)
        for viewer in turned_away:
            self.registry.leave(viewer)
        return turned_away

    def _refusal(self, viewer: Viewer) -> TokenError | None:
        revoked = viewer.token_id in self._revoked or viewer.subject in self._revoked
        if revoked or self._rules.get(viewer.stream, _NO_RULE).refuses(viewer.subject, viewer.token_id):
            return TokenError(403, "this token was revoked: ask the teacher")
        if viewer.stream in self._closed:
            return TokenError(403, "the class was closed: ask the teacher")
        return None
