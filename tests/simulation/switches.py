"""Rules of the real code that can be switched off, to show that the simulation notices."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airclass.domain import cluster_health
from airclass.domain.cluster import Cluster
from airclass.domain.epochs import StreamNumbers
from airclass.domain.routing import SeatBook
from airclass.domain.stream_health import ServedStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def _only_asked(self: StreamNumbers, next_msn: int, next_discontinuity_seq: int) -> StreamNumbers:
    return StreamNumbers(next_msn, next_discontinuity_seq)


def _no_push(self: Cluster) -> None:
    self.version += 1


def _no_seat(self: SeatBook, *_arguments: Any, **_named: Any) -> None:
    """Leave the reservation as it is."""


def _all_are_served(nodes: Iterable[Mapping[str, Any]]) -> dict[str, ServedStream]:
    """Take every stream as one that some other node serves."""
    return {stream: ServedStream(float("inf"), float("-inf")) for streams in nodes for stream in streams}


# Each switch: where the rule is, its name, what replaces it.
SWITCHES: dict[str, list[tuple[Any, str, Any]]] = {
    "nothing": [],
    "epoch maximum": [(StreamNumbers, "above", _only_asked)],
    "revocation push": [(Cluster, "_bump", _no_push)],
    "witness rule": [(cluster_health, "witnessed", _all_are_served)],
    "seat confirmation": [(SeatBook, "confirm", _no_seat)],
}


@contextmanager
def switched_off(name: str) -> Iterator[None]:
    """Run without a rule."""
    before = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in SWITCHES[name]]
    for owner, attribute, replacement in SWITCHES[name]:
        setattr(owner, attribute, replacement)
    try:
        yield
    finally:
        for owner, attribute, original in before:
            setattr(owner, attribute, original)
