"""Which streams a relay follows: started, changed and stopped as the command line or master says."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from relay.base.errors import ClusterError
from relay.core.counters import StreamFigures
from relay.core.origin.epoch_numbering import EpochNumbering
from relay.io.origin.http_client import OriginLimits
from relay.io.origin.puller import Puller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relay.base.cluster_protocol import EpochOffset, EpochRequest
    from relay.core.counters import Counters
    from relay.core.delivery.delivery import Delivery
    from relay.core.stream.stream import Stream
    from relay.io.delivery.reactor import Reactor

log = logging.getLogger(__name__)

MAX_STREAMS = 256


@dataclass(frozen=True, slots=True)
class _Wanted:
    origins: tuple[str, ...]
    bearer: str


class StreamManager:
    """The pullers of a relay; what is wanted is set at once, what runs follows."""

    def __init__(
        self,
        delivery: Delivery,
        reactor: Reactor,
        counters: Counters,
        *,
        decide: Callable[[EpochRequest], Awaitable[EpochOffset]] | None = None,
        limits: OriginLimits | None = None,
        on_demand: bool = False,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._edge = delivery
        self._reactor = reactor
        self._counters = counters
        self._decide = decide
        self._limits = limits or OriginLimits()
        self._on_demand = on_demand
        self._state_changed = changed
        self._wanted: dict[str, _Wanted] = {}
        self._running: dict[str, tuple[_Wanted, trio.CancelScope]] = {}
        self._publishing: dict[str, bool | None] = {}
        self._pullers: dict[str, Puller] = {}
        self._changed = trio.Event()

    def follow(
        self, name: str, origins: tuple[str, ...], *, bearer: str = "", publishing: bool | None = None
    ) -> Stream:
        """Follow a stream from now on, from the first of these origins that answers.

        `publishing` tells whether somebody publishes it; None where that is not known.
        """
        if name not in self._wanted and len(self._wanted) >= MAX_STREAMS:
            log.warning("stream.refused stream=%s reason=more than %d streams", name, MAX_STREAMS)
        else:
            self._wanted[name] = _Wanted(origins, bearer)
            self._publishing[name] = publishing
            if name in self._pullers:
                self._pullers[name].announce(publishing)
        self._changed.set()
        return self._edge.open_stream(name)

    def forget(self, name: str) -> None:
        """Stop following a stream and drop what is held of it."""
        self._wanted.pop(name, None)
        self._publishing.pop(name, None)
        self._stop(name)
        self._counters.streams.pop(name, None)
        self._reactor.release(self._edge.close_stream(name))

    def pause(self, name: str) -> None:
        """Stop pulling a stream and keep what is held of it, until `follow` or `forget`."""
        self._wanted.pop(name, None)
        self._publishing.pop(name, None)
        self._stop(name)

    def _stop(self, name: str) -> None:
        running = self._running.pop(name, None)
        if running is not None:
            running[1].cancel()

    @property
    def names(self) -> tuple[str, ...]:
        """The streams that are followed."""
        return tuple(self._wanted)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start and stop pullers as `follow` and `forget` ask, until cancelled."""
        async with trio.open_nursery() as nursery:
            task_status.started()
            while True:
                changed = self._changed
                for name, (wanted, _) in list(self._running.items()):
                    if self._wanted.get(name) != wanted:
                        self._stop(name)
                for name, wanted in self._wanted.items():
                    if name not in self._running:
                        scope = trio.CancelScope()
                        self._running[name] = (wanted, scope)
                        nursery.start_soon(self._pull, name, wanted, scope)
                await changed.wait()
                self._changed = trio.Event()

    async def _pull(self, name: str, wanted: _Wanted, scope: trio.CancelScope) -> None:
        if scope.cancel_called:  # forgotten before it began
            return
        stream = self._edge.open_stream(name)
        figures = self._counters.streams.setdefault(name, StreamFigures())
        puller = Puller(
            stream,
            wanted.origins,
            bearer=wanted.bearer,
            limits=self._limits,
            publish=self._reactor.publish,
            decide=self._decide_for(stream),
            figures=figures,
            counters=self._counters.origin,
            changed=self._state_changed,
            ends_with_origin=self._decide is None,
            publishing=self._publishing.get(name),
        )
        self._pullers[name] = puller
        try:
            with scope:
                await (puller.run_on_demand() if self._on_demand else puller.run())
        finally:
            if self._pullers.get(name) is puller:
                del self._pullers[name]

    def _decide_for(self, stream: Stream) -> Callable[[EpochRequest], Awaitable[EpochOffset]]:
        """Ask the master for an epoch's numbers; decide alone where there is none, or no usable answer."""
        timeline = stream.timeline

        async def decide(request: EpochRequest) -> EpochOffset:
            numbering = EpochNumbering(timeline, request)
            while self._decide is not None and numbering.request is not None:
                try:
                    numbering.answered(await self._decide(numbering.request))
                except ClusterError as exc:
                    numbering.unanswered(exc.reason)
                if numbering.request is not None and numbering.refused is not None:
                    log.warning(
                        "epoch.refused stream=%s offset=%d discontinuity=%d reason=viewers have seen all "
                        "below %d, %d: an epoch above that is asked for",
                        stream.name,
                        numbering.refused.offset,
                        numbering.refused.discontinuity_seq,
                        timeline.next_msn,
                        timeline.next_discontinuity_seq,
                    )
            if numbering.alone:
                log.warning(
                    "epoch.alone stream=%s reason=%s: numbers continue from what this relay has listed",
                    stream.name,
                    numbering.alone,
                )
            return numbering.offset

        return decide
