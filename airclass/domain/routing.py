"""Which node a student gets a seat on, and when a seat ends.

A seat begins as a reservation and becomes permanent when the node reports that media was delivered to the
student. A node's load is what it reports plus the reservations that it has not confirmed, so 450 joins
between two heartbeats spread as evenly as 450 over an hour.

A reservation ends RESERVED_S after the join, or after RESERVED_CROWDED_S where seats are scarce, and neither
renewals nor steering prolong it: otherwise a script could hold every seat without watching. A student who let
one lapse gets the next one after a pause that doubles each time.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

RESERVED_S = 20.0
RESERVED_CROWDED_S = 5.0
CROWDED_LOAD = 0.8
# A node that last heard of a student longer ago than this takes no seat from another node.
STALE_S = 4.0
FIRST_PAUSE_S = 10.0
MAX_PAUSE_S = 60.0
FORGET_LAPSE_S = 600.0
MAX_LAPSES = 50_000
TURNED_AWAY_S = 60.0
MAX_TURNED_AWAY = 10_000
MAX_PATHWAYS = 6
MAX_ZONES = 64
FIRST_RETRY_S = 3
MAX_RETRY_S = 30
# Egress that a new student is assumed to cause until their node has measured one.
ASSUMED_VIEWER_BPS = 2_500_000

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(slots=True)
class SeatReservation:
    """A seat whose student has not got media there yet.

    `played`: the student has got media from another node, so the short limit does not apply. `recalled`: the
    seat was known before the master was restarted, and its node has not listed its viewers since.
    """

    since_s: float
    network: str = ""
    played: bool = False
    recalled: bool = False

    def ends_s(self, *, crowded: bool) -> float:
        """Return when the seat is free again."""
        return self.since_s + (RESERVED_CROWDED_S if crowded and not self.played else RESERVED_S)


@dataclass(slots=True)
class NodeSeats:
    """The seats of one node: capacity, zone, and who has one.

    `present` holds when each student asked the node for something last, as far as it was reported.
    """

    id: str
    capacity: int
    max_egress_bps: int = 0
    zone: tuple[Network, ...] = ()
    takes_students: bool = False
    connections: int = 0
    egress_bps: int = 0
    present: dict[str, float] = field(default_factory=dict)
    reserved: dict[str, SeatReservation] = field(default_factory=dict)

    @property
    def occupied(self) -> int:
        """Seats taken: those that the node reports, and reservations that it has not confirmed."""
        return max(self.connections, len(self.present)) + len(self.reserved)

    @property
    def load(self) -> float:
        """The tighter of seats and bandwidth, 0 (empty) to 1 (full) and above."""
        seats = self.occupied / self.capacity if self.capacity > 0 else 1.0
        if self.max_egress_bps <= 0:
            return seats
        each_bps = self.egress_bps / self.connections if self.connections else ASSUMED_VIEWER_BPS
        return max(seats, (self.egress_bps + len(self.reserved) * each_bps) / self.max_egress_bps)

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
    """Return the address, an IPv4-mapped one as IPv4; None when it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def read_zone(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return the networks of NODE_ZONE; raises ValueError naming the bad one."""
    return tuple(ipaddress.ip_network(text.strip(), strict=False) for text in texts)


def network_of(address: Address | None) -> str:
    """Return what one household or school has: its IPv4 address, or the /64 of an IPv6 one."""
    if address is None or address.version == 4:
        return str(address or "")
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))


def _never(_subject: str) -> bool:
    return False


class SeatBook:
    """All nodes' seats, and everyone's seat.

    `changed` collects each student's newest node (empty: none) until somebody stores it.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, NodeSeats] = {}
        self.seat_of: dict[str, str] = {}
        self.changed: dict[str, str] = {}
        self.turned_away: dict[str, float] = {}
        self._address_of: dict[str, Address] = {}
        self._unconfirmed: Counter[str] = Counter()  # reservations of each network
        self._lapses: dict[str, tuple[int, float]] = {}
        self._recalled: dict[str, dict[str, SeatReservation]] = {}

    # -- students ask ---------------------------------------------------------------------

    def choose(self, address: Address | None, *, avoid: Collection[str] = ()) -> NodeSeats | None:
        """Return the node for one more student, nearest first, then least loaded; None when all are full.

        Nodes to `avoid` come last.
        """
        free = [node for node in self.nodes.values() if node.has_room]
        return min(
            free,
            key=lambda n: (n.id in avoid, -n.nearness(address), n.load, n.occupied, n.id),
            default=None,
        )

    def reserve(
        self, subject: str, address: Address | None, now_s: float, *, avoid: Collection[str] = ()
    ) -> NodeSeats | None:
        """Give a student a seat, or return the one they have; None when there is none to give.

        A seat on a node to `avoid` is kept only while no other node has room.
        """
        held = self.nodes.get(self.seat_of.get(subject, ""))
        if held is not None and held.takes_students:
            better = self.choose(address, avoid=avoid) if held.id in avoid else None
            if better is None or better.id in avoid:
                return held
        network = network_of(address)
        node = self.choose(address, avoid=avoid) if self.pause_s(subject, now_s) <= 0 else None
        if node is None or self._is_owed_to_others(network):
            if len(self.turned_away) < MAX_TURNED_AWAY:
                self.turned_away[network] = now_s + TURNED_AWAY_S
            return None
        self.turned_away.pop(network, None)
        played = held is not None and subject in held.present
        self.release(subject)
        if address is not None:
            self._address_of[subject] = address
        self._book(node, subject, SeatReservation(now_s, network, played))
        return node

    def pause_s(self, subject: str, now_s: float) -> float:
        """Return for how long a student who let a seat lapse gets no other one."""
        return self._lapses.get(subject, (0, now_s))[1] - now_s

    @property
    def crowded(self) -> bool:
        """Tell whether more than CROWDED_LOAD of the seats are taken."""
        usable = [node for node in self.nodes.values() if node.takes_students]
        return sum(n.occupied for n in usable) > CROWDED_LOAD * sum(n.capacity for n in usable)

    @property
    def free_seats(self) -> int:
        """Seats that students can take."""
        return sum(node.capacity - node.occupied for node in self.nodes.values() if node.has_room)

    def pathways(
        self, subject: str, address: Address | None = None, *, avoid: Collection[str] = ()
    ) -> list[str]:
        """Return the nodes that a player may use, its own seat first, then the best others.

        Without a seat the order differs by student, so that they do not all go to the least loaded node.
        Nodes to `avoid` are left out; they come last while no other node has room.
        """
        mine = self.seat_of.get(subject, "")
        nodes = [n for n in self.nodes.values() if n.takes_students or n.id == mine]
        if avoid and any(n.has_room for n in nodes if n.id not in avoid):
            nodes = [n for n in nodes if n.id not in avoid]
        if not mine:
            nodes.sort(key=lambda n: (n.id in avoid, not n.has_room, crc32(f"{subject} {n.id}".encode())))
            return [node.id for node in nodes[:MAX_PATHWAYS]]
        nodes.sort(
            key=lambda n: (
                n.id in avoid,
                n.id != mine or not n.takes_students,
                not n.has_room,
                -n.nearness(address),
                n.load,
                n.id,
            )
        )
        return [node.id for node in nodes[:MAX_PATHWAYS]]

    def release(self, subject: str) -> None:
        """Take a student's seat away, wherever it is."""
        node_id = self.seat_of.pop(subject, "")
        if not node_id:
            return
        self._unbook(node_id, subject)
        self._address_of.pop(subject, None)
        self.changed[subject] = ""

    # -- nodes report ---------------------------------------------------------------------

    def confirm(self, subject: str, node_id: str, now_s: float, idle_s: float = 0.0) -> None:
        """Make the seat permanent: the node has delivered media to this student.

        The newest request decides where somebody sits: a list of viewers that was delayed takes no seat from
        the node that they moved to.
        """
        node, asked_s = self.nodes[node_id], now_s - idle_s
        node.present[subject] = asked_s
        other = self.nodes.get(self.seat_of.get(subject, ""))
        if other is not None and other is not node:
            newer = other.present.get(subject, float("-inf")) > asked_s
            if newer or (idle_s > STALE_S and other.takes_students):
                return
        self._lapses.pop(subject, None)
        self._unbook(self.seat_of.get(subject, ""), subject)
        self._sit(subject, node_id)

    def leave(self, subject: str, node_id: str) -> None:
        """The node reports that this student is gone."""
        node = self.nodes.get(node_id)
        if node is None:
            return
        node.present.pop(subject, None)
        if self.seat_of.get(subject) == node_id and subject not in node.reserved:
            self._fall_back(subject)

    # -- time passes ----------------------------------------------------------------------

    def expire(self, now_s: float, is_crowded: Callable[[str], bool] = _never) -> list[str]:
        """Free the seats of students who got no media there in time; returns those who have no other.

        `is_crowded` tells whether seats are scarce for one student: those of their class may be.
        """
        crowded, gone = self.crowded, []
        booked = [*((n.id, n.reserved) for n in self.nodes.values()), *self._recalled.items()]
        for node_id, reserved in booked:
            for subject, seat in list(reserved.items()):
                hurried = now_s - seat.since_s >= RESERVED_CROWDED_S and (crowded or is_crowded(subject))
                if now_s < seat.ends_s(crowded=hurried):
                    continue
                self._unbook(node_id, subject)
                self._fall_back(subject)
                if subject not in self.seat_of:
                    gone.append(subject)
                    self._lapsed(subject, seat, now_s)
        for network in [n for n, until_s in self.turned_away.items() if until_s <= now_s]:
            del self.turned_away[network]
        for subject in [s for s, (_, until_s) in self._lapses.items() if until_s + FORGET_LAPSE_S <= now_s]:
            del self._lapses[subject]
        return gone

    def move(
        self,
        node_id: str,
        now_s: float,
        *,
        avoid: Callable[[str], Collection[str]] = lambda _: (),
        moves: Callable[[str], bool] = lambda _: True,
    ) -> dict[str, str]:
        """Give the students of a node a seat elsewhere; returns who goes where.

        `moves` selects the students, all by default; `avoid` returns the nodes to which one of them must not
        go. Students for whom there is no room stay: a full cluster is no reason to send a playing student
        away.
        """
        moved, source = {}, self.nodes[node_id]
        for subject in [s for s, where in self.seat_of.items() if where == node_id and moves(s)]:
            address = self._address_of.get(subject)
            unfit = {node_id, *avoid(subject)}
            node = self.choose(address, avoid=unfit)
            if node is None:
                break
            if node.id in unfit:
                continue
            seat = source.reserved.get(subject)
            if seat is None or seat.recalled:  # otherwise it keeps its age, so that no move prolongs it
                seat = SeatReservation(now_s, network_of(address), played=True)
            self._unbook(node_id, subject)
            self._book(node, subject, seat)
            moved[subject] = node.id
        return moved

    # -- nodes come and go ----------------------------------------------------------------

    def add(self, node: NodeSeats) -> None:
        """Take in a node; seats on it that were recalled count from now on."""
        self.nodes[node.id] = node
        node.reserved |= self._recalled.pop(node.id, {})

    def remove(self, node_id: str) -> None:
        """Forget a node; its students lose their seats unless they play elsewhere too."""
        for subject in [s for s, where in self.seat_of.items() if where == node_id]:
            self._unbook(node_id, subject)
            self.nodes.get(node_id, NodeSeats(node_id, 0)).present.pop(subject, None)
            self._fall_back(subject)
        self.nodes.pop(node_id, None)

    def recall(self, subject: str, node_id: str, since_s: float) -> None:
        """Hold a student's seat from before the master was restarted, on a node that is not back yet."""
        self._recalled.setdefault(node_id, {})[subject] = SeatReservation(since_s, played=True, recalled=True)
        self.seat_of[subject] = node_id

    def is_recalled(self, subject: str) -> bool:
        """Tell whether a student's seat is only known from before the master was restarted."""
        node_id = self.seat_of.get(subject, "")
        node = self.nodes.get(node_id)
        seat = (self._recalled.get(node_id, {}) if node is None else node.reserved).get(subject)
        return seat is not None and seat.recalled

    # -- bookkeeping ----------------------------------------------------------------------

    def _is_owed_to_others(self, network: str) -> bool:
        """Tell whether the free seats belong to networks that were turned away and hold fewer reservations.

        So a script that reserves seats again and again does not win each seat that becomes free.
        """
        mine = self._unconfirmed[network]
        if not self.turned_away or not mine:
            return False
        claims = sum(self._unconfirmed[n] < mine for n in self.turned_away if n != network)
        return self.free_seats <= claims

    def _sit(self, subject: str, node_id: str) -> None:
        if self.seat_of.get(subject) != node_id:
            self.changed[subject] = node_id
        self.seat_of[subject] = node_id

    def _book(self, node: NodeSeats, subject: str, seat: SeatReservation) -> None:
        if subject not in node.present:  # who plays there already has the seat
            node.reserved[subject] = seat
            self._unconfirmed[seat.network] += 1
        self._sit(subject, node.id)

    def _unbook(self, node_id: str, subject: str) -> None:
        node = self.nodes.get(node_id)
        reserved = self._recalled.get(node_id, {}) if node is None else node.reserved
        seat = reserved.pop(subject, None)
        if seat is not None and not seat.recalled:
            self._unconfirmed[seat.network] -= 1
            if not self._unconfirmed[seat.network]:
                del self._unconfirmed[seat.network]

    def _fall_back(self, subject: str) -> None:
        """Seat a student where they play; without such a node they have no seat any more."""
        there = [n for n in self.nodes.values() if subject in n.present]
        if there:
            self._sit(subject, max(there, key=lambda n: n.present[subject]).id)
        else:
            self.release(subject)

    def _lapsed(self, subject: str, seat: SeatReservation, now_s: float) -> None:
        if seat.recalled:
            return
        count = self._lapses.pop(subject, (0, 0.0))[0]
        self._lapses[subject] = (count + 1, now_s + min(MAX_PAUSE_S, FIRST_PAUSE_S * 2.0**count))
        if len(self._lapses) > MAX_LAPSES:
            del self._lapses[next(iter(self._lapses))]


def retry_after_s(waiting: int, capacity: int) -> int:
    """Return when a student who was turned away asks again: later, the more of them wait."""
    if capacity <= 0:
        return FIRST_RETRY_S  # no relay yet: it is starting
    return min(MAX_RETRY_S, FIRST_RETRY_S + 25 * waiting // capacity)
