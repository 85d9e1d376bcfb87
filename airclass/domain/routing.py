"""Which node a student is sent to, and the seats that keep a herd even.

Joining reserves a seat for LEASE_S; the relay's own list of viewers confirms it. A node's load is
what it reports plus the leases it has not seen yet, so 450 joins between two heartbeats spread as
evenly as 450 over an hour.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

LEASE_S = 20.0
MAX_PATHWAYS = 6
MAX_ZONES = 64
FIRST_RETRY_S = 3
MAX_RETRY_S = 30
# Egress that a new student is assumed to cause until their node has measured one.
ASSUMED_VIEWER_BPS = 2_500_000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(slots=True)
class NodeSeats:
    """What routing knows of one node: its room, its neighbourhood and who sits there."""

    id: str
    capacity: int
    max_egress_bps: int = 0
    zone: tuple[Network, ...] = ()
    takes_students: bool = False
    connections: int = 0
    egress_bps: int = 0
    present: set[str] = field(default_factory=set)
    leases: dict[str, float] = field(default_factory=dict)

    @property
    def occupied(self) -> int:
        """Students here: those the node reports, and reserved seats that it has not seen yet."""
        return max(self.connections, len(self.present)) + self.expected

    @property
    def expected(self) -> int:
        """Reserved seats that the node has not reported yet."""
        return len(self.leases)

    @property
    def load(self) -> float:
        """The tighter of seats and bandwidth, 0 (empty) to 1 (full) and above."""
        seats = self.occupied / self.capacity if self.capacity > 0 else 1.0
        if self.max_egress_bps <= 0:
            return seats
        each_bps = self.egress_bps / self.connections if self.connections else ASSUMED_VIEWER_BPS
        return max(seats, (self.egress_bps + self.expected * each_bps) / self.max_egress_bps)

    @property
    def has_room(self) -> bool:
        """Tell whether one more student fits."""
        return self.takes_students and self.occupied < self.capacity and self.load < 1.0

    def nearness(self, address: Address | None) -> int:
        """Return how closely the zone fits the address: longest matching prefix, -1 for none."""
        if address is None:
            return -1
        fits = [net.prefixlen for net in self.zone if net.version == address.version and address in net]
        return max(fits, default=-1)


def read_address(text: str) -> Address | None:
    """Return the address, IPv4 when it is one in IPv6 clothes; None when it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def read_zone(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of NODE_ZONE; raises ValueError naming the bad one."""
    return tuple(ipaddress.ip_network(text.strip(), strict=False) for text in texts)


class SeatBook:
    """All sites and everyone's seat."""

    def __init__(self) -> None:
        self.sites: dict[str, NodeSeats] = {}
        self.seat_of: dict[str, str] = {}

    def choose(
        self, address: Address | None, *, kept: str = "", avoid: Collection[str] = ()
    ) -> NodeSeats | None:
        """Return the site for one more student, or None when the cluster is full.

        Nearest first, then least loaded; `kept` (an earlier node) wins while it takes students. Sites to
        `avoid` come last.
        """
        old = self.sites.get(kept)
        if old is not None and old.has_room and old.id not in avoid:
            return old
        free = [site for site in self.sites.values() if site.has_room]
        return min(
            free,
            key=lambda s: (s.id in avoid, -s.nearness(address), s.load, s.occupied, s.id),
            default=None,
        )

    def reserve(
        self,
        subject: str,
        address: Address | None,
        now_s: float,
        *,
        lease_s: float = LEASE_S,
        avoid: Collection[str] = (),
    ) -> NodeSeats | None:
        """Give a student a seat (or keep the one they have), or return None when all are full.

        A seat at a site to `avoid` is kept only while no other site has room.
        """
        held = self.sites.get(self.seat_of.get(subject, ""))
        site = None
        if held is None or not held.takes_students or held.id in avoid:
            site = self.choose(address, avoid=avoid)
        if held is not None and held.takes_students and (site is None or site.id in avoid):
            self._lease(held, subject, now_s + lease_s)
            return held
        if site is None:
            return None
        self.release(subject)
        self._lease(site, subject, now_s + lease_s)
        return site

    def hold(self, subject: str, now_s: float, *, lease_s: float = LEASE_S) -> None:
        """Keep a reserved seat longer: its student waits for the class to begin."""
        site = self.sites.get(self.seat_of.get(subject, ""))
        if site is not None and subject in site.leases:
            site.leases[subject] = now_s + lease_s

    def confirm(self, subject: str, site_id: str) -> None:
        """The site reports this student: the lease becomes a seat, wherever it was."""
        site = self.sites[site_id]
        site.present.add(subject)
        old = self.seat_of.get(subject)
        if old is not None and old in self.sites:
            self.sites[old].leases.pop(subject, None)
        site.leases.pop(subject, None)
        self.seat_of[subject] = site_id

    def leave(self, subject: str, site_id: str) -> None:
        """The site reports that this student is gone."""
        site = self.sites.get(site_id)
        if site is not None:
            site.present.discard(subject)
            if self.seat_of.get(subject) == site_id and subject not in site.leases:
                del self.seat_of[subject]

    def release(self, subject: str) -> None:
        """Take a student's seat away, wherever it is."""
        site = self.sites.get(self.seat_of.pop(subject, ""))
        if site is not None:
            site.leases.pop(subject, None)

    def expire(self, now_s: float) -> list[str]:
        """Free the seats of students who never came; returns them."""
        gone = []
        for site in self.sites.values():
            late = [s for s, until_s in site.leases.items() if until_s <= now_s]
            for subject in late:
                del site.leases[subject]
                if subject not in site.present:
                    del self.seat_of[subject]
                    gone.append(subject)
        return gone

    def remove(self, site_id: str) -> None:
        """Forget a site; its students lose their seats."""
        self.sites.pop(site_id, None)
        for subject in [s for s, where in self.seat_of.items() if where == site_id]:
            del self.seat_of[subject]

    def move(
        self,
        site_id: str,
        now_s: float,
        *,
        avoid: Callable[[str], Collection[str]] = lambda _: (),
        moves: Callable[[str], bool] = lambda _: True,
    ) -> dict[str, str]:
        """Give the students of a site a seat elsewhere; returns who goes where.

        `moves` selects the students, all by default; `avoid` returns the sites to which one of them must
        not go. A student for whom there is no room stays: a full cluster is no reason to send a playing
        student away.
        """
        moved = {}
        for subject in [s for s, where in self.seat_of.items() if where == site_id and moves(s)]:
            shunned = {site_id, *avoid(subject)}
            site = self.choose(None, avoid=shunned)
            if site is None:
                break
            if site.id in shunned:
                continue
            self.sites[site_id].leases.pop(subject, None)
            self._lease(site, subject, now_s + LEASE_S)
            moved[subject] = site.id
        return moved

    def pathways(
        self, subject: str, address: Address | None = None, *, avoid: Collection[str] = ()
    ) -> list[str]:
        """Return the sites a player may use, its own seat first, then the best others.

        Sites to `avoid` are left out; they come last while no other site has room.
        """
        mine = self.seat_of.get(subject, "")
        sites = [s for s in self.sites.values() if s.takes_students or s.id == mine]
        if avoid and any(s.has_room for s in sites if s.id not in avoid):
            sites = [s for s in sites if s.id not in avoid]
        sites.sort(
            key=lambda s: (
                s.id in avoid,
                s.id != mine or not s.takes_students,
                not s.has_room,
                -s.nearness(address),
                s.load,
                s.id,
            )
        )
        return [site.id for site in sites[:MAX_PATHWAYS]]

    def _lease(self, site: NodeSeats, subject: str, until_s: float) -> None:
        if subject not in site.present:
            site.leases[subject] = until_s
        self.seat_of[subject] = site.id


def retry_after_s(waiting: int, capacity: int) -> int:
    """Return when somebody turned away should ask again: later the more of them wait."""
    if capacity <= 0:
        return FIRST_RETRY_S  # no relay yet: it is starting
    return min(MAX_RETRY_S, FIRST_RETRY_S + 25 * waiting // capacity)
