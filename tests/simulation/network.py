"""The network between the actors: each direction of each pair may lose, delay, duplicate or cut messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.simulation.scheduler import Scheduler

MIN_DELAY_S = 0.002
MAX_DELAY_S = 0.03


@dataclass(frozen=True, slots=True)
class LinkFault:
    """What is wrong with one direction: `extra_s` above the gap between two messages reorders them."""

    loss: float = 0.0
    extra_s: float = 0.0
    duplicates: float = 0.0
    cut: bool = False


class Network:
    """Delivers messages between named actors."""

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self._scheduler = scheduler
        self._random = random
        self._troubles: dict[tuple[str, str], list[LinkFault]] = {}

    def add(self, source: str, target: str, trouble: LinkFault) -> None:
        """Begin a trouble of one direction."""
        self._troubles.setdefault((source, target), []).append(trouble)

    def remove(self, source: str, target: str, trouble: LinkFault) -> None:
        """End it."""
        found = self._troubles[source, target]
        found.remove(trouble)
        if not found:
            del self._troubles[source, target]

    def is_clean(self, one: str, other: str) -> bool:
        """Tell whether nothing is wrong between two actors."""
        return (one, other) not in self._troubles and (other, one) not in self._troubles

    def send(self, source: str, target: str, deliver: Callable[..., None], *args: Any) -> None:
        """Deliver a message, unless it is lost."""
        random = self._random.random
        delay_s = MIN_DELAY_S + MAX_DELAY_S * random()
        for trouble in self._troubles.get((source, target), ()):
            if trouble.cut or random() < trouble.loss:
                return
            delay_s += trouble.extra_s * random()
            if random() < trouble.duplicates:
                self._scheduler.after(delay_s + MAX_DELAY_S * random(), deliver, *args)
        self._scheduler.after(delay_s, deliver, *args)

    def passes(self, source: str, target: str) -> bool:
        """Tell whether a short exchange gets through both ways now."""
        for pair in ((source, target), (target, source)):
            for trouble in self._troubles.get(pair, ()):
                if trouble.cut or self._random.random() < trouble.loss:
                    return False
        return True
